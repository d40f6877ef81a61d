//! What runs on a side, to be tried there before anybody needs it: every statement of the contract, and what strangler
//! itself makes of each type.
//!
//! A statement that is wrong on the side which is not asked today (a misspelt column, a function that is missing there, a
//! right that nobody has granted) would be found out by the first client after the handover.
//!
//! Not here: how a server is asked without running anything (each adapter's `trial`); who asks (`check`, the start, the
//! handover).

use std::fmt;
use std::sync::Arc;

use chrono::DateTime;

use super::{Contract, EntityType, Param, RootKind, WriteWork};
use crate::decimal::Decimal;
use crate::name::GroupName;
use crate::side::Side;
use crate::sql::NamedSql;
use crate::value::{Instant, Kind, Value};

/// One thing to be tried.
#[derive(Debug, Clone)]
pub struct Trial<'c> {
    /// The group that it moves with.
    pub group: &'c GroupName,
    /// What it is: `Mutation.adjustStock, statement 2`, `Query.products`, `type Product`.
    pub what: String,
    /// What is to be tried.
    pub of: TrialOf<'c>,
}

/// What is to be tried.
#[derive(Debug, Clone)]
pub enum TrialOf<'c> {
    /// SQL of the contract.
    Sql {
        /// Its text.
        sql: &'c NamedSql,
        /// What its parameters hold.
        params: &'c [Param],
        /// The type whose columns stand in place of `{columns}`.
        columns: Option<&'c Arc<EntityType>>,
    },
    /// Reading, setting and deleting records of a type.
    Type(&'c Arc<EntityType>),
}

/// A statement that a side would not run, or of which nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The group that it moves with.
    pub group: GroupName,
    /// What it is, as [`Trial::what`].
    pub what: String,
    /// The line of the contract on which it begins.
    pub line: Option<usize>,
    /// What the side says of it; names tables, columns and functions, never values.
    pub said: String,
    /// Whether it was tried. It was not where somebody has locked what it names.
    pub tried: bool,
}

impl Wrong {
    /// What is wrong with `trial`.
    pub fn of(trial: &Trial<'_>, said: impl Into<String>) -> Self {
        let line = match &trial.of {
            TrialOf::Sql { sql, .. } => sql.line(),
            TrialOf::Type(_) => None,
        };
        Self { group: trial.group.clone(), what: trial.what.clone(), line, said: said.into(), tried: true }
    }

    /// `trial` could not be made.
    pub fn untried(trial: &Trial<'_>) -> Self {
        let said = "it could not be tried, something it names is locked: try again";
        Self { tried: false, ..Self::of(trial, said) }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(line) = self.line {
            write!(f, " (line {line} of the contract)")?;
        }
        write!(f, ": {}", self.said)
    }
}

/// Everything that would run on `side`, in the order of the contract. The steps of a saga are mutations of their own.
pub fn trials(contract: &Contract, side: Side) -> Vec<Trial<'_>> {
    let of_type = |entity: &'_ Arc<EntityType>| format!("type {}", entity.name);
    let types = contract.entities.values();
    let mut trials: Vec<_> =
        types.map(|entity| Trial { group: &entity.group, what: of_type(entity), of: TrialOf::Type(entity) }).collect();
    for root in contract.roots.values() {
        let group = &root.group;
        match &root.kind {
            RootKind::ByKey { .. } | RootKind::ByKeys { .. } => {}
            RootKind::List { sql, params, .. } => {
                let of = TrialOf::Sql { sql: sql.get(side), params, columns: Some(&root.entity) };
                trials.push(Trial { group, what: root.route.to_string(), of });
            }
            RootKind::Write(action) => match &action.work {
                WriteWork::Statements { sql, params } => {
                    for (place, statement) in (1..).zip(sql.get(side)) {
                        let of = TrialOf::Sql { sql: &statement.sql, params, columns: None };
                        trials.push(Trial { group, what: format!("{}, statement {place}", root.route), of });
                    }
                }
                WriteWork::Set { .. } | WriteWork::Delete | WriteWork::Saga(_) => {}
            },
        }
    }
    trials
}

/// Some value of a parameter's kind, for who must bind one to try a statement.
pub fn sample(param: &Param) -> Value {
    let one = match param.kind {
        Kind::Text => Value::text("1"),
        Kind::Int => Value::Int(1),
        Kind::Bool => Value::Bool(true),
        Kind::Decimal => Value::Decimal(Decimal::from(1)),
        Kind::Instant => Value::Instant(Instant::new(DateTime::UNIX_EPOCH)),
    };
    if param.list { Value::List(vec![one]) } else { one }
}
