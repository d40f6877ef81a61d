//! The saga log: how far sagas have come. One statement a call, and those that change something in a transaction.

use std::time::Duration;

use chrono::{DateTime, Utc};
use model::saga::{Begun, COPY, Leased, OpenSagas, SagaCounts, copy_of, of_copy};
use model::{Instant, SagaId, SagaRow, SagaStatus, Side, StoreError};
use tokio_postgres::Row;

use super::bookkeeping::INCARNATION;
use super::ledger::{alter, ask};
use super::pipeline::End;
use super::read::misfit;
use super::session::Session;
use super::wire::{Stored, get, number};

const ROW: &str = "s.id, s.route, s.status, s.revision, s.document, s.began_at";

fn row(side: Side, row: &Row) -> Result<SagaRow, StoreError> {
    let unreadable = || misfit(side, "the saga log has a row that cannot be read".to_owned());
    Ok(SagaRow {
        id: SagaId::new(get(side, row, "id")?).ok_or_else(unreadable)?,
        route: get::<&str>(side, row, "route")?.into(),
        status: SagaStatus::parse(get(side, row, "status")?).ok_or_else(unreadable)?,
        revision: number(side, row, "revision")?,
        document: get(side, row, "document")?,
        began_at: Instant::new(get::<DateTime<Utc>>(side, row, "began_at")?),
    })
}

fn text(text: &str) -> Stored {
    Stored::Text(text.to_owned())
}

fn millis(time: Duration) -> Stored {
    Stored::Big(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

fn count(limit: usize) -> Stored {
    Stored::Big(i64::try_from(limit).unwrap_or(i64::MAX))
}

/// See `SagaLog::begin_saga`.
pub(super) async fn begin(session: &Session, side: Side, saga: &SagaRow, lease: Duration) -> Result<Begun, StoreError> {
    let insert = format!(
        "INSERT INTO strangler_saga (id, route, status, revision, document, due_at) \
         SELECT $1::text, $2::text, $3::text, 1, $4::text, clock_timestamp() + $5::int8 * interval '1 millisecond' \
         WHERE {INCARNATION} IS NOT NULL ON CONFLICT (id) DO NOTHING RETURNING id"
    );
    let values = [
        text(saga.id.as_str()),
        text(saga.route.as_str()),
        text(saga.status.as_str()),
        text(&saga.document),
        millis(lease),
    ];
    if !alter(session, &insert, &values, End::Commit).await?.is_empty() {
        return Ok(Begun::Now);
    }
    if let Some(before) = find(session, side, &saga.id).await? {
        return Ok(Begun::Before(before));
    }
    require_living(session, side).await?;
    // Only what has ended long ago is deleted: a repeat that meets that moment begins anew when it comes again.
    Err(StoreError::Conflict { side, source: "the saga was forgotten meanwhile".into() })
}

/// Fails where this side takes no writes.
async fn require_living(session: &Session, side: Side) -> Result<(), StoreError> {
    let rows = ask(session, &format!("SELECT WHERE {INCARNATION} IS NOT NULL"), &[]).await?;
    if rows.is_empty() { Err(StoreError::suspended(side)) } else { Ok(()) }
}

/// See `SagaLog::copy_saga`.
pub(super) async fn copy(session: &Session, side: Side, saga: &SagaRow) -> Result<(), StoreError> {
    let insert = format!(
        "INSERT INTO strangler_saga (id, route, status, revision, document, due_at) \
         SELECT $1::text, $2::text, 'done', 1, $3::text, clock_timestamp() WHERE {INCARNATION} IS NOT NULL \
         ON CONFLICT (id) DO UPDATE SET document = EXCLUDED.document, revision = strangler_saga.revision + 1, \
         changed_at = clock_timestamp() RETURNING id"
    );
    let values = [text(copy_of(&saga.id).as_str()), text(saga.route.as_str()), text(&saga.document)];
    if alter(session, &insert, &values, End::Commit).await?.is_empty() {
        return Err(StoreError::suspended(side));
    }
    Ok(())
}

/// See `SagaLog::saga_copies`.
pub(super) async fn copies(
    session: &Session,
    side: Side,
    since: Instant,
    after: Option<&SagaId>,
    limit: usize,
) -> Result<Vec<SagaRow>, StoreError> {
    let select = format!(
        "SELECT {ROW} FROM strangler_saga s WHERE s.id LIKE '{COPY}%' AND s.changed_at >= $1::timestamptz \
         AND ($2::text IS NULL OR s.id COLLATE \"C\" > $2::text COLLATE \"C\") ORDER BY s.id COLLATE \"C\" LIMIT $3::int8"
    );
    let after = after.map_or(Stored::Null, |after| text(copy_of(after).as_str()));
    let rows = ask(session, &select, &[Stored::TimestampTz(since.to_utc()), after, count(limit)]).await?;
    let own = |found: &Row| {
        let row = row(side, found)?;
        let unreadable = || misfit(side, "the saga log has a copy that cannot be read".to_owned());
        Ok(SagaRow { id: of_copy(&row.id).ok_or_else(unreadable)?, ..row })
    };
    rows.iter().map(own).collect()
}

/// See `SagaLog::restore_saga`.
pub(super) async fn restore(session: &Session, saga: &SagaRow) -> Result<bool, StoreError> {
    let insert = "INSERT INTO strangler_saga (id, route, status, revision, document, due_at) \
                  VALUES ($1::text, $2::text, $3::text, 1, $4::text, clock_timestamp()) \
                  ON CONFLICT (id) DO NOTHING RETURNING id";
    let values = [text(saga.id.as_str()), text(saga.route.as_str()), text(saga.status.as_str()), text(&saga.document)];
    Ok(!alter(session, insert, &values, End::Commit).await?.is_empty())
}

/// See `SagaLog::save_saga`.
pub(super) async fn save(session: &Session, saga: &SagaRow, pause: Duration) -> Result<bool, StoreError> {
    let update = "UPDATE strangler_saga SET status = $3::text, document = $4::text, revision = revision + 1, \
                  due_at = clock_timestamp() + $5::int8 * interval '1 millisecond', changed_at = clock_timestamp() \
                  WHERE id = $1::text AND revision = $2::int8 RETURNING id";
    let values = [
        text(saga.id.as_str()),
        Stored::Big(saga.revision.cast_signed()),
        text(saga.status.as_str()),
        text(&saga.document),
        millis(pause),
    ];
    Ok(!alter(session, update, &values, End::Commit).await?.is_empty())
}

/// See `SagaLog::lease_sagas`.
///
/// What was touched in the future was so before the server's clock was put back. It is due: nobody would go on with it
/// before that time has come again. So a lease is a touch, too.
pub(super) async fn lease(session: &Session, side: Side, lease: Duration, limit: usize) -> Result<Leased, StoreError> {
    let update = format!(
        "WITH due AS MATERIALIZED (SELECT id FROM strangler_saga WHERE status IN ('running', 'compensating') \
         AND (due_at <= clock_timestamp() OR changed_at > clock_timestamp()) \
         ORDER BY due_at, id LIMIT $2::int8 FOR UPDATE SKIP LOCKED) \
         UPDATE strangler_saga s SET revision = s.revision + 1, changed_at = clock_timestamp(), \
         due_at = clock_timestamp() + $1::int8 * interval '1 millisecond' FROM due WHERE s.id = due.id RETURNING {ROW}"
    );
    let rows = alter(session, &update, &[millis(lease), count(limit)], End::CommitLoosely).await?;
    let sagas: Vec<_> = rows.iter().filter_map(|found| row(side, found).ok()).collect();
    Ok(Leased { unreadable: rows.len() - sagas.len(), sagas })
}

/// See `SagaLog::saga`.
pub(super) async fn find(session: &Session, side: Side, id: &SagaId) -> Result<Option<SagaRow>, StoreError> {
    let select = format!("SELECT {ROW} FROM strangler_saga s WHERE s.id = $1::text");
    let rows = ask(session, &select, &[text(id.as_str())]).await?;
    rows.first().map(|found| row(side, found)).transpose()
}

/// See `SagaLog::sagas`.
pub(super) async fn list(
    session: &Session,
    side: Side,
    status: Option<SagaStatus>,
    limit: usize,
) -> Result<Vec<SagaRow>, StoreError> {
    let select = format!(
        "SELECT {ROW} FROM strangler_saga s WHERE ($1::text IS NULL OR s.status = $1::text) \
         AND s.id NOT LIKE '{COPY}%' ORDER BY s.began_at DESC, s.id LIMIT $2::int8"
    );
    let status = status.map_or(Stored::Null, |status| text(status.as_str()));
    let rows = ask(session, &select, &[status, count(limit)]).await?;
    rows.iter().map(|found| row(side, found)).collect()
}

/// See `SagaLog::open_sagas`.
pub(super) async fn open(session: &Session, side: Side) -> Result<OpenSagas, StoreError> {
    let select = "SELECT id FROM strangler_saga WHERE status IN ('running', 'compensating', 'stuck') LIMIT $1::int8";
    let rows = ask(session, select, &[count(OpenSagas::MOST + 1)]).await?;
    if rows.len() > OpenSagas::MOST {
        return Ok(OpenSagas::Unknown);
    }
    let unreadable = |_| misfit(side, "the saga log has a row that cannot be read".to_owned());
    let ids = rows.iter().map(|row| row.try_get::<_, String>("id").map_err(unreadable));
    // Who cannot be named has no step: keys are made of names.
    Ok(OpenSagas::These(ids.collect::<Result<Vec<_>, _>>()?.iter().filter_map(|id| SagaId::new(id)).collect()))
}

/// See `SagaLog::count_sagas`.
pub(super) async fn counts(session: &Session, side: Side) -> Result<SagaCounts, StoreError> {
    let select = "SELECT status, count(*) AS n FROM strangler_saga \
                  WHERE status IN ('running', 'compensating', 'stuck') GROUP BY status";
    let mut counts = SagaCounts::default();
    for row in ask(session, select, &[]).await? {
        let number = number(side, &row, "n")?;
        match SagaStatus::parse(get(side, &row, "status")?) {
            Some(SagaStatus::Running) => counts.running = number,
            Some(SagaStatus::Compensating) => counts.compensating = number,
            Some(SagaStatus::Stuck) => counts.stuck = number,
            Some(SagaStatus::Done | SagaStatus::Undone | SagaStatus::Abandoned) | None => {}
        }
    }
    Ok(counts)
}

/// See `SagaLog::forget_sagas`.
pub(super) async fn forget(session: &Session, retention: Duration, limit: usize) -> Result<u64, StoreError> {
    let delete = "DELETE FROM strangler_saga WHERE id IN (SELECT id FROM strangler_saga \
                  WHERE status IN ('done', 'undone', 'abandoned') \
                  AND changed_at < clock_timestamp() - $1::int8 * interval '1 millisecond' LIMIT $2::int8) RETURNING id";
    Ok(alter(session, delete, &[millis(retention), count(limit)], End::CommitLoosely).await?.len() as u64)
}
