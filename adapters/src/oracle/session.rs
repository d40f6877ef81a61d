//! One session on the thread that owns it: statements within the call's limit, and a clean end.
//!
//! The client library's call timeout is set from what is left of the limit before every round trip, since it
//! stays on the session otherwise. A session is kept for the next call only when this one came to a clean end.

use std::sync::Arc;
use std::time::Duration;

use model::{Side, StoreError};
use oracle::sql_type::{OracleType, ToSql};
use oracle::{Connection, Error, Row, Version};
use tokio::time::Instant;

use super::bind::{Bind, Kind};
use super::connect::{FORBID_COMMITS, SET_UP};
use super::error::{self, Moment};
use super::lanes::Ticket;
use super::policies::Policies;
use super::table::misfit;

/// The shortest call timeout: zero would mean none.
const SHORTEST: Duration = Duration::from_millis(1);

/// Parses the text `:t` for our account, with its rights.
const PARSE: &str = "DECLARE c INTEGER := DBMS_SQL.OPEN_CURSOR; BEGIN DBMS_SQL.PARSE(c, :t, DBMS_SQL.NATIVE); \
     DBMS_SQL.CLOSE_CURSOR(c); EXCEPTION WHEN OTHERS THEN DBMS_SQL.CLOSE_CURSOR(c); RAISE; END;";

/// One session.
pub(super) struct Session {
    pub(super) side: Side,
    connection: Arc<Connection>,
    limit: Duration,
    deadline: Instant,
    broken: bool,
    open: bool,
    /// Which log is written, which cannot change within a session; `None` when not asked yet.
    pub(super) log: Option<u32>,
    /// When its server was started, once it was asked.
    pub(super) boot: Option<String>,
    /// Which tables may hide rows from it.
    pub(super) policies: Arc<Policies>,
}

impl Session {
    pub(super) fn new(side: Side, connection: Arc<Connection>, policies: Arc<Policies>) -> Self {
        let (limit, deadline) = (Duration::ZERO, Instant::now());
        Self { side, connection, limit, deadline, broken: false, open: false, log: None, boot: None, policies }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// A call begins, with its own limit.
    pub(super) fn begin_call(&mut self, ticket: &Ticket) {
        (self.limit, self.deadline) = (ticket.limit, ticket.deadline);
    }

    /// The call is over. The session is given back when another call may use it.
    pub(super) fn end_call(mut self) -> Option<Self> {
        if self.open {
            self.roll_back();
        }
        if self.broken || self.connection.set_call_timeout(None).is_err() {
            return None;
        }
        Some(self)
    }

    pub(super) fn set_up(&mut self, module: &str, action: &str) -> Result<(), StoreError> {
        self.connection.set_module(module).map_err(|error| self.means(&error, Moment::Statement))?;
        self.connection.set_action(action).map_err(|error| self.means(&error, Moment::Statement))?;
        self.run(SET_UP, &[])?;
        self.run(FORBID_COMMITS, &[])?;
        self.open = false;
        Ok(())
    }

    /// What is left of the limit, in whole seconds and at least one. In steps of powers of two, since it stands in
    /// texts: `FOR UPDATE WAIT 4`.
    pub(super) fn seconds_left(&self) -> u64 {
        let seconds = self.deadline.saturating_duration_since(Instant::now()).as_secs().clamp(1, 64);
        1 << seconds.ilog2()
    }

    /// Sets the time of the next round trip.
    fn arm(&mut self) -> Result<(), StoreError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left < SHORTEST {
            return Err(StoreError::NoAnswer { side: self.side, limit: self.limit });
        }
        self.connection.set_call_timeout(Some(left)).map_err(|error| self.means(&error, Moment::Statement))
    }

    /// The same, for a statement; none is sent that names a table whose rows may be hidden.
    fn arm_for(&mut self, text: &str) -> Result<(), StoreError> {
        if let Some((table, policy)) = self.policies.bar(text) {
            let problem = format!(
                "policy {policy} on {table} may hide rows, which would look as if they were not there: grant \
                 EXEMPT ACCESS POLICY to our account"
            );
            return Err(misfit(self.side, problem));
        }
        self.arm()
    }

    /// Says what an error means here, and remembers when the session is not to be used again.
    fn means(&mut self, error: &Error, moment: Moment) -> StoreError {
        let (meaning, lost) = error::classify(self.side, self.limit, error, moment);
        self.broken |= lost;
        meaning
    }

    /// Runs a query and reads every row. `array`: rows expected at once.
    pub(super) fn query(&mut self, text: &str, binds: &[Bind], array: u32) -> Result<Vec<Row>, StoreError> {
        self.arm_for(text)?;
        let connection = Arc::clone(&self.connection);
        let run = || {
            let mut statement =
                connection.statement(text).fetch_array_size(array.max(1)).prefetch_rows(array.max(2)).build()?;
            statement.query(&bound(binds))?.collect::<Result<Vec<Row>, Error>>()
        };
        let rows = run();
        // A query that locks rows opens a transaction.
        self.open |= text.contains("FOR UPDATE");
        rows.map_err(|error| self.means(&error, Moment::Statement))
    }

    /// Runs a statement; how many rows it touched, or found. A call of a procedure counts as one.
    pub(super) fn run(&mut self, text: &str, binds: &[Bind]) -> Result<u64, StoreError> {
        self.run_counted(text, binds).map(|(count, _)| count)
    }

    /// The same, and whether the count is one of changed rows.
    pub(super) fn run_counted(&mut self, text: &str, binds: &[Bind]) -> Result<(u64, bool), StoreError> {
        self.arm_for(text)?;
        self.open = true;
        let connection = Arc::clone(&self.connection);
        let run = || {
            let mut statement = connection.statement(text).build()?;
            if statement.is_query() {
                let found = statement.query(&bound(binds))?.collect::<Result<Vec<Row>, Error>>()?;
                return Ok((found.len() as u64, false));
            }
            statement.execute(&bound(binds))?;
            if statement.is_plsql() { Ok((1, false)) } else { Ok((statement.row_count()?, statement.is_dml())) }
        };
        run().map_err(|error| self.means(&error, Moment::Statement))
    }

    /// Runs a block with named binds, and gives back the numbers that it leaves in `outs`.
    pub(super) fn block(
        &mut self,
        text: &str,
        ins: &[(String, Bind)],
        outs: &[String],
    ) -> Result<Vec<i64>, StoreError> {
        self.arm_for(text)?;
        self.open = true;
        let connection = Arc::clone(&self.connection);
        let run = || {
            let mut statement = connection.statement(text).build()?;
            for (name, bind) in ins {
                statement.bind(name.as_str(), bind)?;
            }
            for name in outs {
                statement.bind(name.as_str(), &OracleType::Int64)?;
            }
            statement.execute(&[])?;
            outs.iter().map(|name| statement.bind_value(name.as_str())).collect::<Result<Vec<i64>, Error>>()
        };
        run().map_err(|error| self.means(&error, Moment::Statement))
    }

    /// Has the server parse a text, and nothing more: what it says against it. `DBMS_SQL` would run DDL; the contract's
    /// other statements it only parses.
    pub(super) fn parse(&mut self, text: &str) -> Result<Option<String>, StoreError> {
        self.arm_for(text)?;
        self.open = true;
        let connection = Arc::clone(&self.connection);
        let bind = Bind::text(text);
        let run = || {
            let mut statement = connection.statement(PARSE).build()?;
            statement.bind("t", &bind)?;
            statement.execute(&[])
        };
        match run() {
            Ok(()) => Ok(None),
            Err(error) => {
                let words = error::words(&error);
                match self.means(&error, Moment::Statement) {
                    StoreError::Refused { .. } | StoreError::Misfit { .. } => Ok(Some(words)),
                    other => Err(other),
                }
            }
        }
    }

    /// Makes a table or index unless there is one of its name already. Commits, as all of an Oracle's DDL does.
    pub(super) fn make(&mut self, text: &str) -> Result<(), StoreError> {
        self.arm()?;
        match self.connection.execute(text, &[]) {
            Ok(_) => Ok(()),
            Err(error) if error::says_exists(&error) => Ok(()),
            Err(error) => Err(self.means(&error, Moment::Statement)),
        }
    }

    /// Runs a statement once per row of binds, in one round trip. One slot per row: how many rows it touched, or
    /// the code of its error. A failed row leaves the others done.
    pub(super) fn batch(&mut self, text: &str, rows: &[Vec<Bind>]) -> Result<Vec<Result<u64, i32>>, StoreError> {
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        self.arm_for(text)?;
        self.open = true;
        let kinds: Vec<Kind> = (0..first.len()).map(|place| Kind::widest(rows, place)).collect();
        let connection = Arc::clone(&self.connection);
        let run = || {
            let mut batch = connection.batch(text, rows.len()).with_batch_errors().with_row_counts().build()?;
            for (place, kind) in kinds.iter().enumerate() {
                batch.set_type(place + 1, &kind.oracle())?;
            }
            for row in rows {
                batch.append_row(&bound(row))?;
            }
            let failed = match batch.execute() {
                Ok(()) => Vec::new(),
                Err(error) => error.batch_errors().cloned().ok_or(error)?,
            };
            let mut slots: Vec<Option<Result<u64, i32>>> = batch.row_counts()?.into_iter().map(Ok).map(Some).collect();
            let too_many = slots.len() > rows.len();
            slots.resize(rows.len(), None);
            let mut beyond = false;
            for error in failed {
                match slots.get_mut(error.offset() as usize) {
                    Some(slot) => *slot = Some(Err(error.code())),
                    None => beyond = true,
                }
            }
            Ok(slots.into_iter().collect::<Option<Vec<_>>>().filter(|_| !too_many && !beyond))
        };
        let slots = run().map_err(|error| self.means(&error, Moment::Statement))?;
        // Of a row without an answer nobody knows whether it was done.
        slots.ok_or_else(|| misfit(self.side, "the server did not answer for every row of a batch"))
    }

    /// What the code of a batch's row means.
    pub(super) fn of_code(&self, code: i32) -> StoreError {
        error::of_code(self.side, self.limit, code)
    }

    /// As `batch`, where a row that fails is an error of the whole.
    pub(super) fn batch_all(&mut self, text: &str, rows: &[Vec<Bind>]) -> Result<Vec<u64>, StoreError> {
        let slots = self.batch(text, rows)?;
        slots.into_iter().map(|slot| slot.map_err(|code| self.of_code(code))).collect()
    }

    /// The server's version, and its banner.
    pub(super) fn server_version(&mut self) -> Result<(Version, String), StoreError> {
        self.arm()?;
        self.connection.server_version().map_err(|error| self.means(&error, Moment::Statement))
    }

    /// Commits. An answer that does not come, or of which nobody knows that it means "undone", leaves the outcome open.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        self.arm()?;
        let committed = self.connection.commit();
        self.open = false;
        committed.map_err(|error| self.means(&error, Moment::Commit))
    }

    /// Undoes what is open. When that fails the session is closed, which undoes it too.
    pub(super) fn roll_back(&mut self) {
        // The call's own time may be over; undoing gets a little of its own, since it frees locks.
        let undone = self.connection.set_call_timeout(Some(Duration::from_secs(1)));
        if undone.and_then(|()| self.connection.rollback()).is_err() {
            self.broken = true;
        }
        self.open = false;
    }
}

/// Binds as the driver takes them: each with its type, always.
fn bound(binds: &[Bind]) -> Vec<&dyn ToSql> {
    binds.iter().map(|bind| bind as &dyn ToSql).collect()
}
