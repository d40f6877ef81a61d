//! What stands in both databases after a run, and whether it is what clients were told.
//!
//! Read with SQL of its own, past the program and its adapters: whoever checks should not ask the checked.
//! A mark (`journal::mark`) names the movements of one operation. Rows that were changed past the fleet (`inspect`) are not in these books.
//!
//! [`audit`] and [`differing_rows`] are pure.

use std::collections::{BTreeMap, BTreeSet};

use model::{PerSide, Side};
use tokio_postgres::Client;

use super::accounts::{self, Accounts};
use super::journal::{Action, Operation, Outcome, Shelf};
use super::restore::Restored;

const LEGACY: [&str; 3] = [
    "SELECT rtrim(MOVID), rtrim(ITMNO), rtrim(LOCCD), MOVTYP::text, MOVQTY::int8, coalesce(rtrim(USRID), '') FROM MOVLOG",
    "SELECT rtrim(ITMNO), rtrim(LOCCD), QTYOH::int8 FROM STKBAL",
    "SELECT jsonb_build_array('product', rtrim(ITMNO), ITMDSC, nullif(ITMTXT, ''), UPRICE::numeric(12, 2), WGTKG::numeric(10, 3), ACTFLG = 'Y', CHGDT)::text FROM ITMHDR WHERE ITMNO NOT LIKE 'DRF-%'
     UNION ALL
     SELECT jsonb_build_array('level', rtrim(ITMNO), rtrim(LOCCD), QTYOH::int8, QTYRSV::int8, QTYMIN::int8, BLKFLG = 'Y', RMK, CHGDT)::text FROM STKBAL
     UNION ALL
     SELECT jsonb_build_array('movement', rtrim(MOVID), rtrim(ITMNO), rtrim(LOCCD), MOVTYP, MOVQTY::int8, BOOKDT, nullif(RSNTXT, ''), rtrim(USRID))::text FROM MOVLOG
     UNION ALL
     SELECT jsonb_build_array('stock', rtrim(SKU), FREE::int8, RSV::int8)::text FROM STK
     UNION ALL
     SELECT jsonb_build_array('order', rtrim(ORDID), rtrim(SKU), QTY::int8)::text FROM ORDHDR
     UNION ALL
     SELECT jsonb_build_array('parcel', rtrim(PARID), rtrim(ORDID))::text FROM PARCEL",
];
const MODERN: [&str; 3] = [
    "SELECT id, sku, location, left(kind, 1), quantity::int8, coalesce(booked_by, '') FROM stock_movement",
    "SELECT sku, location, on_hand::int8 FROM stock_level",
    "SELECT jsonb_build_array('product', sku, name, description, unit_price, weight_kg, active, updated_at AT TIME ZONE 'Europe/Berlin')::text FROM product WHERE sku NOT LIKE 'DRF-%'
     UNION ALL
     SELECT jsonb_build_array('level', sku, location, on_hand::int8, reserved::int8, reorder_point::int8, blocked, remark, updated_at AT TIME ZONE 'Europe/Berlin')::text FROM stock_level
     UNION ALL
     SELECT jsonb_build_array('movement', id, sku, location, left(kind, 1), quantity::int8, booked_at AT TIME ZONE 'Europe/Berlin', reason, booked_by)::text FROM stock_movement
     UNION ALL
     SELECT jsonb_build_array('stock', sku, free, reserved)::text FROM stock
     UNION ALL
     SELECT jsonb_build_array('order', id, sku, quantity)::text FROM orders
     UNION ALL
     SELECT jsonb_build_array('parcel', id, order_id)::text FROM parcel",
];
/// Of writes that stand.
const LEDGER: &str = "SELECT write_id::text, count(*), count(*) FILTER (WHERE state = 'settled')
     FROM strangler_ledger WHERE state <> 'abandoned' GROUP BY write_id";
/// The beginnings of RECEIPT, ISSUE, TRANSFER and COUNT.
const KINDS: [&str; 4] = ["R", "I", "T", "C"];

/// A booking.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Movement {
    /// Its id: that of the write, with a suffix for the halves of a transfer.
    pub id: String,
    /// Where.
    pub shelf: Shelf,
    /// The first letter of its kind.
    pub kind: String,
    /// How much.
    pub quantity: i64,
}

/// What the ledger of a side says of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Changes that stand.
    pub changes: i64,
    /// How many of them are settled.
    pub settled: i64,
}

/// The books of one side.
#[derive(Debug, Clone, Default)]
pub struct SideBooks {
    /// Movements by the mark of their operation.
    pub movements: BTreeMap<String, Vec<Movement>>,
    /// What is on hand.
    pub levels: BTreeMap<Shelf, i64>,
    /// The ledger, by write id.
    pub ledger: BTreeMap<String, Entry>,
    /// What each client has booked, added up by the database.
    pub accounts: Accounts,
    /// Every row of the business tables, as both sides would write it.
    pub rows: BTreeSet<String>,
}

/// The books of both sides.
pub type Books = PerSide<SideBooks>;

/// Something in the books that should not be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it stands, or does not.
    pub side: Side,
    /// The operation.
    pub mark: String,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What is wrong with an operation's bookings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// It was acknowledged, and nothing stands.
    Missing,
    /// More stands than one operation books.
    Doubled,
    /// Something else stands.
    Different,
    /// Half of a transfer stands.
    Half,
    /// It stands, and the client was told that it does not.
    Ghost,
    /// Nobody in this run asked for it.
    Stranger,
    /// The ledger does not have all of an acknowledged write.
    NotInLedger,
    /// A ledger says that the other side lacks it.
    Unsettled,
}

impl SideBooks {
    /// Reads one side. Nobody should be writing.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(side: Side, client: &Client) -> Result<Self, tokio_postgres::Error> {
        let [movements, levels, rows] = match side {
            Side::Legacy => LEGACY,
            Side::Modern => MODERN,
        };
        let mut books = Self::default();
        for row in client.query(movements, &[]).await? {
            let shelf = Shelf { sku: row.get(1), location: row.get(2) };
            let movement = Movement { id: row.get(0), shelf, kind: row.get(3), quantity: row.get(4) };
            books.movements.entry(row.get(5)).or_default().push(movement);
        }
        for row in client.query(levels, &[]).await? {
            books.levels.insert(Shelf { sku: row.get(0), location: row.get(1) }, row.get(2));
        }
        for row in client.query(LEDGER, &[]).await? {
            books.ledger.insert(row.get(0), Entry { changes: row.get(1), settled: row.get(2) });
        }
        books.accounts = accounts::read(side, client).await?;
        books.rows = client.query(rows, &[]).await?.into_iter().map(|row| row.get(0)).collect();
        Ok(books)
    }

    /// Whether `operation` is booked here, in whole or in part.
    pub fn has(&self, operation: &Operation) -> bool {
        self.movements.get(&operation.mark).is_some_and(|movements| !movements.is_empty())
    }
}

/// Rows that stand on one side only, or differ.
pub fn differing_rows(books: &Books) -> Vec<String> {
    let only = |side: Side| {
        let lacking = books.get(side).rows.difference(&books.get(side.other()).rows);
        lacking.map(move |row| format!("only on {side}: {row}"))
    };
    Side::BOTH.into_iter().flat_map(only).collect()
}

/// Looks up every operation on both sides.
///
/// A side that was put back to a copy has lost its ledger of the time between; the other side's has these writes still.
pub fn audit(operations: &[Operation], books: &Books, restored: &[Restored]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for side in Side::BOTH {
        let books = books.get(side);
        let mut note = |mark: &str, wrong| findings.push(Finding { side, mark: mark.to_owned(), wrong });
        for operation in operations.iter().filter(|operation| operation.action.writes()) {
            if let Some(wrong) = judge(operation, books.movements.get(&operation.mark).map_or(&[], Vec::as_slice)) {
                note(&operation.mark, wrong);
            }
            let lost = |it: &Restored| it.side == side && it.copied <= operation.ended && operation.began <= it.back;
            let wrong = in_ledger(operation, books);
            if let Some(wrong) = wrong.filter(|wrong| *wrong != Wrong::NotInLedger || !restored.iter().any(lost)) {
                note(&operation.mark, wrong);
            }
        }
        let known: BTreeSet<_> = operations.iter().map(|operation| &operation.mark).collect();
        for mark in books.movements.keys().filter(|mark| !known.contains(mark)) {
            note(mark, Wrong::Stranger);
        }
    }
    findings
}

/// What an operation books: shelf, kind, quantity, and what its id has behind the write's.
pub(super) fn bookings(action: &Action) -> Vec<(&Shelf, &'static str, i64, &'static str)> {
    let [receipt, issue, transfer, count] = KINDS;
    match action {
        Action::Adjust { shelf, delta } => vec![(shelf, if *delta < 0 { issue } else { receipt }, *delta, "")],
        Action::Count { shelf, on_hand } => vec![(shelf, count, *on_hand, "")],
        Action::Transfer { from, to, quantity } => {
            vec![(from, transfer, -quantity, "-out"), (to, transfer, *quantity, "-in")]
        }
        Action::Miss { .. } | Action::Look { .. } => Vec::new(),
    }
}

fn judge(operation: &Operation, found: &[Movement]) -> Option<Wrong> {
    let wanted = bookings(&operation.action);
    let write = match &operation.outcome {
        Outcome::Acknowledged { write, .. } => Some(write.as_str()),
        Outcome::Unknown => None,
        Outcome::Refused | Outcome::Failed | Outcome::Read(_) | Outcome::Nothing => {
            return (!found.is_empty()).then_some(Wrong::Ghost);
        }
    };
    if found.is_empty() {
        return write.map(|_| Wrong::Missing);
    }
    if found.len() != wanted.len() {
        return Some(if found.len() > wanted.len() { Wrong::Doubled } else { Wrong::Half });
    }
    let is = |movement: &Movement, &(shelf, kind, quantity, suffix): &(&Shelf, &str, i64, &str)| {
        let named = write.is_none_or(|write| movement.id == format!("{write}{suffix}"));
        named && movement.shelf == *shelf && movement.kind == kind && movement.quantity == quantity
    };
    let all = wanted.iter().all(|wanted| found.iter().any(|movement| is(movement, wanted)));
    (!all).then_some(Wrong::Different)
}

fn in_ledger(operation: &Operation, books: &SideBooks) -> Option<Wrong> {
    let Outcome::Acknowledged { write, .. } = &operation.outcome else { return None };
    // Each booking comes with a stock level.
    let changes = 2 * i64::try_from(bookings(&operation.action).len()).unwrap_or(i64::MAX);
    match books.ledger.get(write) {
        Some(entry) if entry.changes == changes => (entry.settled != changes).then_some(Wrong::Unsettled),
        Some(_) | None => Some(Wrong::NotInLedger),
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
