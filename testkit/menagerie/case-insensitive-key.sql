-- what: The key's collation is nondeterministic: `bolt-1` and `BOLT-1` are one key to this side.
-- check: takes different texts for the same key
-- as legacy: writes=held + refused KEY_NOT_KEPT + unsettled; reconcile=incomplete; handover=stays with modern
-- as modern: writes=held + unsettled; reconcile=incomplete; handover=not handed over
-- as oracle: writes=held + refused KEY_NOT_KEPT + unsettled; reconcile=incomplete; handover=stays with modern
CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
ALTER TABLE item ALTER COLUMN id TYPE varchar(18) COLLATE ci;
UPDATE item SET id = 'BOLT-1' WHERE id = 'A30';
UPDATE item SET id = 'a1' WHERE id = 'A1';
