//! Reads: look-ups by key, list queries of the contract, scans in key order.
//!
//! Texts and binds are made before a session is taken, records after: the session does nothing but wait.

use std::collections::HashMap;

use model::sql::{NamedSql, Params};
use model::store::MAX_BATCH;
use model::{EntityKey, EntityType, FieldSet, Keyless, Record, Side, StoreError, Value};
use oracle::Row;

use super::bind::Bind;
use super::session::Session;
use super::table::{Table, misfit};
use super::{params, wire};

/// A query with its binds.
pub(super) struct Question {
    text: String,
    binds: Vec<Bind>,
    array: u32,
}

impl Question {
    pub(super) fn new(text: String, binds: Vec<Bind>, rows: usize) -> Self {
        // Buffers are as wide as the columns: a scan's are worth it up to here.
        Self { text, binds, array: u32::try_from(rows.clamp(1, 500)).unwrap_or(500) }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    #[cfg(test)]
    pub(super) fn binds(&self) -> &[Bind] {
        &self.binds
    }

    #[cfg(test)]
    pub(super) fn array(&self) -> u32 {
        self.array
    }

    pub(super) fn ask(&self, session: &mut Session) -> Result<Vec<Row>, StoreError> {
        session.query(&self.text, &self.binds, self.array)
    }
}

/// Refuses batches beyond the port's limit, and keys of another type than `entity`.
pub(super) fn require_batch(side: Side, entity: Option<&EntityType>, keys: &[EntityKey]) -> Result<(), StoreError> {
    if keys.len() > MAX_BATCH {
        return Err(misfit(side, format!("more than {MAX_BATCH} keys in one call")));
    }
    if entity.is_some_and(|entity| keys.iter().any(|key| *key.entity() != entity.name)) {
        return Err(misfit(side, "a key of another entity type in one call"));
    }
    Ok(())
}

/// A look-up of keys: what to ask, and where its answers belong.
pub(super) struct Lookup<'a> {
    table: Table<'a>,
    fields: FieldSet,
    keys: &'a [EntityKey],
}

impl<'a> Lookup<'a> {
    /// See `Store::fetch`. No question when no key fits this side.
    pub(super) fn new(table: Table<'a>, keys: &'a [EntityKey], fields: FieldSet) -> (Self, Option<Question>) {
        let fields = fields.union(table.entity.key_fields());
        let mut seen = std::collections::HashSet::new();
        let fresh = keys.iter().filter(|key| seen.insert(*key));
        // A key that does not fit this side names no record here.
        let rows: Vec<_> = fresh.filter_map(|key| table.key_values(key)).collect();
        let count = rows.len();
        let question = (count > 0).then(|| Question::new(table.select(fields, count), Table::key_binds(rows), count));
        (Self { table, fields, keys }, question)
    }

    pub(super) fn answers(&self, rows: &[Row]) -> Result<Vec<Option<Record>>, StoreError> {
        let mut found: HashMap<&EntityKey, Option<Record>> = self.keys.iter().map(|key| (key, None)).collect();
        for row in rows {
            let (key, record) = self.table.keyed(self.fields, row)?;
            let problem = match found.get_mut(&key) {
                Some(slot @ None) => {
                    *slot = Some(record);
                    continue;
                }
                // Which of them is the record nobody can say; nor, of the other, whether it is what was asked for.
                Some(Some(_)) => "has two rows for one key",
                None => "answers with a row of a key that was not asked for",
            };
            let (table, key) = (self.table.name(), key.as_text());
            return Err(misfit(self.table.side, format!("{table} {problem}: {key}")));
        }
        Ok(self.keys.iter().map(|key| found.get(key).cloned().flatten()).collect())
    }
}

/// See `Store::list`.
pub(super) fn list(
    table: Table<'_>,
    sql: &NamedSql,
    params: &Params,
    fields: FieldSet,
) -> Result<Question, StoreError> {
    if !sql.names_columns() {
        return Err(misfit(table.side, "the list query has no {columns} mark"));
    }
    let columns = table.list(fields.iter(), |index| table.selected(index, ""));
    let prepared = params::prepare(table.side, sql, params, &columns)?;
    Ok(Question::new(prepared.text, prepared.binds, 100))
}

/// See `Scan::scan`. `as_of`: the SCN of a snapshot.
///
/// The next page begins where the key is greater part by part: Oracle compares no rows.
pub(super) fn scan(
    table: Table<'_>,
    after: Option<&EntityKey>,
    limit: usize,
    as_of: Option<u64>,
) -> Result<Question, StoreError> {
    let mut binds = Vec::new();
    let moment = moment(as_of, &mut binds);
    let (columns, usable) = (table.columns(table.entity.all_fields()), table.usable().yes);
    let mut text = format!("SELECT {columns} FROM {}{moment} t WHERE {usable}", table.name());
    if let Some(after) = after {
        let parts = table.require_fit(after)?;
        let columns: Vec<_> = table.entity.key().iter().map(|index| table.column(*index)).collect();
        let mut ways = Vec::new();
        for last in 0..columns.len() {
            let mut way: Vec<String> = Vec::new();
            for (place, column) in columns[..=last].iter().enumerate() {
                binds.push(parts[place].clone());
                let sign = if place == last { ">" } else { "=" };
                way.push(format!("t.{column} {sign} :{}", binds.len()));
            }
            ways.push(format!("({})", way.join(" AND ")));
        }
        text += &format!(" AND ({})", ways.join(" OR "));
    }
    binds.push(Bind::number(limit));
    let order = table.list(table.entity.key().iter().copied(), |index| format!("t.{}", table.column(index)));
    text += &format!(" ORDER BY {order} FETCH FIRST :{} ROWS ONLY", binds.len());
    Ok(Question::new(text, binds, limit))
}

/// See `Scan::keyless`.
pub(super) fn keyless(table: Table<'_>, limit: usize, as_of: Option<u64>) -> Question {
    let mut binds = Vec::new();
    let moment = moment(as_of, &mut binds);
    let columns = table.list(table.entity.key().iter().copied(), |index| format!("t.{}", table.column(index)));
    // One at least, or the count would not be told.
    binds.push(Bind::number(limit.max(1)));
    let (name, no, place) = (table.name(), table.usable().no, binds.len());
    let text =
        format!("SELECT COUNT(*) OVER (), {columns} FROM {name}{moment} t WHERE {no} FETCH FIRST :{place} ROWS ONLY");
    Question::new(text, binds, limit)
}

/// Reads the answer of [`keyless`].
pub(super) fn read_keyless(table: Table<'_>, rows: &[Row]) -> Result<Keyless, StoreError> {
    let width = table.entity.key().len();
    let key = |row: &Row| {
        let parts = (1..=width).map(|place| wire::text(row, place).map_or(Value::Null, Value::Text));
        EntityKey::new(table.entity.name.clone(), parts.collect())
    };
    let count = rows.first().map(|row| wire::number::<u64>(row, 0));
    let unreadable = || misfit(table.side, "the count of rows without key could not be read");
    let count = count.map(|count| count.ok_or_else(unreadable)).transpose()?;
    Ok(Keyless { rows: count.unwrap_or(0), some: rows.iter().map(key).collect() })
}

/// ` AS OF SCN :1` of a table.
pub(super) fn moment(as_of: Option<u64>, binds: &mut Vec<Bind>) -> String {
    match as_of {
        None => String::new(),
        Some(scn) => {
            binds.push(Bind::number(scn));
            format!(" AS OF SCN :{}", binds.len())
        }
    }
}

/// See `Store::rough_count`: the optimizer's statistics, and where there are none of the last day, a count. Statistics
/// that were locked while the table was empty say 0 for ever.
pub(super) fn rough_count(session: &mut Session, table: &str) -> Result<u64, StoreError> {
    let (statistics, binds) = match super::inspect::owned(table) {
        (Some(owner), name) => (
            "SELECT num_rows FROM all_tables WHERE table_name = :1 AND owner = :2 AND num_rows > 0 \
             AND last_analyzed > SYSDATE - NUMTODSINTERVAL(1, 'DAY')",
            vec![Bind::text(name), Bind::text(owner)],
        ),
        (None, name) => (
            "SELECT num_rows FROM user_tables WHERE table_name = :1 AND num_rows > 0 AND last_analyzed > SYSDATE - NUMTODSINTERVAL(1, 'DAY')",
            vec![Bind::text(name)],
        ),
    };
    let rows = session.query(statistics, &binds, 1)?;
    if let Some(count) = rows.first().and_then(|row| super::wire::number::<u64>(row, 0)) {
        return Ok(count);
    }
    let rows = session.query(&format!("SELECT COUNT(*) FROM {table}"), &[], 1)?;
    let count = rows.first().and_then(|row| super::wire::number(row, 0));
    count.ok_or_else(|| misfit(session.side, format!("the rows of {table} could not be counted")))
}
