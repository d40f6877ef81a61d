-- Which run of a replica was heard of: a copied state folder gives two of them one name. And whether its rollout is on its
-- disk.
ALTER TABLE strangler_replica ADD COLUMN IF NOT EXISTS instance uuid;
ALTER TABLE strangler_replica ADD COLUMN IF NOT EXISTS saved boolean;
-- In how many answers the rows of a kind were found; none where a release that counted rows only has counted some.
ALTER TABLE strangler_evidence_difference ADD COLUMN IF NOT EXISTS answers bigint;
