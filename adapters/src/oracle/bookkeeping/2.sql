-- Which steps made these tables. works_from: the oldest release, by its own last step, that can work beside the step.
CREATE TABLE strangler_bookkeeping (
    step       NUMBER(5)    NOT NULL,
    works_from NUMBER(5)    NOT NULL,
    made_at    TIMESTAMP(6) DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP) NOT NULL,
    CONSTRAINT strangler_bookkeeping_pkey PRIMARY KEY (step)
);
-- This side's life. incarnation is part of every version written here; suspended says why no write of ours commits here:
-- each proves where it proves the fence that it is null, and that log is the log (RESETLOGS count) of its session.
CREATE TABLE strangler_life (
    only_one    NUMBER(1)      NOT NULL,
    system      VARCHAR2(40)   NOT NULL,
    log         NUMBER(10)     NOT NULL,
    incarnation NUMBER(10)     NOT NULL,
    suspended   VARCHAR2(1000),
    CONSTRAINT strangler_life_pkey PRIMARY KEY (only_one),
    CONSTRAINT strangler_life_one CHECK (only_one = 1)
);
-- A row each second: a side that lacks one which somebody remembers has gone back. The newest 100,000 are kept.
CREATE TABLE strangler_mark (
    mark    NUMBER(18)   NOT NULL,
    random  NUMBER(19)   NOT NULL,
    made_at TIMESTAMP(6) DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP) NOT NULL,
    CONSTRAINT strangler_mark_pkey PRIMARY KEY (mark)
);
-- The newest mark of the other side that was seen.
CREATE TABLE strangler_memory (
    side        VARCHAR2(10) NOT NULL,
    incarnation NUMBER(10)   NOT NULL,
    mark        NUMBER(18)   NOT NULL,
    random      NUMBER(19)   NOT NULL,
    CONSTRAINT strangler_memory_pkey PRIMARY KEY (side)
);
-- A life begins above whatever was written here before there were lives.
INSERT INTO strangler_life (only_one, system, log, incarnation)
    SELECT 1, TO_CHAR(d.dbid), d.last_open_incarnation#, GREATEST(d.last_open_incarnation#,
        COALESCE((SELECT MAX(incarnation) FROM strangler_version), 0), COALESCE((SELECT MAX(incarnation) FROM strangler_ledger), 0))
    FROM v$database d WHERE NOT EXISTS (SELECT 1 FROM strangler_life);
INSERT INTO strangler_mark (mark, random)
    SELECT 1, d.dbid FROM v$database d WHERE NOT EXISTS (SELECT 1 FROM strangler_mark);
-- What the other side has of the key at least: epoch.incarnation.position:rules:number, as the version row said it before
-- the key's oldest write that is not settled there.
ALTER TABLE strangler_ledger ADD base VARCHAR2(120);
-- The epoch under which this side last took the authority over from the other side: what its ledger holds unsettled from
-- before is left behind.
ALTER TABLE strangler_fence ADD since NUMBER(10);
CREATE INDEX strangler_ledger_waiting ON strangler_ledger (state, created_at);
-- The oldest write of a key that the other side may lack: what that one was made from is all that it can have.
CREATE INDEX strangler_ledger_oldest ON strangler_ledger (entity, key, state, epoch, incarnation, position);
-- The greatest epoch of each type: a group's own is never below it.
CREATE INDEX strangler_version_epoch ON strangler_version (entity, epoch);
-- The shape in which the image was written: see strangler_shape. Null: by a release that said none.
ALTER TABLE strangler_ledger ADD shape NUMBER(19);
-- The shapes of each type that replicas have shown here. The one with the greatest rank is registered: its states are
-- whole. Below 0: seen, and never registered. Who raises one takes the rank after the one that he has seen.
CREATE TABLE strangler_shape (
    entity   VARCHAR2(200) NOT NULL,
    shape    NUMBER(19)    NOT NULL,
    rank     NUMBER(19)    NOT NULL,
    document CLOB          NOT NULL,
    CONSTRAINT strangler_shape_pkey PRIMARY KEY (entity, shape),
    CONSTRAINT strangler_shape_rank UNIQUE (entity, rank)
);
