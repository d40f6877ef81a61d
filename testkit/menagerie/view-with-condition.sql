-- what: The table is a view with a condition and without CHECK OPTION: what a write puts outside of it is seen by nobody.
-- note: What the view shows is the table: rows outside of it are no rows of the type.
-- check: is a view with a condition
-- as oracle: writes=held + refused KEY_NOT_KEPT + refused NOT_FOUND + unsettled; reconcile=differs; handover=stays with modern
-- as legacy: writes=held + refused KEY_NOT_KEPT + refused NOT_FOUND + unsettled; reconcile=differs; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
ALTER TABLE item RENAME TO item_of_all_plants;
CREATE VIEW item AS SELECT id, name, qty FROM item_of_all_plants WHERE id NOT IN ('A2', 'A11', 'A12', 'bolt-1') AND id NOT LIKE '47%';
