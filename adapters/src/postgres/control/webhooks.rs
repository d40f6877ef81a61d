//! How far webhooks were told, in PostgreSQL. Each change is one statement, so of two replicas one wins.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::ClientWrapper;
use model::control::{ControlError, WebhookStore};
use model::{ReplicaId, WebhookName};

use super::audit::place;
use super::connection::Broken;
use super::{PostgresControl, call};

#[async_trait]
impl WebhookStore for PostgresControl {
    async fn lease_webhook(
        &self,
        webhook: &WebhookName,
        replica: &ReplicaId,
        term: Duration,
    ) -> Result<Option<u64>, ControlError> {
        call!(self, lease, webhook, replica, term)
    }

    async fn advance_webhook(
        &self,
        webhook: &WebhookName,
        replica: &ReplicaId,
        from: u64,
        to: u64,
    ) -> Result<bool, ControlError> {
        call!(self, advance, webhook, replica, from, to)
    }
}

async fn lease(
    client: &ClientWrapper,
    webhook: &WebhookName,
    replica: &ReplicaId,
    term: Duration,
) -> Result<Option<u64>, Broken> {
    let statement = "INSERT INTO strangler_webhook AS kept (name, told, replica, leased_until) \
        SELECT $1::text, coalesce(max(place), 0), $2::text, clock_timestamp() + make_interval(secs => $3) \
        FROM strangler_audit \
        ON CONFLICT (name) DO UPDATE SET replica = excluded.replica, leased_until = excluded.leased_until \
        WHERE kept.replica = excluded.replica OR kept.leased_until <= clock_timestamp() \
        RETURNING told";
    let row = client.query_opt(statement, &[&webhook.as_str(), &replica.as_str(), &term.as_secs_f64()]).await?;
    row.map(|row| place(row.get(0))).transpose()
}

async fn advance(
    client: &ClientWrapper,
    webhook: &WebhookName,
    replica: &ReplicaId,
    from: u64,
    to: u64,
) -> Result<bool, Broken> {
    let stored = |place: u64| i64::try_from(place).map_err(|_| Broken::garbled("the audit is beyond all bounds"));
    let statement = "UPDATE strangler_webhook SET told = $4 \
        WHERE name = $1 AND replica = $2 AND told = $3 AND leased_until > clock_timestamp()";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&webhook.as_str(), &replica.as_str(), &stored(from)?, &stored(to)?];
    Ok(client.execute(statement, &parameters).await? == 1)
}
