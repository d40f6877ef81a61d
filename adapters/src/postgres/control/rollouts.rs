//! Rollouts and replicas in PostgreSQL.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use model::control::{Author, ControlError, Deed, Heard, LIVE_WITHIN, OverrideId, Publication, Replica, RolloutRecord};
use model::{GroupName, Instant, ReplicaId, Rollout, RolloutVersion};
use serde_json::Value as Json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::audit::append;
use super::connection::Broken;
use super::listener::CHANNEL;
use super::proposals;

/// Serializes publishing and making tables. Arbitrary and fixed for ever.
pub(super) const LOCK: i64 = 0x7374_7261_6e67;

const COLUMNS: &str = "version, at, who, origin, reason, summary, groups, policies, evidence, overrides, approved_by";

pub(super) async fn newest_version(client: &ClientWrapper) -> Result<Option<RolloutVersion>, Broken> {
    let query = client.prepare_cached("SELECT max(version) FROM strangler_rollout").await?;
    let version: Option<i64> = client.query_one(&query, &[]).await?.get(0);
    version.map(from_stored).transpose()
}

pub(super) async fn newest(client: &ClientWrapper) -> Result<Option<RolloutRecord>, Broken> {
    let query = format!("SELECT {COLUMNS} FROM strangler_rollout ORDER BY version DESC LIMIT 1");
    let query = client.prepare_cached(&query).await?;
    client.query_opt(&query, &[]).await?.as_ref().map(record).transpose()
}

pub(super) async fn publish(client: &mut ClientWrapper, publication: &Publication) -> Result<RolloutRecord, Broken> {
    let transaction = client.transaction().await?;
    // Without the lock two publishers could both find `expected` and append different versions.
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let found: Option<i64> = transaction.query_one("SELECT max(version) FROM strangler_rollout", &[]).await?.get(0);
    let found = found.map(from_stored).transpose()?;
    if found != publication.expected || found.is_some_and(|found| publication.rollout.version <= found) {
        let expected = publication.expected;
        return Err(Broken::Control(ControlError::Conflict { expected, found }));
    }
    let Publication { expected: _, rollout, author, summary, groups, evidence, overrides, approved_by, approves } =
        publication;
    if let Some(approval) = approves {
        // In this transaction: whoever withdraws it at the same time either waits for it and is too late, or was first.
        proposals::approve(&transaction, approval, rollout.version).await?;
    }
    let groups: Vec<&str> = groups.iter().map(GroupName::as_str).collect();
    let overrides: Vec<Uuid> = overrides.iter().map(|id| id.0).collect();
    let policies = serde_json::to_value(&rollout.policies)
        .map_err(|_| Broken::garbled("the policies could not be written as JSON"))?;
    let version = to_stored(rollout.version)?;
    let insert = format!(
        "INSERT INTO strangler_rollout ({COLUMNS}) \
         VALUES ($1, clock_timestamp(), $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING {COLUMNS}"
    );
    let row = transaction
        .query_one(
            &insert,
            &[
                &version,
                &author.who,
                &author.origin,
                &author.reason,
                summary,
                &groups,
                &policies,
                evidence,
                &overrides,
                approved_by,
            ],
        )
        .await?;
    let record = record(&row)?;
    // What the row says when it is read back is what the audit covers.
    append(&transaction, &Deed::of_rollout(&record), record.at).await?;
    transaction.execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &version.to_string()]).await?;
    transaction.commit().await?;
    Ok(record)
}

pub(super) async fn history(
    client: &ClientWrapper,
    group: Option<&GroupName>,
    limit: usize,
) -> Result<Vec<RolloutRecord>, Broken> {
    let query = format!(
        "SELECT {COLUMNS} FROM strangler_rollout WHERE $1::text IS NULL OR $1 = ANY(groups) \
         ORDER BY version DESC LIMIT $2"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client.query(&query, &[&group.map(GroupName::as_str), &limit]).await?;
    rows.iter().map(record).collect()
}

pub(super) async fn published(client: &ClientWrapper, overrides: &[OverrideId]) -> Result<Vec<OverrideId>, Broken> {
    let wanted: Vec<Uuid> = overrides.iter().map(|id| id.0).collect();
    let query = "SELECT DISTINCT id FROM strangler_rollout, unnest(overrides) AS id \
                 WHERE overrides && $1::uuid[] AND id = ANY($1)";
    let rows = client.query(query, &[&wanted]).await?;
    Ok(rows.iter().map(|row| OverrideId(row.get(0))).collect())
}

pub(super) async fn heartbeat(client: &ClientWrapper, replica: &Replica) -> Result<Heard, Broken> {
    let Replica { id, admin_address, rollout, instance, saved } = replica;
    // One statement: of two that go by one name, one is noted.
    let statement = "INSERT INTO strangler_replica AS kept (id, admin_address, rollout_version, instance, saved, seen_at) \
                     VALUES ($1, $2, $3, $4, $5, clock_timestamp()) ON CONFLICT (id) DO UPDATE SET \
                     admin_address = excluded.admin_address, rollout_version = excluded.rollout_version, \
                     instance = excluded.instance, saved = excluded.saved, seen_at = excluded.seen_at \
                     WHERE kept.instance IS NULL OR kept.instance = excluded.instance \
                     OR kept.seen_at < excluded.seen_at - make_interval(secs => $6)";
    let statement = client.prepare_cached(statement).await?;
    let within = LIVE_WITHIN.as_secs_f64();
    let version = to_stored(*rollout)?;
    let noted = client.execute(&statement, &[&id.as_str(), admin_address, &version, instance, saved, &within]).await?;
    if noted == 1 {
        return Ok(Heard::Noted);
    }
    let query = "SELECT admin_address FROM strangler_replica WHERE id = $1";
    let other = client.query_opt(query, &[&id.as_str()]).await?;
    Ok(Heard::Taken(other.map_or_else(String::new, |row| row.get(0))))
}

pub(super) async fn succeed(client: &ClientWrapper, replica: &ReplicaId, former: Uuid) -> Result<bool, Broken> {
    let statement = "DELETE FROM strangler_replica WHERE id = $1 AND instance = $2";
    Ok(client.execute(statement, &[&replica.as_str(), &former]).await? == 1)
}

pub(super) async fn retire(client: &ClientWrapper, replica: &ReplicaId) -> Result<(), Broken> {
    client.execute("DELETE FROM strangler_replica WHERE id = $1", &[&replica.as_str()]).await?;
    Ok(())
}

pub(super) async fn replicas(client: &ClientWrapper, within: Duration) -> Result<Vec<Replica>, Broken> {
    let query = "SELECT id, admin_address, rollout_version, instance, saved FROM strangler_replica \
                 WHERE seen_at >= clock_timestamp() - make_interval(secs => $1) ORDER BY id COLLATE \"C\"";
    let query = client.prepare_cached(query).await?;
    let rows = client.query(&query, &[&within.as_secs_f64()]).await?;
    let replica = |row: &Row| {
        Ok(Replica {
            id: ReplicaId::new(row.get::<_, String>(0)),
            admin_address: row.get(1),
            rollout: from_stored(row.get(2))?,
            // Null where an older release beats.
            instance: row.get::<_, Option<Uuid>>(3).unwrap_or_default(),
            saved: row.get::<_, Option<bool>>(4).unwrap_or(true),
        })
    };
    rows.iter().map(replica).collect()
}

fn record(row: &Row) -> Result<RolloutRecord, Broken> {
    let policies = serde_json::from_value(row.get::<_, Json>(7)).map_err(|error| {
        Broken::Control(ControlError::Misfit {
            problem: "the policies in strangler_rollout are not understood; a newer release may have written them"
                .to_owned(),
            source: Some(error.into()),
        })
    })?;
    let rollout = Rollout { version: from_stored(row.get(0))?, policies };
    Ok(RolloutRecord {
        rollout,
        at: Instant::new(row.get(1)),
        author: Author { who: row.get(2), origin: row.get(3), reason: row.get(4) },
        summary: row.get(5),
        groups: row.get::<_, Vec<String>>(6).into_iter().map(GroupName::new).collect(),
        evidence: row.get(8),
        overrides: row.get::<_, Vec<Uuid>>(9).into_iter().map(OverrideId).collect(),
        approved_by: row.get(10),
    })
}

pub(super) fn to_stored(version: RolloutVersion) -> Result<i64, Broken> {
    i64::try_from(version.0).map_err(|_| Broken::garbled("a rollout version is beyond all bounds"))
}

pub(super) fn from_stored(version: i64) -> Result<RolloutVersion, Broken> {
    let version = u64::try_from(version).map_err(|_| Broken::garbled("a rollout version is negative"))?;
    Ok(RolloutVersion(version))
}
