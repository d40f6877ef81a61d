//! An Oracle that becomes slow: what is turned away, what is answered, and that it is over when the server is well again.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use adapters::Lane;
use adapters::oracle::{Track, TrackFigures};
use model::{Side, StoreError};
use testkit::contract::{Subject, WITHIN, adjust, now, on_hand, set_level};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::any_oracle::{Fixture, level};
use super::oracle::figures;

fn places(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_erp_slows_down_shadow_reads_are_shed_and_clients_are_answered() {
    const QUEUE: usize = 32;
    const SHADOWS: usize = 100;
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.with(|settings| (settings.shadow, settings.queue) = (places(2), places(QUEUE)));
    let subject: Subject = Arc::new(store.clone());
    set_level(&subject, "A", "BER", 10).await;

    // GIVEN a server that answers ten times slower than it did, which shadow reads have noticed
    fixture.database.plan_faults("exec:latency=100ms; commit:latency=100ms");
    let shadow = store.lane(Lane::Shadow);
    for _ in 0..8 {
        level(&shadow, WITHIN).await.unwrap();
    }

    // WHEN more shadow reads come than it can answer in their time, and clients come as well
    let limit = Duration::from_secs(1);
    let mut shadows: JoinSet<_> = (0..SHADOWS)
        .map(|_| {
            let shadow = shadow.clone();
            async move { (level(&shadow, limit).await, figures(&shadow, Track::Shadow).waiting) }
        })
        .collect();
    let reads = futures::future::join_all((0..20).map(|_| level(&store, WITHIN)));
    let (reads, written) =
        futures::join!(reads, async { subject.execute(&adjust(&subject, "A", "BER", -1), WITHIN).await });

    // THEN clients are answered, some shadows are, and the others are turned away without having been sent
    now(written);
    assert!(reads.iter().all(Result::is_ok), "{reads:?}");
    let (mut answered, mut unsent) = (0, 0);
    while let Some(shadow) = shadows.join_next().await {
        let (result, waiting) = shadow.unwrap();
        assert!(waiting <= QUEUE);
        match result {
            Ok(()) => answered += 1,
            Err(StoreError::Unreachable { .. }) => unsent += 1,
            Err(error) => assert!(error.is_outage(), "{error}"),
        }
    }
    assert!(answered > 0);
    assert!(unsent >= SHADOWS - QUEUE - answered, "{answered} answered, {unsent} unsent");
    assert!(figures(&store, Track::Shadow).shed > 0);
    for track in [Track::Read, Track::Write] {
        assert_eq!(figures(&store, track).shed, 0, "{track:?}");
    }
    fixture.database.plan_faults("");
    assert_eq!(on_hand(&subject, "A", "BER").await, Some(9));
}

/// Calls come faster than one of them is answered: with a plain queue each would find a session when its time is
/// nearly over, be cut off, and cost the session, for as long as they keep coming.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_well_again_answers_at_once_though_calls_kept_coming() {
    const SLOW: Duration = Duration::from_millis(1_500);
    const PATIENCE: Duration = Duration::from_secs(20);
    const IN_A_ROW: usize = 50;
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.with(|_| {});
    let limit = Duration::from_millis(500);
    level(&store, WITHIN).await.unwrap();

    // GIVEN calls at a rate that the server cannot keep up with
    fixture.database.plan_faults("exec:latency=200ms");
    let began = Instant::now();
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut calls, mut in_a_row, mut is_slow) = (JoinSet::new(), 0, true);
    while in_a_row < IN_A_ROW {
        ticks.tick().await;
        // WHEN it is as quick as ever, while they go on coming
        if is_slow && began.elapsed() > SLOW {
            fixture.database.plan_faults("exec:latency=20ms");
            is_slow = false;
        }
        let store = store.clone();
        calls.spawn(async move { level(&store, limit).await });
        while let Some(call) = calls.try_join_next() {
            in_a_row = if call.unwrap().is_ok() && !is_slow { in_a_row + 1 } else { 0 };
        }
        // THEN they are answered again
        assert!(began.elapsed() < SLOW + PATIENCE, "calls are still lost long after the server is well");
    }
    calls.join_all().await;
    let TrackFigures { waiting, abandoned, .. } = figures(&store, Track::Read);
    assert_eq!((waiting, abandoned), (0, 0));
}
