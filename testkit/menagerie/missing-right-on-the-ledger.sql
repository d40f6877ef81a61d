-- what: The ledger belongs to somebody else, and our role may not insert into it.
-- check: the right to INSERT on strangler_ledger is missing
-- as legacy: writes=held + refused INTERNAL + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + refused INTERNAL + unsettled; reconcile=equal; handover=stays with modern
SELECT 1;
-- after init
ALTER TABLE strangler_ledger OWNER TO postgres;
GRANT SELECT, UPDATE, DELETE ON strangler_ledger TO {role};
REVOKE INSERT ON strangler_ledger FROM {role};
