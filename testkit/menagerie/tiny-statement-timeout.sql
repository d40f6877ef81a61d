-- what: Our role's statements are ended after a millisecond: most of ours, too.
-- check: canceling statement due to statement timeout
-- not as oracle: an Oracle has no such limit of an account
-- as legacy: writes=any of held + refused UNAVAILABLE + refused INTERNAL + unsettled; reconcile=incomplete; handover=not handed over
-- as modern: writes=any of held + unsettled; reconcile=incomplete; handover=not handed over
SELECT 1;
-- after init
ALTER ROLE {role} IN DATABASE {database} SET statement_timeout = '1ms';
