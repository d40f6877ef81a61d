-- what: A trigger on the versions keeps each as it was.
-- check: trigger stays
-- as oracle: writes=held + refused INTERNAL + unsettled; reconcile=equal; handover=stays with modern
-- as legacy: writes=held + refused INTERNAL + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
SELECT 1;
-- after init
CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$;
CREATE TRIGGER stays BEFORE UPDATE ON strangler_version FOR EACH ROW EXECUTE FUNCTION stays();
