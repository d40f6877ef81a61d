//! Reads: look-ups by key, list queries of the contract, scans in key order.

use std::collections::HashMap;

use futures::TryStreamExt;
use model::sql::{NamedSql, Params};
use model::store::MAX_BATCH;
use model::{EntityKey, EntityType, FieldSet, Record, Side, StoreError, Unnumbered};
use tokio_postgres::{Row, Statement};

use super::session::Session;
use super::table::{Table, transpose};
use super::wire::Stored;
use super::{bind, own_keys};

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
    let (text, values) = if rows.len() == 1 {
        (table.select_one(fields), rows.swap_remove(0))
    } else {
        let values = transpose(rows, table.entity.key().len());
        (table.select_many(fields), values)
    };
    let statements = session.prepare(&[&text]).await?;
    let found = query(session, &statements[0], &values).await.map_err(|error| session.error(error))?;
    for row in &found {
        let (key, record) = table.keyed(fields, row)?;
        if let Some(slot) = wanted.get_mut(&key) {
            *slot = Some(record);
        }
    }
    Ok(keys.iter().map(|key| wanted.get(key).cloned().flatten()).collect())
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
    rows.iter().map(|row| table.record(fields, row)).collect()
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
    let order = table.key_columns();
    let mut text = format!("SELECT {} FROM {}", table.columns(fields), table.name());
    let mut values = vec![Stored::Big(i64::try_from(limit).unwrap_or(i64::MAX))];
    if let Some(after) = after {
        let key = table.entity.key().iter().enumerate();
        let places: Vec<_> = key.map(|(place, index)| format!("${}::{}", place + 2, table.type_name(*index))).collect();
        text += &format!(" WHERE ({order}) > ({})", places.join(", "));
        values.extend(table.require_fit(after)?);
    }
    text += &format!(" ORDER BY {order} LIMIT $1::int8");
    let statements = session.prepare(&[&text]).await?;
    let rows = query(session, &statements[0], &values).await.map_err(|error| session.error(error))?;
    rows.iter().map(|row| table.record(fields, row)).collect()
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

/// See `Store::rough_count`. A table that was never analysed, and a view, are counted.
pub(super) async fn rough_count(session: &Session, table: Table<'_>) -> Result<u64, StoreError> {
    let known = "SELECT reltuples::int8 FROM pg_class WHERE oid = to_regclass($1::text)";
    let counted = format!("SELECT count(*) FROM {}", table.name());
    let name = [Stored::Text(table.name().to_owned())];
    for (text, values) in [(known, &name[..]), (&counted, &[])] {
        let statements = session.prepare(&[text]).await?;
        let rows = query(session, &statements[0], values).await.map_err(|error| session.error(error))?;
        let count = rows.first().and_then(|row| row.get::<_, Option<i64>>(0)).unwrap_or(0);
        if count > 0 {
            return Ok(count.unsigned_abs());
        }
    }
    Ok(0)
}
