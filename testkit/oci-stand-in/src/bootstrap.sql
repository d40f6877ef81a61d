-- What a PostgreSQL database needs to answer in Oracle's SQL: functions, operators and dictionary views. Run once.
CREATE SCHEMA oracle;
CREATE SEQUENCE oracle.scn START 1000001;

CREATE VIEW oracle.dual AS SELECT 'X'::varchar(1) AS dummy;

-- Errors with a code of Oracle's.
CREATE FUNCTION oracle.raise(code integer, message text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING ERRCODE = 'ORA00', MESSAGE = message, DETAIL = code::text; END $$;
CREATE FUNCTION oracle.raise_application_error(code integer, message text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF code NOT BETWEEN -20999 AND -20000 THEN PERFORM oracle.raise(21000, 'error number argument is out of range'); END IF;
    PERFORM oracle.raise(-code, message);
END $$;

-- Texts: nothing is null, and null is nothing.
CREATE FUNCTION oracle.cat(a text, b text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT nullif(concat(a, b), '') $$;
CREATE FUNCTION oracle.cat(a text, b anynonarray) RETURNS text LANGUAGE sql STABLE AS $$ SELECT nullif(concat(a, b), '') $$;
CREATE FUNCTION oracle.cat(a anynonarray, b text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT nullif(concat(a, b), '') $$;
CREATE OPERATOR oracle.||| (leftarg = text, rightarg = text, function = oracle.cat);
CREATE OPERATOR oracle.||| (leftarg = text, rightarg = anynonarray, function = oracle.cat);
CREATE OPERATOR oracle.||| (leftarg = anynonarray, rightarg = text, function = oracle.cat);
CREATE FUNCTION oracle.substr(t text, start integer, count integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(CASE WHEN start < 0 THEN substring(right(t, -start) FROM 1 FOR count)
                  ELSE substring(t FROM greatest(start, 1) FOR count) END, '') $$;
CREATE FUNCTION oracle.instr(t text, part text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT strpos(t, part) $$;
CREATE FUNCTION oracle.lengthb(t text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT octet_length(t) $$;
CREATE FUNCTION oracle.rawtohex(b bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper(encode(b, 'hex')) $$;
CREATE FUNCTION oracle.hextoraw(t text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT decode(t, 'hex') $$;
CREATE FUNCTION oracle.standard_hash(t text, algorithm text DEFAULT 'SHA1') RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE upper(algorithm) WHEN 'MD5' THEN decode(md5(coalesce(t, '')), 'hex')
        WHEN 'SHA256' THEN sha256(convert_to(coalesce(t, ''), 'UTF8'))
        WHEN 'SHA512' THEN sha512(convert_to(coalesce(t, ''), 'UTF8')) END $$;
CREATE FUNCTION oracle.sys_guid() RETURNS bytea LANGUAGE sql AS $$
    SELECT decode(replace(gen_random_uuid()::text, '-', ''), 'hex') $$;

-- Numbers: division is exact, and one null makes null.
CREATE FUNCTION oracle.divide(a numeric, b numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT trim_scale(a OPERATOR(pg_catalog./) b) $$;
CREATE OPERATOR oracle./ (leftarg = numeric, rightarg = numeric, function = oracle.divide);
CREATE FUNCTION oracle.greatest(VARIADIC a anycompatiblearray) RETURNS anycompatible LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN array_position(a, NULL) IS NULL THEN (SELECT max(x) FROM unnest(a) x) END $$;
CREATE FUNCTION oracle.least(VARIADIC a anycompatiblearray) RETURNS anycompatible LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN array_position(a, NULL) IS NULL THEN (SELECT min(x) FROM unnest(a) x) END $$;
CREATE FUNCTION oracle.to_number(t text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT t::numeric $$;
CREATE FUNCTION oracle.to_number(t text, format text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN format ~* '^X+$' THEN ('x' || lpad(t, 16, '0'))::bit(64)::bigint::numeric
        ELSE pg_catalog.to_number(t, format) END $$;
CREATE FUNCTION oracle.to_char(n numeric) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(trim_scale(n)::text, '^(-?)0[.]', '\1.') $$;
CREATE FUNCTION oracle.to_char(n numeric, format text, nls text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN upper(format) IN ('TM9', 'TM') THEN oracle.to_char(n) ELSE pg_catalog.to_char(n, format) END $$;

-- Times.
CREATE FUNCTION oracle.sysdate() RETURNS timestamp(0) LANGUAGE sql STABLE AS $$ SELECT date_trunc('second', clock_timestamp() AT TIME ZONE 'UTC')::timestamp(0) $$;
CREATE FUNCTION oracle.sys_extract_utc(t timestamptz) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$ SELECT t AT TIME ZONE 'UTC' $$;
CREATE FUNCTION oracle.from_tz(t timestamp, zone text) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT t AT TIME ZONE zone $$;
CREATE FUNCTION oracle.numtodsinterval(n numeric, unit text) RETURNS interval LANGUAGE sql IMMUTABLE AS $$
    SELECT n::double precision * (CASE upper(unit) WHEN 'DAY' THEN interval '24 hours' WHEN 'HOUR' THEN interval '1 hour'
        WHEN 'MINUTE' THEN interval '1 minute' ELSE interval '1 second' END) $$;
CREATE FUNCTION oracle.add_months(t timestamp, n integer) RETURNS timestamp(0) LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN t::date = (date_trunc('month', t) + interval '1 month - 1 day')::date
        THEN date_trunc('month', t) + (n + 1) * interval '1 month' - interval '1 day' + t::time ELSE t + n * interval '1 month' END $$;
CREATE FUNCTION oracle.trunc(t timestamp) RETURNS timestamp(0) LANGUAGE sql IMMUTABLE AS $$ SELECT date_trunc('day', t) $$;
CREATE FUNCTION oracle.form(format text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT replace(replace(format, 'FF6', 'US'), 'FF3', 'MS') $$;
CREATE FUNCTION oracle.to_char(t timestamp, format text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT pg_catalog.to_char(t, oracle.form(format)) $$;
CREATE FUNCTION oracle.to_char(t timestamptz, format text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT pg_catalog.to_char(t, oracle.form(format)) $$;
CREATE FUNCTION oracle.to_date(t text, format text) RETURNS timestamp(0) LANGUAGE sql IMMUTABLE AS $$
    SELECT (pg_catalog.to_timestamp(t, oracle.form(format)) AT TIME ZONE 'UTC')::timestamp(0) $$;

-- Locks with a name. 0: given, 1: not in time, 2: deadlock.
CREATE FUNCTION oracle.dbms_lock_request(id numeric, mode numeric, wait numeric, on_commit boolean) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('lock_timeout', greatest(1, (wait * 1000)::bigint)::text, true);
    IF on_commit AND mode = 6 THEN PERFORM pg_advisory_xact_lock(1868, id::integer);
    ELSIF on_commit THEN PERFORM pg_advisory_xact_lock_shared(1868, id::integer);
    ELSIF mode = 6 THEN PERFORM pg_advisory_lock(1868, id::integer);
    ELSE PERFORM pg_advisory_lock_shared(1868, id::integer); END IF;
    PERFORM set_config('lock_timeout', '0', true);
    RETURN 0;
EXCEPTION WHEN lock_not_available THEN RETURN 1; WHEN deadlock_detected THEN RETURN 2;
END $$;
CREATE FUNCTION oracle.dbms_lock_release(id numeric) RETURNS integer LANGUAGE sql AS $$
    SELECT CASE WHEN pg_advisory_unlock(1868, id::integer) THEN 0 ELSE 4 END $$;
CREATE FUNCTION oracle.dbms_lock_sleep(seconds numeric) RETURNS void LANGUAGE sql AS $$ SELECT pg_sleep(seconds::double precision) $$;
CREATE FUNCTION oracle.dbms_application_info_set_module(module text, action text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('application_name', module, false) $$;
CREATE FUNCTION oracle.dbms_session_set_identifier(id text) RETURNS void LANGUAGE sql AS $$ SELECT set_config('application_name', id, false) $$;

-- The dictionary; `user_…` of the account's own schema, which is `public` for an account without one.
CREATE VIEW oracle.all_tab_columns AS
SELECT upper(n.nspname)::text AS owner, upper(c.relname)::text AS table_name, upper(a.attname)::text AS column_name,
    CASE WHEN d.base IN ('varchar') THEN 'VARCHAR2' WHEN d.base = 'bpchar' THEN 'CHAR'
         WHEN d.base IN ('numeric', 'int2', 'int4', 'int8', 'bool') THEN 'NUMBER' WHEN d.base = 'text' THEN 'CLOB'
         WHEN d.base = 'timestamp' AND d.modifier = 0 THEN 'DATE' WHEN d.base = 'timestamp' THEN 'TIMESTAMP(6)'
         WHEN d.base = 'timestamptz' THEN 'TIMESTAMP(6) WITH TIME ZONE' WHEN t.typname LIKE 'RAW(%' THEN 'RAW' WHEN d.base = 'bytea' THEN 'BLOB'
         WHEN d.base = 'float4' THEN 'BINARY_FLOAT' WHEN d.base = 'float8' THEN 'BINARY_DOUBLE'
         ELSE upper(d.base) END AS data_type,
    (CASE WHEN d.base IN ('varchar', 'bpchar') THEN (d.modifier - 4) * CASE WHEN d.by_bytes THEN 1 ELSE 4 END ELSE 22 END)::numeric AS data_length,
    (CASE WHEN d.base IN ('varchar', 'bpchar') THEN d.modifier - 4 ELSE 0 END)::numeric AS char_length,
    CASE WHEN d.base IN ('varchar', 'bpchar') THEN CASE WHEN d.by_bytes THEN 'B' ELSE 'C' END END AS char_used,
    (CASE WHEN d.base = 'numeric' AND d.modifier > 4 THEN ((d.modifier - 4) >> 16) & 65535 END)::numeric AS data_precision,
    (CASE WHEN d.base = 'numeric' AND d.modifier > 4 THEN (d.modifier - 4) & 2047 END)::numeric AS data_scale,
    CASE WHEN a.attnotnull THEN 'N' ELSE 'Y' END AS nullable,
    (CASE WHEN a.atthasdef THEN 1 END)::numeric AS default_length, a.attnum::numeric AS column_id
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
CROSS JOIN LATERAL (SELECT CASE WHEN t.typtype = 'd' THEN b.typname ELSE t.typname END::text AS base,
    CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier, t.typname LIKE '% BYTE)' AS by_bytes
    FROM pg_type b WHERE b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END) d
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v') AND n.nspname NOT IN ('pg_catalog', 'information_schema');
CREATE VIEW oracle.user_tab_columns AS SELECT * FROM oracle.all_tab_columns WHERE owner = upper(current_schema());
CREATE VIEW oracle.all_tables AS
SELECT upper(n.nspname)::text AS owner, upper(c.relname)::text AS table_name,
    (CASE WHEN c.reltuples >= 0 THEN c.reltuples END)::numeric AS num_rows,
    (SELECT greatest(s.last_analyze, s.last_autoanalyze) FROM pg_stat_all_tables s WHERE s.relid = c.oid)::timestamp(0) AS last_analyzed
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p');
CREATE VIEW oracle.user_tables AS SELECT * FROM oracle.all_tables WHERE owner = upper(current_schema());
-- A policy that binds this account hides rows as a VPD policy does.
-- Policies that are in force under the stand-in, and those that a test says there are.
CREATE TABLE oracle.said_policies (object_owner text, object_name text, policy_name text, enable text);
CREATE VIEW oracle.all_policies AS
SELECT upper(n.nspname)::text AS object_owner, upper(c.relname)::text AS object_name, 'ROW_SECURITY'::text AS policy_name, 'YES'::text AS enable
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND row_security_active(c.oid)
UNION ALL SELECT object_owner, object_name, policy_name, enable FROM oracle.said_policies;
CREATE VIEW oracle.user_policies AS SELECT * FROM oracle.all_policies WHERE object_owner = upper(current_schema());
CREATE VIEW oracle.all_indexes AS
SELECT upper(n.nspname)::text AS owner, upper(n.nspname)::text AS table_owner, upper(c.relname)::text AS index_name, upper(t.relname)::text AS table_name,
    CASE WHEN i.indisunique THEN 'UNIQUE' ELSE 'NONUNIQUE' END AS uniqueness
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace;
CREATE VIEW oracle.user_indexes AS SELECT * FROM oracle.all_indexes WHERE owner = upper(current_schema());
CREATE VIEW oracle.all_ind_columns AS
SELECT upper(n.nspname)::text AS index_owner, upper(c.relname)::text AS index_name, upper(t.relname)::text AS table_name, upper(a.attname)::text AS column_name
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY(i.indkey);
CREATE VIEW oracle.user_ind_columns AS SELECT * FROM oracle.all_ind_columns WHERE index_owner = upper(current_schema());
-- A superuser is bound by no policy either; what a test says there is shall bind him.
CREATE VIEW oracle.session_privs AS SELECT unnest(ARRAY['CREATE SESSION', 'CREATE TABLE'])::text AS privilege
UNION ALL SELECT 'EXEMPT ACCESS POLICY' FROM pg_roles WHERE rolname = current_user AND rolbypassrls AND NOT rolsuper;
CREATE TABLE oracle.instance (last_open_incarnation numeric NOT NULL, log_mode text NOT NULL, supplemental_min text NOT NULL, supplemental_all text NOT NULL, dbid numeric NOT NULL);
INSERT INTO oracle.instance VALUES (2, 'ARCHIVELOG', 'YES', 'YES', floor(random() * 4000000000));
CREATE VIEW oracle."v$database" AS SELECT upper(current_database())::text AS name, last_open_incarnation AS "last_open_incarnation#", dbid,
    log_mode, supplemental_min AS supplemental_log_data_min, supplemental_all AS supplemental_log_data_all FROM oracle.instance;
CREATE VIEW oracle."v$instance" AS SELECT 'NO'::text AS parallel, date_trunc('second', pg_postmaster_start_time() AT TIME ZONE 'UTC') AS startup_time;
CREATE VIEW oracle."v$version" AS SELECT 'OCI stand-in over PostgreSQL - not an Oracle server'::text AS banner;
CREATE VIEW oracle.nls_database_parameters AS SELECT * FROM (VALUES ('NLS_CHARACTERSET', 'AL32UTF8'), ('NLS_NCHAR_CHARACTERSET', 'AL16UTF16')) v(parameter, value);
CREATE VIEW oracle.nls_session_parameters AS SELECT * FROM (VALUES ('NLS_SORT', 'BINARY'), ('NLS_COMP', 'BINARY'), ('NLS_NUMERIC_CHARACTERS', '.,')) v(parameter, value);
CREATE VIEW oracle."v$parameter" AS SELECT 'undo_retention'::text AS name, '900'::text AS value;
CREATE FUNCTION oracle.sys_context(space text, name text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE name WHEN 'CURRENT_SCHEMA' THEN upper(current_schema())::text END $$;
CREATE VIEW oracle.all_tab_cols AS SELECT owner, table_name, column_name, nullable,
    CASE WHEN EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE upper(c.relname) = t.table_name
        AND upper(a.attname) = t.column_name AND a.attgenerated <> '') THEN 'YES' ELSE 'NO' END AS virtual_column
FROM oracle.all_tab_columns t;
CREATE VIEW oracle.all_tab_identity_cols AS
SELECT upper(n.nspname)::text AS owner, upper(c.relname)::text AS table_name, upper(a.attname)::text AS column_name,
    CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END AS generation_type
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE a.attidentity <> '';
CREATE VIEW oracle.all_constraints AS
SELECT upper(n.nspname)::text AS owner, upper(k.conname)::text AS constraint_name, upper(c.relname)::text AS table_name,
    CASE k.contype WHEN 'f' THEN 'R' ELSE upper(k.contype::text) END AS constraint_type, upper(n.nspname)::text AS r_owner,
    upper(i.relname)::text AS r_constraint_name, 'ENABLED'::text AS status,
    CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'NO ACTION' END AS delete_rule
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class i ON i.oid = k.conindid;
CREATE VIEW oracle.user_constraints AS SELECT * FROM oracle.all_constraints WHERE owner = upper(current_schema());
-- What an Oracle knows of its triggers and policies, as tests say.
CREATE TABLE oracle.all_triggers (owner text, trigger_name text, table_owner text, table_name text, trigger_type text,
    triggering_event text, when_clause text, status text);
CREATE TABLE oracle.all_trigger_cols (trigger_owner text, trigger_name text, column_name text, column_usage text);
CREATE TABLE oracle.said_dependencies (owner text, name text, type text, referenced_name text, referenced_type text);
CREATE VIEW oracle.all_dependencies AS
SELECT DISTINCT upper(n.nspname)::text AS owner, upper(c.relname)::text AS name, 'VIEW'::text AS type, upper(t.relname)::text AS referenced_name,
    CASE t.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS referenced_type, upper(tn.nspname)::text AS referenced_owner
FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'v'
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class t ON t.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass AND t.oid <> c.oid JOIN pg_namespace tn ON tn.oid = t.relnamespace
UNION ALL SELECT owner, name, type, referenced_name, referenced_type, upper(current_schema()) FROM oracle.said_dependencies;
-- Rights and logging of tables, as tests say: the stand-in itself knows neither.
CREATE TABLE oracle.all_tab_privs (grantor text, grantee text, table_schema text, table_name text, privilege text);
CREATE TABLE oracle.all_log_groups (owner text, log_group_name text, table_name text, log_group_type text);
CREATE VIEW oracle.all_sequences AS SELECT upper(schemaname::text) AS sequence_owner, upper(sequencename::text) AS sequence_name,
    min_value::numeric, max_value::numeric, increment_by::numeric, CASE WHEN cycle THEN 'Y' ELSE 'N' END AS cycle_flag,
    coalesce(last_value + increment_by, start_value)::numeric AS last_number FROM pg_sequences;
CREATE VIEW oracle.user_sequences AS SELECT * FROM oracle.all_sequences WHERE sequence_owner = upper(current_schema());
CREATE VIEW oracle.user_log_groups AS SELECT * FROM oracle.all_log_groups WHERE owner = upper(current_schema());
