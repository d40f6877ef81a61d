-- what: A trigger on the versions keeps each as it was.
-- check: trigger stays
-- as legacy: writes=held; reconcile=equal; handover=there and back
-- as modern: writes=held; reconcile=equal; handover=there and back
SELECT 1;
-- after init
CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$;
CREATE TRIGGER stays BEFORE UPDATE ON strangler_version FOR EACH ROW EXECUTE FUNCTION stays();
