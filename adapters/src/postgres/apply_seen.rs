//! Rows that an apply has found to be otherwise than they should be, read from the answers of `apply_text`.

use model::foreign::{Found, NOTHING, Whose, whose};
use model::{EntityKey, Side, StoreError, Unnumbered};
use tokio_postgres::Row;

use super::session::Session;
use super::table::Table;
use super::wire::{Stored, get};
use super::{apply_text, ledger, own_keys};
use crate::number::number;

/// A row that has not the number which it should have.
pub(super) struct Seen {
    /// What it is; `None`: it is as it should be, and only numbered otherwise.
    pub(super) found: Option<Found>,
    pub(super) number: i64,
    /// It may be there although it was not seen.
    pub(super) hidden: bool,
}

/// One row of the answer to `apply_text::look` or `apply_text::witness`, unless it has the number that it should have.
pub(super) fn seen(side: Side, table: Table<'_>, row: &Row) -> Result<Option<Seen>, StoreError> {
    let width = table.entity.fields.len();
    let flag = |place: usize| get::<bool>(side, row, place);
    let (left, base): (Option<i64>, Option<i64>) = (get(side, row, width)?, get(side, row, width + 4)?);
    let (number, hidden, copy): (i64, _, _) = (get(side, row, width + 1)?, !flag(width + 3)?, flag(width + 5)?);
    let suspect = match whose(left, base, number) {
        Whose::Ours => false,
        Whose::Foreign => true,
        Whose::Unproven => copy && number != NOTHING,
    };
    if !suspect {
        return Ok(hidden.then_some(Seen { found: None, number, hidden }));
    }
    let found = found(table, row, number, |number| left == Some(number) || base == Some(number));
    Ok(Some(Seen { found, number, hidden }))
}

/// What a row of this number is; `None`: a record whose number, as we make it, is `known`. A primary leaves that one.
fn found(table: Table<'_>, row: &Row, now: i64, known: impl Fn(i64) -> bool) -> Option<Found> {
    let record = table.record(table.entity.all_fields(), row);
    match record.unreadable().is_empty() {
        _ if now == NOTHING => Some(Found::Nothing),
        true => (!known(number(table.entity, Some(&record)))).then_some(Found::Record(record)),
        false => Some(Found::Unreadable),
    }
}

/// See `Store::as_left`.
pub(super) async fn as_left(session: &Session, table: Table<'_>, key: &EntityKey) -> Result<Option<bool>, StoreError> {
    let numbers = own_keys::of_type(session, table, std::slice::from_ref(key), Unnumbered::Leave).await?;
    let table = table.with(&numbers);
    let Some(parts) = table.key_values(key) else { return Ok(None) };
    let mut values = vec![Stored::Text(table.entity.name.to_string()), Stored::Text(key.as_text().to_owned())];
    values.extend(parts);
    let rows = ledger::ask(session, &apply_text::as_left(table), &values).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let width = table.entity.fields.len();
    let (left, now): (i64, i64) = (get(table.side, row, width)?, get(table.side, row, width + 1)?);
    Ok(Some(left == now || found(table, row, now, |number| number == left).is_none()))
}
