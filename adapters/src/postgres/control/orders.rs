//! Orders to compare rows at rest, in PostgreSQL. Times are the server's own.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_postgres::{ClientWrapper, Transaction};
use model::control::{
    Author, ControlError, Deed, OrderEnd, OrderId, OrderProgress, OrderRecord, OrderStore, Placed, ReconcileOrder,
    Taken,
};
use model::{GroupName, Instant, ReplicaId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::connection::Broken;
use super::{PostgresControl, audit, call};

/// Serializes placing and taking: one order of a group is open, one order of the fleet is held. Taken before the lock of
/// the audit.
const LOCK: i64 = 0x6f72_6465_7200;

/// What makes a row of the select below whole: read by place.
const COLUMNS: &str = "id, group_name, types, who, origin, reason, ordered_at, takes, taken_by, taken_at, \
    coalesce(leased_until > clock_timestamp(), false), progress, ended_at, outcome, \
    greatest(0, extract(epoch FROM clock_timestamp() - greatest(ordered_at, leased_until)))::double precision";

#[async_trait]
impl OrderStore for PostgresControl {
    async fn place_order(&self, order: &ReconcileOrder, deed: Option<&Deed>) -> Result<Placed, ControlError> {
        call!(self, place, order, deed)
    }

    async fn take_order(
        &self,
        id: OrderId,
        by: &ReplicaId,
        lease: Duration,
    ) -> Result<Option<OrderRecord>, ControlError> {
        call!(self, take, id, by, lease)
    }

    async fn hold_order(
        &self,
        id: OrderId,
        number: u32,
        progress: &OrderProgress,
        lease: Duration,
    ) -> Result<bool, ControlError> {
        call!(self, hold, id, number, progress, lease)
    }

    async fn end_order(
        &self,
        id: OrderId,
        number: u32,
        progress: &OrderProgress,
        end: &OrderEnd,
    ) -> Result<bool, ControlError> {
        call!(self, finish, id, number, progress, end)
    }

    async fn order(&self, id: OrderId) -> Result<Option<OrderRecord>, ControlError> {
        call!(self, one, id)
    }

    async fn open_orders(&self) -> Result<Vec<OrderRecord>, ControlError> {
        call!(self, open)
    }

    async fn orders(&self, group: Option<&GroupName>, limit: usize) -> Result<Vec<OrderRecord>, ControlError> {
        call!(self, list, group, limit)
    }
}

async fn place(client: &mut ClientWrapper, order: &ReconcileOrder, deed: Option<&Deed>) -> Result<Placed, Broken> {
    let transaction = client.transaction().await?;
    lock(&transaction).await?;
    // The same one again, or another of its group: who orders twice is told of what there is.
    let known = format!(
        "SELECT {COLUMNS} FROM strangler_reconcile_order WHERE id = $1 OR (group_name = $2 AND ended_at IS NULL) \
         ORDER BY (id = $1) DESC LIMIT 1"
    );
    if let Some(row) = transaction.query_opt(&known, &[&order.id.0, &order.group.as_str()]).await? {
        let found = record(&row)?;
        return Ok(if found.order.id == order.id { Placed::Placed(found) } else { Placed::Open(found) });
    }
    let insert = format!(
        "INSERT INTO strangler_reconcile_order (id, group_name, types, who, origin, reason) \
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING {COLUMNS}"
    );
    let Author { who, origin, reason } = &order.author;
    let types = written(&order.types)?;
    let row =
        transaction.query_one(&insert, &[&order.id.0, &order.group.as_str(), &types, who, origin, reason]).await?;
    let placed = record(&row)?;
    if let Some(deed) = deed {
        audit::append(&transaction, deed, placed.ordered).await?;
    }
    transaction.commit().await?;
    Ok(Placed::Placed(placed))
}

async fn take(
    client: &mut ClientWrapper,
    id: OrderId,
    by: &ReplicaId,
    lease: Duration,
) -> Result<Option<OrderRecord>, Broken> {
    let transaction = client.transaction().await?;
    lock(&transaction).await?;
    let update = format!(
        "UPDATE strangler_reconcile_order SET takes = takes + 1, taken_by = $2, taken_at = clock_timestamp(), \
         leased_until = clock_timestamp() + make_interval(secs => $3) \
         WHERE id = $1 AND ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM strangler_reconcile_order \
         WHERE ended_at IS NULL AND leased_until > clock_timestamp()) RETURNING {COLUMNS}"
    );
    let row = transaction.query_opt(&update, &[&id.0, &by.as_str(), &lease.as_secs_f64()]).await?;
    transaction.commit().await?;
    row.as_ref().map(record).transpose()
}

/// Also when the lease has run out: as long as nobody has taken this order or another, whoever had it last has it.
async fn hold(
    client: &ClientWrapper,
    id: OrderId,
    number: u32,
    progress: &OrderProgress,
    lease: Duration,
) -> Result<bool, Broken> {
    let update = "UPDATE strangler_reconcile_order SET progress = $3, \
        leased_until = clock_timestamp() + make_interval(secs => $4) \
        WHERE id = $1 AND takes = $2 AND ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM strangler_reconcile_order AS other \
        WHERE other.id <> $1 AND other.ended_at IS NULL AND other.leased_until > clock_timestamp())";
    let written = written(progress)?;
    Ok(client.execute(update, &[&id.0, &stored(number)?, &written, &lease.as_secs_f64()]).await? == 1)
}

async fn finish(
    client: &ClientWrapper,
    id: OrderId,
    number: u32,
    progress: &OrderProgress,
    end: &OrderEnd,
) -> Result<bool, Broken> {
    let update = "UPDATE strangler_reconcile_order SET progress = $3, outcome = $4, ended_at = clock_timestamp(), \
        leased_until = NULL WHERE id = $1 AND takes = $2 AND ended_at IS NULL";
    let (progress, end) = (written(progress)?, written(end)?);
    Ok(client.execute(update, &[&id.0, &stored(number)?, &progress, &end]).await? == 1)
}

async fn one(client: &ClientWrapper, id: OrderId) -> Result<Option<OrderRecord>, Broken> {
    let query = format!("SELECT {COLUMNS} FROM strangler_reconcile_order WHERE id = $1");
    client.query_opt(&query, &[&id.0]).await?.as_ref().map(record).transpose()
}

async fn open(client: &ClientWrapper) -> Result<Vec<OrderRecord>, Broken> {
    let query = format!("SELECT {COLUMNS} FROM strangler_reconcile_order WHERE ended_at IS NULL ORDER BY place");
    client.query(&query, &[]).await?.iter().map(record).collect()
}

async fn list(client: &ClientWrapper, group: Option<&GroupName>, limit: usize) -> Result<Vec<OrderRecord>, Broken> {
    let query = format!(
        "SELECT {COLUMNS} FROM strangler_reconcile_order WHERE $1::text IS NULL OR group_name = $1 \
         ORDER BY place DESC LIMIT $2"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    client.query(&query, &[&group.map(GroupName::as_str), &limit]).await?.iter().map(record).collect()
}

async fn lock(transaction: &Transaction<'_>) -> Result<(), Broken> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    Ok(())
}

fn record(row: &Row) -> Result<OrderRecord, Broken> {
    let id = OrderId(row.get(0));
    let group = GroupName::new(row.get::<_, String>(1));
    let author = Author { who: row.get(3), origin: row.get(4), reason: row.get(5) };
    let order = ReconcileOrder { id, group, types: read(row.get(2))?, author };
    let moment = |column: usize| row.get::<_, Option<DateTime<Utc>>>(column).map(Instant::new);
    let number =
        u32::try_from(row.get::<_, i32>(7)).map_err(|_| Broken::garbled("an order was taken below zero times"))?;
    let taken = match (row.get::<_, Option<String>>(8), moment(9)) {
        (Some(by), Some(at)) => Some(Taken { by: ReplicaId::new(by), at, number, held: row.get(10) }),
        (_, _) => None,
    };
    let progress = row.get::<_, Option<String>>(11).map(read).transpose()?.unwrap_or_default();
    let ended = match (moment(12), row.get::<_, Option<String>>(13)) {
        (Some(at), Some(end)) => Some((at, read(end)?)),
        (_, _) => None,
    };
    let idle = Duration::try_from_secs_f64(row.get(14)).unwrap_or(Duration::ZERO);
    Ok(OrderRecord { order, ordered: Instant::new(row.get(6)), idle, taken, progress, ended })
}

fn stored(number: u32) -> Result<i32, Broken> {
    i32::try_from(number).map_err(|_| Broken::garbled("an order was taken beyond all bounds"))
}

fn written(value: &impl Serialize) -> Result<String, Broken> {
    serde_json::to_string(value).map_err(|_| Broken::garbled("an order could not be written as JSON"))
}

fn read<T: DeserializeOwned>(text: String) -> Result<T, Broken> {
    serde_json::from_str(&text)
        .map_err(|_| Broken::garbled("an order is not understood; a newer release may have written it"))
}
