//! The doctor: does the database look as the contract says, and what does it do by itself? One sentence per finding,
//! with what to do.
//!
//! A *problem* is what is missing, does not fit, or makes a promise of ours untrue; `check` then ends with 1. A *notice*
//! is only to be known. What is looked at: the tables of the contract and our own, not what they reach by functions.

mod acts;
mod catalog;
mod columns;
mod references;
mod server;
mod source;
mod zones;

use model::store::Inspection;
use model::{Contract, EntityName, Side, StoreError};

use super::session::Session;
use super::table::Table;
use super::{bookkeeping, ledger};
use crate::steps;
use catalog::rows;

pub(super) use catalog::folded;

const RIGHTS: &str = "SELECT p, has_table_privilege(to_regclass({table}), p) \
     FROM unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p";

/// What was found so far.
#[derive(Default)]
struct Findings {
    facts: Vec<(&'static str, String)>,
    notices: Vec<String>,
    problems: Vec<String>,
    views: Vec<String>,
}

impl Findings {
    fn problem(&mut self, sentence: String) {
        self.problems.push(sentence);
    }

    fn notice(&mut self, sentence: String) {
        self.notices.push(sentence);
    }

    fn is_view(&self, name: &str) -> bool {
        self.views.iter().any(|view| view == name)
    }
}

/// The contract's tables on this side, with their groups.
struct Tables(Vec<(String, String)>);

impl Tables {
    fn of(contract: &Contract, side: Side) -> Self {
        let entities = contract.entities.values();
        Self(entities.map(|entity| (entity.table.get(side).clone(), entity.group.to_string())).collect())
    }

    /// The contract's name of a table that the catalogue or a source calls `name`.
    fn known(&self, name: &str) -> Option<&str> {
        self.entry(name).map(|(table, _)| table.as_str())
    }

    fn entry(&self, name: &str) -> Option<&(String, String)> {
        let last = |name: &str| folded(name.rsplit_once('.').map_or(name, |(_, table)| table));
        self.0.iter().find(|(table, _)| last(table) == last(name))
    }

    /// The groups of two tables, if both are of the contract.
    fn groups(&self, one: &str, other: &str) -> Option<(&str, &str)> {
        Some((self.entry(one)?.1.as_str(), self.entry(other)?.1.as_str()))
    }

    /// A table of the contract other than `but` that `text` speaks of.
    fn named_in(&self, text: &str, but: &str) -> Option<&str> {
        let lower = text.to_lowercase();
        let words: Vec<_> = lower.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
        let mut others = self.0.iter().filter(|(table, _)| folded(table) != folded(but));
        others.find(|(table, _)| words.contains(&folded(table).as_str())).map(|(table, _)| table.as_str())
    }
}

/// See `Store::inspect`.
pub(super) async fn inspect(
    session: &Session,
    contract: &Contract,
    side: Side,
    entities: &[EntityName],
) -> Result<Inspection, StoreError> {
    // A tiny limit of the role's is to be named, and not to keep us from it.
    rows(session, "SET statement_timeout = 0; SET lock_timeout = 0", "").await?;
    let version = rows(session, "SELECT version()", "").await?;
    let server = version.first().map_or_else(String::new, |row| row.text(0).to_owned());
    let mut findings = Findings::default();
    let tables = Tables::of(contract, side);
    for name in entities {
        match ledger::entity(contract, side, name.as_str()) {
            Ok(entity) => of_table(session, Table::new(entity, side), &tables, &mut findings).await?,
            Err(_) => findings.problem(format!("{name} is not a type of the contract: check the name")),
        }
    }
    let ours = bookkeeping::found(session).await?.problem(side.as_str());
    let is_whole = ours.is_none();
    findings.problems.extend(ours);
    for table in steps::tables(&bookkeeping::STEPS) {
        if let Some(missing) = rights(session, table).await? {
            findings.problems.extend(missing);
            acts::of_bookkeeping(session, table, &mut findings).await?;
        }
    }
    if is_whole {
        let missing = fences(session, contract, entities).await?;
        findings.problems.extend(missing);
    }
    server::look(session, &mut findings).await?;
    zones::look(session, contract, side, entities, &mut findings).await?;
    rows(session, "RESET statement_timeout; RESET lock_timeout", "").await?;
    let Findings { facts, notices, problems, .. } = findings;
    Ok(Inspection { server, facts, notices, problems })
}

/// Groups that no write could pass: their fence was never made.
async fn fences(session: &Session, contract: &Contract, entities: &[EntityName]) -> Result<Vec<String>, StoreError> {
    let found = rows(session, "SELECT grp FROM strangler_fence", "").await?;
    let mut groups: Vec<_> = entities.iter().filter_map(|name| contract.entity(name)).map(|e| &e.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let missing = groups.into_iter().filter(|group| !found.iter().any(|row| row.text(0) == group.as_str()));
    Ok(missing
        .map(|group| format!("group {group} has no fence, its writes would be refused: run `strangler init`"))
        .collect())
}

/// What is missing to use `table`; `None` when there is no such table.
async fn rights(session: &Session, table: &str) -> Result<Option<Vec<String>>, StoreError> {
    let found = rows(session, RIGHTS, table).await?;
    if found.iter().any(|row| row.is_null(1)) {
        return Ok(None);
    }
    let missing = found.iter().filter(|row| !row.is(1));
    Ok(Some(
        missing
            .map(|row| format!("the right to {} on {table} is missing: grant it to the proxy's user", row.text(0)))
            .collect(),
    ))
}

async fn of_table(
    session: &Session,
    table: Table<'_>,
    all: &Tables,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let name = table.name();
    let Some(missing) = rights(session, name).await? else {
        let entity = &table.entity.name;
        findings.problem(format!("{name} is missing: create it, or correct the table of {entity} in the contract"));
        return Ok(());
    };
    findings.problems.extend(missing);
    let kind = rows(session, "SELECT relkind FROM pg_class WHERE oid = to_regclass({table})", name).await?;
    if kind.first().is_some_and(|row| row.text(0) == "v") {
        findings.views.push(name.to_owned());
    }
    columns::of_table(session, table, findings).await?;
    acts::of_table(session, table, all, findings).await?;
    references::of_table(session, name, all, findings).await?;
    let sequence = columns::of_sequence(session, table).await?;
    findings.problems.extend(sequence);
    Ok(())
}
