//! The saga log: how far sagas have come.

use std::time::Duration;

use async_trait::async_trait;
use model::saga::{Begun, COPY, Leased, OpenSagas, SagaCounts, copy_of, of_copy};
use model::{Instant, SagaId, SagaLog, SagaRow, SagaStatus, Side, StoreError};
use oracle::Row;

use super::bind::Bind;
use super::bookkeeping::{self, NOW};
use super::error;
use super::ledger::seconds;
use super::session::Session;
use super::store::OracleStore;
use super::table::{MAX_LIST, misfit};
use super::wire;

const ROW: &str = "s.id, s.route, s.status, s.revision, s.document, s.began_at";

fn row(side: Side, row: &Row) -> Result<SagaRow, StoreError> {
    let read = || {
        let began = wire::moment(row, 5)?;
        Some(SagaRow {
            id: SagaId::new(&wire::text(row, 0)?)?,
            route: wire::text(row, 1)?.as_str().into(),
            status: SagaStatus::parse(&wire::text(row, 2)?)?,
            revision: wire::number(row, 3)?,
            document: wire::text(row, 4)?,
            began_at: Instant::new(began.and_utc()),
        })
    };
    read().ok_or_else(|| misfit(side, "the saga log has a row that cannot be read"))
}

fn rows(side: Side, found: &[Row]) -> Result<Vec<SagaRow>, StoreError> {
    found.iter().map(|found| row(side, found)).collect()
}

/// See `SagaLog::begin_saga`.
pub(super) fn begin(session: &mut Session, side: Side, saga: &SagaRow, lease: Duration) -> Result<Begun, StoreError> {
    // Not proven in the insert itself: what is longer than a VARCHAR2 may be bound among VALUES only.
    let insert = format!(
        "INSERT INTO strangler_saga (id, route, status, revision, document, due_at) \
         VALUES (:1, :2, :3, 1, :4, {NOW} + NUMTODSINTERVAL(:5, 'SECOND'))"
    );
    let values = vec![
        Bind::text(saga.id.as_str()),
        Bind::text(saga.route.as_str()),
        Bind::text(saga.status.as_str()),
        Bind::text(saga.document.as_str()),
        seconds(lease),
    ];
    match session.batch(&insert, &[values])?.first() {
        Some(Err(error::EXISTS)) => session.roll_back(),
        Some(Err(code)) => return Err(session.of_code(*code)),
        Some(Ok(_)) | None => {
            let lives = bookkeeping::takes_writes(session);
            if !matches!(lives, Ok(true)) {
                session.roll_back();
                return Err(lives.err().unwrap_or_else(|| StoreError::suspended(side)));
            }
            session.commit()?;
            return Ok(Begun::Now);
        }
    }
    // Only what has ended long ago is deleted: a repeat that meets that moment begins anew when it comes again.
    let gone = || StoreError::Conflict { side, source: "the saga was forgotten meanwhile".into() };
    find(session, side, &saga.id)?.map(Begun::Before).ok_or_else(gone)
}

/// See `SagaLog::copy_saga`.
pub(super) fn copy(session: &mut Session, side: Side, saga: &SagaRow) -> Result<(), StoreError> {
    if !bookkeeping::takes_writes(session)? {
        return Err(StoreError::suspended(side));
    }
    let id = copy_of(&saga.id);
    let update =
        format!("UPDATE strangler_saga SET document = :1, revision = revision + 1, changed_at = {NOW} WHERE id = :2");
    let known = session.run(&update, &[Bind::text(saga.document.as_str()), Bind::text(id.as_str())])?;
    if known == 0 {
        let done = SagaRow { id, status: SagaStatus::Done, ..saga.clone() };
        return match insert(session, &done)? {
            true => Ok(()),
            false => Err(StoreError::Conflict { side, source: "another replica copies it".into() }),
        };
    }
    session.commit()
}

/// See `SagaLog::saga_copies`.
pub(super) fn copies(
    session: &mut Session,
    side: Side,
    since: Instant,
    after: Option<&SagaId>,
    limit: usize,
) -> Result<Vec<SagaRow>, StoreError> {
    let select = format!(
        "SELECT {ROW} FROM strangler_saga s WHERE s.id LIKE '{COPY}%' AND s.changed_at >= :1 AND s.id > :2 \
         ORDER BY s.id FETCH FIRST :3 ROWS ONLY"
    );
    let after = after.map_or(COPY.to_owned(), |after| copy_of(after).as_str().to_owned());
    let found = session.query(
        &select,
        &[Bind::instant(since.to_utc().naive_utc()), Bind::text(after), Bind::number(limit)],
        50,
    )?;
    let unreadable = || misfit(side, "the saga log has a copy that cannot be read");
    let own = |row: SagaRow| Ok(SagaRow { id: of_copy(&row.id).ok_or_else(unreadable)?, ..row });
    rows(side, &found)?.into_iter().map(own).collect()
}

/// See `SagaLog::restore_saga`. Whether the row is new; it is due at once.
pub(super) fn insert(session: &mut Session, saga: &SagaRow) -> Result<bool, StoreError> {
    let insert = format!(
        "INSERT INTO strangler_saga (id, route, status, revision, document, due_at) VALUES (:1, :2, :3, 1, :4, {NOW})"
    );
    let values = vec![
        Bind::text(saga.id.as_str()),
        Bind::text(saga.route.as_str()),
        Bind::text(saga.status.as_str()),
        Bind::text(saga.document.as_str()),
    ];
    match session.batch(&insert, &[values])?.first() {
        Some(Err(error::EXISTS)) => {
            session.roll_back();
            Ok(false)
        }
        Some(Err(code)) => Err(session.of_code(*code)),
        Some(Ok(_)) | None => {
            session.commit()?;
            Ok(true)
        }
    }
}

/// See `SagaLog::save_saga`.
pub(super) fn save(session: &mut Session, saga: &SagaRow, pause: Duration) -> Result<bool, StoreError> {
    let update = format!(
        "UPDATE strangler_saga SET status = :1, document = :2, revision = revision + 1, \
         due_at = {NOW} + NUMTODSINTERVAL(:3, 'SECOND'), changed_at = {NOW} WHERE id = :4 AND revision = :5"
    );
    let values = [
        Bind::text(saga.status.as_str()),
        Bind::text(saga.document.as_str()),
        seconds(pause),
        Bind::text(saga.id.as_str()),
        Bind::number(saga.revision),
    ];
    let saved = session.run(&update, &values)?;
    session.commit()?;
    Ok(saved > 0)
}

/// What was touched in the future was so before the server's clock was put back. It is due: nobody would go on with it
/// before that time has come again. So a lease is a touch, too.
fn due(row: &str) -> String {
    format!("{row}.status IN ('running', 'compensating') AND ({row}.due_at <= {NOW} OR {row}.changed_at > {NOW})")
}

/// See `SagaLog::lease_sagas`. The oldest are chosen first and locked then, as an Oracle cannot do both at once.
pub(super) fn lease(session: &mut Session, side: Side, lease: Duration, limit: usize) -> Result<Leased, StoreError> {
    let limit = limit.min(MAX_LIST);
    let select = format!(
        "SELECT {ROW} FROM strangler_saga s WHERE {} AND s.id IN (SELECT d.id FROM strangler_saga d WHERE {} \
         ORDER BY d.due_at, d.id FETCH FIRST :1 ROWS ONLY) FOR UPDATE SKIP LOCKED",
        due("s"),
        due("d")
    );
    let found = session.query(&select, &[Bind::number(limit)], u32::try_from(limit).unwrap_or(100))?;
    let mut sagas: Vec<_> = found.iter().filter_map(|found| row(side, found).ok()).collect();
    let unreadable = found.len() - sagas.len();
    if sagas.is_empty() {
        session.roll_back();
        return Ok(Leased { sagas, unreadable });
    }
    let update = format!(
        "UPDATE strangler_saga SET revision = revision + 1, changed_at = {NOW}, \
         due_at = {NOW} + NUMTODSINTERVAL(:1, 'SECOND') WHERE id = :2"
    );
    let leases: Vec<_> = sagas.iter().map(|saga| vec![seconds(lease), Bind::text(saga.id.as_str())]).collect();
    session.batch_all(&update, &leases)?;
    session.commit()?;
    for saga in &mut sagas {
        saga.revision += 1;
    }
    Ok(Leased { sagas, unreadable })
}

/// See `SagaLog::saga`.
pub(super) fn find(session: &mut Session, side: Side, id: &SagaId) -> Result<Option<SagaRow>, StoreError> {
    let select = format!("SELECT {ROW} FROM strangler_saga s WHERE s.id = :1");
    let found = session.query(&select, &[Bind::text(id.as_str())], 1)?;
    found.first().map(|found| row(side, found)).transpose()
}

/// See `SagaLog::sagas`.
pub(super) fn list(
    session: &mut Session,
    side: Side,
    status: Option<SagaStatus>,
    limit: usize,
) -> Result<Vec<SagaRow>, StoreError> {
    let order = "ORDER BY s.began_at DESC, s.id FETCH FIRST";
    let found = match status {
        None => {
            let select =
                format!("SELECT {ROW} FROM strangler_saga s WHERE s.id NOT LIKE '{COPY}%' {order} :1 ROWS ONLY");
            session.query(&select, &[Bind::number(limit)], 50)?
        }
        Some(status) => {
            let select = format!(
                "SELECT {ROW} FROM strangler_saga s WHERE s.status = :1 AND s.id NOT LIKE '{COPY}%' {order} :2 ROWS ONLY"
            );
            session.query(&select, &[Bind::text(status.as_str()), Bind::number(limit)], 50)?
        }
    };
    rows(side, &found)
}

/// See `SagaLog::open_sagas`.
pub(super) fn open(session: &mut Session, side: Side) -> Result<OpenSagas, StoreError> {
    let select = "SELECT s.id FROM strangler_saga s WHERE s.status IN ('running', 'compensating', 'stuck') \
                  FETCH FIRST :1 ROWS ONLY";
    let found = session.query(select, &[Bind::number(OpenSagas::MOST + 1)], 100)?;
    if found.len() > OpenSagas::MOST {
        return Ok(OpenSagas::Unknown);
    }
    let unreadable = || misfit(side, "the saga log has a row that cannot be read");
    let ids = found.iter().map(|row| wire::text(row, 0).ok_or_else(unreadable));
    // Who cannot be named has no step: keys are made of names.
    Ok(OpenSagas::These(ids.collect::<Result<Vec<_>, _>>()?.iter().filter_map(|id| SagaId::new(id)).collect()))
}

/// See `SagaLog::count_sagas`.
pub(super) fn counts(session: &mut Session) -> Result<SagaCounts, StoreError> {
    let select = "SELECT COUNT(CASE WHEN status = 'running' THEN 1 END), \
                  COUNT(CASE WHEN status = 'compensating' THEN 1 END), COUNT(CASE WHEN status = 'stuck' THEN 1 END) \
                  FROM strangler_saga WHERE status IN ('running', 'compensating', 'stuck')";
    let found = session.query(select, &[], 1)?;
    let number = |place| found.first().and_then(|row| wire::number(row, place)).unwrap_or_default();
    Ok(SagaCounts { running: number(0), compensating: number(1), stuck: number(2) })
}

/// See `SagaLog::forget_sagas`.
pub(super) fn forget(session: &mut Session, retention: Duration, limit: usize) -> Result<u64, StoreError> {
    let delete = format!(
        "DELETE FROM strangler_saga WHERE ROWID IN (SELECT s.ROWID FROM strangler_saga s \
         WHERE s.status IN ('done', 'undone', 'abandoned') \
         AND s.changed_at < {NOW} - NUMTODSINTERVAL(:1, 'SECOND') FETCH FIRST :2 ROWS ONLY)"
    );
    let gone = session.run(&delete, &[seconds(retention), Bind::number(limit)])?;
    session.commit()?;
    Ok(gone)
}

#[async_trait]
impl SagaLog for OracleStore {
    async fn begin_saga(&self, saga: &SagaRow, lease: Duration, within: Duration) -> Result<Begun, StoreError> {
        let saga = saga.clone();
        self.writing(within, move |session, _, side| begin(session, side, &saga, lease)).await
    }

    async fn save_saga(&self, saga: &SagaRow, pause: Duration, within: Duration) -> Result<bool, StoreError> {
        let saga = saga.clone();
        self.writing(within, move |session, _, _| save(session, &saga, pause)).await
    }

    async fn lease_sagas(&self, lease: Duration, limit: usize, within: Duration) -> Result<Leased, StoreError> {
        self.writing(within, move |session, _, side| self::lease(session, side, lease, limit)).await
    }

    async fn copy_saga(&self, saga: &SagaRow, within: Duration) -> Result<(), StoreError> {
        let saga = saga.clone();
        self.writing(within, move |session, _, side| copy(session, side, &saga)).await
    }

    async fn saga_copies(
        &self,
        since: Instant,
        after: Option<&SagaId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<SagaRow>, StoreError> {
        let after = after.cloned();
        self.reading(within, move |session, _, side| copies(session, side, since, after.as_ref(), limit)).await
    }

    async fn restore_saga(&self, saga: &SagaRow, within: Duration) -> Result<bool, StoreError> {
        let saga = saga.clone();
        self.writing(within, move |session, _, _| insert(session, &saga)).await
    }

    async fn saga(&self, id: &SagaId, within: Duration) -> Result<Option<SagaRow>, StoreError> {
        let id = id.clone();
        self.reading(within, move |session, _, side| find(session, side, &id)).await
    }

    async fn sagas(
        &self,
        status: Option<SagaStatus>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<SagaRow>, StoreError> {
        self.reading(within, move |session, _, side| list(session, side, status, limit)).await
    }

    async fn open_sagas(&self, within: Duration) -> Result<OpenSagas, StoreError> {
        self.reading(within, |session, _, side| open(session, side)).await
    }

    async fn count_sagas(&self, within: Duration) -> Result<SagaCounts, StoreError> {
        self.reading(within, |session, _, _| counts(session)).await
    }

    async fn forget_sagas(&self, retention: Duration, limit: usize, within: Duration) -> Result<u64, StoreError> {
        self.writing(within, move |session, _, _| forget(session, retention, limit)).await
    }
}
