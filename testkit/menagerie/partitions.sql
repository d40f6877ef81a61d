-- what: The table is partitioned by a field, so that a write may move a row.
-- check: is partitioned
-- as legacy: writes=held; reconcile=equal; handover=there and back
-- as modern: writes=held; reconcile=equal; handover=there and back
-- as oracle: writes=held; reconcile=equal; handover=there and back
ALTER TABLE line RENAME TO line_old;
CREATE TABLE line (item varchar(18) NOT NULL, pos integer NOT NULL, txt varchar(40) NOT NULL, PRIMARY KEY (item, pos))
  PARTITION BY RANGE (pos);
CREATE TABLE line_low PARTITION OF line FOR VALUES FROM (MINVALUE) TO (3);
CREATE TABLE line_high PARTITION OF line FOR VALUES FROM (3) TO (MAXVALUE);
INSERT INTO line SELECT * FROM line_old;
DROP TABLE line_old;
