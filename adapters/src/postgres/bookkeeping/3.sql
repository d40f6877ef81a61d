-- When the server was started that the incarnation was given for: each write proves that it is the same start. What a
-- start has lost since the last mark, only the other side knows. unasked: since when nobody could ask it.
ALTER TABLE strangler_life ADD COLUMN IF NOT EXISTS boot timestamptz;
ALTER TABLE strangler_life ADD COLUMN IF NOT EXISTS unasked timestamptz;
UPDATE strangler_life SET boot = pg_postmaster_start_time() WHERE boot IS NULL;
-- Which side this database is: one that remembers legacy is modern. A replica whose addresses are exchanged uses neither.
ALTER TABLE strangler_life ADD COLUMN IF NOT EXISTS side text;
UPDATE strangler_life SET side = (SELECT CASE m.side WHEN 'legacy' THEN 'modern' WHEN 'modern' THEN 'legacy' END
    FROM strangler_memory m LIMIT 1) WHERE side IS NULL;
-- A side may take writes alone: nobody keeps the other one equal any more, and its ledger rows are born settled.
ALTER TABLE strangler_fence DROP CONSTRAINT IF EXISTS strangler_fence_state_check;
ALTER TABLE strangler_fence DROP CONSTRAINT IF EXISTS strangler_fence_stand;
ALTER TABLE strangler_fence
    ADD CONSTRAINT strangler_fence_stand CHECK (state IN ('open', 'frozen', 'closed', 'alone'));
