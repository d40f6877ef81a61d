-- what: Our role's transactions are SERIALIZABLE by default.
-- note: Our sessions say themselves what they need.
-- as legacy: writes=held; reconcile=equal; handover=there and back
-- as modern: writes=held; reconcile=equal; handover=there and back
-- as oracle: writes=held; reconcile=equal; handover=there and back
ALTER ROLE {role} IN DATABASE {database} SET default_transaction_isolation = 'serializable';
