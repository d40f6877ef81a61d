//! Accepted excuses reach a running replica, count there, and end there.

use std::sync::Arc;
use std::time::Duration;

use adapters::memory::control::MemoryControl;
use data_plane::excuses::AcceptedExcuses;
use model::Stage;
use model::control::{AcceptedExcuse, Author, ControlStore, ExcuseId, ExcuseScope, ExcuseStore};
use model::evidence::{Cause, Verdict};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::rig::{Pace, Replica, until};
use crate::shelves::{Shelves, key, shelf, shelf_type};

const LOOK: &str = "{ shelf(id: \"B\") { onHand } }";

fn ada() -> Author {
    Author { who: "ada".into(), origin: "desk".into(), reason: Some("a test".into()) }
}

fn excuse(cause: Cause) -> AcceptedExcuse {
    let today = chrono::Utc::now().date_naive();
    let scope = ExcuseScope { route: "Query.shelf".into(), field: Some("onHand".into()), cause, rule: None };
    AcceptedExcuse::new(ExcuseId(Uuid::new_v4()), scope, "stock team", today, ada(), today).unwrap()
}

/// Asks until a comparison ends in `verdict`; how long that took.
async fn until_verdict(replica: &Replica, verdict: Verdict) -> Duration {
    let began = Instant::now();
    until(verdict.as_str(), async || {
        replica.observed.lock().clear();
        replica.ask(LOOK).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        replica.observed.lock().first().is_some_and(|seen| seen.verdict == verdict)
    })
    .await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn an_excuse_counts_on_a_running_replica_within_seconds_and_so_does_its_end() {
    // GIVEN a replica that follows the control store, and a lasting difference
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shadow, 0.0, 100.0);
    let (control, stop) = (Arc::new(MemoryControl::new()), CancellationToken::new());
    let excuses = AcceptedExcuses::default();
    let following = tokio::spawn(excuses.clone().follow(Arc::clone(&control) as Arc<dyn ControlStore>, stop.clone()));
    let replica = Replica::ready(&shelves.ground, &Pace { excuses, ..Pace::default() }).await;
    let entity = shelf_type(&shelves.ground.loaded);
    shelves.memory.modern.meddle(|rows| {
        rows.insert(key("B"), shelf(&entity, "B", 42));
    });
    until_verdict(&replica, Verdict::Mismatch).await;
    // WHEN another cause is excused, THEN nothing changes
    control.excuse(&excuse(Cause::Truncation)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    until_verdict(&replica, Verdict::Mismatch).await;
    // WHEN exactly this is excused, THEN it counts as excused within seconds
    let accepted = excuse(Cause::Different);
    control.excuse(&accepted).await.unwrap();
    assert!(until_verdict(&replica, Verdict::Excused).await < Duration::from_secs(5));
    // and goes on doing so while the control store is down
    control.set_down(true);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(until_verdict(&replica, Verdict::Excused).await < Duration::from_secs(3));
    control.set_down(false);
    // WHEN it is taken back, THEN it is a mismatch again
    assert!(control.withdraw_excuse(accepted.id, &ada()).await.unwrap());
    assert!(until_verdict(&replica, Verdict::Mismatch).await < Duration::from_secs(8));
    stop.cancel();
    following.await.unwrap();
}
