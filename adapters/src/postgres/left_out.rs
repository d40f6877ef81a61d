//! Columns that the contract leaves out, and how many rows have something in them.

use model::{LeftOut, StoreError};

use super::read::{misfit, query};
use super::session::Session;
use super::table::Table;
use super::wire::Stored;

/// Generated columns are made of others: what they hold is not lost with them.
const COLUMNS: &str = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)::text FROM pg_attribute AS a \
    WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
    ORDER BY a.attnum";

/// See `Scan::left_out`.
pub(super) async fn left_out(session: &Session, table: Table<'_>) -> Result<Vec<LeftOut>, StoreError> {
    let unreadable = || misfit(table.side, format!("the columns of {} could not be read", table.name()));
    let statements = session.prepare(&[COLUMNS]).await?;
    let rows = query(session, &statements[0], &[Stored::Text(table.name().to_owned())]).await;
    let rows = rows.map_err(|error| session.error(error))?;
    let mut columns = Vec::new();
    for row in &rows {
        let column: &str = row.try_get(0).map_err(|_| unreadable())?;
        let column_type: &str = row.try_get(1).map_err(|_| unreadable())?;
        if LeftOut::is_left_out(table.entity, table.side, column) {
            columns.push((column.to_owned(), column_type.to_owned()));
        }
    }
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let counts: String = columns.iter().map(|(column, _)| format!(", count({})::int8", quoted(column))).collect();
    let text = format!("SELECT count(*)::int8{counts} FROM {}", table.name());
    let statements = session.prepare(&[&text]).await?;
    let rows = query(session, &statements[0], &[]).await.map_err(|error| session.error(error))?;
    let row = rows.first().ok_or_else(unreadable)?;
    let count = |place| row.try_get::<_, i64>(place).ok().and_then(|count| u64::try_from(count).ok());
    let all = count(0).ok_or_else(unreadable)?;
    let found = columns.into_iter().enumerate().map(|(place, (column, column_type))| {
        let filled = count(place + 1).ok_or_else(unreadable)?;
        Ok(LeftOut { column, column_type, rows: all, filled })
    });
    found.collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
