-- what: A column gets wider while sessions of ours have statements prepared (0A000).
-- not as oracle: an Oracle parses a statement anew when a column changes
-- as legacy: writes=any of held + refused UNAVAILABLE + unsettled; reconcile=equal; handover=there and back
-- as modern: writes=any of held + refused UNAVAILABLE + unsettled; reconcile=equal; handover=there and back
SELECT 1;
-- between
ALTER TABLE item ALTER COLUMN name TYPE varchar(80);
