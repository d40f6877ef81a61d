//! Webhooks: receivers elsewhere are told what stands in the audit, by signed HTTP requests.
//!
//! *Promise*: every entry that a webhook asks for is sent at least once, in order, by one replica at a time; a
//! restart goes on where the last one stopped. A receiver that is down is tried again, with longer and longer
//! pauses, and delays neither other webhooks nor anything else. An entry that could not be delivered within
//! `give_up_hours` is given up, counted and logged: an old alarm must not hold up new ones for ever.
//!
//! *Not promised*: exactly once. When an answer is lost the entry is sent again, under the same `webhook-id`.
//! Not here: what an entry means (`model::control::webhook`), who made it (the audit).

mod courier;
mod message;
mod post;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use model::control::{ControlStore, Event};
use model::{Instant, ReplicaId, WebhookName};

use telemetry::tasks::Tasks;

pub use courier::Courier;
pub use message::{InvalidSecret, Secret};

/// One receiver, as configured.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name. How far it was told is kept under it.
    pub name: WebhookName,
    /// Where it is.
    pub url: Uri,
    /// What its messages are signed with.
    pub secret: Secret,
    /// What it is told of.
    pub events: BTreeSet<Event>,
    /// Limit of one request.
    pub within: Duration,
    /// How pauses grow while it is down.
    pub pauses: Pauses,
    /// An entry that is older is given up when one more try fails.
    pub give_up: Duration,
}

impl fmt::Debug for Webhook {
    /// Without the address: many hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .field("events", &self.events)
            .field("within", &self.within)
            .field("give_up", &self.give_up)
            .finish_non_exhaustive()
    }
}

/// Pauses between tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// Between two looks at the audit, and after the first failure.
    pub first: Duration,
    /// However often it fails.
    pub longest: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(300) }
    }
}

impl Pauses {
    /// The pause after so many failures in a row: doubled each time, and by chance up to half shorter, so that
    /// those who failed together do not come back together. `draw` is from 0 to 1.
    pub fn after(&self, failures: u32, draw: f64) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(20)));
        doubled.min(self.longest).mul_f64(1.0 - draw.clamp(0.0, 1.0) / 2.0)
    }
}

/// The name under which this run of `replica` holds leases. Its own: a lease is held by one, also where two replicas go
/// by one name, as after a copied `state_dir`.
pub fn holder(replica: &ReplicaId) -> ReplicaId {
    let run = uuid::Uuid::new_v4().simple().to_string();
    ReplicaId::new(format!("{replica}-{}", &run[..12]))
}

/// Starts one task per webhook, which hold leases as `replica`.
pub fn start(
    webhooks: &[Webhook],
    control: &Arc<dyn ControlStore>,
    replica: &ReplicaId,
    clock: fn() -> Instant,
    tasks: &Tasks,
) {
    for webhook in webhooks {
        let (webhook, control, replica) = (webhook.clone(), Arc::clone(control), replica.clone());
        tasks.keep("webhook", move |stop| {
            Courier::new(webhook.clone(), Arc::clone(&control), replica.clone(), clock).run(stop)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread() {
        let pauses = Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(300) };
        let seconds = |failures, draw| pauses.after(failures, draw).as_secs_f64();
        assert_eq!([1, 2, 3, 9, 10, 4_000_000].map(|n| seconds(n, 0.0)), [1.0, 2.0, 4.0, 256.0, 300.0, 300.0]);
        assert_eq!((seconds(1, 1.0), seconds(10, 0.5)), (0.5, 225.0));
    }
}
