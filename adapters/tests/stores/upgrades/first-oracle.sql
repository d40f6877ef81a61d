-- The tables that the releases before steps were recorded made, as their `init` made them.
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
CREATE UNIQUE INDEX strangler_ledger_idempotency ON strangler_ledger (idempotency_key);
CREATE INDEX strangler_ledger_unsettled ON strangler_ledger (state, grp, created_at);
CREATE INDEX strangler_ledger_states ON strangler_ledger (entity, key);
CREATE INDEX strangler_ledger_age ON strangler_ledger (created_at);
CREATE TABLE strangler_version (
    entity      VARCHAR2(200)  NOT NULL,
    key         VARCHAR2(2000) NOT NULL,
    epoch       NUMBER(10)     NOT NULL,
    incarnation NUMBER(10)     NOT NULL,
    position    NUMBER(20)     NOT NULL,
    write_id    VARCHAR2(36)   NOT NULL,
    deleted     CHAR(1)        NOT NULL,
    shape       NUMBER(19),
    stands      NUMBER(19),
    CONSTRAINT strangler_version_pkey PRIMARY KEY (entity, key)
);
CREATE TABLE strangler_fence (
    grp      VARCHAR2(200) NOT NULL,
    epoch    NUMBER(10)    NOT NULL,
    state    VARCHAR2(6)   NOT NULL,
    moved_at TIMESTAMP(6)  DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP) NOT NULL,
    CONSTRAINT strangler_fence_pkey PRIMARY KEY (grp),
    CONSTRAINT strangler_fence_state CHECK (state IN ('open', 'frozen', 'closed'))
);
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
CREATE INDEX strangler_saga_open ON strangler_saga (status, due_at);
CREATE INDEX strangler_saga_began ON strangler_saga (began_at);
CREATE TABLE strangler_id_map (
    entity  VARCHAR2(200) NOT NULL,
    key     VARCHAR2(800) NOT NULL,
    own_key NUMBER(15)    NOT NULL,
    CONSTRAINT strangler_id_map_pkey PRIMARY KEY (entity, key),
    CONSTRAINT strangler_id_map_own_key UNIQUE (entity, own_key)
);
