-- The tables that the releases before steps were recorded made, as their `init` made them.
-- One row per change, written in the transaction of the change. A write without change has one row
-- with an empty key; an abandoned write (it never stood and never will) likewise.
CREATE TABLE IF NOT EXISTS strangler_ledger (
    write_id        uuid        NOT NULL,
    ordinal         smallint    NOT NULL,
    grp             text        NOT NULL,
    entity          text        NOT NULL,
    key             text        NOT NULL,
    epoch           bigint      NOT NULL,
    incarnation     bigint      NOT NULL,
    position        bigint      NOT NULL,
    image           jsonb,
    idempotency_key text,
    fingerprint     text,
    state           text        NOT NULL CHECK (state IN ('unsettled', 'settled', 'abandoned')),
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at      timestamptz,
    CONSTRAINT strangler_ledger_pkey PRIMARY KEY (write_id, ordinal)
);
CREATE UNIQUE INDEX IF NOT EXISTS strangler_ledger_idempotency
    ON strangler_ledger (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS strangler_ledger_unsettled
    ON strangler_ledger (grp, created_at) WHERE state = 'unsettled';
CREATE INDEX IF NOT EXISTS strangler_ledger_states ON strangler_ledger (entity, key);
CREATE INDEX IF NOT EXISTS strangler_ledger_age ON strangler_ledger USING brin (created_at);
-- The newest state that was written or applied here, per key. Stays behind deletions as a tombstone. stands: a number
-- of the row as it then stood (-1: no row), shape: what it is made of, stood: the number before the last apply; who
-- changes the row past us is noticed by them.
CREATE TABLE IF NOT EXISTS strangler_version (
    entity      text    NOT NULL,
    key         text    NOT NULL,
    epoch       bigint  NOT NULL,
    incarnation bigint  NOT NULL,
    position    bigint  NOT NULL,
    write_id    uuid    NOT NULL,
    deleted     boolean NOT NULL,
    shape       bigint,
    stands      bigint,
    stood       bigint,
    CONSTRAINT strangler_version_pkey PRIMARY KEY (entity, key)
);
-- Whether this side takes primary writes of a group, and under which epoch. Change a row only while
-- holding pg_advisory_xact_lock on the group's fence key: it waits for writers in flight.
CREATE TABLE IF NOT EXISTS strangler_fence (
    grp      text        NOT NULL PRIMARY KEY,
    epoch    bigint      NOT NULL,
    state    text        NOT NULL CHECK (state IN ('open', 'frozen', 'closed')),
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- How far the sagas have come that began while this side was primary for their first step. The document
-- holds their arguments and results: business data, as the ledger's images are.
CREATE TABLE IF NOT EXISTS strangler_saga (
    id         text        NOT NULL PRIMARY KEY,
    route      text        NOT NULL,
    status     text        NOT NULL
        CHECK (status IN ('running', 'compensating', 'stuck', 'done', 'undone', 'abandoned')),
    revision   bigint      NOT NULL,
    document   text        NOT NULL,
    due_at     timestamptz NOT NULL,
    began_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS strangler_saga_open
    ON strangler_saga (status, due_at) WHERE status IN ('running', 'compensating', 'stuck');
CREATE INDEX IF NOT EXISTS strangler_saga_began ON strangler_saga (began_at);
-- The number that the ERP's own sequence gave to a key of ours, for types with @ownKey. Given once, before the row is
-- written, and never taken back: rows here stay when theirs are deleted.
CREATE TABLE IF NOT EXISTS strangler_id_map (
    entity  text        NOT NULL,
    key     text        NOT NULL,
    own_key numeric(15) NOT NULL,
    CONSTRAINT strangler_id_map_pkey PRIMARY KEY (entity, key),
    CONSTRAINT strangler_id_map_own_key UNIQUE (entity, own_key)
);
