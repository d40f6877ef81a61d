//! A minute of random disturbances, and the books afterwards (`docs/torture.md`); and that the checks would have found it.

use std::time::Duration;

use testkit::torture::evidence::Evidence;
use testkit::torture::journal::{Action, Outcome};
use testkit::torture::promises::{ACCOUNTS, INJECTED, LINEARIZABLE, ONCE, SAGAS, SAID};
use testkit::torture::sagas::Told;
use testkit::torture::{Options, run};

use super::fleet::BINARY;
use crate::erp::contract_file;

/// Of disturbances and of what clients ask; another one by `STRANGLER_TEST_SEED`.
fn seed() -> u64 {
    std::env::var("STRANGLER_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(42)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_of_random_disturbances_breaks_no_promise() {
    let seed = seed();
    println!("seed {seed}");
    // GIVEN three replicas and two databases, WHEN all kinds of disturbances come over them for a minute, under load
    let options = Options {
        binary: BINARY.into(),
        contract: contract_file(),
        seed,
        length: Duration::from_secs(60),
        clients: 9,
        pause: Duration::from_millis(80),
        handover: true,
        whole: false,
        only: Vec::new(),
        logs: None,
    };
    let over = run(&options).await;
    println!("{}", over.report);
    // THEN every promise was kept
    assert_eq!(over.report.broken(), Vec::<&str>::new(), "{}", over.report);
    // and something was shown by that
    assert!(over.report.disturbances.len() >= 24, "{}", over.report);
    assert!(over.report.acknowledged > 100, "{}", over.report);
    for skipped in &over.report.skipped {
        eprintln!("SKIPPED: {skipped}");
    }
    the_checks_would_have_found_it(&over.evidence, seed);
}

/// The same run with one thing wrong in it.
fn the_checks_would_have_found_it(evidence: &Evidence, seed: u64) {
    let broken = |spoil: &dyn Fn(&mut Evidence)| {
        let mut spoilt = evidence.clone();
        spoil(&mut spoilt);
        spoilt.judge(seed).broken()
    };
    let acknowledged = |place: &usize| {
        let operation = &evidence.operations[*place];
        let adjusted = matches!(operation.action, Action::Adjust { delta, .. } if delta != 0);
        adjusted && matches!(operation.outcome, Outcome::Acknowledged { .. })
    };
    let mut writes: Vec<_> = (0..evidence.operations.len()).filter(acknowledged).collect();
    writes.sort_by_key(|place| evidence.operations[*place].ended);
    let mark = &evidence.operations[writes[writes.len() / 2]].mark;
    let lost = broken(&|it| {
        it.books.modern.movements.remove(mark);
    });
    assert_eq!(lost, [ONCE]);
    let doubled = broken(&|it| {
        let movements = it.books.legacy.movements.get_mut(mark).unwrap();
        movements.push(movements[0].clone());
    });
    assert_eq!(doubled, [ONCE]);
    // A write that no client knows of: nothing explains what the later ones were told. (A count that came right
    // behind it would hide it from the history, so one of the last few must do.)
    let unknown = |place: &usize| {
        let broken = broken(&|it| {
            it.operations.remove(*place);
        });
        assert!(broken.contains(&ONCE), "a movement that nobody asked for");
        broken.contains(&LINEARIZABLE)
    };
    assert!(writes.iter().rev().take(10).any(unknown));
    let unexplained = broken(&|it| it.done.disturbances.clear());
    assert_eq!(unexplained, [INJECTED]);
    // Each client's account, a half of an order, reports that nobody could judge.
    let booked = broken(&|it| {
        it.books.modern.accounts.pop_last();
    });
    assert_eq!(booked, [ACCOUNTS]);
    let placed = evidence.orders.iter().find(|order| order.told == Told::Placed).unwrap();
    let half = broken(&|it| {
        it.shop.legacy.parcels.remove(&placed.id);
    });
    assert_eq!(half, [SAGAS]);
    let unheard = broken(&|it| it.done.said.judged.clear());
    assert_eq!(unheard, [SAID]);
}
