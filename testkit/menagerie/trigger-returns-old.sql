-- what: A BEFORE trigger keeps every row as it was (RETURN OLD): a change counts as done, and nothing is changed.
-- check: trigger keep
-- as legacy: writes=held + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + unsettled; reconcile=equal; handover=stays with modern
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$;
CREATE TRIGGER keep BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION keep();
