//! The SQL texts of an apply. All statements of one call are one transaction, sent together, and begun with the shared
//! locks of the groups' fences ([`locks`]): whoever opens a fence waits for us, and we see what he did.
//!
//! 1. [`record`]: records versions that are newer, which locks them in key order; and proves that the fence is
//!    not open, and whoever brings them no old instance.
//! 2. [`put`] or [`delete`]: for the keys that 1. has just recorded, locks the rows, compares their numbers with what
//!    our last write left, and changes them.
//! 3. [`verify`]: reads the numbers of these rows once more, as anybody will from now on: what triggers, rules, policies
//!    and views have made of our values.
//! 4. [`carry`]: the ledger rows, and which write each version row names now.
//!
//! Each is a statement of its own: the one before may have waited for locks, and its snapshot is older than what was
//! committed meanwhile; nor does a statement see what its own triggers do after it.
//!
//! What is not as it must be fails the whole transaction by an arithmetic error of its own ([`MET`], [`ALTERED`],
//! [`BARRED`], [`UNKEPT`]): nobody has to wait for an answer before the commit is sent, and what is rare pays alone. `apply` then
//! looks ([`look`], [`witness`]) who is concerned.

use std::collections::BTreeSet;

use model::checksum::DIGITS;
use model::foreign::{NOTHING, OTHERWISE};
use model::{Change, Contract, FieldIndex, FieldSet, GroupName, Side, StoreError};

use super::bookkeeping::fence_lock;
use super::checksum::{digest, joined};
use super::ledger;
use super::table::Table;
use super::write_text::{plain_fields, raise_version};
use crate::gate::Gate;
use crate::number::shape;

/// The SQLSTATE of a transaction that has met a row which is not as we left it, or of which nobody can say (`1 / 0`).
pub(super) const MET: &str = "22012";
/// Of one whose rows are not what was written, after they were (`ln(0)`).
pub(super) const ALTERED: &str = "2201E";
/// Of one that its gate bars (`sqrt(-1)`): the fence of the group is open here, or missing, or the side is suspended or
/// remembers a later life of the other one; or it was to be brought back, and the side is not suspended, or of another
/// life.
pub(super) const BARRED: &str = "2201F";

/// Of one whose version rows are not what was recorded: something changes them on their way (`width_bucket` of no bucket).
pub(super) const UNKEPT: &str = "2201G";

/// Parameters of [`record`].
pub(super) const COMMON: usize = 11;

/// Parameters before the columns of the table in [`put`], [`delete`], [`look`], [`verify`] and [`witness`]: entity, keys,
/// the numbers that are taken beside the recorded ones, whether counts must be right, and the numbers of the primary's
/// rows before the changes.
const BEFORE: usize = 5;

/// Takes the fences of the changes' groups, shared and in order.
pub(super) fn locks(contract: &Contract, side: Side, changes: &[&Change]) -> Result<String, StoreError> {
    let group = |change: &&Change| Ok(&ledger::entity(contract, side, change.key.entity().as_str())?.group);
    Ok(group_locks(changes.iter().map(group).collect::<Result<Vec<_>, StoreError>>()?))
}

/// Takes the fences of these groups, shared and in order.
pub(super) fn group_locks<'g>(groups: impl IntoIterator<Item = &'g GroupName>) -> String {
    let locks: BTreeSet<_> = groups.into_iter().map(fence_lock).collect();
    let locks: Vec<_> = locks.iter().map(|lock| format!("pg_advisory_xact_lock_shared('{lock}'::int8)")).collect();
    format!("SELECT {}", locks.join(", "))
}

/// Whether the gate lets what is of the group in this parameter pass. The other one is [`Gate::incarnation`].
fn passes(side: Side, gate: Gate, group: &str, incarnation: &str) -> String {
    if gate.carries_late() {
        // Whoever raises the side waits for this lock. The group is named, so that its parameter has a type.
        return format!(
            "({group} IS NOT NULL AND EXISTS (SELECT FROM strangler_life AS a WHERE a.suspended IS NOT NULL \
             AND a.incarnation = {incarnation} FOR SHARE OF a))"
        );
    }
    let other = side.other().as_str();
    format!(
        "EXISTS (SELECT FROM strangler_fence AS f WHERE f.grp = {group} AND f.state NOT IN ('open', 'alone')) \
         AND EXISTS (SELECT FROM strangler_life AS a WHERE a.suspended IS NULL) AND NOT EXISTS (SELECT FROM \
         strangler_memory AS y WHERE y.side = '{other}' AND y.incarnation > {incarnation})"
    )
}

/// Fails with [`BARRED`] unless it [`passes`].
fn proven(side: Side, gate: Gate, group: &str, incarnation: &str) -> String {
    format!("(SELECT sqrt(CASE WHEN {} THEN 1 ELSE -1 END)) > 0", passes(side, gate, group, incarnation))
}

/// Records versions that are newer, with the number that the row will have unless the store numbers it otherwise, and
/// the one that it had (`stood`).
pub(super) fn record(side: Side, gate: Gate) -> String {
    format!(
        "WITH input AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::text[], $3::int8[], $4::int8[], $5::int8[], \
         $6::bool[], $7::int8[]) AS i(write_id, key, epoch, incarnation, position, deleted, stands)) \
         INSERT INTO strangler_version AS v \
         (entity, key, epoch, incarnation, position, write_id, deleted, shape, stands) \
         SELECT $9::text, key, epoch, incarnation, position, write_id, deleted, $10::int8, stands \
         FROM input WHERE {} ORDER BY key \
         {} RETURNING v.key, (SELECT width_bucket(1, 0, 2, CASE WHEN bool_or(n.write_id = v.write_id) THEN 1 ELSE 0 END) \
         FROM input AS n WHERE n.key = v.key)",
        proven(side, gate, "$8::text", "$11::int8"),
        raise_version(&format!(
            ", shape = EXCLUDED.shape, stands = EXCLUDED.stands, stood = CASE WHEN v.shape = EXCLUDED.shape THEN v.stands \
             WHEN v.shape IS NOT NULL AND v.stands IS NOT NULL THEN {OTHERWISE} END"
        ))
    )
}

/// Carries the ledger rows of writes each of whose changes is named by its version row, or that are proven to stand
/// (`$12`); not where another write has the idempotency key. A baseline copy (epoch 0) is no write and leaves none. One
/// row per change, in order: what the version row names, and who has the key.
pub(super) fn carry(side: Side, gate: Gate) -> String {
    format!(
        "WITH input AS MATERIALIZED (SELECT i.*, v.winner, v.ve, v.vi, v.vp, o.key_of FROM unnest($1::uuid[], $2::int2[], \
         $3::text[], $4::text[], $5::text[], $6::int8[], $7::int8[], $8::int8[], $9::text[], $10::text[], $11::text[], $13::text[]) \
         WITH ORDINALITY AS i(write_id, ordinal, grp, entity, key, epoch, incarnation, position, idempotency_key, \
         fingerprint, image, base, place) \
         LEFT JOIN LATERAL (SELECT v.write_id AS winner, v.epoch AS ve, v.incarnation AS vi, v.position AS vp \
         FROM strangler_version AS v WHERE v.entity = i.entity AND v.key = i.key OFFSET 0) AS v ON true \
         LEFT JOIN LATERAL (SELECT l.write_id AS key_of FROM strangler_ledger AS l \
         WHERE l.idempotency_key = i.idempotency_key AND l.write_id <> i.write_id LIMIT 1) AS o ON true), \
         kept AS MATERIALIZED (SELECT DISTINCT write_id FROM input WHERE key_of IS NOT NULL \
         OR NOT ($12::bool OR (winner, ve, vi, vp) IS NOT DISTINCT FROM (write_id, epoch, incarnation, position)) \
         OR NOT {}), \
         carried AS (INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, \
         incarnation, position, image, idempotency_key, fingerprint, state, base) \
         SELECT write_id, ordinal, grp, entity, key, epoch, incarnation, position, \
         image::jsonb, idempotency_key, fingerprint, 'settled', base FROM input \
         WHERE epoch > 0 AND write_id NOT IN (SELECT write_id FROM kept) \
         ON CONFLICT (write_id, ordinal) DO NOTHING) \
         SELECT winner, ve, vi, vp, key_of FROM input ORDER BY place",
        proven(side, gate, "input.grp", "$14::int8")
    )
}

/// Keeps the rows of writes that changed nothing, where the fence of their group is not open and no other write has the
/// idempotency key. One row per write, in order: whether the side may take it, who else has the key, and whether the
/// write is here now.
pub(super) fn keep(side: Side, gate: Gate) -> String {
    format!(
        "WITH input AS MATERIALIZED (SELECT i.*, {} AS may, (SELECT l.write_id FROM strangler_ledger AS l \
         WHERE l.idempotency_key = i.idempotency_key AND l.write_id <> i.write_id LIMIT 1) AS key_of \
         FROM unnest($1::uuid[], $2::text[], $3::int8[], $4::int8[], $5::int8[], $6::text[], $7::text[]) \
         WITH ORDINALITY AS i(write_id, grp, epoch, incarnation, position, idempotency_key, fingerprint, place)), \
         kept AS (INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, incarnation, position, \
         idempotency_key, fingerprint, state) \
         SELECT write_id, 0, grp, '', '', epoch, incarnation, position, idempotency_key, fingerprint, 'settled' \
         FROM input WHERE may AND key_of IS NULL \
         ON CONFLICT (write_id, ordinal) DO NOTHING RETURNING write_id) \
         SELECT i.may, i.key_of, i.write_id IN (SELECT k.write_id FROM kept AS k) OR EXISTS (SELECT \
         FROM strangler_ledger AS l WHERE l.write_id = i.write_id AND l.ordinal = 0 AND l.state <> 'abandoned') AS here \
         FROM input AS i ORDER BY i.place",
        passes(side, gate, "i.grp", "$8::int8")
    )
}

/// The number of the row `t`.
pub(super) fn number(table: Table<'_>) -> String {
    let text = joined(table, model::checksum::compared(table.entity).iter());
    format!("('x' || left({}, {DIGITS}))::bit(60)::int8", digest(&text))
}

/// The fields of an upsert, key first: the order of its columns.
pub(super) fn put_fields(table: Table<'_>, fields: FieldSet) -> Vec<FieldIndex> {
    let key = table.entity.key().iter().copied();
    key.chain(plain_fields(table, fields)).collect()
}

/// `due`: the changes whose version this transaction has just recorded, with the columns given as `k0`, `k1`… (the
/// key) and so on; `was`, the number of the row as it was left, where that is known, `base`, the number of the primary's,
/// and `will`, the one to come; whether it is a copy at rest; and where the version stands. One look by key each (`OFFSET 0`): a plan that was made while the table was small would go
/// through all versions of the type for good.
///
/// `leaves`: changes of writes count as such copies, too, and overwrite nothing of which nobody knows whose it is.
fn due(table: Table<'_>, fields: &[FieldIndex], leaves: bool) -> String {
    let arrays: String =
        (BEFORE + 1..).zip(fields).map(|(place, index)| format!(", ${place}::{}[]", table.type_name(*index))).collect();
    let names: String = (0..fields.len()).map(|place| format!(", k{place}")).collect();
    format!(
        "due AS MATERIALIZED (SELECT i.*, v.*, $4::bool AS strict \
         FROM unnest($2::text[], $3::int8[], $5::int8[]{arrays}) AS i(key, taken, base{names}) \
         CROSS JOIN LATERAL (SELECT v.stood AS was, v.stands AS will, {leaves} OR v.epoch = 0 AS copy, v.ctid AS at FROM strangler_version AS v \
         WHERE v.entity = $1::text AND v.key = i.key AND v.xmin = pg_current_xact_id()::xid OFFSET 0) AS v)"
    )
}

/// `judged`: [`due`] with the number of the row as it stands, locked; whether somebody else has changed it (the rule of
/// `model::foreign`), or nobody can say. Of the latter a copy at rest overwrites none.
fn judged(table: Table<'_>, fields: &[FieldIndex], leaves: bool) -> String {
    let unknown = format!(
        "d.was IS NULL AND d.base IS NULL \
         OR d.was = {OTHERWISE} AND d.base IS DISTINCT FROM coalesce(l.found, {NOTHING})"
    );
    format!(
        "{}, judged AS MATERIALIZED (SELECT d.*, l.found IS NOT NULL AS stands, \
         CASE WHEN {unknown} THEN d.copy AND l.found IS NOT NULL \
         ELSE d.was IS DISTINCT FROM coalesce(l.found, {NOTHING}) AND d.base IS DISTINCT FROM coalesce(l.found, {NOTHING}) \
         END AND d.taken IS DISTINCT FROM coalesce(l.found, {NOTHING}) AS met, \
         ({unknown}) AND NOT d.copy AND l.found <> d.will AS unproven \
         FROM due AS d LEFT JOIN LATERAL (SELECT {} AS found FROM {} AS t WHERE {} FOR UPDATE OF t) AS l ON true)",
        due(table, fields, leaves),
        number(table),
        table.name(),
        table.key_join("d"),
    )
}

/// Whole states: rows that stand are updated, the others inserted. Who inserts one of these at this very moment is
/// met as well, where counts must be right: the insert leaves his row. Where they need not be, [`verify`] judges.
pub(super) fn put(table: Table<'_>, fields: FieldSet, leaves: bool) -> String {
    let all = put_fields(table, fields);
    let width = table.entity.key().len();
    let columns = table.list(all.iter().copied(), |index| table.column(index).to_owned());
    let taken: Vec<_> = (0..all.len()).map(|place| format!("k{place}")).collect();
    // With nothing to set, the key is written anew.
    let set = if all.len() > width { width..all.len() } else { 0..width };
    let sets: Vec<_> = set.map(|place| format!("{} = j.k{place}", table.column(all[place]))).collect();
    format!(
        "WITH {judged}, \
         refreshed AS (UPDATE {name} AS t SET {sets} FROM judged AS j WHERE j.stands AND {join} RETURNING 1), \
         made AS (INSERT INTO {name} AS t ({columns}) SELECT {taken} FROM judged WHERE NOT stands \
         ON CONFLICT ({key_columns}) DO NOTHING RETURNING 1) \
         SELECT 1 / CASE WHEN bool_or(met) OR count(*) <> (SELECT count(*) FROM due) OR bool_or(strict) \
         AND count(*) <> (SELECT count(*) FROM refreshed) + (SELECT count(*) FROM made) THEN 0 ELSE 1 END, \
         array_agg(key) FILTER (WHERE unproven) FROM judged",
        judged = judged(table, &all, leaves),
        name = table.name(),
        sets = sets.join(", "),
        join = table.key_join("j"),
        taken = taken.join(", "),
        key_columns = table.key_columns(),
    )
}

/// Deletions. A row that is gone already is no conflict: it is as the change would leave it. But that nothing is seen
/// proves that nothing is there only where this role sees every row.
pub(super) fn delete(table: Table<'_>, leaves: bool) -> String {
    format!(
        "WITH {judged}, \
         gone AS (DELETE FROM {name} AS t USING judged AS j WHERE j.stands AND {join} RETURNING 1) \
         SELECT 1 / CASE WHEN bool_or(met AND stands) OR count(*) <> (SELECT count(*) FROM due) \
         OR bool_or(strict AND NOT stands AND {hidden}) \
         OR bool_or(strict) AND count(*) FILTER (WHERE stands) <> (SELECT count(*) FROM gone) \
         THEN 0 ELSE 1 END, array_agg(key) FILTER (WHERE unproven) FROM judged",
        judged = judged(table, table.entity.key(), leaves),
        name = table.name(),
        join = table.key_join("j"),
        hidden = hidden(table, ""),
    )
}

/// Whether the row of a deletion may be there although it was not found: the version row does not say that it is gone,
/// and either this role does not see every row of the table, or the key has no number here while the row was one.
fn hidden(table: Table<'_>, due: &str) -> String {
    let name = table.name().replace('\'', "''");
    format!(
        "{due}was IS DISTINCT FROM {NOTHING} AND ({due}k0 IS NULL AND {due}was IS NOT NULL OR NOT EXISTS (SELECT FROM pg_class AS c \
         WHERE c.oid = to_regclass('{name}') AND c.relkind IN ('r', 'p') AND NOT row_security_active(c.oid)))"
    )
}

/// Runs the checks and triggers that wait for the end of the transaction, before [`verify`] looks.
pub(super) const END: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// The rows of the keys that are due, as they stand now. The third parameter has the numbers that the store gives to
/// rows which are what was written all the same.
fn standing(table: Table<'_>) -> String {
    format!(
        "{}, now AS MATERIALIZED (SELECT d.key, d.taken, d.will, d.at, coalesce(l.found, {NOTHING}) AS number \
         FROM due AS d LEFT JOIN LATERAL (SELECT {} AS found FROM {} AS t WHERE {} OFFSET 0) AS l ON true)",
        due(table, table.entity.key(), false),
        number(table),
        table.name(),
        table.key_join("d"),
    )
}

/// That the rows are what was written. Keeps the store's own number of a row where that is taken.
pub(super) fn verify(table: Table<'_>) -> String {
    format!(
        "WITH {}, kept AS (UPDATE strangler_version AS v SET stands = n.number FROM now AS n \
         WHERE v.ctid = n.at AND n.number <> n.will AND n.number = n.taken) \
         SELECT ln(CASE WHEN bool_or(number <> will AND number IS DISTINCT FROM taken) \
         OR count(*) <> count(DISTINCT key) THEN 0 ELSE 1 END) FROM now",
        standing(table)
    )
}

/// What the rows are that have another number than what was written: as [`look`].
pub(super) fn witness(table: Table<'_>) -> String {
    format!(
        "WITH {} SELECT {}, d.key, true, NULL::int8, false FROM due AS d LEFT JOIN {} AS t ON {}",
        due(table, table.entity.key(), false),
        seen(table, "d.will"),
        table.name(),
        table.key_join("d"),
    )
}

/// A row, if there is one, its number as it was left and as it stands.
fn seen(table: Table<'_>, left: &str) -> String {
    let columns = table.list(table.entity.all_fields().iter(), |index| table.selected(index, "t."));
    let key = table.column(table.entity.key()[0]);
    format!("{columns}, {left}, CASE WHEN t.{key} IS NULL THEN {NOTHING} ELSE {} END", number(table))
}

/// Who is concerned: the rows of the keys that are due, with both numbers, the keys, whether a row that is not seen is
/// not there, the number of the primary's row before, and whether it is a copy at rest.
pub(super) fn look(table: Table<'_>, leaves: bool) -> String {
    format!(
        "WITH {} SELECT {}, d.key, NOT ({}), d.base, d.copy FROM due AS d LEFT JOIN {} AS t ON {}",
        due(table, table.entity.key(), leaves),
        seen(table, "d.was"),
        hidden(table, "d."),
        table.name(),
        table.key_join("d"),
    )
}

/// One row with both numbers. Parameters: entity, key, and the key's parts.
pub(super) fn as_left(table: Table<'_>) -> String {
    format!(
        "SELECT {} FROM strangler_version AS v LEFT JOIN {} AS t ON {} \
         WHERE v.entity = $1::text AND v.key = $2::text AND v.shape = {} AND v.stands IS NOT NULL",
        seen(table, "v.stands"),
        table.name(),
        table.key_equals(3),
        shape(table.entity),
    )
}
