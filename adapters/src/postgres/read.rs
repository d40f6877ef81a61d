//! Reads: look-ups by key, list queries of the contract, scans in key order.

use std::collections::HashMap;

use futures::TryStreamExt;
use futures::future::BoxFuture;
use model::sql::{NamedSql, Params};
use model::store::MAX_BATCH;
use model::{EntityKey, EntityType, FieldSet, Keyless, Record, Side, StoreError, Unnumbered, Value};
use tokio_postgres::{Row, Statement};

use super::session::Session;
use super::table::{Table, transpose};
use super::wire::{Stored, get};
use super::{bind, error, own_keys};

/// Runs a prepared statement with our own values.
pub(super) async fn query(
    session: &Session,
    statement: &Statement,
    values: &[Stored],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let rows = session.client().query_raw(statement, values).await?;
    rows.try_collect().await
}

/// See `Store::fetch`.
pub(super) async fn fetch(
    session: &Session,
    table: Table<'_>,
    keys: &[EntityKey],
    fields: FieldSet,
) -> Result<Vec<Option<Record>>, StoreError> {
    let numbers = own_keys::of_type(session, table, keys, Unnumbered::Leave).await?;
    let table = table.with(&numbers);
    let fields = fields.union(table.entity.key_fields());
    let mut wanted: HashMap<&EntityKey, Option<Record>> = HashMap::with_capacity(keys.len());
    let mut rows = Vec::with_capacity(keys.len());
    for key in keys {
        // A key that does not fit this side names no record here.
        if !wanted.contains_key(key)
            && let Some(values) = table.key_values(key)
        {
            wanted.insert(key, None);
            rows.push(values);
        }
    }
    if rows.is_empty() {
        return Ok(vec![None; keys.len()]);
    }
    let found = look_up(session, table, fields, &rows).await?;
    for row in &found {
        let (key, record) = table.keyed(fields, row)?;
        match wanted.get_mut(&key) {
            Some(slot @ None) => *slot = Some(record),
            // Which of them is the record nobody can say; nor, of the other, whether it is what was asked for: padding,
            // letters or accents that the side takes for the same. "No such record" would be wrong of both.
            Some(Some(_)) => {
                return Err(misfit(
                    table.side,
                    format!("{} has two rows for one key: {}", table.name(), key.as_text()),
                ));
            }
            None => {
                return Err(misfit(
                    table.side,
                    format!("{} answers with a row of a key that was not asked for: {}", table.name(), key.as_text()),
                ));
            }
        }
    }
    Ok(keys.iter().map(|key| wanted.get(key).cloned().flatten()).collect())
}

/// The rows of keys with these values. A key whose letters this side's encoding does not have names no record: it is
/// looked for among the others, which must not suffer from it. Whoever asks can send any letter.
fn look_up<'a>(
    session: &'a Session,
    table: Table<'a>,
    fields: FieldSet,
    keys: &'a [Vec<Stored>],
) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
    Box::pin(async move {
        let (text, values) = match keys {
            [] => return Ok(Vec::new()),
            [one] => (table.select_one(fields), one.clone()),
            many => (table.select_many(fields), transpose(many.to_vec(), table.entity.key().len())),
        };
        let statements = session.prepare(&[&text]).await?;
        let error = match query(session, &statements[0], &values).await {
            Ok(rows) => return Ok(rows),
            Err(error) if error::is_of_encoding(&error) => error,
            Err(error) => return Err(session.error(error)),
        };
        if let [one] = keys {
            return if is_held(session, one).await? { Err(unread_row(session, table, error)) } else { Ok(Vec::new()) };
        }
        let plain = |key: &&Vec<Stored>| key.iter().all(|part| !matches!(part, Stored::Text(text) if !text.is_ascii()));
        let (plain, odd): (Vec<_>, Vec<_>) = keys.iter().partition(plain);
        let (one, other) = match (plain.len(), odd.len()) {
            (0, _) | (_, 0) => {
                let (one, other) = keys.split_at(keys.len() / 2);
                (one.to_vec(), other.to_vec())
            }
            _ => (plain.into_iter().cloned().collect(), odd.into_iter().cloned().collect()),
        };
        let mut rows = look_up(session, table, fields, &one).await?;
        rows.extend(look_up(session, table, fields, &other).await?);
        Ok(rows)
    })
}

/// Whether the letters of a key can be sent here at all.
async fn is_held(session: &Session, key: &[Stored]) -> Result<bool, StoreError> {
    let texts = key.iter().filter(|part| matches!(part, Stored::Text(_))).cloned().collect();
    let statements = session.prepare(&["SELECT cardinality($1::text[])"]).await?;
    match query(session, &statements[0], &[Stored::List(texts)]).await {
        Ok(_) => Ok(true),
        Err(error) if error::is_of_encoding(&error) => Ok(false),
        Err(error) => Err(session.error(error)),
    }
}

/// A row that the server itself cannot send: its letters have no like in UTF-8.
fn unread_row(session: &Session, table: Table<'_>, error: tokio_postgres::Error) -> StoreError {
    let problem = format!("a row of {} holds letters that have no form in UTF-8", table.name());
    StoreError::Misfit { side: table.side, problem, source: Some(Box::new(session.error(error))) }
}

/// See `Store::list`.
pub(super) async fn list(
    session: &Session,
    table: Table<'_>,
    sql: &NamedSql,
    params: &Params,
    fields: FieldSet,
) -> Result<Vec<Record>, StoreError> {
    let fields = fields.union(table.entity.key_fields());
    if !sql.names_columns() {
        return Err(misfit(table.side, "the list query has no {columns} mark".into()));
    }
    let text = bind::text(sql, &table.columns(fields));
    let statements = session.prepare(&[&text]).await?;
    let values = bind::values(table.side, sql, params, &statements[0])?;
    let rows = query(session, &statements[0], &values).await.map_err(|error| session.error(error))?;
    Ok(rows.iter().map(|row| table.record(fields, row)).collect())
}

/// See `Store::scan`.
pub(super) async fn scan(
    session: &Session,
    table: Table<'_>,
    after: Option<&EntityKey>,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let numbers = own_keys::of_type(session, table, after.map_or(&[], std::slice::from_ref), Unnumbered::Leave).await?;
    let table = table.with(&numbers);
    let fields = table.entity.all_fields();
    let order = table.list(table.entity.key().iter().copied(), |index| format!("t.{}", table.column(index)));
    let columns = table.list(fields.iter(), |index| table.selected(index, "t."));
    let mut text = format!("SELECT {columns} FROM {} AS t WHERE {}", table.name(), table.usable());
    let mut values = vec![Stored::Big(i64::try_from(limit).unwrap_or(i64::MAX))];
    if let Some(after) = after {
        let key = table.entity.key().iter().enumerate();
        let places: Vec<_> = key.map(|(place, index)| format!("${}::{}", place + 2, table.type_name(*index))).collect();
        text += &format!(" AND ({order}) > ({})", places.join(", "));
        values.extend(table.require_fit(after)?);
    }
    text += &format!(" ORDER BY {order} LIMIT $1::int8");
    let statements = session.prepare(&[&text]).await?;
    let rows = query(session, &statements[0], &values).await.map_err(|error| session.error(error))?;
    Ok(rows.iter().map(|row| table.record(fields, row)).collect())
}

/// See `Scan::keyless`.
pub(super) async fn keyless(session: &Session, table: Table<'_>, limit: usize) -> Result<Keyless, StoreError> {
    let key = table.entity.key();
    let columns = table.list(key.iter().copied(), |index| format!("t.{}::text", table.column(index)));
    let text = format!(
        "SELECT count(*) OVER ()::int8, {columns} FROM {} AS t WHERE NOT ({}) LIMIT $1::int8",
        table.name(),
        table.usable()
    );
    let statements = session.prepare(&[&text]).await?;
    // One at least, or the count would not be told.
    let limit = Stored::Big(i64::try_from(limit.max(1)).unwrap_or(i64::MAX));
    let rows = query(session, &statements[0], &[limit]).await.map_err(|error| session.error(error))?;
    let row = |row: &Row| {
        let parts = (1..=key.len()).map(|place| row.try_get::<_, Option<&str>>(place));
        let parts = parts.map(|part| part.map(|part| part.map_or(Value::Null, Value::text)));
        let count: i64 = row.try_get(0)?;
        Ok((count, EntityKey::new(table.entity.name.clone(), parts.collect::<Result<_, _>>()?)))
    };
    let rows: Result<Vec<_>, tokio_postgres::Error> = rows.iter().map(row).collect();
    let rows =
        rows.map_err(|_| misfit(table.side, format!("rows of {} without key could not be read", table.name())))?;
    let count = rows.first().map_or(0, |(count, _)| count.unsigned_abs());
    Ok(Keyless { rows: count, some: rows.into_iter().map(|(_, key)| key).collect() })
}

/// A finding that only an operator or a programmer can mend.
pub(super) fn misfit(side: Side, problem: String) -> StoreError {
    StoreError::Misfit { side, problem, source: None }
}

/// Keeps the promise of every batch call.
pub(super) fn require_batch(side: Side, entity: Option<&EntityType>, keys: &[EntityKey]) -> Result<(), StoreError> {
    if keys.len() > MAX_BATCH {
        return Err(misfit(side, format!("more than {MAX_BATCH} keys in one call")));
    }
    let foreign = |key: &EntityKey| entity.is_some_and(|entity| *key.entity() != entity.name);
    if keys.iter().any(foreign) {
        return Err(misfit(side, "a key of another entity type in one call".into()));
    }
    Ok(())
}

/// See `Store::rough_count`. Where statistics are missing, old, or of another time than the table's rows, it is counted;
/// so is a view.
pub(super) async fn rough_count(session: &Session, table: Table<'_>) -> Result<u64, StoreError> {
    let known = "SELECT c.reltuples::int8 FROM pg_class AS c JOIN pg_stat_all_tables AS s ON s.relid = c.oid \
         WHERE c.oid = to_regclass($1::text) AND c.reltuples > 0 AND s.n_mod_since_analyze <= c.reltuples / 10 \
         AND greatest(s.last_analyze, s.last_autoanalyze) > clock_timestamp() - interval '1 day'";
    let counted = format!("SELECT count(*) FROM {}", table.name());
    let name = [Stored::Text(table.name().to_owned())];
    for (text, values) in [(known, &name[..]), (&counted, &[])] {
        let statements = session.prepare(&[text]).await?;
        let rows = query(session, &statements[0], values).await.map_err(|error| session.error(error))?;
        let count = rows.first().map(|row| get::<Option<i64>>(table.side, row, 0)).transpose()?.flatten();
        if let Some(count) = count.and_then(|count| u64::try_from(count).ok()) {
            return Ok(count);
        }
    }
    Err(misfit(table.side, format!("the rows of {} could not be counted", table.name())))
}
