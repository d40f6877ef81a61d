//! The audit bites: books that are right pass, and each way of being wrong is found.

use std::time::Duration;

use super::*;

fn shelf(location: &str) -> Shelf {
    Shelf { sku: "A".into(), location: location.into() }
}

fn operation(number: usize, action: Action, outcome: Outcome) -> Operation {
    let mark = super::super::journal::mark(1, number);
    Operation { mark, action, replica: 0, began: Duration::ZERO, ended: Duration::ZERO, failures: Vec::new(), outcome }
}

fn acknowledged(number: usize, action: Action, left: Vec<i64>) -> Operation {
    operation(number, action, Outcome::Acknowledged { write: format!("w{number}"), left })
}

/// One operation of each outcome, and the books that they should leave.
fn run() -> (Vec<Operation>, Books) {
    let adjust = |delta| Action::Adjust { shelf: shelf("B"), delta };
    let operations = vec![
        acknowledged(0, adjust(-3), vec![7]),
        acknowledged(1, Action::Count { shelf: shelf("B"), on_hand: 5 }, vec![5]),
        acknowledged(2, Action::Transfer { from: shelf("B"), to: shelf("H"), quantity: 2 }, vec![3, 12]),
        operation(3, adjust(-9), Outcome::Refused),
        operation(4, adjust(1), Outcome::Failed),
        operation(5, adjust(4), Outcome::Unknown),
        operation(6, adjust(6), Outcome::Unknown),
    ];
    let mut side = SideBooks::default();
    for operation in operations
        .iter()
        .filter(|operation| ![3, 4, 6].map(|n| super::super::journal::mark(1, n)).contains(&operation.mark))
    {
        let write = match &operation.outcome {
            Outcome::Acknowledged { write, .. } => write.clone(),
            Outcome::Unknown | Outcome::Refused | Outcome::Failed | Outcome::Read(_) | Outcome::Nothing => {
                "somebody's".to_owned()
            }
        };
        let movements: Vec<_> = bookings(&operation.action)
            .into_iter()
            .map(|(shelf, kind, quantity, suffix)| Movement {
                id: format!("{write}{suffix}"),
                shelf: shelf.clone(),
                kind: kind.into(),
                quantity,
            })
            .collect();
        let changes = 2 * i64::try_from(movements.len()).unwrap();
        side.rows.extend(movements.iter().map(|movement| format!("{movement:?}")));
        side.ledger.insert(write, Entry { changes, settled: changes });
        side.movements.insert(operation.mark.clone(), movements);
    }
    (operations, PerSide { legacy: side.clone(), modern: side })
}

/// What is found on `side` once `spoil` has changed it.
fn found(side: Side, spoil: impl FnOnce(&mut SideBooks)) -> Vec<(Side, Wrong)> {
    let (operations, mut books) = run();
    spoil(match side {
        Side::Legacy => &mut books.legacy,
        Side::Modern => &mut books.modern,
    });
    audit(&operations, &books, &[]).into_iter().map(|finding| (finding.side, finding.wrong)).collect()
}

fn mark(number: usize) -> String {
    super::super::journal::mark(1, number)
}

#[test]
fn books_that_say_what_clients_were_told_pass() {
    let (operations, books) = run();
    assert_eq!(audit(&operations, &books, &[]), []);
    assert_eq!(differing_rows(&books), Vec::<String>::new());
}

#[test]
fn an_acknowledged_write_that_is_missing_or_doubled_on_either_side_is_found() {
    for side in Side::BOTH {
        let missing = found(side, |books| {
            books.movements.remove(&mark(0));
        });
        assert_eq!(missing, [(side, Wrong::Missing)]);
        let doubled = found(side, |books| {
            let movements = books.movements.get_mut(&mark(1)).unwrap();
            let again = Movement { id: "another".into(), ..movements[0].clone() };
            movements.push(again);
        });
        assert_eq!(doubled, [(side, Wrong::Doubled)]);
        let half = found(side, |books| {
            books.movements.get_mut(&mark(2)).unwrap().pop();
        });
        assert_eq!(half, [(side, Wrong::Half)]);
        let different = found(side, |books| books.movements.get_mut(&mark(0)).unwrap()[0].quantity = -4);
        assert_eq!(different, [(side, Wrong::Different)]);
        let under_another_id = found(side, |books| books.movements.get_mut(&mark(0)).unwrap()[0].id = "w9".into());
        assert_eq!(under_another_id, [(side, Wrong::Different)]);
    }
}

#[test]
fn what_stands_though_it_was_refused_or_failed_or_nobody_asked_is_found() {
    for number in [3, 4] {
        let ghost = found(Side::Legacy, |books| {
            let movements = books.movements[&mark(5)].clone();
            books.movements.insert(mark(number), movements);
        });
        assert_eq!(ghost, [(Side::Legacy, Wrong::Ghost)]);
    }
    let stranger = found(Side::Modern, |books| {
        let movements = books.movements[&mark(5)].clone();
        books.movements.insert("ASCHMIDT".into(), movements);
    });
    assert_eq!(stranger, [(Side::Modern, Wrong::Stranger)]);
}

#[test]
fn a_doubtful_write_may_stand_whole_or_not_at_all() {
    let neither = found(Side::Legacy, |books| {
        books.movements.remove(&mark(5));
    });
    assert_eq!(neither, []);
    let doubled = found(Side::Legacy, |books| {
        let movements = books.movements.get_mut(&mark(5)).unwrap();
        movements.push(movements[0].clone());
    });
    assert_eq!(doubled, [(Side::Legacy, Wrong::Doubled)]);
}

#[test]
fn an_acknowledged_write_that_the_ledger_lacks_or_calls_unsettled_is_found() {
    let lacking = found(Side::Modern, |books| {
        books.ledger.remove("w0");
    });
    assert_eq!(lacking, [(Side::Modern, Wrong::NotInLedger)]);
    let unsettled = found(Side::Legacy, |books| books.ledger.get_mut("w0").unwrap().settled = 1);
    assert_eq!(unsettled, [(Side::Legacy, Wrong::Unsettled)]);
}

#[test]
fn a_row_that_one_side_lacks_or_has_otherwise_is_found() {
    let (_, mut books) = run();
    let row = books.modern.rows.pop_first().unwrap();
    assert_eq!(differing_rows(&books), [format!("only on legacy: {row}")]);
    books.modern.rows.insert("another".into());
    assert_eq!(differing_rows(&books).len(), 2);
}

#[test]
fn the_ledger_of_a_side_that_was_put_back_has_lost_the_time_between_and_nothing_else() {
    let (operations, mut books) = run();
    books.legacy.ledger.clear();
    let restored = |from: u64, to: u64| {
        let (copied, back) = (Duration::from_secs(from), Duration::from_secs(to));
        [Restored { side: Side::Legacy, copied, back }]
    };
    assert_eq!(audit(&operations, &books, &restored(0, 99)), []);
    assert!(audit(&operations, &books, &restored(98, 99)).len() > 1, "they were long acknowledged");
    books.modern.ledger.clear();
    assert!(audit(&operations, &books, &restored(0, 99)).iter().all(|it| it.side == Side::Modern));
    books.legacy.movements.clear();
    assert!(audit(&operations, &books, &restored(0, 99)).iter().any(|it| it.wrong == Wrong::Missing));
}
