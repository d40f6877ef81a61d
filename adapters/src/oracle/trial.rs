//! Tries what the contract would run here, without running any of it: the server parses each text (`DBMS_SQL.PARSE`), finds
//! what it names and whether we may use it. Of the types of parameters an Oracle says nothing; those that cannot be bound
//! are told all the same.

use std::time::Duration;

use async_trait::async_trait;
use model::contract::{Param, TrialOf, Wrong, sample, trials};
use model::sql::{NamedSql, Params};
use model::{Contract, EntityType, Side, StoreError, Tries};

use super::session::Session;
use super::store::OracleStore;
use super::table::Table;
use super::{params, write_text};

/// What is only parsed. DDL would be run.
const PARSED: [&str; 10] =
    ["select", "insert", "update", "delete", "merge", "with", "lock", "begin", "declare", "call"];

#[async_trait]
impl Tries for OracleStore {
    async fn wrong_statements(&self, within: Duration) -> Result<Vec<Wrong>, StoreError> {
        self.reading(within, wrong).await
    }

    fn has_letters(&self, text: &str) -> bool {
        self.letters().has(text)
    }
}

fn wrong(session: &mut Session, contract: &Contract, side: Side) -> Result<Vec<Wrong>, StoreError> {
    let mut wrong = Vec::new();
    for trial in trials(contract, side) {
        let said = match &trial.of {
            TrialOf::Sql { sql, params, columns } => {
                of_sql(session, side, sql, params, columns.map(AsRef::as_ref))?.into_iter().collect()
            }
            TrialOf::Type(entity) => of_type(session, Table::new(entity, side))?,
        };
        wrong.extend(said.into_iter().map(|said| Wrong::of(&trial, said)));
    }
    session.roll_back();
    Ok(wrong)
}

fn of_sql(
    session: &mut Session,
    side: Side,
    sql: &NamedSql,
    given: &[Param],
    entity: Option<&EntityType>,
) -> Result<Option<String>, StoreError> {
    let columns = entity.map_or_else(String::new, |entity| {
        let table = Table::new(entity, side);
        table.list(entity.all_fields().iter(), |index| table.selected(index, ""))
    });
    let params: Params = given.iter().map(|param| (param.name.clone(), sample(param))).collect();
    let text = match params::prepare(side, sql, &params, &columns) {
        Ok(prepared) => prepared.text,
        Err(StoreError::Misfit { problem, .. }) => return Ok(Some(problem)),
        Err(error) => return Err(error),
    };
    let first = text.split_whitespace().next().unwrap_or_default().trim_start_matches('(').to_ascii_lowercase();
    if !PARSED.contains(&first.as_str()) {
        return Ok(None);
    }
    parse(session, &text)
}

/// What strangler makes of a type; each saying once.
fn of_type(session: &mut Session, table: Table<'_>) -> Result<Vec<String>, StoreError> {
    let mut said: Vec<String> = Vec::new();
    let fields = write_text::plain_fields(table, table.entity.all_fields());
    let mut texts =
        vec![table.select(table.entity.all_fields(), 1), write_text::insert(table, &fields), write_text::delete(table)];
    texts.extend(write_text::update(table, &fields));
    for text in texts {
        let words = parse(session, &text)?;
        said.extend(words.filter(|words| !said.contains(words)));
    }
    Ok(said)
}

/// A table that no statement is sent to, since its rows may be hidden, is wrong by itself.
fn parse(session: &mut Session, text: &str) -> Result<Option<String>, StoreError> {
    match session.parse(text) {
        Err(StoreError::Misfit { problem, .. }) => Ok(Some(problem)),
        parsed => parsed,
    }
}
