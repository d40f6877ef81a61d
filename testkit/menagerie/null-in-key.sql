-- what: A part of the key may be null, and is in two rows.
-- check: is part of the key and may be null
-- as legacy: writes=held; reconcile=incomplete; handover=there and back
-- as modern: writes=held; reconcile=incomplete; handover=there and back
-- as oracle: writes=held; reconcile=incomplete; handover=there and back
ALTER TABLE line DROP CONSTRAINT line_pkey;
ALTER TABLE line ALTER COLUMN pos DROP NOT NULL;
ALTER TABLE line ADD UNIQUE (item, pos);
INSERT INTO line VALUES ('A5', NULL, 'nameless'), ('A5', NULL, 'nameless too');
