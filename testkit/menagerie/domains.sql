-- what: Columns are of domains, one of them with a check of its own.
-- check: is of the domain quantity
-- as legacy: writes=held; reconcile=equal; handover=there and back
-- as modern: writes=held; reconcile=equal; handover=there and back
-- as oracle: writes=held; reconcile=equal; handover=there and back
CREATE DOMAIN code AS varchar(18);
CREATE DOMAIN quantity AS integer CHECK (VALUE < 1000000);
ALTER TABLE item ALTER COLUMN id TYPE code, ALTER COLUMN qty TYPE quantity;
