//! Tells one receiver, entry by entry, while this replica has its lease.

use std::sync::Arc;
use std::time::Duration;

use model::control::{AuditEntry, ControlError, ControlStore, Event};
use model::{Instant as WallTime, ReplicaId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Webhook;
use super::message::Message;
use super::post::{NotTaken, Postman};

/// Entries that are looked at in one go.
const BATCH: usize = 100;
/// How much longer than one request a lease lasts: the answer of the control store must come within it.
const LEASE_BEYOND: Duration = Duration::from_secs(10);

/// Tells one receiver.
pub struct Courier {
    webhook: Webhook,
    postman: Postman,
    control: Arc<dyn ControlStore>,
    replica: ReplicaId,
    clock: fn() -> WallTime,
    failures: u32,
    not_before: Option<Instant>,
}

/// What one look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There may be more at once.
    Again,
    /// Nothing to do now.
    Rest,
}

impl Courier {
    /// A courier of `replica`.
    pub fn new(webhook: Webhook, control: Arc<dyn ControlStore>, replica: ReplicaId, clock: fn() -> WallTime) -> Self {
        let postman = Postman::new(webhook.url.clone(), webhook.within);
        Self { webhook, postman, control, replica, clock, failures: 0, not_before: None }
    }

    /// Tells until `stop`, then lets another replica go on. Run it as a task.
    pub async fn run(mut self, stop: CancellationToken) {
        let stopped = stop.clone();
        let telling = async {
            loop {
                let rest = match self.round().await {
                    Ok(Round::Again) => continue,
                    Ok(Round::Rest) => self.webhook.pauses.first,
                    Err(error) => {
                        // Without the control store nothing new is known; the follower has said that it is down.
                        tracing::debug!(%error, "webhook {} waits: {error}", self.webhook.name);
                        self.webhook.pauses.first
                    }
                };
                tokio::time::sleep(rest).await;
            }
        };
        tokio::select! {
            () = stopped.cancelled() => {}
            () = telling => {}
        }
        if let Err(error) = self.control.lease_webhook(&self.webhook.name, &self.replica, Duration::ZERO).await {
            tracing::debug!(%error, "the lease of webhook {} runs out by itself", self.webhook.name);
        }
    }

    async fn round(&mut self) -> Result<Round, ControlError> {
        let Some(mut told) = self.lease().await? else {
            // Whoever has the lease tells the lag.
            telemetry::webhook_lag(&self.webhook.name, Duration::ZERO);
            return Ok(Round::Rest);
        };
        let entries = self.control.audit(told, BATCH).await?;
        let asked_for = |entry: &AuditEntry| self.webhook.events.contains(&Event::of(entry));
        let Some(next) = entries.iter().position(asked_for) else {
            telemetry::webhook_lag(&self.webhook.name, Duration::ZERO);
            return match entries.last() {
                Some(last) if self.advance(told, last.place).await? && entries.len() == BATCH => Ok(Round::Again),
                Some(_) | None => Ok(Round::Rest),
            };
        };
        let entry = &entries[next];
        telemetry::webhook_lag(&self.webhook.name, age(entry, (self.clock)()));
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return Ok(Round::Rest);
        }
        if next > 0 {
            // What nobody asked for is passed over first: then a crash repeats this entry only.
            let before = entries[next - 1].place;
            if !self.advance(told, before).await? {
                return Ok(Round::Rest);
            }
            told = before;
        }
        let message = Message::of(entry, &self.webhook.secret, (self.clock)());
        match self.postman.send(message).await {
            Ok(()) => {
                telemetry::webhook_delivery(&self.webhook.name, "delivered");
                if self.failures > 0 {
                    tracing::info!("webhook {} is told again, after {} failures", self.webhook.name, self.failures);
                }
            }
            Err(error) if !self.gives_up(entry, &error) => return Ok(Round::Rest),
            Err(_) => {}
        }
        (self.failures, self.not_before) = (0, None);
        // Noted after it was sent: a crash between the two sends it again.
        let moved = self.advance(told, entry.place).await?;
        Ok(if moved { Round::Again } else { Round::Rest })
    }

    /// Takes or prolongs the lease, so that no other replica sends what this one is about to send.
    async fn lease(&self) -> Result<Option<u64>, ControlError> {
        let term = self.webhook.within + LEASE_BEYOND;
        self.control.lease_webhook(&self.webhook.name, &self.replica, term).await
    }

    async fn advance(&self, from: u64, to: u64) -> Result<bool, ControlError> {
        self.control.advance_webhook(&self.webhook.name, &self.replica, from, to).await
    }

    /// Notes a failure; whether `entry` is so old that it is given up.
    fn gives_up(&mut self, entry: &AuditEntry, error: &NotTaken) -> bool {
        let (name, place) = (&self.webhook.name, entry.place);
        telemetry::webhook_delivery(name, error.outcome());
        if age(entry, (self.clock)()) > self.webhook.give_up {
            telemetry::webhook_delivery(name, "given_up");
            tracing::error!(webhook = %name, place, %error, "webhook {name} was never told of entry {place} of the audit: it {error} for too long");
            return true;
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + self.webhook.pauses.after(self.failures, rand::random()));
        if self.failures == 1 {
            tracing::warn!(webhook = %name, place, %error, "webhook {name} {error}; entry {place} of the audit is sent again later");
        }
        false
    }
}

fn age(entry: &AuditEntry, now: WallTime) -> Duration {
    (now.to_utc() - entry.at.to_utc()).to_std().unwrap_or_default()
}
