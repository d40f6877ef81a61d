-- what: The database keeps bytes of any encoding (SQL_ASCII), and one row is no UTF-8.
-- check: keeps bytes of any encoding
-- database: ENCODING 'SQL_ASCII' LOCALE 'C'
-- not as oracle: the stand-in itself needs UTF-8 beneath it
-- as legacy: writes=held; reconcile=incomplete; handover=there and back
-- as modern: writes=held; reconcile=incomplete; handover=there and back
UPDATE item SET name = 'stra' || E'\xdf' || 'e' WHERE id = 'A25';
