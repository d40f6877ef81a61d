-- The tables that the releases before steps were recorded made, as their `init` made them.
-- Every rollout there ever was. Rows are added and never changed.
CREATE TABLE IF NOT EXISTS strangler_rollout (
    version bigint PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,
    origin text NOT NULL,
    reason text,
    summary text NOT NULL,
    groups text[] NOT NULL,
    policies jsonb NOT NULL,
    evidence jsonb NOT NULL,
    overrides uuid[] NOT NULL
);
CREATE INDEX IF NOT EXISTS strangler_rollout_overrides ON strangler_rollout USING gin (overrides);
CREATE OR REPLACE FUNCTION strangler_rollout_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'strangler_rollout is append-only: publish another rollout';
END $$;
CREATE OR REPLACE TRIGGER strangler_rollout_is_append_only
    BEFORE UPDATE OR DELETE ON strangler_rollout
    FOR EACH ROW EXECUTE FUNCTION strangler_rollout_is_append_only();

-- One row per running replica.
CREATE TABLE IF NOT EXISTS strangler_replica (
    id text PRIMARY KEY,
    admin_address text NOT NULL,
    rollout_version bigint NOT NULL,
    seen_at timestamptz NOT NULL
);

-- Evidence: counts by the minute, bounded samples, one bitmap of compared keys per route.
-- Empty text stands for "none" in key columns.
CREATE TABLE IF NOT EXISTS strangler_evidence_comparison (
    route text NOT NULL,
    verdict text NOT NULL,
    reason text NOT NULL,
    minute timestamptz NOT NULL,
    count bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (route, verdict, reason, minute)
);
CREATE TABLE IF NOT EXISTS strangler_evidence_difference (
    route text NOT NULL,
    field text NOT NULL,
    cause text NOT NULL,
    verdict text NOT NULL,
    minute timestamptz NOT NULL,
    count bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (route, field, cause, verdict, minute)
);
CREATE TABLE IF NOT EXISTS strangler_evidence_field (
    route text NOT NULL,
    field text NOT NULL,
    minute timestamptz NOT NULL,
    count bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (route, field, minute)
);
-- A sample's difference is JSON kept as text: jsonb cannot hold every text that a key may have.
CREATE TABLE IF NOT EXISTS strangler_evidence_sample (
    id text PRIMARY KEY,
    route text NOT NULL,
    field text NOT NULL,
    cause text NOT NULL,
    verdict text NOT NULL,
    seen_at timestamptz NOT NULL,
    difference text NOT NULL
);
CREATE INDEX IF NOT EXISTS strangler_evidence_sample_kind
    ON strangler_evidence_sample (route, field, cause, verdict, seen_at);
CREATE TABLE IF NOT EXISTS strangler_evidence_keys (
    route text PRIMARY KEY,
    bitmap bytea NOT NULL
);
-- Flushes that were added, so that one sent twice counts once.
CREATE TABLE IF NOT EXISTS strangler_evidence_batch (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The second person of a rollout, where one was needed.
ALTER TABLE strangler_rollout ADD COLUMN IF NOT EXISTS approved_by text;

-- Every change that somebody made, in one chain of hashes. The detail is text: its bytes are hashed.
CREATE TABLE IF NOT EXISTS strangler_audit (
    place bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    action text NOT NULL,
    group_name text,
    who text NOT NULL,
    origin text NOT NULL,
    reason text,
    rollout bigint,
    detail text NOT NULL,
    previous text NOT NULL,
    hash text NOT NULL
);
CREATE OR REPLACE FUNCTION strangler_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'strangler_audit is append-only';
END $$;
CREATE OR REPLACE TRIGGER strangler_audit_is_append_only
    BEFORE UPDATE OR DELETE ON strangler_audit
    FOR EACH ROW EXECUTE FUNCTION strangler_audit_is_append_only();
CREATE OR REPLACE TRIGGER strangler_audit_is_never_emptied
    BEFORE TRUNCATE ON strangler_audit
    FOR EACH STATEMENT EXECUTE FUNCTION strangler_audit_is_append_only();

-- Changes that wait for a second person, or did.
CREATE TABLE IF NOT EXISTS strangler_proposal (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    proposal jsonb NOT NULL,
    decision jsonb
);

-- One promotion per group: its plan, and the place on it.
CREATE TABLE IF NOT EXISTS strangler_promotion (
    group_name text PRIMARY KEY,
    revision bigint NOT NULL,
    promotion jsonb NOT NULL
);

-- Figures: what was counted in ten seconds of a group under a rollout, over all replicas.
CREATE TABLE IF NOT EXISTS strangler_figures (
    group_name text NOT NULL,
    at timestamptz NOT NULL,
    rollout_version bigint NOT NULL,
    figures jsonb NOT NULL,
    PRIMARY KEY (group_name, at, rollout_version)
);
CREATE INDEX IF NOT EXISTS strangler_figures_at ON strangler_figures (at);
CREATE TABLE IF NOT EXISTS strangler_figures_batch (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Of the differences of a kind, those that a comparison rule explains; counts by the minute.
CREATE TABLE IF NOT EXISTS strangler_evidence_explained (
    route text NOT NULL,
    field text NOT NULL,
    cause text NOT NULL,
    verdict text NOT NULL,
    rule text NOT NULL,
    minute timestamptz NOT NULL,
    count bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (route, field, cause, verdict, rule, minute)
);

-- Differences that an engineer excused until a day, and who took that back. Rows are added and never changed.
CREATE TABLE IF NOT EXISTS strangler_excuse (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    route text NOT NULL,
    field text,
    cause text NOT NULL,
    rule text,
    owner text NOT NULL,
    until date NOT NULL,
    who text NOT NULL,
    origin text NOT NULL,
    reason text
);
CREATE TABLE IF NOT EXISTS strangler_excuse_withdrawal (
    excuse uuid PRIMARY KEY REFERENCES strangler_excuse (id),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,
    origin text NOT NULL,
    reason text
);
CREATE OR REPLACE FUNCTION strangler_excuse_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'excuses are append-only: withdraw it, and accept another';
END $$;
CREATE OR REPLACE TRIGGER strangler_excuse_is_append_only
    BEFORE UPDATE OR DELETE ON strangler_excuse
    FOR EACH ROW EXECUTE FUNCTION strangler_excuse_is_append_only();
CREATE OR REPLACE TRIGGER strangler_excuse_withdrawal_is_append_only
    BEFORE UPDATE OR DELETE ON strangler_excuse_withdrawal
    FOR EACH ROW EXECUTE FUNCTION strangler_excuse_is_append_only();

-- Reconciliations: one row per entity type of a run. `findings` is JSON kept as text, as samples are.
CREATE TABLE IF NOT EXISTS strangler_reconciliation (
    run uuid NOT NULL,
    entity text NOT NULL,
    group_name text NOT NULL,
    who text NOT NULL,
    origin text NOT NULL,
    reason text,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    complete boolean NOT NULL DEFAULT false,
    findings text,
    PRIMARY KEY (run, entity)
);
CREATE INDEX IF NOT EXISTS strangler_reconciliation_group
    ON strangler_reconciliation (group_name, entity, begun_at);
-- Repairs: who had what levelled, and why.
CREATE TABLE IF NOT EXISTS strangler_repair (
    id uuid PRIMARY KEY,
    group_name text NOT NULL,
    entity text NOT NULL,
    who text NOT NULL,
    origin text NOT NULL,
    reason text,
    asked text NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    outcome text
);

-- How far each webhook was told, and which replica tells it now.
CREATE TABLE IF NOT EXISTS strangler_webhook (
    name text PRIMARY KEY,
    told bigint NOT NULL,
    replica text NOT NULL,
    leased_until timestamptz NOT NULL
);
