//! Reconcile finds what has drifted and nothing else; repair levels it; neither takes silence for an answer.

use std::sync::Arc;
use std::time::Duration;
use testkit::begin::Begin as _;

use adapters::memory::MemoryStore;
use adapters::memory::control::MemoryControl;
use data_plane::breaker::{Breaker, BreakerSettings};
use data_plane::catchup::baseline;
use data_plane::catchup::repair::{Levelled, RepairSettings, Repairer};
use data_plane::reconcile::{ReconcileError, ReconcileSettings, Reconciled, Reconciler, Run};
use data_plane::write::apply::Door;
use model::control::reconciliation::{AtRest, RepairCount, at_rest, mapping};
use model::control::{Author, ReconciliationStore as _};
use model::evidence::Cause;
use model::{
    Command, EntityKey, EntityType, Epoch, PerSide, Percentage, Policy, Role, Side, Stage, Store, Work, WriteId,
    Written,
};
use shadow_compare::Redactor;
use testkit::faults::{Call, Fault, FaultyStore};
use testkit::inventory::{self, level, level_key};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::rig::WITHIN;

mod engines;
mod unknown;

/// Two stores, the doors to them, and where runs are recorded.
struct Site {
    stores: PerSide<FaultyStore>,
    doors: PerSide<Arc<Door>>,
    control: Arc<MemoryControl>,
    settings: ReconcileSettings,
}

impl Site {
    async fn over(stores: PerSide<Arc<dyn Store>>) -> Self {
        let stores = stores.map(|_, store| FaultyStore::new(store));
        stores.legacy.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
        stores.modern.begin_as(&[inventory::group()], Role::Secondary, WITHIN).await.unwrap();
        let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
        let behind = stores.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>);
        let doors = Door::both(&inventory::contract(), &behind, breaker, WITHIN, None);
        // Small enough that chunks are taken apart.
        let settings =
            ReconcileSettings { pause: Duration::ZERO, most_members: 5, suspects: 50, ..ReconcileSettings::default() };
        Self { stores, doors, control: Arc::default(), settings }
    }

    fn stores(&self) -> PerSide<Arc<dyn Store>> {
        self.stores.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>)
    }

    fn reconciler(&self) -> Reconciler {
        Reconciler {
            stores: self.stores(),
            control: self.control.clone(),
            redactor: Redactor::new(b"a secret of the tests"),
            today: || chrono::Utc::now().date_naive(),
            settings: self.settings,
        }
    }

    async fn reconcile(&self) -> Reconciled {
        let run = Run::new(levels(), author(), policy(Stage::DualWrite));
        self.reconciler().run(&run, &CancellationToken::new(), |_| {}).await.unwrap()
    }

    fn repairer(&self) -> Repairer {
        Repairer {
            stores: self.stores(),
            doors: self.doors.clone(),
            today: || chrono::Utc::now().date_naive(),
            settings: RepairSettings { per_second: 10_000, ..RepairSettings::default() },
        }
    }

    async fn repair(&self, keys: &[EntityKey]) -> RepairCount {
        let stop = CancellationToken::new();
        self.repairer().level_all(&policy(Stage::DualWrite), &levels(), keys, &stop, |_, _| {}).await
    }

    async fn level(&self, key: &EntityKey) -> Levelled {
        self.repairer().level(&policy(Stage::DualWrite), &levels(), key).await
    }

    /// A client's write: primary, then secondary, then settled.
    async fn adjust(&self, sku: &str, delta: i64) {
        let work =
            Work::Run { statements: vec![inventory::adjust(Side::Legacy)], params: inventory::at(sku, "BER", delta) };
        let command = Command {
            write: WriteId(Uuid::now_v7()),
            group: inventory::group(),
            epoch: Epoch(1),
            work,
            touches: vec![level_key(sku, "BER")],
            must_fit: &Side::BOTH,
            must_exist: Vec::new(),
            idempotency: None,
        };
        let Written::Now(changes) = self.stores.legacy.execute(&command, WITHIN).await.unwrap() else {
            panic!("written before");
        };
        // The secondary has it a little later.
        tokio::time::sleep(Duration::from_millis(u64::from(rand::random::<u8>() % 20))).await;
        self.doors.modern.apply(changes).await.unwrap();
        self.stores.legacy.settle(&[command.write], WITHIN).await.unwrap();
    }

    async fn on_hand(&self, side: Side, sku: &str) -> Option<i64> {
        let store: Arc<dyn Store> = Arc::new(self.stores.get(side).clone());
        testkit::contract::on_hand(&store, sku, "BER").await
    }

    /// How long ago the stock levels were known to be equal.
    async fn known_equal(&self) -> Option<Duration> {
        let newest = self.control.newest_reconciliations(&inventory::group()).await.unwrap();
        let levels = levels();
        match at_rest(&[(levels.name.clone(), mapping(&levels))], &newest) {
            AtRest::Equal(age) => Some(age),
            AtRest::Unknown(_) | AtRest::Drifted(_) => None,
        }
    }

    async fn backlog(&self) -> u64 {
        self.stores.legacy.backlog(&inventory::group(), WITHIN).await.unwrap().writes
    }
}

fn levels() -> Arc<EntityType> {
    Arc::clone(inventory::contract().entity(&"StockLevel".into()).unwrap())
}

fn author() -> Author {
    Author { who: "ada".into(), origin: "desk".into(), reason: Some("a try".into()) }
}

fn policy(stage: Stage) -> Policy {
    Policy::new(stage, Percentage::ZERO, Percentage::ZERO, Epoch(1)).unwrap()
}

fn sku(number: usize) -> String {
    format!("SKU-{number:05}")
}

fn kinds(found: &Reconciled) -> Vec<(Option<&str>, Cause, u64)> {
    let kinds = found.findings.kinds.iter();
    kinds.map(|kind| (kind.field.as_ref().map(|field| field.as_str()), kind.cause, kind.rows)).collect()
}

/// A site in memory; both sides hold the same `rows` levels of 100, which were copied and never written.
async fn in_memory(rows: usize) -> (Site, PerSide<MemoryStore>) {
    let stores = PerSide { legacy: (), modern: () }.map(|side, ()| inventory::in_memory(side));
    let site = Site::over(stores.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>)).await;
    stores.legacy.meddle(|all| all.extend((0..rows).map(|n| (level_key(&sku(n), "BER"), level(&sku(n), "BER", 100)))));
    let copied = baseline::copy(&site.stores().legacy, &site.doors.modern, &levels(), 1, WITHIN, |_| {}).await;
    assert_eq!(copied.unwrap().filled, rows as u64);
    (site, stores)
}

/// Plants 4 missing rows, 3 rows too many, 2 wrong ones, and one that is behind by a write.
async fn plant(site: &Site, modern: &MemoryStore) {
    site.adjust(&sku(9), -1).await;
    modern.meddle(|rows| {
        (0..4).for_each(|n| drop(rows.remove(&level_key(&sku(n), "BER"))));
        (0..3).for_each(|n| drop(rows.insert(level_key(&format!("X{n}"), "BER"), level(&format!("X{n}"), "BER", 1))));
        (4..6).for_each(|n| drop(rows.insert(level_key(&sku(n), "BER"), level(&sku(n), "BER", 7))));
    });
    site.adjust(&sku(8), -1).await;
    site.adjust(&sku(8), -1).await;
    modern.meddle(|rows| drop(rows.insert(level_key(&sku(8), "BER"), level(&sku(8), "BER", 99))));
}

#[tokio::test(start_paused = true)]
async fn planted_drift_is_found_by_cause_recorded_and_levelled() {
    let (site, stores) = in_memory(2_000).await;
    plant(&site, &stores.modern).await;

    let found = site.reconcile().await;
    assert!(found.findings.is_complete());
    assert_eq!(found.findings.rows, PerSide { legacy: 2_000, modern: 1_999 });
    let expected = [
        (None, Cause::MissingRow, 4),
        (None, Cause::ExtraRow, 3),
        (Some("onHand"), Cause::ForeignWrite, 2),
        (Some("onHand"), Cause::Stale, 1),
    ];
    assert_eq!(kinds(&found), expected);
    let last = site.control.newest_reconciliations(&inventory::group()).await.unwrap();
    assert_eq!(last[0].reconciliation.findings.as_ref(), Some(&found.findings));
    assert_eq!(last[0].reconciliation.author, author());

    let keys: Vec<_> = found.listed.iter().map(|row| row.key.clone()).collect();
    assert_eq!(site.repair(&keys).await, RepairCount { repaired: 10, ..RepairCount::default() });
    assert_eq!(stores.modern.rows(), stores.legacy.rows());
    assert_eq!(site.backlog().await, 0, "a repair is settled");
    // Three of them are gone on both sides.
    assert_eq!(site.repair(&keys).await, RepairCount { level: 7, absent: 3, ..RepairCount::default() });
    assert_eq!(site.reconcile().await.findings.drift, 0);
}

#[tokio::test(start_paused = true)]
async fn equal_tables_are_compared_by_their_sums_alone() {
    let (site, _) = in_memory(2_000).await;
    let found = site.reconcile().await;
    assert_eq!((found.findings.rows.modern, found.findings.drift), (2_000, 0));
    let calls = |call| site.stores.legacy.calls(call) + site.stores.modern.calls(call);
    assert_eq!((calls(Call::Sums), calls(Call::Members), calls(Call::Fetch)), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn writes_on_their_way_are_no_drift_and_planted_drift_among_them_is() {
    let (site, stores) = in_memory(300).await;
    let site = Arc::new(site);
    let writing = (0..6).map(|writer: usize| {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            for round in 0.. {
                site.adjust(&sku((writer * 31 + round * 7) % 250), 1).await;
            }
        })
    });
    let writing: Vec<_> = writing.collect();
    for _ in 0..5 {
        let found = site.reconcile().await;
        assert_eq!((found.findings.drift, found.findings.is_complete()), (0, true), "{:?}", found.findings);
    }
    stores.modern.meddle(|rows| drop(rows.remove(&level_key(&sku(290), "BER"))));
    assert_eq!(kinds(&site.reconcile().await), [(None, Cause::MissingRow, 1)]);
    writing.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn clients_win_over_a_repair_and_lose_no_write() {
    let (site, stores) = in_memory(3).await;
    let site = Arc::new(site);
    let writing = tokio::spawn({
        let site = Arc::clone(&site);
        async move {
            for _ in 0..200 {
                site.adjust(&sku(1), 1).await;
            }
        }
    });
    while !writing.is_finished() {
        stores.modern.meddle(|rows| drop(rows.insert(level_key(&sku(1), "BER"), level(&sku(1), "BER", 7))));
        let levelled = site.level(&level_key(&sku(1), "BER")).await;
        assert!(!matches!(levelled, Levelled::Refused(_) | Levelled::LeftToRelay), "{levelled:?}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    writing.await.unwrap();
    site.level(&level_key(&sku(1), "BER")).await;
    assert_eq!(site.on_hand(Side::Legacy, &sku(1)).await, Some(300));
    assert_eq!(site.on_hand(Side::Modern, &sku(1)).await, Some(300));
}

#[tokio::test(start_paused = true)]
async fn what_a_side_does_not_tell_never_counts_as_compared() {
    for side in Side::BOTH {
        for call in [Call::Snapshot, Call::Keyless, Call::Sums, Call::Members, Call::Fetch, Call::UnsettledKeys] {
            // Only the primary is asked what is unsettled.
            if call == Call::UnsettledKeys && side == Side::Modern {
                continue;
            }
            for fault in [Fault::Down, Fault::Hang, Fault::Lost] {
                let (site, stores) = in_memory(50).await;
                stores.modern.meddle(|rows| drop(rows.remove(&level_key(&sku(7), "BER"))));
                site.stores.get(side).always(call, fault);
                let found = site.reconcile().await;
                let what = format!("{side} {call:?} {fault:?}: {:?}", found.findings);
                assert!(!found.findings.is_complete() && found.findings.drift == 0, "{what}");
                assert!(site.known_equal().await.is_none(), "{what}");
                site.stores.get(side).heal();
                assert_eq!(site.reconcile().await.findings.drift, 1, "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_moment_that_is_lost_is_taken_anew_and_a_table_too_large_is_taken_in_parts() {
    let (site, stores) = in_memory(500).await;
    stores.modern.meddle(|rows| drop(rows.remove(&level_key(&sku(7), "BER"))));
    for (call, nth, fault) in [
        (Call::Sums, 1, Fault::Hang),
        (Call::Sums, 1, Fault::Lost),
        (Call::Members, 1, Fault::Lost),
        (Call::Members, 1, Fault::Down),
    ] {
        let before = site.stores.legacy.calls(Call::Snapshot);
        site.stores.legacy.on(call, nth, fault);
        let found = site.reconcile().await;
        assert_eq!(kinds(&found), [(None, Cause::MissingRow, 1)], "{call:?} {fault:?}");
        assert!(found.findings.is_complete(), "{call:?} {fault:?}");
        assert_eq!(found.findings.rows, PerSide { legacy: 500, modern: 499 }, "{call:?} {fault:?}");
        assert_eq!(site.stores.legacy.calls(Call::Snapshot), before + 2, "{call:?} {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_is_on_record_as_incomplete() {
    let (site, stores) = in_memory(500).await;
    stores.modern.meddle(rows_cleared);
    let (reconciler, stop) = (site.reconciler(), CancellationToken::new());
    let run = Run::new(levels(), author(), policy(Stage::Shift));
    let found = reconciler.run(&run, &stop, |_| stop.cancel()).await.unwrap();
    assert_eq!(found.findings.problem.as_deref(), Some("it was stopped"));
    assert!(site.known_equal().await.is_none());
    assert_eq!(site.control.reconciliations(None, 9).await.unwrap()[0].findings, Some(found.findings));
}

fn rows_cleared(rows: &mut adapters::memory::Rows) {
    rows.clear();
}

#[tokio::test(start_paused = true)]
async fn an_empty_side_is_drift_and_a_group_that_is_not_written_to_both_sides_is_not_compared() {
    let (site, stores) = in_memory(40).await;
    stores.modern.meddle(rows_cleared);
    let found = site.reconcile().await;
    assert_eq!(kinds(&found), [(None, Cause::MissingRow, 40)]);
    assert_eq!(found.findings.rows, PerSide { legacy: 40, modern: 0 });
    let run = Run::new(levels(), author(), policy(Stage::Legacy));
    let refused = site.reconciler().run(&run, &CancellationToken::new(), |_| {}).await;
    assert!(matches!(refused, Err(ReconcileError::NotKeptEqual { .. })));
    let repairer = site.repairer();
    let levelled = repairer.level(&policy(Stage::Legacy), &levels(), &level_key(&sku(1), "BER")).await;
    assert!(matches!(levelled, Levelled::Refused(why) if why.contains("stage legacy")));
    assert_eq!(site.backlog().await, 0, "nothing was touched");
}

#[tokio::test(start_paused = true)]
async fn without_a_record_nothing_is_compared() {
    let (site, _) = in_memory(5).await;
    site.control.set_down(true);
    let run = Run::new(levels(), author(), policy(Stage::DualWrite));
    let refused = site.reconciler().run(&run, &CancellationToken::new(), |_| {}).await;
    assert!(matches!(refused, Err(ReconcileError::Control(_))));
    assert_eq!(site.stores.legacy.calls(Call::Sums), 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_levelled_says_why() {
    let (site, stores) = in_memory(5).await;
    // More than modern's integer holds, written past strangler.
    stores.legacy.meddle(|rows| drop(rows.insert(level_key(&sku(1), "BER"), level(&sku(1), "BER", 3_000_000_000))));
    let Levelled::Refused(why) = site.level(&level_key(&sku(1), "BER")).await else { panic!("it does not fit") };
    assert!(why.contains("refused") && !why.contains("3000000000"), "{why}");
    assert_eq!(site.backlog().await, 0, "what does not fit leaves no unsettled write");

    stores.modern.meddle(|rows| drop(rows.remove(&level_key(&sku(2), "BER"))));
    site.stores.modern.always(Call::ApplyOver, Fault::Down);
    assert_eq!(site.level(&level_key(&sku(2), "BER")).await, Levelled::LeftToRelay);
    assert_eq!(site.backlog().await, 1, "the relay has it");
    site.stores.legacy.always(Call::Execute, Fault::Down);
    assert!(matches!(site.level(&level_key(&sku(2), "BER")).await, Levelled::Refused(_)));
}

#[tokio::test(start_paused = true)]
async fn a_touch_of_unknown_outcome_is_repeated_and_a_stopped_repair_leaves_no_key_half_done() {
    let (site, stores) = in_memory(30).await;
    stores.modern.meddle(rows_cleared);
    site.stores.legacy.on(Call::Execute, 1, Fault::FailAfter);
    site.stores.legacy.on(Call::Execute, 2, Fault::Reject);
    assert_eq!(site.level(&level_key(&sku(1), "BER")).await, Levelled::Repaired);
    assert_eq!(site.backlog().await, 1, "the first touch stands too, and is the relay's");

    let keys: Vec<_> = (2..30).map(|n| level_key(&sku(n), "BER")).collect();
    let (repairer, stop) = (site.repairer(), CancellationToken::new());
    let mut told = 0;
    let count = repairer
        .level_all(&policy(Stage::DualWrite), &levels(), &keys, &stop, |_, _| {
            told += 1;
            stop.cancel();
        })
        .await;
    assert!(count.repaired >= 1 && count.repaired < 28, "{count:?}");
    assert_eq!((count.is_level(), count.repaired), (true, told));
    assert_eq!(site.backlog().await, 1);
}
