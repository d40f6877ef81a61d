//! Figures in PostgreSQL: one row per group, slot and rollout, its figures as JSON.
//!
//! How figures add up is said once, in `model`: a row is locked, merged here and written back. Rows
//! are locked in the order of their keys, so that two replicas that flush at once cannot deadlock.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{ClientWrapper, Transaction};
use model::control::figures::BATCHES_KEPT;
use model::control::{BatchId, Figures, GroupFigures, Slot};
use model::{GroupName, Instant, RolloutVersion};
use serde_json::Value as Json;
use tokio_postgres::Row;

use super::connection::Broken;

pub(super) async fn add(client: &mut ClientWrapper, batch: BatchId, figures: &Figures) -> Result<(), Broken> {
    let transaction = client.transaction().await?;
    let new = "INSERT INTO strangler_figures_batch (id) VALUES ($1) ON CONFLICT DO NOTHING";
    if transaction.execute(new, &[&batch.0]).await? == 1 && !figures.is_empty() {
        merge(&transaction, figures).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn merge(transaction: &Transaction<'_>, figures: &Figures) -> Result<(), Broken> {
    let groups: Vec<&str> = figures.slots.keys().map(|slot| slot.group.as_str()).collect();
    let times: Vec<DateTime<Utc>> = figures.slots.keys().map(|slot| slot.at.to_utc()).collect();
    let versions: Result<Vec<i64>, _> = figures.slots.keys().map(|slot| i64::try_from(slot.rollout.0)).collect();
    let versions = versions.map_err(|_| Broken::garbled("a rollout version is beyond all bounds"))?;
    let wanted = "unnest($1::text[], $2::timestamptz[], $3::bigint[]) AS wanted (group_name, at, rollout_version)";
    let make = format!(
        "INSERT INTO strangler_figures SELECT group_name, at, rollout_version, 'null' FROM {wanted} \
         ORDER BY at, group_name COLLATE \"C\", rollout_version ON CONFLICT DO NOTHING"
    );
    transaction.execute(&make, &[&groups, &times, &versions]).await?;
    let lock = format!(
        "SELECT group_name, at, rollout_version, figures FROM strangler_figures \
         WHERE (group_name, at, rollout_version) IN (SELECT group_name, at, rollout_version FROM {wanted}) \
         ORDER BY at, group_name COLLATE \"C\", rollout_version FOR UPDATE"
    );
    let mut sums = figures.clone();
    for row in transaction.query(&lock, &[&groups, &times, &versions]).await? {
        let (slot, stored) = stored(&row)?;
        sums.add(slot, &stored);
    }
    let merged: Result<Vec<Json>, _> = sums.slots.values().map(serde_json::to_value).collect();
    let merged = merged.map_err(|_| Broken::garbled("figures could not be written as JSON"))?;
    let save = "UPDATE strangler_figures AS kept SET figures = new.figures \
         FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::jsonb[]) \
            AS new (group_name, at, rollout_version, figures) \
         WHERE (kept.group_name, kept.at, kept.rollout_version) = (new.group_name, new.at, new.rollout_version)";
    transaction.execute(save, &[&groups, &times, &versions, &merged]).await?;
    Ok(())
}

pub(super) async fn read(client: &ClientWrapper, group: Option<&GroupName>, since: Instant) -> Result<Figures, Broken> {
    let query = "SELECT group_name, at, rollout_version, figures FROM strangler_figures \
         WHERE at >= $1 AND ($2::text IS NULL OR group_name = $2)";
    let query = client.prepare_cached(query).await?;
    let rows = client.query(&query, &[&since.to_utc(), &group.map(GroupName::as_str)]).await?;
    let slots: Result<_, Broken> = rows.iter().map(stored).collect();
    Ok(Figures { slots: slots? }.retained(group, since))
}

pub(super) async fn forget(client: &ClientWrapper, retention: Duration) -> Result<(), Broken> {
    for (table, kept) in [("figures", retention), ("figures_batch", retention.min(BATCHES_KEPT))] {
        let statement =
            format!("DELETE FROM strangler_{table} WHERE at < clock_timestamp() - make_interval(secs => $1)");
        client.execute(&statement, &[&kept.as_secs_f64()]).await?;
    }
    Ok(())
}

/// A row; one that was only just made holds nothing yet.
fn stored(row: &Row) -> Result<(Slot, GroupFigures), Broken> {
    let version: i64 = row.get(2);
    let version = u64::try_from(version).map_err(|_| Broken::garbled("a rollout version is negative"))?;
    let slot = Slot {
        group: GroupName::new(row.get::<_, String>(0)),
        at: Instant::new(row.get(1)),
        rollout: RolloutVersion(version),
    };
    let figures: Option<GroupFigures> = serde_json::from_value(row.get(3))
        .map_err(|_| Broken::garbled("figures in strangler_figures are not understood; a newer release wrote them"))?;
    Ok((slot, figures.unwrap_or_default()))
}
