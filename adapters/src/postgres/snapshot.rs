//! A moment kept: one read-only transaction that sees the database as it was when it began.
//!
//! It holds a connection of its lane, and keeps the server from clearing away what has changed since: a
//! snapshot that nobody reads for a minute is ended by the server. After any error it is over.

use std::time::Duration;

use async_trait::async_trait;
use model::checksum::{Chunk, ChunkSum};
use model::{EntityKey, EntityType, Keyless, LeftOut, Record, Scan, Side, StoreError};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use super::session::Session;
use super::table::Table;
use super::{checksum, error, left_out, read};

/// Reads one call after the other: a transaction is one conversation. Dropping it closes its connection.
pub(super) struct PostgresSnapshot {
    side: Side,
    session: Mutex<Option<Session>>,
}

impl PostgresSnapshot {
    /// Begins the transaction and lets it look once: before that it has not seen anything yet.
    pub(super) async fn begin(side: Side, session: Session) -> Result<Self, StoreError> {
        session.begins();
        let begin = session.client().batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1");
        session.limited(async { begin.await.map_err(|error| session.error(error)) }).await?;
        Ok(Self { side, session: Mutex::new(Some(session)) })
    }

    /// Takes the session for one call.
    async fn held(&self, within: Duration) -> Result<MutexGuard<'_, Option<Session>>, StoreError> {
        let deadline = Instant::now() + within;
        let held = timeout_at(deadline, self.session.lock()).await;
        let mut held = held.map_err(|elapsed| error::unreachable(self.side, elapsed))?;
        if let Some(session) = held.as_mut() {
            session.renew(within, deadline);
        }
        Ok(held)
    }
}

/// Runs `work` on the held session. The transaction does not survive an error, and a lost connection
/// is a lost moment.
macro_rules! look {
    ($snapshot:ident, $within:ident, |$session:ident| $work:expr) => {{
        let mut held = $snapshot.held($within).await?;
        // Out of its place while it works: a caller that is dropped in the middle ends the snapshot.
        let Some($session) = held.take() else {
            return Err(StoreError::SnapshotLost { side: $snapshot.side, source: None });
        };
        let result = {
            let $session = &$session;
            $session.limited(Box::pin($work)).await
        };
        match result {
            Ok(found) => {
                *held = Some($session);
                Ok(found)
            }
            // No answer before the limit: the connection broke, and the moment is gone with it.
            Err(error @ StoreError::NoAnswer { .. }) if !$session.is_over() => {
                Err(StoreError::SnapshotLost { side: $snapshot.side, source: Some(Box::new(error)) })
            }
            Err(error) => Err(error.of_read($within)),
        }
    }};
}

#[async_trait]
impl Scan for PostgresSnapshot {
    async fn scan(
        &self,
        entity: &EntityType,
        after: Option<&EntityKey>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| read::scan(session, table, after, limit))
    }

    async fn keyless(&self, entity: &EntityType, limit: usize, within: Duration) -> Result<Keyless, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| read::keyless(session, table, limit))
    }

    async fn left_out(&self, entity: &EntityType, within: Duration) -> Result<Vec<LeftOut>, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| left_out::left_out(session, table))
    }

    async fn sums(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        within: Duration,
    ) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| checksum::sums(session, table, chunk))
    }

    async fn members(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| checksum::members(session, table, chunk, limit))
    }
}
