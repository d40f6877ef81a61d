//! Reconciliations and repairs in PostgreSQL. Times are the server's own.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_postgres::ClientWrapper;
use model::control::reconciliation::{Newest, Reconciliation, RepairCount, RepairOrder, RepairRecord};
use model::control::{Author, ControlError, Findings, ReconciliationStore, RunId};
use model::{EntityName, GroupName, Instant};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::connection::Broken;
use super::{PostgresControl, call};

const RECONCILIATION: &str = "run, entity, group_name, who, origin, reason, begun_at, ended_at, findings";
const REPAIR: &str = "id, entity, group_name, who, origin, reason, begun_at, ended_at, outcome, asked";

#[async_trait]
impl ReconciliationStore for PostgresControl {
    async fn begin_reconciliation(
        &self,
        run: RunId,
        group: &GroupName,
        entity: &EntityName,
        author: &Author,
    ) -> Result<(), ControlError> {
        call!(self, begin, run, group, entity, author)
    }

    async fn end_reconciliation(
        &self,
        run: RunId,
        entity: &EntityName,
        findings: &Findings,
    ) -> Result<(), ControlError> {
        call!(self, end, run, entity, findings)
    }

    async fn reconciliations(
        &self,
        group: Option<&GroupName>,
        limit: usize,
    ) -> Result<Vec<Reconciliation>, ControlError> {
        call!(self, list, group, limit)
    }

    async fn newest_reconciliations(&self, group: &GroupName) -> Result<Vec<Newest>, ControlError> {
        call!(self, newest, group)
    }

    async fn begin_repair(&self, order: &RepairOrder) -> Result<(), ControlError> {
        call!(self, begin_repair, order)
    }

    async fn end_repair(&self, id: RunId, count: &RepairCount) -> Result<(), ControlError> {
        call!(self, end_repair, id, count)
    }

    async fn repairs(&self, group: Option<&GroupName>, limit: usize) -> Result<Vec<RepairRecord>, ControlError> {
        call!(self, repairs, group, limit)
    }
}

async fn begin(
    client: &ClientWrapper,
    run: RunId,
    group: &GroupName,
    entity: &EntityName,
    author: &Author,
) -> Result<(), Broken> {
    let insert = "INSERT INTO strangler_reconciliation (run, entity, group_name, who, origin, reason) \
                  VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    let Author { who, origin, reason } = author;
    client.execute(insert, &[&run.0, &entity.as_str(), &group.as_str(), who, origin, reason]).await?;
    Ok(())
}

async fn end(client: &ClientWrapper, run: RunId, entity: &EntityName, findings: &Findings) -> Result<(), Broken> {
    let update = "UPDATE strangler_reconciliation SET ended_at = clock_timestamp(), complete = $3, findings = $4 \
                  WHERE run = $1 AND entity = $2 AND ended_at IS NULL";
    client.execute(update, &[&run.0, &entity.as_str(), &findings.is_complete(), &written(findings)?]).await?;
    Ok(())
}

async fn list(client: &ClientWrapper, group: Option<&GroupName>, limit: usize) -> Result<Vec<Reconciliation>, Broken> {
    let query = format!(
        "SELECT {RECONCILIATION} FROM strangler_reconciliation WHERE $1::text IS NULL OR group_name = $1 \
         ORDER BY place DESC LIMIT $2"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client.query(&query, &[&group.map(GroupName::as_str), &limit]).await?;
    rows.iter().map(reconciliation).collect()
}

async fn newest(client: &ClientWrapper, group: &GroupName) -> Result<Vec<Newest>, Broken> {
    let query = format!(
        "SELECT DISTINCT ON (entity COLLATE \"C\") {RECONCILIATION}, \
         extract(epoch FROM clock_timestamp() - begun_at)::float8 \
         FROM strangler_reconciliation WHERE group_name = $1 AND ended_at IS NOT NULL \
         ORDER BY entity COLLATE \"C\", place DESC"
    );
    let query = client.prepare_cached(&query).await?;
    let rows = client.query(&query, &[&group.as_str()]).await?;
    let newest = |row: &Row| {
        let age = Duration::try_from_secs_f64(row.get(9)).ok();
        Ok(Newest { reconciliation: reconciliation(row)?, age })
    };
    rows.iter().map(newest).collect()
}

async fn begin_repair(client: &ClientWrapper, order: &RepairOrder) -> Result<(), Broken> {
    let insert = "INSERT INTO strangler_repair (id, group_name, entity, who, origin, reason, asked) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    let RepairOrder { id, group, entity, author: Author { who, origin, reason }, asked } = order;
    client.execute(insert, &[&id.0, &group.as_str(), &entity.as_str(), who, origin, reason, asked]).await?;
    Ok(())
}

async fn end_repair(client: &ClientWrapper, id: RunId, count: &RepairCount) -> Result<(), Broken> {
    let update = "UPDATE strangler_repair SET ended_at = clock_timestamp(), outcome = $2 \
                  WHERE id = $1 AND ended_at IS NULL";
    client.execute(update, &[&id.0, &written(count)?]).await?;
    Ok(())
}

async fn repairs(client: &ClientWrapper, group: Option<&GroupName>, limit: usize) -> Result<Vec<RepairRecord>, Broken> {
    let query = format!(
        "SELECT {REPAIR} FROM strangler_repair WHERE $1::text IS NULL OR group_name = $1 \
         ORDER BY begun_at DESC LIMIT $2"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client.query(&query, &[&group.map(GroupName::as_str), &limit]).await?;
    let record = |row: &Row| {
        let (id, group, entity) = (RunId(row.get(0)), group_of(row), entity_of(row));
        let order = RepairOrder { id, group, entity, author: author(row), asked: row.get(9) };
        Ok(RepairRecord { order, begun: time(row, 6), ended: ended(row), count: read(row, 8)? })
    };
    rows.iter().map(record).collect()
}

fn reconciliation(row: &Row) -> Result<Reconciliation, Broken> {
    Ok(Reconciliation {
        run: RunId(row.get(0)),
        group: group_of(row),
        entity: entity_of(row),
        author: author(row),
        begun: time(row, 6),
        ended: ended(row),
        findings: read(row, 8)?,
    })
}

fn entity_of(row: &Row) -> EntityName {
    EntityName::new(row.get::<_, String>(1))
}

fn group_of(row: &Row) -> GroupName {
    GroupName::new(row.get::<_, String>(2))
}

fn author(row: &Row) -> Author {
    Author { who: row.get(3), origin: row.get(4), reason: row.get(5) }
}

fn time(row: &Row, column: usize) -> Instant {
    Instant::new(row.get::<_, DateTime<Utc>>(column))
}

fn ended(row: &Row) -> Option<Instant> {
    row.get::<_, Option<DateTime<Utc>>>(7).map(Instant::new)
}

fn written(value: &impl Serialize) -> Result<String, Broken> {
    serde_json::to_string(value).map_err(|_| Broken::garbled("findings could not be written as JSON"))
}

fn read<T: DeserializeOwned>(row: &Row, column: usize) -> Result<Option<T>, Broken> {
    let unreadable = |_| Broken::garbled("findings are not understood; a newer release may have written them");
    row.get::<_, Option<String>>(column).map(|text| serde_json::from_str(&text).map_err(unreadable)).transpose()
}
