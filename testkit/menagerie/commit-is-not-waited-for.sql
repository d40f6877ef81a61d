-- what: COMMIT does not wait for the disk (synchronous_commit off for our role).
-- check: synchronous_commit is off for our role
-- as legacy: writes=held; reconcile=equal; handover=there and back
-- as modern: writes=held; reconcile=equal; handover=there and back
-- as oracle: writes=held; reconcile=equal; handover=there and back
ALTER ROLE {role} IN DATABASE {database} SET synchronous_commit = off;
