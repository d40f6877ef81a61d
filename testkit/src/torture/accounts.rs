//! Exact books per client: what each client has booked on each shelf, counted and added up by either database, is what the client
//! knows of itself.
//!
//! `books` looks every operation up; this one asks the databases for sums, so that a mistake of one reading is not a mistake of both.
//!
//! [`differences`] is pure.

use std::collections::BTreeMap;

use model::Side;
use tokio_postgres::Client;

use super::books::{Books, bookings};
use super::journal::{Operation, Outcome};

const LEGACY: &str =
    "SELECT coalesce(left(USRID, 3), ''), rtrim(ITMNO), rtrim(LOCCD), MOVTYP::text, count(*), sum(MOVQTY)::int8
     FROM MOVLOG GROUP BY 1, 2, 3, 4";
const MODERN: &str =
    "SELECT coalesce(left(booked_by, 3), ''), sku, location, left(kind, 1), count(*), sum(quantity)::int8
     FROM stock_movement GROUP BY 1, 2, 3, 4";

/// Who, article, location, the first letter of the kind.
type Line = (String, String, String, String);

/// How many bookings there are of a line, and what they add up to.
pub type Accounts = BTreeMap<Line, (i64, i64)>;

/// Asks a side for its sums. Nobody should be writing.
///
/// # Errors
/// Of the database.
pub async fn read(side: Side, client: &Client) -> Result<Accounts, tokio_postgres::Error> {
    let sums = match side {
        Side::Legacy => LEGACY,
        Side::Modern => MODERN,
    };
    let rows = client.query(sums, &[]).await?;
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1), row.get(2), row.get(3)), (row.get(4), row.get(5)))).collect())
}

/// What clients know of themselves: what was acknowledged; and of what is in doubt, what stands in the books of `side`.
fn expected(operations: &[Operation], books: &Books, side: Side) -> Accounts {
    let mut accounts = Accounts::new();
    for operation in operations {
        let stands = match operation.outcome {
            Outcome::Acknowledged { .. } => true,
            Outcome::Unknown => books.get(side).has(operation),
            Outcome::Refused | Outcome::Failed | Outcome::Read(_) | Outcome::Nothing => false,
        };
        for (shelf, kind, quantity, _) in bookings(&operation.action).into_iter().filter(|_| stands) {
            let who = operation.mark.chars().take(3).collect();
            let line = (who, shelf.sku.clone(), shelf.location.clone(), kind.to_owned());
            let (count, sum) = accounts.entry(line).or_default();
            (*count, *sum) = (*count + 1, *sum + quantity);
        }
    }
    accounts
}

/// Lines on which a side's sums are not what clients know.
pub fn differences(operations: &[Operation], books: &Books, side: Side) -> Vec<String> {
    let (expected, found) = (expected(operations, books, side), &books.get(side).accounts);
    let lines: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differ = lines.into_iter().filter(|line| expected.get(*line) != found.get(*line));
    differ
        .map(|line| {
            let (who, sku, location, kind) = line;
            let of = |accounts: &Accounts| accounts.get(line).copied().unwrap_or_default();
            let ((count, sum), (known, added)) = (of(found), of(&expected));
            format!("{side}: {who} {sku}@{location} {kind}: {count} bookings with {sum}, and the client knows {known} with {added}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::PerSide;

    use super::super::books::SideBooks;
    use super::super::journal::{Action, Shelf};
    use super::*;

    fn adjusted(mark: &str, delta: i64, outcome: Outcome) -> Operation {
        let shelf = Shelf { sku: "A".into(), location: "B".into() };
        let (began, ended, failures) = (Duration::ZERO, Duration::ZERO, Vec::new());
        Operation {
            mark: mark.into(),
            action: Action::Adjust { shelf, delta },
            replica: 0,
            began,
            ended,
            failures,
            outcome,
        }
    }

    #[test]
    fn sums_are_what_each_client_knows() {
        let stands = || Outcome::Acknowledged { write: "w".into(), left: vec![1] };
        let operations =
            [adjusted("T01-1", 3, stands()), adjusted("T01-2", 4, stands()), adjusted("T02-1", 5, Outcome::Failed)];
        let line = |who: &str| (who.to_owned(), "A".to_owned(), "B".to_owned(), "R".to_owned());
        let side = SideBooks { accounts: [(line("T01"), (2, 7))].into(), ..SideBooks::default() };
        let mut books = PerSide { legacy: side.clone(), modern: side };
        for side in Side::BOTH {
            assert_eq!(differences(&operations, &books, side), Vec::<String>::new());
        }
        books.modern.accounts.insert(line("T01"), (2, 8));
        books.modern.accounts.insert(line("T02"), (1, 5));
        assert_eq!(differences(&operations, &books, Side::Modern).len(), 2);
        assert_eq!(differences(&operations, &books, Side::Legacy).len(), 0);
    }
}
