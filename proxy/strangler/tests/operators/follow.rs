//! Replicas follow the control store, and go on without it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use adapters::memory::control::MemoryControl;
use adapters::postgres::TlsWords;
use adapters::postgres::control::{ControlSettings, PostgresControl};
use control_plane::rollout::publish::{Change, ChangeError, publish_change};
use control_plane::rollout::{OpenError, SetPolicy};
use model::control::{Author, ControlStore, LIVE_WITHIN};
use model::{Percentage, RolloutVersion, Stage};
use testkit::postgres::Database;
use tokio::join;
use tokio::time::Instant;

use crate::replica::{Replica, eventually, inventory, witness};

pub(crate) async fn postgres(database: &Database) -> Arc<dyn ControlStore> {
    let settings = ControlSettings {
        url: database.url(),
        tls: TlsWords::default(),
        connections: NonZeroUsize::new(3).unwrap(),
        connect_timeout: Duration::from_secs(5),
        limit: Duration::from_secs(10),
    };
    let control = PostgresControl::new(&settings).unwrap();
    control.prepare().await.unwrap();
    Arc::new(control)
}

pub(crate) fn author() -> Author {
    Author { who: "ada".into(), origin: "desk".into(), reason: Some("a try".into()) }
}

pub(crate) fn shift(percent: f64) -> SetPolicy {
    SetPolicy { stage: Some(Stage::Shift), reads: Some(percent.try_into().unwrap()), shadow: None }
}

pub(crate) async fn set(control: &Arc<dyn ControlStore>, percent: f64) -> RolloutVersion {
    match publish_change(&witness(control), &inventory(), &shift(percent), &author()).await.unwrap() {
        Change::Published { record, .. } => record.rollout.version,
        Change::AlreadySo { version, .. } => version,
    }
}

fn percent(percent: f64) -> Percentage {
    percent.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_begin_at_once_and_see_every_change() {
    let database = Database::fresh("follow").await;
    let control = postgres(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let (a, b) = join!(Replica::start(&control, "a", &a), Replica::start(&control, "b", &b));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(control.history(None, 10).await.unwrap().len(), 1, "the first rollout is published once");
    for step in [1.0, 25.0, 100.0, 0.0] {
        let begun = Instant::now();
        let version = set(&control, step).await;
        let arrived = |rollout: &model::Rollout| rollout.version == version;
        join!(a.until("a sees it", arrived), b.until("b sees it", arrived));
        let swapped = begun.elapsed();
        assert_eq!((a.reads(), b.reads()), (percent(step), percent(step)));
        let acknowledged = || async {
            let live = control.replicas(LIVE_WITHIN).await.unwrap();
            live.len() == 2 && live.iter().all(|replica| replica.rollout == version)
        };
        eventually("both acknowledge", acknowledged).await;
        println!("{step} %: both swapped after {swapped:?}, acknowledged after {:?}", begun.elapsed());
    }
    a.stop().await;
    let live = control.replicas(LIVE_WITHIN).await.unwrap();
    assert_eq!(live.len(), 1, "a replica that stops takes itself off the list");
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_on_one_group_the_second_is_told() {
    let database = Database::fresh("follow").await;
    let control = postgres(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::start(&control, "a", folder.path()).await.unwrap();
    let witness = witness(&control);
    let group = inventory();
    let author = author();
    let sets = [1.0, 2.0, 3.0, 4.0].map(shift);
    let outcomes = sets.each_ref().map(|set| publish_change(&witness, &group, set, &author));
    let outcomes = futures::future::join_all(outcomes).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(won >= 1);
    for lost in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(lost, ChangeError::Overtaken { .. }), "{lost:?}");
    }
    assert_eq!(control.history(None, 10).await.unwrap().len(), 1 + won);
    replica.stop().await;
}

fn memory() -> (Arc<MemoryControl>, Arc<dyn ControlStore>) {
    let memory = Arc::new(MemoryControl::new());
    (Arc::clone(&memory), memory)
}

#[tokio::test]
async fn a_replica_starts_from_disk_with_the_same_percentage_while_the_control_store_is_down() {
    let (memory, control) = memory();
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::start(&control, "a", folder.path()).await.unwrap();
    set(&control, 12.5).await;
    replica.until("the change", |rollout| rollout.version == RolloutVersion(2)).await;
    eventually("it is saved", || async { replica.rollout.is_saved() }).await;
    // GIVEN a crash, and no control store
    replica.kill();
    memory.set_down(true);
    // WHEN it starts again
    let replica = Replica::start(&control, "a", folder.path()).await.unwrap();
    assert_eq!((replica.reads(), replica.rollout.version()), (percent(12.5), RolloutVersion(2)));
    assert!(!replica.rollout.is_control_up());
    // THEN it follows again as soon as it can
    memory.set_down(false);
    set(&control, 50.0).await;
    replica.until("the next change", |rollout| rollout.policy(&inventory()).reads() == percent(50.0)).await;
    replica.stop().await;
}

#[tokio::test]
async fn an_outage_in_between_changes_nothing_and_nothing_is_missed() {
    let (memory, control) = memory();
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::start(&control, "a", folder.path()).await.unwrap();
    set(&control, 30.0).await;
    replica.until("30 %", |rollout| rollout.policy(&inventory()).reads() == percent(30.0)).await;
    memory.set_down(true);
    eventually("the outage is noticed", || async { !replica.rollout.is_control_up() }).await;
    assert_eq!(replica.reads(), percent(30.0));
    memory.set_down(false);
    set(&control, 60.0).await;
    replica.until("60 %", |rollout| rollout.policy(&inventory()).reads() == percent(60.0)).await;
    replica.stop().await;
}

#[tokio::test]
async fn a_replica_that_knows_nothing_does_not_guess() {
    let (memory, control) = memory();
    memory.set_down(true);
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Replica::start(&control, "a", folder.path()).await, Err(OpenError::NothingKnown(_))));
}

#[tokio::test]
async fn a_damaged_snapshot_is_replaced_by_the_control_stores_rollout_or_refused() {
    let (memory, control) = memory();
    let folder = tempfile::tempdir().unwrap();
    Replica::start(&control, "a", folder.path()).await.unwrap().stop().await;
    set(&control, 12.5).await;
    std::fs::write(folder.path().join("rollout"), "strangler-rollout-1 00\n{}").unwrap();
    memory.set_down(true);
    let refused = Replica::start(&control, "a", folder.path()).await.err().unwrap();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    memory.set_down(false);
    let replica = Replica::start(&control, "a", folder.path()).await.unwrap();
    assert_eq!(replica.reads(), percent(12.5));
    assert!(folder.path().join("rollout.unusable").exists());
    replica.stop().await;
}

#[tokio::test]
async fn a_control_store_that_forgot_is_told_and_no_percentage_changes() {
    let (memory, control) = memory();
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let a = Replica::start(&control, "a", &a).await.unwrap();
    let b = Replica::start(&control, "b", &b).await.unwrap();
    for step in [10.0, 20.0, 30.0] {
        set(&control, step).await;
    }
    let newest = |rollout: &model::Rollout| rollout.version == RolloutVersion(4);
    join!(a.until("4", newest), b.until("4", newest));
    // WHEN a backup is restored under the running fleet
    memory.rewind_to(RolloutVersion(2));
    let restored = |rollout: &model::Rollout| rollout.version > RolloutVersion(4);
    join!(a.until("restored", restored), b.until("restored", restored));
    assert_eq!((a.reads(), b.reads()), (percent(30.0), percent(30.0)));
    let record = control.newest().await.unwrap().unwrap();
    assert_eq!(record.rollout, *a.rollout.current());
    assert_eq!(record.author.who, "strangler");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_database_that_was_restored_to_an_earlier_copy_takes_no_rollback_back() {
    let database = Database::fresh("restored_control").await;
    let control = postgres(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::start(&control, "a", folder.path()).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let run = async |sql: &str| client.batch_execute(sql).await.unwrap();
    // GIVEN a copy of the control database at 25 %, and a replica that has seen 50 % and a return to 0 %
    set(&control, 25.0).await;
    run("CREATE TABLE copy AS SELECT * FROM strangler_rollout").await;
    set(&control, 50.0).await;
    let version = set(&control, 0.0).await;
    replica.until("0 %", |rollout| rollout.version == version).await;
    replica.stop().await;
    // WHEN the copy is restored, and somebody goes on from there beyond the numbers that the replica knows
    // As a restore does, with its triggers off: nobody else may take a rollout out.
    run("SET session_replication_role = replica; \
         DELETE FROM strangler_rollout; INSERT INTO strangler_rollout SELECT * FROM copy")
    .await;
    for percent in [30.0, 60.0, 100.0] {
        assert!(set(&control, percent).await <= RolloutVersion(version.0 + 1));
    }
    // THEN the replica keeps what is safer, and publishes it for all
    let replica = Replica::start(&control, "a", folder.path()).await.unwrap();
    assert_eq!(replica.reads(), percent(0.0));
    let newest = async || control.newest().await.unwrap().unwrap();
    eventually("the safer policy is published", async || newest().await.rollout.version.0 > version.0 + 1).await;
    let record = newest().await;
    assert_eq!(record.rollout.policies[&inventory()].reads(), percent(0.0));
    assert!(record.summary.contains("restored version"), "{}", record.summary);
    replica.until("the published one", |rollout| rollout.version == record.rollout.version).await;
    assert_eq!(replica.reads(), percent(0.0));
    // From there on it is followed as ever.
    set(&control, 10.0).await;
    replica.until("10 %", |rollout| rollout.policy(&inventory()).reads() == percent(10.0)).await;
}
