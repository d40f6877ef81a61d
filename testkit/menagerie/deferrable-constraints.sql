-- what: A foreign key is checked at COMMIT only: what is refused is refused late.
-- as legacy: writes=held + refused STILL_REFERENCED + unsettled; reconcile=equal; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + refused STILL_REFERENCED + unsettled; reconcile=equal; handover=stays with modern
ALTER TABLE line ADD CONSTRAINT line_item_fkey FOREIGN KEY (item) REFERENCES item DEFERRABLE INITIALLY DEFERRED;
