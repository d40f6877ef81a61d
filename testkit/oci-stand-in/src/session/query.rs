//! Questions to PostgreSQL: statements prepared once, results read whole, and moments of the past.

use postgres::Statement;
use postgres::types::{ToSql, Type};

use super::{Answer, Session};
use crate::code::{OracleError, Outcome, from_postgres};
use crate::scn;
use crate::sql::block::{self, Block};
use crate::sql::{Kind, Sql, account, translate};
use crate::types::{Column, Origin, Parameter, Value, Wire, describe, read};

impl Session {
    /// Takes a system change number; outside of a transaction a moment is kept with it.
    pub(super) fn change_number(&mut self) -> Outcome<u64> {
        if self.in_transaction {
            return self.number("SELECT nextval('oracle.scn')");
        }
        let (user, password) = self.account.clone();
        let mut keeper = Self::open(&self.address, &user, &password)?;
        keeper.raw(&format!("SET application_name = '{}'; BEGIN ISOLATION LEVEL REPEATABLE READ", account::KEEPER))?;
        keeper.in_transaction = true;
        let scn = keeper.number("SELECT nextval('oracle.scn')")?;
        scn::keep(&self.address, scn, keeper);
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
        self.breaker.reset();
        self.faulted("exec", &sql.original, |session| {
            let mut keeper = keeper.lock();
            keeper.call_timeout = session.call_timeout;
            let theirs = keeper.breaker();
            session.breaker.lent(&theirs, || keeper.run(&Sql { as_of: None, ..sql.clone() }, parameters))
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

    /// What `DBMS_SQL.PARSE` does: looks at a text and runs nothing of it. PostgreSQL looks at no rights then.
    pub(super) fn parse(&mut self, text: &str) -> Outcome<()> {
        let sql = translate(text);
        let texts = if sql.kind.is_block() {
            match block::read(text, &sql.binds)? {
                Block::Steps(steps) => steps.into_iter().map(|step| step.sql.text).collect(),
                Block::Faults(_) | Block::Parse(_) => Vec::new(),
            }
        } else {
            vec![sql.text]
        };
        for text in texts {
            match self.client.prepare(&text) {
                Ok(_) => {}
                // An Oracle asks for no types.
                Err(error) if error.code().is_some_and(|code| code.code() == "42P18") => {
                    if self.in_transaction {
                        self.raw("ROLLBACK TO SAVEPOINT ora_stmt; SAVEPOINT ora_stmt")?;
                    }
                }
                Err(error) => return Err(from_postgres(&error)),
            }
        }
        Ok(())
    }

    pub(super) fn query(&mut self, sql: &Sql, parameters: &[Parameter]) -> Outcome<Answer> {
        let statement = self.prepare(sql, parameters)?;
        let values: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        if statement.columns().is_empty() {
            let affected = self.client.execute(&statement, &values).map_err(|error| from_postgres(&error))?;
            return Ok(Answer { affected, ..Answer::default() });
        }
        let found = self.client.query(&statement, &values).map_err(|error| from_postgres(&error))?;
        let columns = self.described(&statement)?;
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

    fn described(&mut self, statement: &Statement) -> Outcome<Vec<Column>> {
        let mut columns = Vec::new();
        for column in statement.columns() {
            let origin = match (column.table_oid(), column.column_id()) {
                (Some(table), Some(number)) => Some(self.origin(table, number)?),
                _ => None,
            };
            columns.push(describe(column.name(), column.type_(), column.type_modifier(), origin.as_ref()));
        }
        Ok(columns)
    }

    /// What the catalog knows of a column of a table; asked once per table.
    fn origin(&mut self, table: u32, number: i16) -> Outcome<Origin> {
        if !self.tables.contains_key(&table) {
            const COLUMNS: &str = "SELECT a.attnum, t.typname::text, NOT a.attnotnull FROM pg_attribute a \
                                   JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = $1";
            let found = self.client.query(COLUMNS, &[&table]).map_err(|error| from_postgres(&error))?;
            let origin = |row: &postgres::Row| (row.get(0), Origin { type_name: row.get(1), nullable: row.get(2) });
            self.tables.insert(table, found.iter().map(origin).collect());
        }
        Ok(self.tables[&table].get(&number).cloned().unwrap_or_default())
    }

    /// Every row of an open cursor.
    ///
    /// # Errors
    /// ORA-01001 when there is none of this name.
    pub fn fetch_all(&mut self, cursor: &str) -> Outcome<Answer> {
        let text = format!("FETCH ALL FROM \"{}\"", cursor.replace('"', "\"\""));
        let sql = Sql { text, kind: Kind::Select, ..Sql::default() };
        if self.in_transaction {
            self.raw("SAVEPOINT ora_stmt")?;
        }
        let found = self.query(&sql, &[]).map_err(|_| OracleError::new(1001, "invalid cursor"));
        self.kept_or_undone(found)
    }
}
