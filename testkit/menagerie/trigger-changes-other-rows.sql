-- what: A trigger counts changes in another row of the same table.
-- check: trigger counts
-- known broken as legacy: writes are called settled that the other side does not hold
-- as modern: writes=held + unsettled; reconcile=differs; handover=not handed over
-- known broken as oracle: writes are called settled that the other side does not hold
CREATE FUNCTION counts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF pg_trigger_depth() = 1 THEN UPDATE item SET qty = qty + 1 WHERE id = 'A30'; END IF; RETURN NULL;
END $$;
CREATE TRIGGER counts AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION counts();
