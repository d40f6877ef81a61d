-- what: A constraint trigger that is deferred to COMMIT changes the row after it was written.
-- check: deferred to COMMIT
-- not as oracle: an Oracle has no triggers at COMMIT
-- as legacy: writes=held + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF pg_trigger_depth() = 1 THEN UPDATE item SET qty = qty + 1000 WHERE id = NEW.id; END IF; RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON item DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION late();
