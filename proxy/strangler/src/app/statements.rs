//! Tries every statement of the contract on both sides when a replica begins, and says loudly what a side would not run.
//!
//! A replica with a wrong statement is ready all the same. Missing bookkeeping fails every write, a wrong statement only the
//! route that it stands in, and often only on the side that nobody asks today: to take every route away for it, on the day
//! on which replicas are restarted since something is down, would be the larger outage. What must not happen, that the
//! authority goes to a side which cannot run what it is asked, is refused where it is ordered (`desk::handover`).

use std::sync::Arc;
use std::time::Duration;

use model::contract::Wrong;
use model::{PerSide, Side, Store};
use tokio_util::sync::CancellationToken;

use admin::Health;

/// How long one side may take for all of them.
const WITHIN: Duration = Duration::from_secs(10);

/// How long a side that did not answer, or on which something was locked, is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Tries both sides, each until every statement was tried.
pub(super) async fn follow(sides: PerSide<Arc<dyn Store>>, health: Arc<Health>, stop: CancellationToken) {
    let trying = futures::future::join_all(Side::BOTH.map(|side| one(side, Arc::clone(sides.get(side)), &health)));
    tokio::select! {
        () = stop.cancelled() => {}
        _ = trying => {}
    }
}

async fn one(side: Side, store: Arc<dyn Store>, health: &Health) {
    let mut told = Vec::new();
    loop {
        match store.wrong_statements(WITHIN).await {
            Ok(found) => {
                let is_over = found.iter().all(|one| one.tried);
                for one in news(&mut told, found) {
                    tracing::error!(%side, group = %one.group, "{side} would not run {one}. Clients get INTERNAL where it is needed: mend it, see `strangler check`");
                    health.statements([format!("{side}: {one}")]);
                }
                if is_over {
                    return;
                }
                tracing::debug!(%side, "some of the contract's statements could not be tried on {side}: something is locked");
            }
            Err(error) => {
                tracing::debug!(%side, %error, "the contract's statements were not tried on {side}: {error}");
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// What is known to be wrong and was not told yet. What is locked is told when it was tried; nothing else waits for that.
fn news(told: &mut Vec<Wrong>, found: Vec<Wrong>) -> Vec<Wrong> {
    let fresh: Vec<_> = found.into_iter().filter(|one| one.tried && !told.contains(one)).collect();
    told.extend(fresh.iter().cloned());
    fresh
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(what: &str, tried: bool) -> Wrong {
        Wrong { group: "stock".into(), what: what.to_owned(), line: None, said: "no such column".to_owned(), tried }
    }

    #[test]
    fn what_is_wrong_is_told_once_and_does_not_wait_for_what_is_locked() {
        let mut told = Vec::new();
        assert_eq!(news(&mut told, vec![wrong("one", true), wrong("two", false)]), [wrong("one", true)]);
        assert_eq!(news(&mut told, vec![wrong("one", true), wrong("two", false)]), []);
        assert_eq!(news(&mut told, vec![wrong("one", true), wrong("two", true)]), [wrong("two", true)]);
    }
}
