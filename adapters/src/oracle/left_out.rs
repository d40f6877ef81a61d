//! Columns that the contract leaves out, and how many rows have something in them.

use model::{LeftOut, StoreError};

use super::bind::Bind;
use super::inspect::owned;
use super::session::Session;
use super::table::{Table, misfit};
use super::wire;

/// See `Scan::left_out`.
pub(super) fn left_out(session: &mut Session, table: Table<'_>) -> Result<Vec<LeftOut>, StoreError> {
    let unreadable = || misfit(table.side, format!("the columns of {} could not be read", table.name()));
    let (text, binds) = match owned(table.name()) {
        (Some(owner), name) => (
            "SELECT column_name, data_type FROM all_tab_columns WHERE table_name = :1 AND owner = :2 ORDER BY column_id",
            vec![Bind::text(name), Bind::text(owner)],
        ),
        (None, name) => (
            "SELECT column_name, data_type FROM user_tab_columns WHERE table_name = :1 ORDER BY column_id",
            vec![Bind::text(name)],
        ),
    };
    let mut columns = Vec::new();
    for row in &session.query(text, &binds, 200)? {
        let column = wire::text(row, 0).ok_or_else(unreadable)?;
        let column_type = wire::text(row, 1).ok_or_else(unreadable)?;
        if LeftOut::is_left_out(table.entity, table.side, &column) {
            columns.push((column, column_type));
        }
    }
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    // COUNT takes no LOB, and needs no more than whether there is something.
    let counts = columns.iter().map(|(column, _)| format!(", COUNT(CASE WHEN \"{column}\" IS NOT NULL THEN 1 END)"));
    let text = format!("SELECT COUNT(*){} FROM {}", counts.collect::<String>(), table.name());
    let rows = session.query(&text, &[], 1)?;
    let row = rows.first().ok_or_else(unreadable)?;
    let all = wire::number::<u64>(row, 0).ok_or_else(unreadable)?;
    let found = columns.into_iter().enumerate().map(|(place, (column, column_type))| {
        let filled = wire::number::<u64>(row, place + 1).ok_or_else(unreadable)?;
        Ok(LeftOut { column, column_type, rows: all, filled })
    });
    found.collect()
}
