//! One session: a connection to PostgreSQL that behaves as an Oracle's does.
//!
//! - A failed statement undoes itself and leaves the transaction: a savepoint stands before each.
//! - A query opens no transaction unless it locks rows; whatever changes rows does. DDL commits before and after.
//! - Results are read whole: a cursor survives the commit.
//! - Values go in as text with their declared type, and once more without when PostgreSQL has no such operator.

mod interrupt;
mod query;

use std::collections::HashMap;
use std::time::Duration;

use postgres::{Client, Config, NoTls, Statement};

use crate::address::Address;
use crate::code::{OracleError, Outcome, from_postgres};
use crate::fault::{self, Action};
use crate::sql::block::{self, Block};
use crate::sql::rewrite::SCN;
use crate::sql::{Kind, Lock, Sql};
use crate::types::{Column, Origin, Parameter, Value};

pub use interrupt::Breaker;

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
    /// Columns of tables by their number, as far as they were asked for.
    tables: HashMap<u32, HashMap<i16, Origin>>,
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
        let breaker = Breaker::new(client.cancel_token());
        Ok(Self {
            address: address.clone(),
            account: (user.to_owned(), password.to_owned()),
            client,
            breaker,
            statements: HashMap::new(),
            tables: HashMap::new(),
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

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// Whatever the session died of.
    pub fn ping(&mut self) -> Outcome<()> {
        self.faulted("ping", "", |session| session.raw("SELECT 1"))
    }

    /// Before rows of `statement` are handed out.
    ///
    /// # Errors
    /// Planned faults.
    pub fn before_fetch(&mut self, statement: &str) -> Outcome<()> {
        self.faulted("fetch", statement, |_| Ok(()))
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
    /// ORA-02091 where a deferred rule forbids it, ORA-03113, and planned faults: with a lost answer it stands all the same.
    pub fn commit(&mut self) -> Outcome<()> {
        self.faulted("commit", "", |session| {
            if !session.is_alive() {
                return Err(OracleError::plain(3113));
            }
            if std::mem::take(&mut session.in_transaction) {
                session.raw("COMMIT").map_err(OracleError::at_commit)?;
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
        self.breaker.reset();
        if sql.kind.is_block()
            && let Block::Faults(faults) = block::read(&sql.original, &sql.binds)?
        {
            return fault::plan(&self.address, &faults).map(|()| Answer::default());
        }
        self.faulted("exec", &sql.original, |session| session.run(sql, parameters))
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
        if sql.kind == Kind::SetTransaction {
            // Before a savepoint stands: PostgreSQL takes it nowhere else.
            self.begin()?;
            return self.raw(&sql.text).map(|()| Answer::default());
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
        self.kept_or_undone(result)
    }

    /// Behind a savepoint: keeps what was done since, or undoes it and nothing else.
    fn kept_or_undone<T>(&mut self, result: Outcome<T>) -> Outcome<T> {
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
        // Settings of a session: ours are fixed, and what an Oracle would have done with them; but for the isolation of
        // its transactions, which may be another when it begins.
        let text = sql.original.trim_start().to_uppercase();
        if text.starts_with("ALTER SESSION") {
            if text.contains("ISOLATION_LEVEL = READ COMMITTED") {
                self.raw("SET default_transaction_isolation = 'read committed'")?;
            }
        } else {
            self.raw(&sql.text)?;
            self.statements.clear();
            self.tables.clear();
        }
        Ok(Answer::default())
    }

    fn block(&mut self, sql: &Sql, parameters: &[Parameter]) -> Outcome<Answer> {
        let steps = match block::read(&sql.original, &sql.binds)? {
            Block::Steps(steps) => steps,
            Block::Faults(_) => return Ok(Answer::default()),
            Block::Parse(place) => {
                let text = parameters.get(place).and_then(|parameter| parameter.text.clone()).unwrap_or_default();
                return self.parse(&text).map(|()| Answer::default());
            }
        };
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
}
