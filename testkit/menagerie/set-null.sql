-- what: Another table's rows lose their item (ON DELETE SET NULL); it is not in the contract.
-- check: changes rows of remark, which is not in the contract
-- as legacy: writes=held; reconcile=equal; handover=there and back
-- as modern: writes=held; reconcile=equal; handover=there and back
-- as oracle: writes=held; reconcile=equal; handover=there and back
CREATE TABLE remark (no integer PRIMARY KEY, item varchar(18) REFERENCES item ON DELETE SET NULL);
INSERT INTO remark SELECT n, 'A' || n FROM generate_series(1, 30) n;
