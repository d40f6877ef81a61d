-- what: Our role may not delete.
-- check: the right to DELETE on item is missing
-- as legacy: writes=held + refused INTERNAL + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + refused INTERNAL + unsettled; reconcile=equal; handover=stays with modern
SELECT 1;
-- after init
REVOKE DELETE ON item FROM {role};
