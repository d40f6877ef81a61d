-- When the server was started that the incarnation was given for: each write proves that it is the same start. What a
-- start has lost since the last mark, only the other side knows. unasked: since when nobody could ask it. In a cluster
-- each instance has a start of its own: there boot is '-', and says nothing.
ALTER TABLE strangler_life ADD boot VARCHAR2(40);
ALTER TABLE strangler_life ADD unasked TIMESTAMP(6);
UPDATE strangler_life SET boot = (SELECT CASE i.parallel WHEN 'NO' THEN TO_CHAR(i.startup_time, 'YYYY-MM-DD HH24:MI:SS') ELSE '-' END
    FROM v$instance i) WHERE boot IS NULL;
-- Which side this database is: one that remembers legacy is modern. A replica whose addresses are exchanged uses neither.
ALTER TABLE strangler_life ADD side VARCHAR2(10);
UPDATE strangler_life SET side = (SELECT CASE MIN(m.side) WHEN 'legacy' THEN 'modern' WHEN 'modern' THEN 'legacy' END
    FROM strangler_memory m) WHERE side IS NULL;
-- A side may take writes alone: nobody keeps the other one equal any more, and its ledger rows are born settled.
ALTER TABLE strangler_fence DROP CONSTRAINT strangler_fence_state;
ALTER TABLE strangler_fence
    ADD CONSTRAINT strangler_fence_stand CHECK (state IN ('open', 'frozen', 'closed', 'alone'));
