-- what: A foreign key wants a parent that the contract does not know.
-- check: which is not in the contract: what the other side has without them is refused here
-- as legacy: writes=held + refused STILL_REFERENCED + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + refused STILL_REFERENCED + unsettled; reconcile=equal; handover=stays with modern
CREATE TABLE class (id varchar(18) PRIMARY KEY);
INSERT INTO class SELECT id FROM item;
ALTER TABLE item ADD CONSTRAINT item_class_fkey FOREIGN KEY (id) REFERENCES class;
