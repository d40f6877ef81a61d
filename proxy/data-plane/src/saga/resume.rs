//! Takes up sagas that nobody works on: their replica died, or a side did not answer. Any replica may do it.
//!
//! Both sides are looked at, whoever is primary: a saga stays in the log where it began.

use std::sync::Arc;
use std::time::Duration;

use model::saga::SagaCounts;
use model::{PerSide, Side};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::SagaRoad;
use super::plan::plan_of;

/// Most sagas taken at once.
const LIMIT: usize = 20;
/// Most old ones forgotten at once.
const FORGOTTEN: usize = 1_000;
/// Pause between two looks where the contract has no saga: only such can be left as it once had.
const PAUSE_WITHOUT: Duration = Duration::from_secs(60);
/// How many rounds lie between two counts.
const COUNT_EVERY: u32 = 10;

impl SagaRoad {
    /// Takes up what is left, until `stop`.
    pub async fn resume(self: Arc<Self>, stop: CancellationToken) {
        let declared = self.contract.roots.keys().any(|route| plan_of(&self.contract, route).is_some());
        let pause = if declared { self.settings.interval } else { PAUSE_WITHOUT };
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.tell_strangers() => {}
        }
        let mut counts = PerSide { legacy: SagaCounts::default(), modern: SagaCounts::default() };
        for round in 0u32.. {
            let work = async {
                let (legacy, modern) = tokio::join!(self.take_up(Side::Legacy), self.take_up(Side::Modern));
                if !declared || round.is_multiple_of(COUNT_EVERY) {
                    self.look(&mut counts).await;
                }
                legacy + modern
            };
            let taken = tokio::select! {
                () = stop.cancelled() => return,
                taken = work => taken,
            };
            if taken >= LIMIT {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes what is due in the log of `side` and goes on with it; how many it were, without those that it must leave to
    /// others.
    pub async fn take_up(&self, side: Side) -> usize {
        let node = self.writes.sides.get(side);
        if !node.breaker.admits(Instant::now()) {
            return 0;
        }
        let taken = self.log(side).lease_sagas(self.settings.lease, LIMIT, self.settings.step_within).await;
        node.breaker.note(side, taken.as_ref().err());
        match taken {
            Ok(taken) => {
                for _ in 0..taken.unreadable {
                    telemetry::saga_left("unreadable");
                }
                let going = taken.sagas.into_iter().map(|row| self.drive(side, row));
                let rows = futures::future::join_all(going).await;
                let left = self.left.lock();
                rows.iter().filter(|row| !left.contains(&row.id)).count()
            }
            Err(error) => {
                telemetry::side_error(side, &error);
                0
            }
        }
    }

    /// Counts what has not ended, on both sides together, and forgets what has ended long ago.
    async fn look(&self, counts: &mut PerSide<SagaCounts>) {
        self.compare_lives().await;
        for side in Side::BOTH {
            let log = self.log(side);
            // A side that does not answer keeps the figures that it had.
            if let Ok(found) = log.count_sagas(self.settings.step_within).await {
                *counts.get_mut(side) = found;
            }
            self.copy_open(side).await;
            if let Err(error) = log.forget_sagas(self.settings.retention, FORGOTTEN, self.settings.step_within).await {
                telemetry::side_error(side, &error);
            }
        }
        telemetry::sagas(&(counts.legacy + counts.modern));
        let within = self.settings.step_within;
        let open = tokio::join!(self.log(Side::Legacy).open_sagas(within), self.log(Side::Modern).open_sagas(within));
        if let (Ok(legacy), Ok(modern)) = open {
            self.forget_copied(&legacy.and(modern));
        }
    }
}
