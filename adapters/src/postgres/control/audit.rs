//! The audit in PostgreSQL. One writer at a time: each entry's hash covers the one before it.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_postgres::{ClientWrapper, Transaction};
use model::control::{Action, AuditEntry, AuditHash, AuditStore, Author, ControlError, Deed};
use model::{GroupName, Instant};
use tokio_postgres::Row;

use super::connection::Broken;
use super::rollouts::{from_stored, to_stored};
use super::{PostgresControl, call};

/// Serializes appending. Taken after the lock of publishing, where both are needed.
const LOCK: i64 = 0x6175_6469_7400;

const COLUMNS: &str = "place, at, action, group_name, who, origin, reason, rollout, detail, previous, hash";

#[async_trait]
impl AuditStore for PostgresControl {
    async fn note(&self, deed: &Deed) -> Result<AuditEntry, ControlError> {
        call!(self, note, deed)
    }

    async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, ControlError> {
        call!(self, audit, after, limit)
    }

    async fn newest_audit(
        &self,
        group: Option<&GroupName>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ControlError> {
        call!(self, newest, group, before, limit)
    }
}

async fn note(client: &mut ClientWrapper, deed: &Deed) -> Result<AuditEntry, Broken> {
    let transaction = client.transaction().await?;
    let at: DateTime<Utc> = transaction.query_one("SELECT clock_timestamp()", &[]).await?.get(0);
    let entry = append(&transaction, deed, Instant::new(at)).await?;
    transaction.commit().await?;
    Ok(entry)
}

/// Appends the entry of `deed`, as part of the caller's transaction.
pub(super) async fn append(transaction: &Transaction<'_>, deed: &Deed, at: Instant) -> Result<AuditEntry, Broken> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let last = "SELECT place, hash FROM strangler_audit ORDER BY place DESC LIMIT 1";
    let last = transaction.query_opt(last, &[]).await?;
    let last = last.map(|row| Ok::<_, Broken>((place(row.get(0))?, AuditHash(row.get(1))))).transpose()?;
    let entry = AuditEntry::following(last.as_ref().map(|(place, hash)| (*place, hash)), deed, at);
    let insert =
        format!("INSERT INTO strangler_audit ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
    let Author { who, origin, reason } = &entry.author;
    transaction
        .execute(
            &insert,
            &[
                &i64::try_from(entry.place).map_err(|_| Broken::garbled("the audit is beyond all bounds"))?,
                &entry.at.to_utc(),
                &entry.action.as_str(),
                &entry.group.as_ref().map(GroupName::as_str),
                who,
                origin,
                reason,
                &entry.rollout.map(to_stored).transpose()?,
                &entry.detail,
                &entry.previous.0,
                &entry.hash.0,
            ],
        )
        .await?;
    Ok(entry)
}

async fn audit(client: &ClientWrapper, after: u64, limit: usize) -> Result<Vec<AuditEntry>, Broken> {
    let query = format!("SELECT {COLUMNS} FROM strangler_audit WHERE place > $1 ORDER BY place LIMIT $2");
    let (after, limit) = (i64::try_from(after).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
    client.query(&query, &[&after, &limit]).await?.iter().map(entry).collect()
}

async fn newest(
    client: &ClientWrapper,
    group: Option<&GroupName>,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<AuditEntry>, Broken> {
    let query = format!(
        "SELECT {COLUMNS} FROM strangler_audit WHERE ($1::text IS NULL OR group_name = $1) AND place < $2 \
         ORDER BY place DESC LIMIT $3"
    );
    let (before, limit) = (before.unwrap_or(u64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    client.query(&query, &[&group.map(GroupName::as_str), &before, &limit]).await?.iter().map(entry).collect()
}

pub(super) fn place(stored: i64) -> Result<u64, Broken> {
    u64::try_from(stored).map_err(|_| Broken::garbled("a place in strangler_audit is negative"))
}

fn entry(row: &Row) -> Result<AuditEntry, Broken> {
    let action: &str = row.get(2);
    Ok(AuditEntry {
        place: place(row.get(0))?,
        at: Instant::new(row.get(1)),
        action: Action::named(action).ok_or_else(|| Broken::garbled(format!("there is no action `{action}`")))?,
        group: row.get::<_, Option<String>>(3).map(GroupName::new),
        author: Author { who: row.get(4), origin: row.get(5), reason: row.get(6) },
        rollout: row.get::<_, Option<i64>>(7).map(from_stored).transpose()?,
        detail: row.get(8),
        previous: AuditHash(row.get(9)),
        hash: AuditHash(row.get(10)),
    })
}
