-- what: Row level security hides the rows that record versions, and takes new ones.
-- check: row level security of strangler_version holds for our role
-- as legacy: writes=held + refused INTERNAL + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + refused INTERNAL + unsettled; reconcile=equal; handover=stays with modern
SELECT 1;
-- after init
ALTER TABLE strangler_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE strangler_version OWNER TO postgres;
GRANT ALL ON strangler_version TO {role};
CREATE POLICY hidden ON strangler_version FOR SELECT USING (false);
CREATE POLICY written ON strangler_version FOR INSERT WITH CHECK (true);
CREATE POLICY changed ON strangler_version FOR UPDATE USING (true) WITH CHECK (true);
