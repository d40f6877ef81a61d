-- One row per change, written in the transaction of the change. A write without change has one row
-- without entity and key; an abandoned write (it never stood and never will) likewise. Times are UTC.
CREATE TABLE strangler_ledger (
    write_id        VARCHAR2(36)   NOT NULL,
    ordinal         NUMBER(5)      NOT NULL,
    grp             VARCHAR2(200),
    entity          VARCHAR2(200),
    key             VARCHAR2(2000),
    epoch           NUMBER(10)     NOT NULL,
    incarnation     NUMBER(10)     NOT NULL,
    position        NUMBER(20)     NOT NULL,
    image           CLOB,
    idempotency_key VARCHAR2(500),
    fingerprint     VARCHAR2(200),
    state           VARCHAR2(9)    NOT NULL,
    attempts        NUMBER(10)     DEFAULT 0 NOT NULL,
    next_attempt_at TIMESTAMP(6)   DEFAULT TIMESTAMP '0001-01-01 00:00:00' NOT NULL,
    created_at      TIMESTAMP(6)   DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP) NOT NULL,
    settled_at      TIMESTAMP(6),
    CONSTRAINT strangler_ledger_pkey PRIMARY KEY (write_id, ordinal),
    CONSTRAINT strangler_ledger_state CHECK (state IN ('unsettled', 'settled', 'abandoned'))
);
-- The client's idempotency key: a repeat finds the first attempt. Rows without one are not in it.
CREATE UNIQUE INDEX strangler_ledger_idempotency ON strangler_ledger (idempotency_key);
-- What the relay looks for.
CREATE INDEX strangler_ledger_unsettled ON strangler_ledger (state, grp, created_at);
-- Older states of a key, newest first.
CREATE INDEX strangler_ledger_states ON strangler_ledger (entity, key);
-- What is old enough to be forgotten.
CREATE INDEX strangler_ledger_age ON strangler_ledger (created_at);
-- The newest state that was written or applied here, per key. Stays behind deletions as a tombstone. stands: a number
-- of the row as it then stood (-1: no row), shape: what it is made of; who changes the row past us is noticed by it.
CREATE TABLE strangler_version (
    entity      VARCHAR2(200)  NOT NULL,
    key         VARCHAR2(2000) NOT NULL,
    epoch       NUMBER(10)     NOT NULL,
    incarnation NUMBER(10)     NOT NULL,
    position    NUMBER(20)     NOT NULL,
    write_id    VARCHAR2(36)   NOT NULL,
    deleted     CHAR(1)        NOT NULL,
    CONSTRAINT strangler_version_pkey PRIMARY KEY (entity, key)
);
-- Whether this side takes primary writes of a group, and under which epoch. Change a row only while
-- holding the group's lock (DBMS_LOCK, mode 6): it waits for writers in flight.
CREATE TABLE strangler_fence (
    grp      VARCHAR2(200) NOT NULL,
    epoch    NUMBER(10)    NOT NULL,
    state    VARCHAR2(6)   NOT NULL,
    moved_at TIMESTAMP(6)  DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP) NOT NULL,
    CONSTRAINT strangler_fence_pkey PRIMARY KEY (grp),
    CONSTRAINT strangler_fence_state CHECK (state IN ('open', 'frozen', 'closed'))
);
-- How far the sagas have come that began while this side was primary for their first step. The document
-- holds their arguments and results: business data, as the ledger's images are.
CREATE TABLE strangler_saga (
    id         VARCHAR2(64)  NOT NULL,
    route      VARCHAR2(200) NOT NULL,
    status     VARCHAR2(12)  NOT NULL,
    revision   NUMBER(18)    NOT NULL,
    document   CLOB          NOT NULL,
    due_at     TIMESTAMP(6)  NOT NULL,
    began_at   TIMESTAMP(6)  DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP) NOT NULL,
    changed_at TIMESTAMP(6)  DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP) NOT NULL,
    CONSTRAINT strangler_saga_pkey PRIMARY KEY (id),
    CONSTRAINT strangler_saga_status
        CHECK (status IN ('running', 'compensating', 'stuck', 'done', 'undone', 'abandoned'))
);
-- What is to be gone on with.
CREATE INDEX strangler_saga_open ON strangler_saga (status, due_at);
-- The newest first.
CREATE INDEX strangler_saga_began ON strangler_saga (began_at);
-- The number that the ERP's own sequence gave to a key of ours, for types with @ownKey. Given once, before the
-- row is written, and never taken back: rows here stay when theirs are deleted.
CREATE TABLE strangler_id_map (
    entity  VARCHAR2(200) NOT NULL,
    key     VARCHAR2(800) NOT NULL,
    own_key NUMBER(15)    NOT NULL,
    CONSTRAINT strangler_id_map_pkey PRIMARY KEY (entity, key),
    CONSTRAINT strangler_id_map_own_key UNIQUE (entity, own_key)
);
-- Later additions.
ALTER TABLE strangler_version ADD shape NUMBER(19);
ALTER TABLE strangler_version ADD stands NUMBER(19);
