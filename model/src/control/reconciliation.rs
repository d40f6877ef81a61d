//! Reconciliations and repairs, as the control store keeps them for gates, reports and people.
//!
//! A reconciliation is one entity type in one run of `strangler reconcile`. It is noted when it begins
//! and again when it ends, by the control store's clock; one that never ended was stopped by force.
//! A repair is noted before anything is touched, so that nobody's hand goes unrecorded.
//!
//! No data is not success: a reconciliation is *complete* only if it knows of every row of both sides whether it is
//! equal. One row that nothing is known of is enough that it is not. The newest run of a type decides, also when it
//! found less than an older one; and of a group whose tables are all empty nothing is known.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Author, ControlError};
use crate::contract::EntityType;
use crate::evidence::{Cause, Difference};
use crate::name::{EntityName, FieldName, GroupName};
use crate::scan::LeftOut;
use crate::side::PerSide;
use crate::value::Instant;

/// Names one run of reconcile, or one repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One kind of drift and how many rows have it. A row may have several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftKind {
    /// The field; `None` when one side does not have the row.
    pub field: Option<FieldName>,
    /// Why.
    pub cause: Cause,
    /// How many rows.
    pub rows: u64,
}

/// What comparing one entity type at rest has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Findings {
    /// Rows that were compared, counted on each side.
    pub rows: PerSide<u64>,
    /// Rows that differ, and differed still after confirmation.
    pub drift: u64,
    /// Rows that differ as the contract excuses it.
    pub excused: u64,
    /// Rows of which nothing is known: they were written each time we looked, or are held back.
    pub undecided: u64,
    /// Those of them whose last write has waited for the other side for longer than a write may take.
    pub held_back: u64,
    /// Rows that no look-up by their key finds, on each side: nobody can write, copy or repair them through us.
    pub keyless: PerSide<u64>,
    /// Some of the keyless and held back rows, as text; sensitive values hashed.
    pub named: Vec<String>,
    /// The drift by field and cause, most rows first.
    pub kinds: Vec<DriftKind>,
    /// Some drifted rows, sensitive values hashed.
    pub samples: Vec<Difference>,
    /// Columns of legacy that the contract leaves out: nothing is known of what they hold.
    pub left_out: Vec<LeftOut>,
    /// Why not all rows were compared; `None`: all were, on both sides.
    pub problem: Option<String>,
    /// What the type was compared by: see [`mapping`].
    pub mapping: String,
}

impl Findings {
    /// Whether it is known of every row of both sides whether it is equal.
    pub fn is_complete(&self) -> bool {
        self.why_incomplete().is_none()
    }

    /// Why it is not.
    pub fn why_incomplete(&self) -> Option<String> {
        let PerSide { legacy, modern } = self.keyless;
        if let Some(problem) = &self.problem {
            return Some(problem.clone());
        }
        if legacy + modern > 0 {
            return Some(format!("{legacy} rows of legacy and {modern} of modern have no usable key"));
        }
        match (self.undecided, self.held_back) {
            (0, _) => None,
            (rows, 0) => Some(format!("nothing is known of {rows} rows, which were written each time we looked")),
            (rows, held) => Some(format!("nothing is known of {rows} rows, {held} of which are held back")),
        }
    }
}

/// Names what a type is compared by: its fields, where they live and how they are compared. Findings under another
/// mapping say nothing about this one.
pub fn mapping(entity: &EntityType) -> String {
    let digest = Sha256::digest(format!("{:?} {:?} {:?}", entity.table, entity.key(), entity.fields));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// One entity type in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// The run.
    pub run: RunId,
    /// The group of the type.
    pub group: GroupName,
    /// The type.
    pub entity: EntityName,
    /// Who, from where, why.
    pub author: Author,
    /// When it began, by the control store's clock.
    pub begun: Instant,
    /// When it ended; `None`: it goes on, or its process died.
    pub ended: Option<Instant>,
    /// What was found; `None` until it has ended.
    pub findings: Option<Findings>,
}

/// The newest reconciliation of a type that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// What it was.
    pub reconciliation: Reconciliation,
    /// Time since it began, by the control store's clock: what was written later, it may not have seen. `None`: the
    /// clock was put back since.
    pub age: Option<Duration>,
}

/// What is known about the rows of a whole group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtRest {
    /// Whether they are equal is not known, and why.
    Unknown(String),
    /// Every type was compared completely, and was equal so long ago, at the latest.
    Equal(Duration),
    /// So many rows differ, by the newest run of each type.
    Drifted(u64),
}

/// What the newest runs say about `types`, each with its [`mapping`]. No data is not success.
pub fn at_rest(types: &[(EntityName, String)], newest: &[Newest]) -> AtRest {
    let of = |entity: &EntityName| newest.iter().find(|one| one.reconciliation.entity == *entity);
    let found = |one: &Newest| one.reconciliation.findings.clone();
    let known: Vec<Findings> = types.iter().filter_map(|(entity, _)| of(entity).and_then(found)).collect();
    // A run that could not compare everything and found drift has found drift.
    let drift = known.iter().map(|findings| findings.drift).sum();
    if drift > 0 {
        return AtRest::Drifted(drift);
    }
    let ages: Result<Vec<Duration>, String> =
        types.iter().map(|(name, mapping)| age_of(name, mapping, of(name))).collect();
    let rows = |findings: &Findings| findings.rows.legacy + findings.rows.modern;
    match ages.map(|ages| ages.into_iter().max()) {
        Err(why) => AtRest::Unknown(why),
        Ok(None) => AtRest::Unknown("the group has no types".to_owned()),
        Ok(Some(_)) if known.iter().map(rows).sum::<u64>() == 0 => {
            AtRest::Unknown("there was not one row on either side".to_owned())
        }
        Ok(Some(age)) => AtRest::Equal(age),
    }
}

/// The columns that the newest runs found left out with something in them, each with its type; `None` when a type was
/// never compared.
pub fn left_out(types: &[(EntityName, String)], newest: &[Newest]) -> Option<Vec<(EntityName, LeftOut)>> {
    let mut found = Vec::new();
    for (entity, _) in types {
        let newest = newest.iter().find(|one| one.reconciliation.entity == *entity)?;
        let columns = newest.reconciliation.findings.as_ref()?.left_out.iter().filter(|column| column.filled > 0);
        found.extend(columns.map(|column| (entity.clone(), column.clone())));
    }
    Some(found)
}

/// How long ago a type was known to be equal.
fn age_of(name: &EntityName, mapping: &str, newest: Option<&Newest>) -> Result<Duration, String> {
    let newest = newest.ok_or_else(|| format!("the rows of {name} at rest were never compared"))?;
    let Some(findings) = &newest.reconciliation.findings else {
        return Err(format!("the newest run of {name} has no findings"));
    };
    if let Some(why) = findings.why_incomplete() {
        return Err(format!("the newest run of {name} is not complete: {why}"));
    }
    if findings.mapping != mapping {
        return Err(format!("{name} was compared under another contract"));
    }
    newest.age.ok_or_else(|| format!("how old the newest run of {name} is cannot be told: a clock was put back"))
}

/// What a repair is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairOrder {
    /// Names it.
    pub id: RunId,
    /// The group.
    pub group: GroupName,
    /// The type.
    pub entity: EntityName,
    /// Who, from where, why.
    pub author: Author,
    /// What was asked for, for people: one key (sensitive parts hashed), or a cause.
    pub asked: String,
}

/// What became of the keys of a repair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepairCount {
    /// Brought level.
    pub repaired: u64,
    /// Were level already.
    pub level: u64,
    /// Keys that neither side has: deleted on both, or mistyped.
    pub absent: u64,
    /// On the primary's ledger, and left to the relay since the secondary was out of reach.
    pub left: u64,
    /// Applied, and different still (or again) when looked at.
    pub differs: u64,
    /// Could not be taken up, by reason.
    pub refused: BTreeMap<String, u64>,
}

impl RepairCount {
    /// Whether every key is level now. A record that neither side has is.
    pub fn is_level(&self) -> bool {
        self.left == 0 && self.differs == 0 && self.refused.is_empty()
    }
}

/// A repair, as it stands in the control store for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairRecord {
    /// What was ordered.
    pub order: RepairOrder,
    /// When it began, by the control store's clock.
    pub begun: Instant,
    /// When it ended; `None`: it goes on, or its process died.
    pub ended: Option<Instant>,
    /// What became of it; `None` until it has ended.
    pub count: Option<RepairCount>,
}

impl RepairRecord {
    /// When it ended with every key level; `None` while it goes on, or where it left any that is not: nothing is mended then.
    pub fn mended_at(&self) -> Option<Instant> {
        self.ended.filter(|_| self.count.as_ref().is_some_and(RepairCount::is_level))
    }
}

/// Where reconciliations and repairs are kept.
///
/// Calls keep time limits and fail as those of [`super::ControlStore`]. Every call may be repeated.
#[async_trait]
pub trait ReconciliationStore: Send + Sync {
    /// Notes that a run begins with a type, now, by the store's clock.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn begin_reconciliation(
        &self,
        run: RunId,
        group: &GroupName,
        entity: &EntityName,
        author: &Author,
    ) -> Result<(), ControlError>;

    /// Notes what a run has found of a type, once: what was noted before stays.
    ///
    /// # Errors
    /// As `begin_reconciliation`.
    async fn end_reconciliation(
        &self,
        run: RunId,
        entity: &EntityName,
        findings: &Findings,
    ) -> Result<(), ControlError>;

    /// Reconciliations of `group` (or any), newest first, at most `limit`.
    ///
    /// # Errors
    /// As `begin_reconciliation`.
    async fn reconciliations(
        &self,
        group: Option<&GroupName>,
        limit: usize,
    ) -> Result<Vec<Reconciliation>, ControlError>;

    /// For each type of `group` that has one, the reconciliation that began last of those that have ended, complete or
    /// not; by type.
    ///
    /// # Errors
    /// As `begin_reconciliation`.
    async fn newest_reconciliations(&self, group: &GroupName) -> Result<Vec<Newest>, ControlError>;

    /// Notes that a repair begins, now, by the store's clock.
    ///
    /// # Errors
    /// As `begin_reconciliation`; then nothing may be repaired.
    async fn begin_repair(&self, order: &RepairOrder) -> Result<(), ControlError>;

    /// Notes what became of a repair, once: what was noted before stays.
    ///
    /// # Errors
    /// As `begin_reconciliation`.
    async fn end_repair(&self, id: RunId, count: &RepairCount) -> Result<(), ControlError>;

    /// Repairs of `group` (or any), newest first, at most `limit`.
    ///
    /// # Errors
    /// As `begin_reconciliation`.
    async fn repairs(&self, group: Option<&GroupName>, limit: usize) -> Result<Vec<RepairRecord>, ControlError>;
}

#[cfg(test)]
mod tests;
