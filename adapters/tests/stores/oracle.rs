//! What only the Oracle adapter has: threads that block, lost answers, servers that hang. All of it needs faults on
//! demand, which no real server has; `any_oracle` has the rest.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use testkit::begin::Begin as _;

use adapters::Lane;
use adapters::oracle::{OracleStore, Track, TrackFigures};
use model::write::Claim;
use model::{Role, Side, Store, StoreError};
use testkit::contract::{self, Subject, WITHIN, adjust, entity, now, on_hand, set_level};
use testkit::inventory::{self, level_key};
use testkit::oracle::ErpDatabase;

use super::any_oracle::{Fixture, level, take_fence_alone};

const SHORT: Duration = Duration::from_millis(300);

/// Waits for what another thread does.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..2_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still not: {what}");
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

pub(super) fn figures(store: &OracleStore, track: Track) -> TrackFigures {
    store.figures().into_iter().find(|(of, _)| *of == track).unwrap().1
}

/// What a write came to whose outcome was unknown.
async fn settled(store: &Subject, fault: &str, fixture: &Fixture) -> (Claim, Option<i64>) {
    set_level(store, "A", "BER", 10).await;
    let command = adjust(store, "A", "BER", -3);
    fixture.database.plan_faults(fault);
    let unknown = store.execute(&command, WITHIN).await;
    assert!(matches!(unknown, Err(StoreError::NoAnswer { .. })), "{unknown:?}");
    (store.claim(command.write, WITHIN).await.unwrap(), on_hand(store, "A", "BER").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_found_standing() {
    let fixture = Fixture::new(Side::Legacy).await;
    let (claim, on_hand) = settled(&fixture.subject(), "commit:lost-ack:1", &fixture).await;
    assert!(matches!(claim, Claim::Stands(changes) if changes.len() == 1));
    assert_eq!(on_hand, Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_dies_before_the_commit_leaves_nothing() {
    for fault in ["commit:kill:1", "exec:INSERT INTO strangler_ledger:kill:1", "exec:INV_LOC_BAL SET:ora-03135:1"] {
        let fixture = Fixture::new(Side::Legacy).await;
        let (claim, on_hand) = settled(&fixture.subject(), fault, &fixture).await;
        assert_eq!((claim, on_hand), (Claim::Abandoned, Some(10)), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_beyond_its_limit_leaves_no_open_transaction() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.subject();
    set_level(&store, "A", "BER", 10).await;
    fixture.database.plan_faults("exec:INSERT INTO strangler_ledger:hang:1");
    let command = adjust(&store, "A", "BER", -3);

    let late = store.execute(&command, SHORT).await;

    assert!(matches!(late, Err(StoreError::NoAnswer { .. })), "{late:?}");
    // The row is free again at once, for anybody.
    now(store.execute(&adjust(&store, "A", "BER", -1), WITHIN).await);
    assert_eq!(store.claim(command.write, WITHIN).await.unwrap(), Claim::Abandoned);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_that_hangs_or_loses_its_session_keeps_its_limit_and_leaves_nothing() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.subject();
    set_level(&store, "A", "BER", 5).await;
    for fault in ["exec:INV_LOC_BAL SET:hang:1", "exec:INV_LOC_BAL SET:ora-03135:1"] {
        fixture.database.plan_faults(fault);
        let late = store.rehearse(&adjust(&store, "A", "BER", -3), SHORT).await;
        assert!(matches!(late, Err(StoreError::NoAnswer { .. } | StoreError::Unreachable { .. })), "{fault}: {late:?}");
        // The row is free again at once, for anybody.
        now(store.execute(&adjust(&store, "A", "BER", 1), WITHIN).await);
        now(store.execute(&adjust(&store, "A", "BER", -1), WITHIN).await);
        assert_eq!(on_hand(&store, "A", "BER").await, Some(5), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_time_out_ends_is_broken_off() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.with(|settings| settings.reads = one());
    level(&store, WITHIN).await.unwrap();
    fixture.database.plan_faults("exec:INV_LOC_BAL:stuck:1");

    let late = level(&store, SHORT).await;

    assert!(matches!(late, Err(StoreError::NoAnswer { .. })), "{late:?}");
    // The one thread of the track is free again without having been given up.
    level(&store, WITHIN).await.unwrap();
    assert_eq!(figures(&store, Track::Read), TrackFigures { threads: 1, ..TrackFigures::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_nothing_brings_back_is_replaced_and_counted_until_it_is_back() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.with(|settings| {
        settings.reads = one();
        settings.grace = Duration::from_millis(50);
    });
    level(&store, WITHIN).await.unwrap();
    fixture.database.plan_faults("exec:INV_LOC_BAL:deaf=2000ms:1");

    assert!(matches!(level(&store, SHORT).await, Err(StoreError::NoAnswer { .. })));

    until("the thread is given up", async || figures(&store, Track::Read).abandoned == 1).await;
    level(&store, WITHIN).await.unwrap();
    until("the thread is back", async || figures(&store, Track::Read).abandoned == 0).await;
    assert_eq!(figures(&store, Track::Read).threads, 1);
    level(&store, WITHIN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_reads_and_scans_cannot_make_a_client_wait() {
    let fixture = Fixture::new(Side::Legacy).await;
    let subject = fixture.subject();
    set_level(&subject, "A", "BER", 1).await;
    fixture.database.plan_faults("exec:stuck:session=shadow; exec:stuck:session=scan");
    let mut held = tokio::task::JoinSet::new();
    for lane in [Lane::Shadow, Lane::Scan] {
        for _ in 0..20 {
            let store = fixture.store.lane(lane);
            held.spawn(async move { level(&store, Duration::from_secs(3)).await });
        }
    }
    until("both lanes are full", async || {
        [Track::Shadow, Track::Scan].iter().all(|track| figures(&fixture.store, *track).waiting > 0)
    })
    .await;

    level(&fixture.store, WITHIN).await.unwrap();
    now(subject.execute(&adjust(&subject, "A", "BER", 1), WITHIN).await);
    fixture.store.lane(Lane::Admin).settle(&[], WITHIN).await.unwrap();

    for result in held.join_all().await {
        assert!(result.is_err_and(|error| error.is_outage()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_track_sheds_and_says_that_nothing_was_sent() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.with(|settings| (settings.shadow, settings.queue) = (one(), one())).lane(Lane::Shadow);
    fixture.database.plan_faults("exec:INV_LOC_BAL:stuck");
    let calls = (0..8).map(|_| level(&store, Duration::from_secs(1)));

    let results = futures::future::join_all(calls).await;

    let unsent = results.iter().filter(|result| matches!(result, Err(StoreError::Unreachable { .. }))).count();
    let late = results.iter().filter(|result| matches!(result, Err(StoreError::NoAnswer { .. }))).count();
    assert_eq!((late, unsent), (1, 7));
    assert!((6..=7).contains(&figures(&store, Track::Shadow).shed));
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_and_queue_are_flat_after_many_time_outs() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.with(|settings| settings.reads = NonZeroUsize::new(4).unwrap());
    level(&store, WITHIN).await.unwrap();
    fixture.database.plan_faults("exec:INV_LOC_BAL:hang");
    for _ in 0..50 {
        let calls = (0..20).map(|_| level(&store, Duration::from_millis(20)));
        for result in futures::future::join_all(calls).await {
            assert!(result.is_err_and(|error| error.is_outage()));
        }
    }
    fixture.database.plan_faults("");

    level(&store, WITHIN).await.unwrap();
    until("nothing is left behind", async || {
        let TrackFigures { waiting, threads, abandoned, .. } = figures(&store, Track::Read);
        waiting == 0 && threads <= 4 && abandoned == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_sessions_are_replaced() {
    let fixture = Fixture::new(Side::Legacy).await;
    level(&fixture.store, WITHIN).await.unwrap();
    fixture.database.plan_faults("exec:INV_LOC_BAL:kill:1");
    assert!(matches!(level(&fixture.store, WITHIN).await, Err(StoreError::NoAnswer { .. })));
    level(&fixture.store, WITHIN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_account_and_a_slow_login_are_told_apart() {
    let fixture = Fixture::new(Side::Legacy).await;
    fixture.database.plan_faults("connect:ora-28000:1");
    let locked = level(&fixture.with(|_| {}), WITHIN).await.unwrap_err();
    assert!(locked.to_string().contains("the account is locked"), "{locked}");
    fixture.database.plan_faults("connect:hang:1");
    let slow = level(&fixture.with(|_| {}), SHORT).await;
    assert!(matches!(slow, Err(StoreError::Unreachable { .. })), "{slow:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_gives_way_and_a_rule_is_named_by_its_code() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.subject();
    set_level(&store, "A", "BER", 1).await;
    for (fault, kind) in [("ora-00060", "conflict"), ("ora-08177", "conflict"), ("ora-04068", "conflict")] {
        fixture.database.plan_faults(&format!("exec:INV_LOC_BAL SET:{fault}:1"));
        let error = store.execute(&adjust(&store, "A", "BER", 1), WITHIN).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault}");
    }
    assert_eq!(on_hand(&store, "A", "BER").await, Some(1));
    let raised = "exec:INV_LOC_BAL SET:ora-20042:1";
    fixture.database.plan_faults(raised);
    let refused = store.execute(&adjust(&store, "A", "BER", 1), WITHIN).await;
    assert_eq!(contract::refusal(refused), "REFUSED_BY_RULE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_that_the_server_has_forgotten_is_lost() {
    let fixture = Fixture::new(Side::Legacy).await;
    let entity = entity(&level_key("A", "BER"));
    let old = fixture.store.snapshot(WITHIN).await.unwrap();
    for _ in 0..17 {
        fixture.store.snapshot(WITHIN).await.unwrap();
    }
    let lost = old.scan(&entity, None, 10, WITHIN).await;
    assert!(matches!(lost, Err(StoreError::SnapshotLost { .. })), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_is_wrong_and_what_to_do() {
    let database = ErpDatabase::fresh("erp").await;
    let store = OracleStore::connect(Side::Legacy, inventory::contract(), &database.settings()).unwrap();
    database.run(&["CREATE TABLE INV_ITM_MST (ITM_NO CHAR(12) NOT NULL, ITM_DSC VARCHAR2(60), ACT_FL CHAR(1), \
                    PRC NUMBER(8,2), WGT NUMBER(12,4), UPD_DT DATE, END_DT DATE, CMPNY CHAR(3) NOT NULL)"]);
    let under = super::postgres::connect(database.under()).await;
    under
        .batch_execute(
            "UPDATE oracle.instance SET log_mode = 'NOARCHIVELOG', supplemental_min = 'NO', supplemental_all = 'NO'",
        )
        .await
        .unwrap();
    let names: Vec<_> = inventory::contract().entities.keys().cloned().collect();

    let found = store.inspect(&names, WITHIN).await.unwrap();

    assert!(found.server.contains("not an Oracle server"), "{}", found.server);
    insta::assert_snapshot!(found.problems.join("\n"));
    let facts: Vec<_> = found.facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    insta::assert_snapshot!(facts.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_knows_the_rights_and_the_logging_of_tables_that_belong_to_the_erp() {
    let database = ErpDatabase::fresh("erp").await;
    let mut contract = (*inventory::contract()).clone();
    for entity in contract.entities.values_mut() {
        let entity = Arc::make_mut(entity);
        entity.table.legacy = format!("ERP.{}", entity.table.legacy);
    }
    let store = OracleStore::connect(Side::Legacy, Arc::new(contract), &database.settings()).unwrap();
    store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
    let under = super::postgres::connect(database.under()).await;
    under.batch_execute("CREATE SCHEMA erp").await.unwrap();
    let tables = inventory::oracle_ddl(Side::Legacy).into_iter();
    let tables: Vec<_> = tables.map(|table| table.replace("CREATE TABLE ", "CREATE TABLE erp.")).collect();
    database.run(&tables.iter().map(String::as_str).collect::<Vec<_>>());
    under
        .batch_execute(
            "UPDATE oracle.instance SET supplemental_all = 'NO';
             INSERT INTO oracle.all_log_groups VALUES ('ERP', 'SYS_C1', 'INV_LOC_BAL', 'ALL COLUMN LOGGING');
             INSERT INTO oracle.all_tab_privs SELECT 'ERP', 'POSTGRES', 'ERP', 'INV_ITM_MST', privilege
             FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'FLASHBACK']) privilege;
             INSERT INTO oracle.all_tab_privs VALUES ('ERP', 'POSTGRES', 'ERP', 'INV_LOC_BAL', 'SELECT')",
        )
        .await
        .unwrap();
    let names: Vec<_> = inventory::contract().entities.keys().cloned().collect();

    let found = store.inspect(&names, WITHIN).await.unwrap();

    assert_eq!(
        found.problems,
        [
            "ERP.INV_ITM_MST does not log whole rows: change capture needs \
             `ALTER TABLE ERP.INV_ITM_MST ADD SUPPLEMENTAL LOG DATA (ALL) COLUMNS`",
            "rights are missing: `GRANT INSERT, UPDATE, DELETE, FLASHBACK ON ERP.INV_LOC_BAL TO POSTGRES`",
        ]
    );
    let rights = found.facts.iter().find(|(name, _)| *name == "account's rights on tables").unwrap();
    assert_eq!(rights.1, "ERP.INV_ITM_MST: SELECT, INSERT, UPDATE, DELETE, FLASHBACK; ERP.INV_LOC_BAL: SELECT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_set_up_once_and_unset_it_is_not_used() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.with(|settings| settings.reads = one());
    fixture.database.plan_faults("exec:ALTER SESSION:ora-01031:after=2");
    for _ in 0..3 {
        level(&store, WITHIN).await.unwrap();
    }
    fixture.database.plan_faults("exec:INV_LOC_BAL:kill:1; exec:ALTER SESSION:ora-01031");
    assert!(matches!(level(&store, WITHIN).await, Err(StoreError::NoAnswer { .. })));
    assert!(matches!(level(&store, WITHIN).await, Err(StoreError::Unreachable { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_the_fence_alone_waits_for_writers_in_flight() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.subject();
    set_level(&store, "A", "BER", 10).await;
    fixture.database.plan_faults("exec:INSERT INTO strangler_ledger:latency=1500ms:1");
    let writer = tokio::spawn({
        let (store, command) = (Arc::clone(&store), adjust(&store, "A", "BER", -3));
        async move { store.execute(&command, WITHIN).await }
    });
    let closer = fixture.database.connection();
    // 1: somebody else has it.
    until("the writer holds the fence", async || {
        let answer = take_fence_alone(&closer, 0);
        closer.rollback().unwrap();
        answer == 1
    })
    .await;

    assert_eq!(take_fence_alone(&closer, 15), 0);

    // The writer has committed before, and is seen.
    let seen = closer.query_row_as::<i64>("SELECT OH_QTY FROM INV_LOC_BAL", &[]).unwrap();
    closer.rollback().unwrap();
    assert_eq!(seen, 7);
    now(writer.await.unwrap());
}
