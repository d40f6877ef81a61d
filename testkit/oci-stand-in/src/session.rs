//! One session: a connection to PostgreSQL that behaves as an Oracle's does.
//!
//! - A failed statement undoes itself and leaves the transaction: a savepoint stands before each.
//! - A query opens no transaction unless it locks rows; whatever changes rows does. DDL commits before and after.
//! - Results are read whole: a cursor survives the commit.
//! - Values go in as text with their declared type, and once more without when PostgreSQL has no such operator.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use postgres::types::{ToSql, Type};
use postgres::{CancelToken, Client, Config, NoTls, Statement};

use crate::address::Address;
use crate::code::{OracleError, Outcome, from_postgres};
use crate::fault::{self, Action};
use crate::scn;
use crate::sql::block::{self, Block};
use crate::sql::rewrite::SCN;
use crate::sql::{Kind, Lock, Snapshot, Sql, account};
use crate::types::{Column, Origin, Parameter, Value, Wire, describe, read};

/// What a statement answered.
#[derive(Debug, Default)]
pub struct Answer {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows.
    pub rows: Vec<Vec<Value>>,
    /// How many rows it touched.
    pub affected: u64,
    /// What a block left in its variables: place among the names, and value.
    pub outs: Vec<(usize, Value)>,
}

/// What another thread may do to a session that is busy.
#[derive(Clone)]
pub struct Breaker {
    cancel: CancelToken,
    hanging: Arc<(Mutex<bool>, Condvar)>,
}

impl Breaker {
    /// Breaks off whatever the session does.
    pub fn break_off(&self) {
        *self.hanging.0.lock() = true;
        self.hanging.1.notify_all();
        // Nothing to report to: the call that is broken off says so, or was over.
        let _ = self.cancel.cancel_query(NoTls);
    }
}

/// Makes what a database needs to answer in Oracle's SQL, when it is not there yet. Whoever comes first does it.
fn bootstrap(client: &mut Client) -> Result<(), postgres::Error> {
    // Read from the table: a name that was looked up in vain is remembered, also while somebody else makes it.
    const MISSING: &str = "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'oracle')";
    if !client.query_one(MISSING, &[])?.get::<_, bool>(0) {
        return Ok(());
    }
    let mut transaction = client.transaction()?;
    transaction.batch_execute("SELECT pg_advisory_xact_lock(1868)")?;
    if transaction.query_one(MISSING, &[])?.get::<_, bool>(0) {
        transaction.batch_execute(crate::bootstrap_sql())?;
    }
    transaction.commit()
}

/// A session.
pub struct Session {
    address: Address,
    account: (String, String),
    client: Client,
    breaker: Breaker,
    statements: HashMap<String, Statement>,
    /// Whether a transaction is open.
    pub in_transaction: bool,
    /// Milliseconds; 0 is no limit.
    pub call_timeout: u32,
    /// The module's name, which faults can be planned for.
    pub module: String,
}

impl Session {
    /// Logs in.
    ///
    /// # Errors
    /// ORA-01017, ORA-12541, ORA-12514, and planned faults.
    pub fn open(address: &Address, user: &str, password: &str) -> Outcome<Self> {
        match fault::next(address, "connect", user, "") {
            Some(Action::Fail(code)) => return Err(OracleError::plain(code)),
            Some(Action::Latency(time) | Action::Deaf(time)) => std::thread::sleep(time),
            Some(Action::Hang | Action::Stuck) => std::thread::sleep(Duration::from_secs(60)),
            Some(Action::Kill | Action::LostAnswer) => return Err(OracleError::plain(3113)),
            None => {}
        }
        let mut config = Config::new();
        config.host(&address.host).port(address.port).dbname(&address.database.to_lowercase());
        config.user(&user.to_lowercase()).password(password).connect_timeout(Duration::from_secs(5));
        config.application_name("oci-stand-in");
        config.options(
            "-c search_path=\"$user\",public,oracle,pg_catalog -c timezone=UTC -c client_min_messages=warning",
        );
        let mut client = config.connect(NoTls).map_err(|error| from_postgres(&error))?;
        bootstrap(&mut client).map_err(|error| from_postgres(&error))?;
        let breaker = Breaker { cancel: client.cancel_token(), hanging: Arc::default() };
        Ok(Self {
            address: address.clone(),
            account: (user.to_owned(), password.to_owned()),
            client,
            breaker,
            statements: HashMap::new(),
            in_transaction: false,
            call_timeout: 0,
            module: String::new(),
        })
    }

    /// For other threads.
    pub fn breaker(&self) -> Breaker {
        self.breaker.clone()
    }

    /// Whether the connection is there.
    pub fn is_alive(&self) -> bool {
        !self.client.is_closed()
    }

    fn raw(&mut self, text: &str) -> Outcome<()> {
        self.client.batch_execute(text).map_err(|error| from_postgres(&error))
    }

    /// Does `work` with the fault that is planned for it.
    fn faulted<T>(&mut self, op: &str, text: &str, work: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        match fault::next(&self.address, op, text, &self.module) {
            None => work(self),
            Some(Action::Fail(code)) => Err(OracleError::plain(code)),
            Some(Action::Latency(time)) => {
                self.pause(Some(time))?;
                work(self)
            }
            Some(Action::Hang) => {
                self.pause(None)?;
                work(self)
            }
            Some(Action::Stuck) => {
                let limit = std::mem::take(&mut self.call_timeout);
                let ended = self.pause(None);
                self.call_timeout = limit;
                ended?;
                work(self)
            }
            Some(Action::Deaf(time)) => {
                std::thread::sleep(time);
                work(self)
            }
            Some(Action::LostAnswer) => {
                work(self)?;
                self.end();
                Err(OracleError::plain(3113))
            }
            Some(Action::Kill) => {
                self.end();
                Err(OracleError::plain(3113))
            }
        }
    }

    /// Waits, until the call timeout passes or somebody breaks it off.
    fn pause(&mut self, time: Option<Duration>) -> Outcome<()> {
        let limit = (self.call_timeout > 0).then(|| Duration::from_millis(self.call_timeout.into()));
        let wait = time.unwrap_or(Duration::from_secs(3600)).min(limit.unwrap_or(Duration::from_secs(3600)));
        let mut broken = self.breaker.hanging.0.lock();
        if !*broken {
            self.breaker.hanging.1.wait_for(&mut broken, wait);
        }
        if std::mem::take(&mut *broken) {
            return Err(OracleError::plain(1013));
        }
        if limit.is_some_and(|limit| time.is_none_or(|time| time >= limit)) {
            return Err(OracleError::plain(3136));
        }
        Ok(())
    }

    /// Ends the session at once, as a killed one does.
    fn end(&mut self) {
        self.in_transaction = false;
        let _ = self.client.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())");
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// Whatever the session died of.
    pub fn ping(&mut self) -> Outcome<()> {
        self.faulted("ping", "", |session| session.raw("SELECT 1"))
    }

    fn begin(&mut self) -> Outcome<()> {
        if !self.in_transaction {
            self.raw("BEGIN")?;
            self.in_transaction = true;
        }
        Ok(())
    }

    /// Commits.
    ///
    /// # Errors
    /// ORA-03113, and planned faults: with a lost answer it stands all the same.
    pub fn commit(&mut self) -> Outcome<()> {
        self.faulted("commit", "", |session| {
            if !session.is_alive() {
                return Err(OracleError::plain(3113));
            }
            if std::mem::take(&mut session.in_transaction) {
                session.raw("COMMIT")?;
            }
            Ok(())
        })
    }

    /// Undoes what is open.
    ///
    /// # Errors
    /// ORA-03113, and planned faults.
    pub fn roll_back(&mut self) -> Outcome<()> {
        self.faulted("rollback", "", |session| {
            if std::mem::take(&mut session.in_transaction) {
                session.raw("ROLLBACK")?;
            }
            Ok(())
        })
    }

    /// Runs a statement with its parameters; `variables` are all of a block's, by name.
    ///
    /// # Errors
    /// What Oracle would say.
    pub fn execute(&mut self, sql: &Sql, parameters: &[Parameter]) -> Outcome<Answer> {
        *self.breaker.hanging.0.lock() = false;
        let original = sql.original.clone();
        if sql.kind.is_block()
            && let Block::Faults(faults) = block::read(&original, &sql.binds)?
        {
            return fault::plan(&self.address, &faults).map(|()| Answer::default());
        }
        self.faulted("exec", &original, |session| session.run(sql, parameters))
    }

    fn run(&mut self, sql: &Sql, parameters: &[Parameter]) -> Outcome<Answer> {
        if !self.is_alive() {
            return Err(OracleError::plain(3113));
        }
        if sql.kind.is_ddl() {
            return self.define(sql);
        }
        if sql.kind == Kind::Commit {
            return self.commit().map(|()| Answer::default());
        }
        if sql.kind == Kind::Rollback {
            return self.roll_back().map(|()| Answer::default());
        }
        if sql.kind.is_dml() || sql.locks || sql.kind.is_block() {
            self.begin()?;
        }
        let wait = match sql.lock {
            Lock::Free => "0".to_owned(),
            Lock::Wait(seconds) => format!("'{seconds}s'"),
        };
        let limit = self.call_timeout;
        let mut before = format!("SET statement_timeout = {limit}; SET lock_timeout = {wait}");
        if self.in_transaction {
            before.push_str("; SAVEPOINT ora_stmt");
        }
        self.raw(&before)?;
        let result = self.inside(sql, parameters);
        if self.in_transaction && self.is_alive() {
            let after = match result {
                Ok(_) => "RELEASE SAVEPOINT ora_stmt",
                Err(_) => "ROLLBACK TO SAVEPOINT ora_stmt; RELEASE SAVEPOINT ora_stmt",
            };
            let ended = self.raw(after);
            if result.is_ok() {
                ended?;
            }
        }
        result
    }

    fn inside(&mut self, sql: &Sql, parameters: &[Parameter]) -> Outcome<Answer> {
        if sql.kind.is_block() {
            return self.block(sql, parameters);
        }
        let numbered;
        let sql = if sql.wants_scn {
            let scn = self.change_number()?;
            numbered = Sql { text: sql.text.replace(SCN, &format!("{scn}::numeric")), ..sql.clone() };
            &numbered
        } else {
            sql
        };
        self.query(sql, parameters)
    }

    fn define(&mut self, sql: &Sql) -> Outcome<Answer> {
        if std::mem::take(&mut self.in_transaction) {
            self.raw("COMMIT")?;
        }
        // Settings of a session: ours are fixed, and what an Oracle would have done with them.
        if !sql.original.trim_start().to_uppercase().starts_with("ALTER SESSION") {
            self.raw(&sql.text)?;
            self.statements.clear();
        }
        Ok(Answer::default())
    }

    fn block(&mut self, sql: &Sql, parameters: &[Parameter]) -> Outcome<Answer> {
        let Block::Steps(steps) = block::read(&sql.original, &sql.binds)? else { return Ok(Answer::default()) };
        let mut outs = Vec::new();
        for step in steps {
            let pick = |place: &usize| parameters.get(*place).cloned().unwrap_or_else(Parameter::null);
            let values: Vec<_> = step.sql.ins.iter().map(pick).collect();
            let answer = self.inside(&step.sql, &values)?;
            if let Some(place) = step.out {
                let value = answer.rows.first().and_then(|row| row.first()).cloned();
                outs.push((place, value.unwrap_or(Value::Null)));
            }
        }
        Ok(Answer { outs, affected: 1, ..Answer::default() })
    }

    /// Takes a system change number; outside of a transaction a moment is kept with it.
    fn change_number(&mut self) -> Outcome<u64> {
        if self.in_transaction {
            return self.number("SELECT nextval('oracle.scn')");
        }
        let (user, password) = self.account.clone();
        let mut keeper = Self::open(&self.address, &user, &password)?;
        keeper.raw(&format!("SET application_name = '{}'; BEGIN ISOLATION LEVEL REPEATABLE READ", account::KEEPER))?;
        keeper.in_transaction = true;
        let scn = keeper.number("SELECT nextval('oracle.scn')")?;
        scn::keep(&self.address.clone(), scn, keeper);
        Ok(scn)
    }

    fn number(&mut self, text: &str) -> Outcome<u64> {
        let row = self.client.query_one(text, &[]).map_err(|error| from_postgres(&error))?;
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }

    /// Runs a query as of a number: on the session that saw that moment.
    ///
    /// # Errors
    /// ORA-01555, ORA-08181.
    pub fn execute_as_of(&mut self, sql: &Sql, parameters: &[Parameter], scn: u64) -> Outcome<Answer> {
        let newest = self.number("SELECT last_value FROM oracle.scn")?;
        let keeper = scn::at(&self.address, scn, newest)?;
        let original = sql.original.clone();
        let limit = self.call_timeout;
        self.faulted("exec", &original, |_| {
            let mut keeper = keeper.lock();
            keeper.call_timeout = limit;
            keeper.run(&Sql { as_of: None, ..sql.clone() }, parameters)
        })
    }

    fn prepare(&mut self, sql: &Sql, parameters: &[Parameter]) -> Outcome<Statement> {
        let types: Vec<Type> = parameters.iter().map(|parameter| parameter.kind.clone()).collect();
        let key = format!("{}|{:?}", sql.text, types.iter().map(Type::oid).collect::<Vec<_>>());
        if let Some(known) = self.statements.get(&key) {
            return Ok(known.clone());
        }
        let prepared = match self.client.prepare_typed(&sql.text, &types) {
            Ok(prepared) => prepared,
            // An Oracle converts nearly anything to nearly anything: let PostgreSQL say which type it wants.
            Err(error) if error.code().is_some_and(|code| matches!(code.code(), "42883" | "42804" | "42P18")) => {
                if self.in_transaction {
                    self.raw("ROLLBACK TO SAVEPOINT ora_stmt; SAVEPOINT ora_stmt")?;
                }
                let untyped = vec![Type::UNKNOWN; types.len()];
                self.client.prepare_typed(&sql.text, &untyped).map_err(|_| from_postgres(&error))?
            }
            Err(error) => return Err(from_postgres(&error)),
        };
        self.statements.insert(key, prepared.clone());
        Ok(prepared)
    }

    fn query(&mut self, sql: &Sql, parameters: &[Parameter]) -> Outcome<Answer> {
        let statement = self.prepare(sql, parameters)?;
        let values: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let columns: Vec<Column> = statement
            .columns()
            .iter()
            .map(|column| {
                let origin = column.table_oid().map(|_| Origin { nullable: true, ..Origin::default() });
                describe(column.name(), column.type_(), column.type_modifier(), origin.as_ref())
            })
            .collect();
        if columns.is_empty() {
            let affected = self.client.execute(&statement, &values).map_err(|error| from_postgres(&error))?;
            return Ok(Answer { affected, ..Answer::default() });
        }
        let found = self.client.query(&statement, &values).map_err(|error| from_postgres(&error))?;
        let value = |row: &postgres::Row, place: usize, kind: &Type| {
            let wire: Wire<'_> = row.get(place);
            wire.0.map_or(Value::Null, |bytes| read(kind, bytes))
        };
        let rows: Vec<Vec<Value>> = found
            .iter()
            .map(|row| statement.columns().iter().enumerate().map(|(at, c)| value(row, at, c.type_())).collect())
            .collect();
        Ok(Answer { affected: rows.len() as u64, columns, rows, outs: Vec::new() })
    }

    /// Every row of an open cursor.
    ///
    /// # Errors
    /// ORA-01001 when there is none of this name.
    pub fn fetch_all(&mut self, cursor: &str) -> Outcome<Answer> {
        let text = format!("FETCH ALL FROM \"{}\"", cursor.replace('"', "\"\""));
        let sql = Sql { text, kind: Kind::Select, ..Sql::default() };
        self.query(&sql, &[]).map_err(|_| OracleError::new(1001, "invalid cursor"))
    }

    /// The number behind `AS OF SCN`, of a fixed one or the value of the variable at its place.
    pub fn moment(snapshot: &Snapshot, bound: impl Fn(usize) -> Option<u64>) -> Option<u64> {
        match snapshot {
            Snapshot::Fixed(scn) => Some(*scn),
            Snapshot::Bound(place) => bound(*place),
        }
    }
}
