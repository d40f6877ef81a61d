-- what: An AFTER trigger changes the row once more, after whoever wrote it.
-- check: trigger last_word
-- as legacy: writes=held + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + unsettled; reconcile=equal; handover=stays with modern
CREATE FUNCTION last_word() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF pg_trigger_depth() = 1 THEN UPDATE item SET name = left(name, 39) || '*' WHERE id = NEW.id; END IF; RETURN NULL;
END $$;
CREATE TRIGGER last_word AFTER INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION last_word();
