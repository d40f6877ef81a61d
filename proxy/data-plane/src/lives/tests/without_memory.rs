//! A replica that remembers nothing, and whether it may write.

use testkit::faults::FaultyStore;
use tokio::time::Instant;

use super::*;
use crate::compared::Compared;

/// What is out of reach, and what the replica has on its disk.
struct Case {
    modern_down: bool,
    control_down: bool,
    remembers: bool,
}

async fn may_write(case: &Case) -> bool {
    let mut scene = Scene::new().await;
    if case.remembers {
        verdict(&scene.replica("a"), Side::Legacy).await;
    }
    scene.control.set_down(case.control_down);
    let modern = FaultyStore::new(scene.store(Side::Modern));
    modern.down(case.modern_down);
    let mut replica = scene.replica("a");
    replica.memories.stores.modern = Arc::new(modern);
    let (compared, soon) = (Arc::clone(&replica.compared), Instant::now() + Duration::from_secs(60));
    // A write that came before the first look waits for it.
    let early = tokio::spawn(async move { compared.may_write(Side::Legacy, soon).await });
    tokio::task::yield_now().await;
    // The side itself answers, and is what it was: reads go on.
    assert!(matches!(replica.tick(Side::Legacy).await.unwrap().0, Verdict::Same | Verdict::Unknown));
    let early = early.await.unwrap();
    assert_eq!(replica.compared.may_write(Side::Legacy, soon).await, early);
    early
}

#[tokio::test(start_paused = true)]
async fn a_replica_writes_where_it_or_somebody_it_can_ask_remembers_or_says_that_nobody_does() {
    for modern_down in [false, true] {
        for control_down in [false, true] {
            for remembers in [false, true] {
                let nobody = modern_down && control_down && !remembers;
                let case = Case { modern_down, control_down, remembers };
                assert_eq!(may_write(&case).await, !nobody, "{modern_down} {control_down} {remembers}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_could_be_asked_once_is_not_needed_again() {
    let compared = Compared::default();
    let soon = || Instant::now() + Duration::from_secs(1);
    assert!(!compared.may_write(Side::Legacy, soon()).await, "nobody has looked in time");
    compared.heard(Side::Legacy, false);
    assert!(!compared.may_write(Side::Legacy, soon()).await);
    compared.heard(Side::Legacy, true);
    compared.heard(Side::Legacy, false);
    assert!(compared.may_write(Side::Legacy, soon()).await, "it is on this replica's disk since");
    assert!(!compared.may_write(Side::Modern, soon()).await, "each side for itself");
}
