-- what: The table has a column that no field carries.
-- check: is in no field, so that the other side never has it
-- as legacy: writes=held; reconcile=equal; handover=there and back
-- as modern: writes=held; reconcile=equal; handover=there and back
-- as oracle: writes=held; reconcile=equal; handover=there and back
ALTER TABLE item ADD COLUMN colour varchar(20) DEFAULT 'red';
