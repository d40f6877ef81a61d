//! One line to the server: a connection that may write only inside a transaction of ours, and what the server says on
//! it beside its answers.
//!
//! *Read-only by default.* The statements of a round trip are messages of their own, and when the one with `BEGIN` is
//! cancelled before it has run (by a DBA, or a `statement_timeout` that fires late), the server runs the others alone
//! and commits each. So every line is read-only outside of transactions that say `READ WRITE` themselves (`pipeline`
//! does, and nobody else): what comes after a lost `BEGIN` is refused by the server (25006), whatever it is.
//! A transaction pooler would hand the setting to others and take it from us; such a line is not used.
//!
//! *Closed by its owner.* That takes away the word of whoever makes the whole server, database or role read-only by
//! `default_transaction_read_only`. So it is looked for, and heeded: see [`Line::is_closed`].
//!
//! *Warnings.* A `COMMIT` that came to nothing, or whose wait for a standby somebody broke off, is answered like one
//! that stands; a warning before the answer is all that tells. [`Line::doubts`] counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use futures::future::poll_fn;
use model::store::DriverError;
use thiserror::Error;
use tokio::time::Instant;
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, SimpleQueryMessage, SimpleQueryRow};

use super::connections::NoRoom;
use super::dial::{Canceller, Dialer, NoConnection, Opened};
use super::encoding::Encoding;
use super::statements::Statements;

/// How long it is believed that the server takes writes, after it was looked at.
const BELIEVED: Duration = Duration::from_secs(5);

/// Set when a session begins: comes back only from a server that keeps our sessions apart.
pub(super) const MARK: &str = "-c strangler.session=own";

/// Makes the session read-only by default, unless it is a pooler's; says what it is without that.
const LOOK: &str = "SELECT CASE WHEN current_setting('strangler.session', true) = 'own' \
     THEN set_config('default_transaction_read_only', 'on', false) END AS guarded, \
     (SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'default_transaction_read_only') AS closed, \
     pg_is_in_recovery() AS standby";

/// A database that keeps bytes of any encoding refuses whole answers for one row that is no UTF-8. It is told that we take
/// bytes, too: then only that row's field cannot be read.
const BYTES: &str = "SELECT set_config('client_encoding', 'SQL_ASCII', false) \
     WHERE current_setting('server_encoding') = 'SQL_ASCII'";

/// Why there is no line.
#[derive(Debug, Error)]
pub(super) enum NoLine {
    /// None could be opened.
    #[error(transparent)]
    None(#[from] NoConnection),
    /// What the driver says of one that was opened.
    #[error("{0}")]
    Driver(#[from] tokio_postgres::Error),
    /// Sessions do not keep what they are set to.
    #[error("a session does not keep its settings, there is a pooler between: connect to the server itself")]
    Pooler,
    /// The database says that it is this other side.
    #[error("the database says that it is {0}")]
    NotMine(String),
}

impl NoRoom for NoLine {
    fn is_no_room(&self) -> bool {
        match self {
            Self::None(error) => error.is_no_room(),
            Self::Driver(_) | Self::Pooler | Self::NotMine(_) => false,
        }
    }
}

/// Opens lines to one server.
pub(super) struct Dial {
    pub(super) dialer: Dialer,
    /// Learns what encoding the server's database is in.
    pub(super) encoding: Arc<Encoding>,
}

/// A connection.
pub(super) struct Line {
    pub(super) client: ClientWrapper,
    canceller: Canceller,
    doubts: Arc<AtomicU64>,
    /// How often tables had been altered when its statements were prepared.
    pub(super) altered: AtomicU64,
    /// Those statements.
    pub(super) statements: Statements,
    looked: Instant,
    closed: bool,
}

impl managed::Manager for Dial {
    type Type = Line;
    type Error = NoLine;

    async fn create(&self) -> Result<Line, NoLine> {
        let Opened { client, mut wire, canceller } = self.dialer.open().await?;
        let server = wire.parameter("server_encoding");
        self.encoding.said(server);
        let keeps_bytes = server == Some("SQL_ASCII");
        let doubts = Arc::new(AtomicU64::default());
        let heard = Arc::clone(&doubts);
        let driver = tokio::spawn(async move {
            // A notice is heard before the answer that follows it is handed on.
            while let Some(message) = poll_fn(|context| wire.poll_message(context)).await {
                match message {
                    Ok(AsyncMessage::Notice(notice)) if is_doubt(&notice) => {
                        heard.fetch_add(1, Ordering::Release);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "a connection to PostgreSQL broke");
                        break;
                    }
                }
            }
        });
        let client = ClientWrapper::new(client, driver);
        let (altered, statements, looked) = (AtomicU64::default(), Statements::default(), Instant::now());
        let mut line = Line { client, canceller, doubts, altered, statements, looked, closed: false };
        line.look().await?;
        if keeps_bytes {
            line.client.batch_execute(BYTES).await?;
        }
        Ok(line)
    }

    async fn recycle(&self, line: &mut Line, _: &Metrics) -> RecycleResult<NoLine> {
        if line.client.is_closed() { Err(RecycleError::message("the connection is closed")) } else { Ok(()) }
    }
}

/// Whether a warning takes back what the answer to a `COMMIT` says.
fn is_doubt(notice: &DbError) -> bool {
    // "There is no transaction in progress"; and the wait for a standby that was broken off, which has no code.
    notice.code().code() == "25P01" || notice.routine() == Some("SyncRepWaitForLSN")
}

impl Line {
    /// Ends the connection; what breaks off what the server still does on it.
    pub(super) fn end(self) -> Canceller {
        self.canceller
    }

    /// How many answers so far were taken back by a warning.
    pub(super) fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::Acquire)
    }

    /// Whether the server, the database or the role takes no writes: it was made read-only by its owner, or is a
    /// standby. As of a moment ago, see [`Self::refresh`].
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Looks again, where what is known is old or stops us.
    pub(super) async fn refresh(&mut self) -> Result<(), NoLine> {
        if self.closed || self.looked.elapsed() >= BELIEVED { self.look().await } else { Ok(()) }
    }

    async fn look(&mut self) -> Result<(), NoLine> {
        let answer = self.client.simple_query(LOOK).await?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let says = |row: &SimpleQueryRow, column: &str| row.try_get(column).ok().flatten().map(str::to_owned);
        let guarded = row.and_then(|row| says(row, "guarded"));
        if guarded.as_deref() != Some("on") {
            return Err(NoLine::Pooler);
        }
        let closed = |column, word| row.and_then(|row| says(row, column)).as_deref() != Some(word);
        self.closed = closed("closed", "off") || closed("standby", "f");
        self.looked = Instant::now();
        Ok(())
    }
}

/// Said of a line that is closed.
pub(super) fn closed() -> DriverError {
    "it is read-only by default_transaction_read_only, or a standby".into()
}
