//! Reconciliations and repairs, as the control store keeps them for gates, reports and people.
//!
//! A reconciliation is one entity type in one run of `strangler reconcile`. It is noted when it begins
//! and again when it ends, by the control store's clock; one that never ended was stopped by force.
//! A repair is noted before anything is touched, so that nobody's hand goes unrecorded.
//!
//! No data is not success: a reconciliation that did not read everything on both sides is not
//! *complete*, and a group whose tables are all empty has no freshness.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Author, ControlError};
use crate::evidence::{Cause, Difference};
use crate::name::{EntityName, FieldName, GroupName};
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
pub struct Findings {
    /// Rows that were compared, counted on each side.
    pub rows: PerSide<u64>,
    /// Rows that differ, and differed still after confirmation.
    pub drift: u64,
    /// Rows that differ as the contract excuses it.
    pub excused: u64,
    /// Rows that were written each time we looked, so that nothing is known of them.
    pub undecided: u64,
    /// The drift by field and cause, most rows first.
    pub kinds: Vec<DriftKind>,
    /// Some drifted rows, sensitive values hashed.
    pub samples: Vec<Difference>,
    /// Why not all rows were compared; `None`: all were, on both sides.
    pub problem: Option<String>,
}

impl Findings {
    /// Whether every row of both sides was compared.
    pub fn is_complete(&self) -> bool {
        self.problem.is_none()
    }
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

/// The newest complete reconciliation of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastComplete {
    /// What it was.
    pub reconciliation: Reconciliation,
    /// Time since it began, by the control store's clock: what was written later, it may not have seen.
    pub age: Duration,
}

/// How old the knowledge about a whole group is: the age of its least fresh type. `None` when a type of
/// `entities` was never compared completely, or there was not one row on either side.
pub fn freshness(entities: &[EntityName], last: &[LastComplete]) -> Option<Duration> {
    let of = |entity: &EntityName| last.iter().find(|one| one.reconciliation.entity == *entity);
    let known: Vec<&LastComplete> = entities.iter().map(of).collect::<Option<_>>()?;
    let rows = |one: &&LastComplete| one.reconciliation.findings.as_ref().map_or(0, |f| f.rows.legacy + f.rows.modern);
    let any_row = known.iter().any(|one| rows(one) > 0);
    known.iter().map(|one| one.age).max().filter(|_| any_row)
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
pub struct RepairCount {
    /// Brought level.
    pub repaired: u64,
    /// Were level already.
    pub level: u64,
    /// On the primary's ledger, and left to the relay since the secondary was out of reach.
    pub left: u64,
    /// Applied, and different still (or again) when looked at.
    pub differs: u64,
    /// Could not be taken up, by reason.
    pub refused: BTreeMap<String, u64>,
}

impl RepairCount {
    /// Whether every key is level now.
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

    /// For each type of `group` that has one, the complete reconciliation that began last; by type.
    ///
    /// # Errors
    /// As `begin_reconciliation`.
    async fn last_complete(&self, group: &GroupName) -> Result<Vec<LastComplete>, ControlError>;

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
mod tests {
    use super::*;

    fn last(entity: &str, age: u64, rows: u64) -> LastComplete {
        let author = Author { who: "ada".into(), origin: "desk".into(), reason: None };
        let at = Instant::parse("2026-01-31T08:00:00Z").unwrap();
        let rows = PerSide { legacy: rows, modern: rows };
        let reconciliation = Reconciliation {
            run: RunId(Uuid::nil()),
            group: "inventory".into(),
            entity: entity.into(),
            author,
            begun: at,
            ended: Some(at),
            findings: Some(Findings { rows, ..Findings::default() }),
        };
        LastComplete { reconciliation, age: Duration::from_secs(age) }
    }

    #[test]
    fn a_group_is_as_fresh_as_its_least_fresh_type_and_no_data_is_not_success() {
        let types = ["Product".into(), "StockLevel".into()];
        let (product, level) = (last("Product", 60, 5), last("StockLevel", 3_600, 0));
        assert_eq!(freshness(&types, &[product.clone(), level.clone()]), Some(Duration::from_secs(3_600)));
        assert_eq!(freshness(&types, &[product]), None, "a type was never compared");
        assert_eq!(freshness(&types, &[last("Product", 60, 0), level]), None, "only empty tables");
        assert_eq!(freshness(&[], &[]), None);
    }
}
