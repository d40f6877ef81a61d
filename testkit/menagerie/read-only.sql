-- what: Our role's transactions are read-only by default.
-- check: transactions of our role are read-only
-- as legacy: writes=refused UNAVAILABLE; reconcile=equal; handover=not handed over
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=refused UNAVAILABLE; reconcile=incomplete; handover=not handed over
SELECT 1;
-- after init
ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = on;
