//! One connection for one call, within the call's time limit.
//!
//! Promise: a connection goes back to its pool only when the call on it came to a clean end. One
//! that was left in the middle (time-out, dropped future, open transaction) is closed, and the server
//! is asked to stop what still runs on it, so that its locks go quickly.
//!
//! Not so once `COMMIT` was sent: a server that is asked to stop while it waits for its standby shows the commit, and
//! loses it when the standby takes over. Such a connection keeps its place in the pool until the server has answered,
//! so that a server which waits for long is not given more and more of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed;
use deadpool_postgres::Runtime;
use futures::future::try_join_all;
use model::life::Memory;
use model::{Side, StoreError};
use tokio::time::Instant;
use tokio_postgres::Statement;

use super::connections::{Connections, Held, NoneHad};
use super::dial::Dialer;
use super::encoding::Encoding;
use super::error;
use super::life::{self, Expected};
use super::line::{self, Dial, Line, MARK};
use super::room::{Room, Server};
use super::settings::Settings;
use super::tls::Mode;
use crate::Lane;
use crate::source::Source;

/// How long a dying connection's cancel request may take.
const CANCEL_WITHIN: Duration = Duration::from_secs(2);

/// How long a connection is kept whose `COMMIT` nobody waits for any more. A server that froze or is cut off has it no
/// longer: others must be able to try.
const COMMITS_WITHIN: Duration = Duration::from_secs(20);

/// The pools of one server, one per lane and use.
pub(super) struct Pools {
    side: Side,
    server: Arc<Server>,
    dialer: Dialer,
    reads: Connections<Dial>,
    writes: Connections<Dial>,
    shadow: Connections<Dial>,
    scan: Connections<Dial>,
    admin: Connections<Dial>,
    expected: Expected,
    source: Source,
    encoding: Arc<Encoding>,
    /// How often a table was seen to be altered under prepared statements.
    altered: Arc<AtomicU64>,
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
        let misfit = |problem: String| StoreError::Misfit { side, problem, source: None };
        let dialer = Dialer::new(&settings.url, &settings.tls, side.as_str());
        let dialer = dialer.map_err(|error| misfit(error.of_its_owner()))?.with(|config| {
            config.application_name(&settings.application_name);
            config.connect_timeout(settings.connect_timeout);
            config.keepalives_idle(Duration::from_secs(15));
        });
        // The server gives up on us when we fall silent inside a transaction: a proxy that froze or was cut off would
        // else hold its row locks for ever. Nearly all we ask is look-ups by key, for which a server's defaults make it
        // compile statements for nothing and read small tables from end to end. The address may say otherwise.
        let options = dialer.options();
        // Where a policy would hide rows from our role, the server says so instead of leaving them out: a row that we do
        // not see is no row that is not there.
        let common =
            "-c idle_in_transaction_session_timeout=60000 -c jit=off -c random_page_cost=1.1 -c row_security=off";
        // A write's statements find rows by key whatever their parameters: one plan serves them all, and planning
        // anew each time would cost more than running. List queries are left to the server's judgement.
        // And a write never pauses between its two round trips: one whose process froze holds the group's fence, and
        // with it every handover.
        // Behind the address's own: what these say is relied on. A read under another isolation may fail where it
        // cannot here; warnings tell of a commit that is none.
        let promised =
            format!("-c default_transaction_isolation=read\\ committed -c client_min_messages=warning {MARK}");
        let one_plan = "-c plan_cache_mode=force_generic_plan -c idle_in_transaction_session_timeout=2000";
        let expected = Expected::default();
        let encoding = Arc::new(Encoding::default());
        let server = Server::new(side.as_str());
        let pool = |size: usize, extra: &str, writes: bool| {
            let dialer = dialer.with(|config| {
                config.options(format!("{common} {extra} {options} {promised}"));
            });
            let remembers = writes.then(|| Arc::clone(&expected));
            let pool = managed::Pool::builder(Dial { dialer, encoding: Arc::clone(&encoding) })
                .post_create(life::compare(side, remembers))
                .max_size(size)
                .runtime(Runtime::Tokio1)
                .build()
                .map_err(|error| misfit(format!("its pool could not be made: {error}")))?;
            Ok(Connections::new(pool, Room::new(Arc::clone(&server), size)))
        };
        Ok(Self {
            side,
            reads: pool(settings.reads.get(), "", false)?,
            writes: pool(settings.writes.get(), one_plan, true)?,
            shadow: pool(settings.shadow.get(), "", false)?,
            scan: pool(settings.scan.get(), "", false)?,
            admin: pool(settings.admin.get(), "", true)?,
            server,
            dialer,
            expected,
            source: Source::default(),
            encoding,
            altered: Arc::default(),
        })
    }

    /// From now on each new connection is compared with `memory` before its first use.
    pub(super) fn expect(&self, memory: Memory) {
        *self.expected.lock() = Some(memory);
    }

    /// Which letters the database has.
    pub(super) fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// As which incarnation this process knows the other side.
    pub(super) fn source(&self) -> &Source {
        &self.source
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
        let held = pool.take(deadline, || self.share()).await.map_err(|none| match none {
            NoneHad::InTime => error::unreachable(self.side, "no connection of its pool was free in time"),
            NoneHad::Pool(error) => error::connecting(self.side, error),
        })?;
        let altered = self.altered.load(Ordering::Relaxed);
        if held.get().altered.swap(altered, Ordering::Relaxed) != altered {
            held.get().client.statement_cache.clear();
            held.get().statements.clear();
        }
        let mut session = Session {
            held: Some(held),
            altered: Arc::clone(&self.altered),
            side: self.side,
            limit: within,
            deadline,
            clean: false,
            in_transaction: AtomicBool::new(false),
            commit_sent: AtomicBool::new(false),
        };
        if purpose == Use::Write {
            session.refresh().await?;
        }
        Ok(session)
    }

    /// One of our pools has no connection, and the server none for us: the one with the most gives up one.
    fn share(&self) {
        let pools = [&self.reads, &self.writes, &self.shadow, &self.scan, &self.admin];
        let richest = pools.into_iter().max_by_key(|pool| pool.count());
        if let Some(pool) = richest.filter(|pool| pool.count() > 1) {
            pool.give_up_one();
        }
    }

    /// How often a table was seen to be altered under prepared statements.
    pub(super) fn altered(&self) -> u64 {
        self.altered.load(Ordering::Relaxed)
    }

    /// How many connections the server has refused for want of room.
    pub(super) fn refused(&self) -> u64 {
        self.server.refused()
    }

    /// How connections are protected.
    pub(super) fn mode(&self) -> Mode {
        self.dialer.plan().mode
    }
}

/// A connection that is held for one call.
pub(super) struct Session {
    held: Option<Held<Dial>>,
    altered: Arc<AtomicU64>,
    side: Side,
    limit: Duration,
    deadline: Instant,
    clean: bool,
    in_transaction: AtomicBool,
    commit_sent: AtomicBool,
}

impl Session {
    fn line(&self) -> &Line {
        self.held.as_ref().expect("the connection leaves the session only when the session ends").get()
    }

    /// The connection.
    pub(super) fn client(&self) -> &deadpool_postgres::ClientWrapper {
        &self.line().client
    }

    /// Looks whether the server takes writes, where that is not known.
    async fn refresh(&mut self) -> Result<(), StoreError> {
        let (side, deadline) = (self.side, self.deadline);
        let Some(held) = &mut self.held else { return Ok(()) };
        let looked = tokio::time::timeout_at(deadline, held.get_mut().refresh()).await;
        let looked = looked.map_err(|elapsed| error::unreachable(side, elapsed))?;
        // Nothing of the call was sent yet.
        looked.map_err(|error| error::no_line(side, error))
    }

    /// Prepares texts on this connection, those it has not seen before in one round trip. What is given up for them is
    /// forgotten by the server when nobody uses it any more.
    pub(super) async fn prepare(&self, texts: &[&str]) -> Result<Vec<Statement>, StoreError> {
        let client = self.client();
        let prepared = try_join_all(texts.iter().map(|text| client.prepare_cached(text))).await;
        for given_up in texts.iter().filter_map(|text| self.line().statements.used(text)) {
            client.statement_cache.remove(&given_up, &[]);
        }
        prepared.map_err(|error| self.error(error))
    }

    /// Says what a driver's error means here.
    ///
    /// A statement that was prepared before its table was altered fails for as long as its connection lives. So all
    /// connections prepare theirs anew before their next call: who tries again meets no other that is out of date.
    pub(super) fn error(&self, error: tokio_postgres::Error) -> StoreError {
        if error::is_out_of_date(&error) {
            self.altered.fetch_add(1, Ordering::Relaxed);
        }
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

    /// What is left of the call's limit.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Nobody knows what became of the call.
    pub(super) fn no_answer(&self) -> StoreError {
        StoreError::NoAnswer { side: self.side, limit: self.limit }
    }

    /// Refuses on a connection that takes no writes.
    pub(super) fn may_write(&self) -> Result<(), StoreError> {
        if self.line().is_closed() {
            return Err(StoreError::Unwritable { side: self.side, source: line::closed() });
        }
        Ok(())
    }

    /// `COMMIT` is about to be sent: from now on nobody cancels. The doubts so far.
    pub(super) fn commits(&self) -> u64 {
        self.commit_sent.store(true, Ordering::Relaxed);
        self.doubts()
    }

    /// See [`Line::doubts`].
    pub(super) fn doubts(&self) -> u64 {
        self.line().doubts()
    }

    /// From now on the connection has an open transaction.
    pub(super) fn begins(&self) {
        self.in_transaction.store(true, Ordering::Relaxed);
    }

    /// The transaction is over, the server said so.
    pub(super) fn ended(&self) {
        self.in_transaction.store(false, Ordering::Relaxed);
        self.commit_sent.store(false, Ordering::Relaxed);
    }

    /// Undoes the open transaction. When that fails the connection is closed, which undoes it too.
    pub(super) async fn roll_back(&self) {
        // Somebody may cancel it like any statement.
        for _ in 0..2 {
            match self.client().batch_execute("ROLLBACK").await {
                Ok(()) => return self.ended(),
                Err(error) if error.as_db_error().is_some() => {}
                Err(_) => return,
            }
        }
    }

    /// Waits for `work` within the limit of the call.
    pub(super) async fn limited<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match tokio::time::timeout_at(self.deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(self.no_answer()),
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
        let Some(held) = self.held.take() else {
            return;
        };
        if self.clean {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            drop(held.take_out());
            return;
        };
        if self.commit_sent.load(Ordering::Relaxed) {
            runtime.spawn(async move {
                // Answered means that all before was answered as well, and nothing is open any more.
                let over = tokio::time::timeout(COMMITS_WITHIN, held.get().client.batch_execute("ROLLBACK")).await;
                if !matches!(over, Ok(Ok(()))) {
                    drop(held.take_out());
                }
            });
        } else {
            // Whether it works does not matter: the server also notices the closed connection, only later.
            runtime.spawn(held.take_out().end().cancel(CANCEL_WITHIN));
        }
    }
}
