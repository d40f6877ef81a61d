-- what: Our role waits for no lock longer than a millisecond.
-- check: lock_timeout of our role is 1 ms
-- as legacy: writes=held; reconcile=equal; handover=there and back
-- as modern: writes=held; reconcile=equal; handover=there and back
-- as oracle: writes=held; reconcile=equal; handover=there and back
SELECT 1;
-- after init
ALTER ROLE {role} IN DATABASE {database} SET lock_timeout = '1ms';
