-- what: Lines go with their item (ON DELETE CASCADE), which the other side does not do.
-- check: foreign key line_item_fkey changes rows of line by itself
-- as legacy: writes=held; reconcile=differs; handover=there and back
-- as modern: writes=held + unsettled; reconcile=differs; handover=not handed over
-- as oracle: writes=held; reconcile=differs; handover=there and back
ALTER TABLE line ADD CONSTRAINT line_item_fkey FOREIGN KEY (item) REFERENCES item ON DELETE CASCADE ON UPDATE CASCADE;
