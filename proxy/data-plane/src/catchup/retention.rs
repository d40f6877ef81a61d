//! Retention: settled rows of both ledgers are forgotten when they are older than idempotency keys are known.
//!
//! Every replica does it, a portion at a time, until nothing is left that is old: the ledger of a busy shop must not grow
//! faster than it is forgotten. Portions are small and a pause lies between them, since the ERP has other things to do;
//! rows that another replica is forgetting are skipped.

use std::sync::Arc;
use std::time::Duration;

use model::saga::OpenSagas;
use model::store::Forget;
use model::{PerSide, Side, Store};
use tokio_util::sync::CancellationToken;

/// Pause between two rounds.
const INTERVAL: Duration = Duration::from_secs(60);
/// Rows forgotten at once on each side: a statement of some ten milliseconds.
pub const PORTION: usize = 5_000;
/// Pause between two portions of a round.
const BREATH: Duration = Duration::from_millis(250);

/// Forgets what is old.
pub struct Retention {
    /// The stores, in the lane of short steps.
    pub stores: PerSide<Arc<dyn Store>>,
    /// How long settled ledger rows are kept: idempotency keys are known for as long.
    pub keep: Duration,
    /// Rows forgotten at once on each side.
    pub portion: usize,
    /// Limit of one call.
    pub within: Duration,
}

impl Retention {
    /// Forgets, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut pause = INTERVAL;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = if self.forget().await { BREATH } else { INTERVAL };
        }
    }

    /// Forgets a portion on both sides; rows of sagas only when both logs say which of them are open. Whether there may
    /// be more.
    async fn forget(&self) -> bool {
        let open = async |side| match self.stores.get(side).open_sagas(self.within).await {
            Ok(open) => open,
            Err(error) => {
                telemetry::side_error(side, &error);
                OpenSagas::Unknown
            }
        };
        let (legacy, modern) = tokio::join!(open(Side::Legacy), open(Side::Modern));
        let old = Forget { retention: self.keep, limit: self.portion, sagas: legacy.and(modern) };
        let mut more = false;
        for side in Side::BOTH {
            match self.stores.get(side).forget(&old, self.within).await {
                Ok(rows) => {
                    more |= usize::try_from(rows).is_ok_and(|rows| rows >= self.portion);
                    if rows > 0 {
                        tracing::debug!(%side, rows, "{rows} settled ledger rows forgotten on {side}");
                    }
                }
                Err(error) => telemetry::side_error(side, &error),
            }
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use model::Role;
    use testkit::begin::Begin as _;
    use testkit::contract::set_level;
    use testkit::faults::FaultyStore;
    use testkit::inventory;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn one_round_forgets_everything_that_is_old_however_much_it_is() {
        let stores = PerSide { legacy: Side::Legacy, modern: Side::Modern }
            .map(|side, _| FaultyStore::new(Arc::new(inventory::in_memory(side))));
        stores.legacy.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
        stores.modern.begin_as(&[inventory::group()], Role::Secondary, WITHIN).await.unwrap();
        // GIVEN more settled rows than two portions hold
        let legacy: Arc<dyn Store> = Arc::new(stores.legacy.clone());
        for number in 0..21 {
            let change = set_level(&legacy, &format!("A{number}"), "BER", 1).await;
            legacy.settle(&[change.write], WITHIN).await.unwrap();
        }
        let stores = stores.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>);
        let retention = Arc::new(Retention { stores, keep: Duration::ZERO, portion: 10, within: WITHIN });
        let stop = CancellationToken::new();
        let task = tokio::spawn(retention.run(stop.clone()));
        // WHEN a round is over THEN nothing is left
        tokio::time::sleep(INTERVAL + 4 * BREATH).await;
        let old = Forget { retention: Duration::ZERO, limit: 30, sagas: OpenSagas::Unknown };
        assert_eq!(legacy.forget(&old, WITHIN).await.unwrap(), 0);
        stop.cancel();
        task.await.unwrap();
    }
}
