//! One connection for one call, within the call's time limit.
//!
//! Promise: a connection goes back to its pool only when the call on it came to a clean end. One
//! that was left in the middle (time-out, dropped future, open transaction) is closed, and the server
//! is asked to stop what still runs on it, so that its locks go quickly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use futures::future::try_join_all;
use model::{Side, StoreError};
use tokio::time::Instant;
use tokio_postgres::{NoTls, Statement};

use super::error;
use super::settings::Settings;
use crate::Lane;

/// How long a dying connection's cancel request may take.
const CANCEL_WITHIN: Duration = Duration::from_secs(2);

/// The pools of one server, one per lane and use.
pub(super) struct Pools {
    side: Side,
    reads: Pool,
    writes: Pool,
    shadow: Pool,
    scan: Pool,
    admin: Pool,
}

/// What a call does with its connection: decides the pool on the client's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

impl Pools {
    /// Makes empty pools. No connection is made before it is needed.
    pub(super) fn new(side: Side, settings: &Settings) -> Result<Self, StoreError> {
        let misfit =
            |problem: &str, source| StoreError::Misfit { side, problem: problem.to_owned(), source: Some(source) };
        let mut config: tokio_postgres::Config =
            settings.url.parse().map_err(|error| misfit("its address is not a PostgreSQL address", Box::new(error)))?;
        config.application_name(&settings.application_name);
        config.connect_timeout(settings.connect_timeout);
        config.keepalives_idle(Duration::from_secs(15));
        // The server gives up on us when we fall silent inside a transaction: a proxy that froze or was cut off would
        // else hold its row locks for ever. Nearly all we ask is look-ups by key, for which a server's defaults make it
        // compile statements for nothing and read small tables from end to end. The address may say otherwise.
        let options = config.get_options().unwrap_or_default().to_owned();
        let common = "-c idle_in_transaction_session_timeout=60000 -c jit=off -c random_page_cost=1.1";
        // A write's statements find rows by key whatever their parameters: one plan serves them all, and planning
        // anew each time would cost more than running. List queries are left to the server's judgement.
        // And a write never pauses between its two round trips: one whose process froze holds the group's fence, and
        // with it every handover.
        let one_plan = "-c plan_cache_mode=force_generic_plan -c idle_in_transaction_session_timeout=2000";
        let mut pool = |size: usize, extra: &str| {
            config.options(format!("{common} {extra} {options}"));
            let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
            Pool::builder(Manager::from_config(config.clone(), NoTls, manager))
                .max_size(size)
                .runtime(Runtime::Tokio1)
                .build()
                .map_err(|error| misfit("its pool could not be made", Box::new(error)))
        };
        Ok(Self {
            side,
            reads: pool(settings.reads.get(), "")?,
            writes: pool(settings.writes.get(), one_plan)?,
            shadow: pool(settings.shadow.get(), "")?,
            scan: pool(settings.scan.get(), "")?,
            admin: pool(settings.admin.get(), "")?,
        })
    }

    /// Takes a connection of `lane`, within the limit of the call.
    ///
    /// # Errors
    /// `Unreachable` or `Misfit`: nothing was sent.
    pub(super) async fn session(&self, lane: Lane, purpose: Use, within: Duration) -> Result<Session, StoreError> {
        let deadline = Instant::now() + within;
        let pool = match (lane, purpose) {
            (Lane::Client, Use::Read) => &self.reads,
            (Lane::Client, Use::Write) => &self.writes,
            (Lane::Shadow, _) => &self.shadow,
            (Lane::Scan, _) => &self.scan,
            (Lane::Admin, _) => &self.admin,
        };
        let timeouts = Timeouts { wait: Some(within), create: Some(within), recycle: Some(within) };
        let object = tokio::time::timeout_at(deadline, pool.timeout_get(&timeouts))
            .await
            .map_err(|elapsed| error::unreachable(self.side, elapsed))?
            .map_err(|error| error::connecting(self.side, error))?;
        Ok(Session {
            object: Some(object),
            side: self.side,
            limit: within,
            deadline,
            clean: false,
            in_transaction: AtomicBool::new(false),
        })
    }
}

/// A connection that is held for one call.
pub(super) struct Session {
    object: Option<Object>,
    side: Side,
    limit: Duration,
    deadline: Instant,
    clean: bool,
    in_transaction: AtomicBool,
}

impl Session {
    /// The connection.
    pub(super) fn client(&self) -> &deadpool_postgres::ClientWrapper {
        self.object.as_ref().expect("the connection leaves the session only when the session ends")
    }

    /// Prepares texts on this connection, those it has not seen before in one round trip.
    pub(super) async fn prepare(&self, texts: &[&str]) -> Result<Vec<Statement>, StoreError> {
        let client = self.client();
        try_join_all(texts.iter().map(|text| client.prepare_cached(text))).await.map_err(|error| self.error(error))
    }

    /// Says what a driver's error means here.
    pub(super) fn error(&self, error: tokio_postgres::Error) -> StoreError {
        error::classify(self.side, self.limit, error)
    }

    /// Another call on the same connection begins, with a limit of its own.
    pub(super) fn renew(&mut self, limit: Duration, deadline: Instant) {
        (self.limit, self.deadline) = (limit, deadline);
    }

    /// Whether the call's limit is over.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// From now on the connection has an open transaction.
    pub(super) fn begins(&self) {
        self.in_transaction.store(true, Ordering::Relaxed);
    }

    /// The transaction is over, the server said so.
    pub(super) fn ended(&self) {
        self.in_transaction.store(false, Ordering::Relaxed);
    }

    /// Undoes the open transaction. When that fails the connection is closed, which undoes it too.
    pub(super) async fn roll_back(&self) {
        if self.client().batch_execute("ROLLBACK").await.is_ok() {
            self.ended();
        }
    }

    /// Waits for `work` within the limit of the call.
    pub(super) async fn limited<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match tokio::time::timeout_at(self.deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::NoAnswer { side: self.side, limit: self.limit }),
        }
    }

    /// Ends the call. The connection goes back to its pool when nothing is left open on it.
    pub(super) fn finish<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let answered = !matches!(result, Err(StoreError::NoAnswer { .. }));
        let open = self.in_transaction.load(Ordering::Relaxed);
        self.clean = answered && !open;
        result
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else {
            return;
        };
        if self.clean {
            return;
        }
        let client = Object::take(object);
        let cancel = client.cancel_token();
        drop(client);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Whether it worked does not matter: the server also notices the closed connection, only later.
                let _ = tokio::time::timeout(CANCEL_WITHIN, cancel.cancel_query(NoTls)).await;
            });
        }
    }
}
