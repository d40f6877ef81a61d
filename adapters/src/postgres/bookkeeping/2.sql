-- Which steps made these tables. works_from: the oldest release, by its own last step, that can work beside the step.
CREATE TABLE IF NOT EXISTS strangler_bookkeeping (
    step       integer     NOT NULL PRIMARY KEY,
    works_from integer     NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- This side's life. incarnation is part of every version written here; suspended says why no write of ours commits here:
-- each proves in its ledger insert that it is null, and that log is the log (timeline) that the server writes now.
CREATE TABLE IF NOT EXISTS strangler_life (
    only_one    boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (only_one),
    system      text    NOT NULL,
    log         bigint  NOT NULL,
    incarnation bigint  NOT NULL,
    suspended   text
);
-- A row each second: a side that lacks one which somebody remembers has gone back. The newest 100,000 are kept.
CREATE TABLE IF NOT EXISTS strangler_mark (
    mark    bigint      NOT NULL PRIMARY KEY,
    random  bigint      NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- The newest mark of the other side that was seen.
CREATE TABLE IF NOT EXISTS strangler_memory (
    side        text   NOT NULL PRIMARY KEY,
    incarnation bigint NOT NULL,
    mark        bigint NOT NULL,
    random      bigint NOT NULL
);
-- A life begins above whatever was written here before there were lives.
INSERT INTO strangler_life (system, log, incarnation)
    SELECT (SELECT system_identifier::text FROM pg_control_system()), now.log, greatest(now.log,
        (SELECT max(incarnation) FROM strangler_version), (SELECT max(incarnation) FROM strangler_ledger))
    FROM (SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int8 AS log) AS now
    ON CONFLICT DO NOTHING;
INSERT INTO strangler_mark (mark, random)
    SELECT 1, (random() * 4611686018427387904)::int8 WHERE NOT EXISTS (SELECT FROM strangler_mark) ON CONFLICT DO NOTHING;
-- What the other side has of the key at least: epoch.incarnation.position:rules:number, as the version row said it before
-- the key's oldest write that is not settled there.
ALTER TABLE strangler_ledger ADD COLUMN IF NOT EXISTS base text;
-- The epoch under which this side last took the authority over from the other side: what its ledger holds unsettled from
-- before is left behind.
ALTER TABLE strangler_fence ADD COLUMN IF NOT EXISTS since bigint;
CREATE INDEX IF NOT EXISTS strangler_ledger_waiting ON strangler_ledger (created_at) WHERE state = 'unsettled';
-- The oldest write of a key that the other side may lack: what that one was made from is all that it can have.
CREATE INDEX IF NOT EXISTS strangler_ledger_oldest ON strangler_ledger (entity, key, epoch, incarnation, position)
    WHERE state = 'unsettled';
-- The greatest epoch of each type: a group's own is never below it.
CREATE INDEX IF NOT EXISTS strangler_version_epoch ON strangler_version (entity, epoch);
-- The shape in which the image was written: see strangler_shape. Null: by a release that said none.
ALTER TABLE strangler_ledger ADD COLUMN IF NOT EXISTS shape bigint;
-- The shapes of each type that replicas have shown here. The one with the greatest rank is registered: its states are
-- whole. Below 0: seen, and never registered. Who raises one takes the rank after the one that he has seen.
CREATE TABLE IF NOT EXISTS strangler_shape (
    entity   text   NOT NULL,
    shape    bigint NOT NULL,
    rank     bigint NOT NULL,
    document text   NOT NULL,
    CONSTRAINT strangler_shape_pkey PRIMARY KEY (entity, shape),
    CONSTRAINT strangler_shape_rank UNIQUE (entity, rank)
);
