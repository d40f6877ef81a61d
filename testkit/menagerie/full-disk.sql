-- what: There is no room for new rows (53100, raised by a trigger); changes of old ones pass.
-- check: trigger full
-- as legacy: writes=held + refused UNAVAILABLE + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + refused UNAVAILABLE + unsettled; reconcile=equal; handover=stays with modern
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION full_disk();
