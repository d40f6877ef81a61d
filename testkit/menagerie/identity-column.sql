-- what: A column of the contract is an identity that the database always makes.
-- check: is an identity that the database always makes itself
-- as legacy: writes=held + refused INTERNAL + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + refused INTERNAL + unsettled; reconcile=equal; handover=stays with modern
ALTER TABLE line ALTER COLUMN pos ADD GENERATED ALWAYS AS IDENTITY;
