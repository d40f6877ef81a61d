//! The SQL texts of an apply. All statements of one call are one transaction, sent together.
//!
//! 1. [`record`]: records versions that are newer, which locks them in key order, and carries the ledger rows along.
//! 2. [`put`] or [`delete`]: for the keys that 1. has just recorded, locks the rows, compares their numbers with what
//!    our last write left, and changes them. Where a row then has another number than 1. has recorded (a trigger, or an
//!    engine that folds letters otherwise), that one is kept: mostly the version row is written once.
//!
//! The second is a statement of its own: the first may have waited for locks, and its snapshot is older than what was
//! committed meanwhile.
//!
//! A row that is not as we left it fails the whole transaction by a division by zero ([`MET`]): nobody has to wait for
//! an answer before the commit is sent, and what is rare pays alone. `apply` then looks ([`look`]) who is concerned.

use model::checksum::DIGITS;
use model::foreign::NOTHING;
use model::{FieldIndex, FieldSet};

use super::checksum::joined;
use super::table::Table;
use super::write_text::{plain_fields, raise_version};
use crate::number::shape;

/// The SQLSTATE of a transaction that has met a row which is not as we left it.
pub(super) const MET: &str = "22012";

/// Parameters of [`record`].
pub(super) const COMMON: usize = 13;

/// Parameters before the columns of the table in [`put`], [`delete`] and [`look`]: entity, keys, and the numbers that
/// are taken beside the recorded ones.
const BEFORE: usize = 3;

/// Records versions that are newer, with the number that the row will have unless the store makes something else of
/// it, and the one that it had (`stood`). A baseline copy (epoch 0) is no write and leaves no ledger row.
pub(super) fn record() -> String {
    format!(
        "WITH input AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::int2[], $3::text[], $4::int8[], \
         $5::int8[], $6::int8[], $7::text[], $8::text[], $9::text[], $10::int8[]) AS i(write_id, ordinal, key, \
         epoch, incarnation, position, idempotency_key, fingerprint, image, stands)), \
         newer AS (INSERT INTO strangler_version AS v \
         (entity, key, epoch, incarnation, position, write_id, deleted, shape, stands) \
         SELECT $12::text, key, epoch, incarnation, position, write_id, image IS NULL, $13::int8, stands \
         FROM input ORDER BY key \
         {} RETURNING v.key), \
         carried AS (INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, \
         incarnation, position, image, idempotency_key, fingerprint, state) \
         SELECT write_id, ordinal, $11::text, $12::text, key, epoch, incarnation, position, \
         image::jsonb, idempotency_key, fingerprint, 'settled' FROM input WHERE epoch > 0 \
         ON CONFLICT DO NOTHING) \
         SELECT key FROM newer",
        raise_version(
            ", shape = EXCLUDED.shape, stands = EXCLUDED.stands, \
             stood = CASE WHEN v.shape = EXCLUDED.shape THEN v.stands END"
        )
    )
}

/// The number of the row `t`.
pub(super) fn number(table: Table<'_>) -> String {
    let text = joined(table, model::checksum::compared(table.entity).iter());
    format!("('x' || left(md5({text}), {DIGITS}))::bit(60)::int8")
}

/// The fields of an upsert, key first: the order of its columns.
pub(super) fn put_fields(table: Table<'_>, fields: FieldSet) -> Vec<FieldIndex> {
    let key = table.entity.key().iter().copied();
    key.chain(plain_fields(table, fields)).collect()
}

/// `due`: the changes whose version this transaction has just recorded, with the columns given as `k0`, `k1`… (the
/// key) and so on; `was`, the number of the row as it was left, where that is known, and `will`, the one to come; and
/// where the version stands. One look by key each (`OFFSET 0`): a plan that was made while the table was small would go
/// through all versions of the type for good.
fn due(table: Table<'_>, fields: &[FieldIndex]) -> String {
    let arrays: String =
        (BEFORE + 1..).zip(fields).map(|(place, index)| format!(", ${place}::{}[]", table.type_name(*index))).collect();
    let names: String = (0..fields.len()).map(|place| format!(", k{place}")).collect();
    format!(
        "due AS MATERIALIZED (SELECT i.*, v.* FROM unnest($2::text[], $3::int8[]{arrays}) AS i(key, taken{names}) \
         CROSS JOIN LATERAL (SELECT v.stood AS was, v.stands AS will, v.ctid AS at FROM strangler_version AS v \
         WHERE v.entity = $1::text AND v.key = i.key AND v.xmin = pg_current_xact_id()::xid OFFSET 0) AS v)"
    )
}

/// `judged`: [`due`] with the number of the row as it stands, locked; and whether somebody else has changed it.
fn judged(table: Table<'_>, fields: &[FieldIndex]) -> String {
    format!(
        "{}, judged AS MATERIALIZED (SELECT d.*, l.found IS NOT NULL AS stands, \
         d.was <> coalesce(l.found, {NOTHING}) AND d.taken IS DISTINCT FROM coalesce(l.found, {NOTHING}) AS met \
         FROM due AS d LEFT JOIN LATERAL (SELECT {} AS found FROM {} AS t WHERE {} FOR UPDATE OF t) AS l ON true)",
        due(table, fields),
        number(table),
        table.name(),
        table.key_join("d"),
    )
}

/// Whole states: rows that stand are updated, the others inserted. Who inserts one of these at this very moment is
/// met as well: the insert leaves his row, and the counts differ.
pub(super) fn put(table: Table<'_>, fields: FieldSet) -> String {
    let all = put_fields(table, fields);
    let width = table.entity.key().len();
    let columns = table.list(all.iter().copied(), |index| table.column(index).to_owned());
    let taken: Vec<_> = (0..all.len()).map(|place| format!("k{place}")).collect();
    // With nothing to set, the key is written anew.
    let set = if all.len() > width { width..all.len() } else { 0..width };
    let sets: Vec<_> = set.map(|place| format!("{} = j.k{place}", table.column(all[place]))).collect();
    let number = number(table);
    let keys: Vec<_> = all[..width].iter().map(|index| format!("t.{}", table.column(*index))).collect();
    let names: Vec<_> = (0..width).map(|place| format!("k{place}")).collect();
    let same: Vec<_> = names.iter().map(|name| format!("m.{name} = j.{name}")).collect();
    format!(
        "WITH {judged}, \
         refreshed AS (UPDATE {name} AS t SET {sets} FROM judged AS j WHERE j.stands AND {join} \
         RETURNING j.will, {number}, j.at), \
         made AS (INSERT INTO {name} AS t ({columns}) SELECT {taken} FROM judged WHERE NOT stands \
         ON CONFLICT ({key_columns}) DO NOTHING RETURNING {keys}, {number}), \
         other(number, at) AS (SELECT number, at FROM refreshed AS r(will, number, at) WHERE number <> will \
         UNION ALL SELECT m.number, j.at FROM made AS m({names}, number) JOIN judged AS j ON {same} \
         WHERE ({keys_made}, m.number) NOT IN (SELECT {names}, will FROM judged)), \
         kept AS (UPDATE strangler_version AS v SET stands = o.number FROM other AS o WHERE v.ctid = o.at) \
         SELECT 1 / CASE WHEN bool_or(met) \
         OR count(*) <> (SELECT count(*) FROM refreshed) + (SELECT count(*) FROM made) THEN 0 ELSE 1 END FROM judged",
        judged = judged(table, &all),
        name = table.name(),
        sets = sets.join(", "),
        join = table.key_join("j"),
        taken = taken.join(", "),
        key_columns = table.key_columns(),
        keys = keys.join(", "),
        names = names.join(", "),
        same = same.join(" AND "),
        keys_made = names.iter().map(|name| format!("m.{name}")).collect::<Vec<_>>().join(", "),
    )
}

/// Deletions. A row that is gone already is no conflict: it is as the change would leave it.
pub(super) fn delete(table: Table<'_>) -> String {
    format!(
        "WITH {judged}, \
         gone AS (DELETE FROM {name} AS t USING judged AS j WHERE j.stands AND {join} RETURNING 1) \
         SELECT 1 / CASE WHEN bool_or(met AND stands) OR count(*) FILTER (WHERE stands) <> \
         (SELECT count(*) FROM gone) THEN 0 ELSE 1 END FROM judged",
        judged = judged(table, table.entity.key()),
        name = table.name(),
        join = table.key_join("j"),
    )
}

/// A row, if there is one, its number as it was left and as it stands.
fn seen(table: Table<'_>, left: &str) -> String {
    let columns = table.list(table.entity.all_fields().iter(), |index| table.selected(index, "t."));
    let key = table.column(table.entity.key()[0]);
    format!("{columns}, {left}, CASE WHEN t.{key} IS NULL THEN {NOTHING} ELSE {} END", number(table))
}

/// Who is concerned: the rows of the keys that are due, with both numbers, and the keys.
pub(super) fn look(table: Table<'_>) -> String {
    format!(
        "WITH {} SELECT {}, d.key FROM due AS d LEFT JOIN {} AS t ON {}",
        due(table, table.entity.key()),
        seen(table, "d.was"),
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
        shape(table.entity, table.side),
    )
}
