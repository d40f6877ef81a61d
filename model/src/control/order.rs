//! Orders to compare rows at rest: placed by a person or by the schedule, taken up by one replica, kept for ever.
//!
//! An order is state in the control store. So it survives whoever placed it and whoever runs it: a replica *takes* it for a
//! while, holds it as long as it works, and whoever takes it after a crash goes on behind the types that are done. Each
//! taking has a number; what an earlier taker still says about the order changes nothing.
//!
//! A group has one order at a time, and the fleet runs one at a time: comparing costs both sides, the ERP above all.
//! Not here: what is compared, and how (`proxy::reconcile`), what was found (`reconciliation`).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Author, ControlError, Deed, RunId};
use crate::name::{EntityName, GroupName, ReplicaId};
use crate::side::PerSide;
use crate::value::Instant;

/// Names one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub Uuid);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One type of an order, and what it was compared by when the order was placed: see [`super::reconciliation::mapping`].
/// A replica with another contract does not take the order, since its findings would be about something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedType {
    /// The type.
    pub entity: EntityName,
    /// What it is compared by.
    pub mapping: String,
}

/// The wish that rows of a group be compared at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileOrder {
    /// Names it.
    pub id: OrderId,
    /// The group.
    pub group: GroupName,
    /// Its types that are to be compared, in this order.
    pub types: Vec<OrderedType>,
    /// Who, from where, why.
    pub author: Author,
}

/// A type that an order is through with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeDone {
    /// The type.
    pub entity: EntityName,
    /// Under which run its findings are recorded.
    pub run: RunId,
    /// Rows that differ.
    pub drift: u64,
    /// Why not every row could be compared; `None`: every one was.
    pub incomplete: Option<String>,
}

/// How far an order is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderProgress {
    /// The types that are done.
    pub done: Vec<TypeDone>,
    /// The type that is being compared.
    pub at: Option<EntityName>,
    /// Of that one: rows compared so far,
    pub rows: PerSide<u64>,
    /// rows that differ,
    pub drift: u64,
    /// and chunks still to be looked at, as far as is known.
    pub chunks: u64,
}

impl OrderProgress {
    /// The types of `order` that are not done, in its order.
    pub fn left<'a>(&self, order: &'a ReconcileOrder) -> impl Iterator<Item = &'a OrderedType> {
        let done: Vec<EntityName> = self.done.iter().map(|done| done.entity.clone()).collect();
        order.types.iter().filter(move |one| !done.contains(&one.entity))
    }
}

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderEnd {
    /// Every type was compared, as far as it could be.
    Done,
    /// Not every type was begun, and why.
    Failed(String),
}

/// Which replica has an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The replica.
    pub by: ReplicaId,
    /// When it took the order, by the control store's clock.
    pub at: Instant,
    /// How often the order was taken by now. Who holds an earlier number has lost it.
    pub number: u32,
    /// Whether it holds the order still. `false`: it gave it back, or has not been heard of for too long.
    pub held: bool,
}

/// An order, as it stands in the control store for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRecord {
    /// What was ordered.
    pub order: ReconcileOrder,
    /// When, by the control store's clock.
    pub ordered: Instant,
    /// Time since it was placed, or since the last that had it held it last, by the control store's clock.
    pub idle: Duration,
    /// Who has it, or had it last; `None`: it waits.
    pub taken: Option<Taken>,
    /// How far it is.
    pub progress: OrderProgress,
    /// When and how it ended; `None`: it waits or runs.
    pub ended: Option<(Instant, OrderEnd)>,
}

/// Where an order is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderState {
    /// No replica has it.
    Waiting,
    /// A replica works on it.
    Running,
    /// Every type was compared completely.
    Complete,
    /// It was gone through, and of some rows nothing is known.
    Incomplete,
    /// Not every type was begun.
    Failed,
}

impl OrderState {
    /// The word that tables and the admin API show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }

    /// Whether it goes on.
    pub fn is_open(self) -> bool {
        match self {
            Self::Waiting | Self::Running => true,
            Self::Complete | Self::Incomplete | Self::Failed => false,
        }
    }
}

impl OrderRecord {
    /// How often it was taken up; 0: never.
    pub fn takes(&self) -> u32 {
        self.taken.as_ref().map_or(0, |taken| taken.number)
    }

    /// Where it is.
    pub fn state(&self) -> OrderState {
        match (&self.ended, &self.taken) {
            (Some((_, OrderEnd::Failed(_))), _) => OrderState::Failed,
            // A type that nobody has compared is not known, whoever says that the order is done.
            (Some((_, OrderEnd::Done)), _) if self.progress.left(&self.order).next().is_some() => {
                OrderState::Incomplete
            }
            (Some((_, OrderEnd::Done)), _) if self.progress.done.iter().any(|one| one.incomplete.is_some()) => {
                OrderState::Incomplete
            }
            (Some((_, OrderEnd::Done)), _) => OrderState::Complete,
            (None, Some(Taken { held: true, .. })) => OrderState::Running,
            (None, Some(Taken { held: false, .. }) | None) => OrderState::Waiting,
        }
    }
}

/// What became of placing an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// It stands.
    Placed(OrderRecord),
    /// Nothing was placed: this one of the same group is open.
    Open(OrderRecord),
}

/// Where orders are kept.
///
/// Calls keep time limits and fail as those of [`super::ControlStore`]. Every call may be repeated.
#[async_trait]
pub trait OrderStore: Send + Sync {
    /// Places `order` and notes `deed`, both or neither, unless an order of its group is open. One that was placed before
    /// is not placed again.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn place_order(&self, order: &ReconcileOrder, deed: Option<&Deed>) -> Result<Placed, ControlError>;

    /// Gives an open order to `by` for as long as `lease`. `None`: it has ended, or some replica holds it or another one.
    ///
    /// # Errors
    /// As `place_order`; after `NoAnswer` it may have been given, and is free again after `lease`.
    async fn take_order(
        &self,
        id: OrderId,
        by: &ReplicaId,
        lease: Duration,
    ) -> Result<Option<OrderRecord>, ControlError>;

    /// Notes how far the order is, and keeps it for another `lease`; an empty one gives it back. `false`: whoever took it
    /// as `number` does not have it any more, and nothing was noted.
    ///
    /// # Errors
    /// As `place_order`.
    async fn hold_order(
        &self,
        id: OrderId,
        number: u32,
        progress: &OrderProgress,
        lease: Duration,
    ) -> Result<bool, ControlError>;

    /// Notes how the order ended, and how far it came. `false`: whoever took it as `number` (0: nobody ever did) does not
    /// have it any more, and nothing was noted.
    ///
    /// # Errors
    /// As `place_order`.
    async fn end_order(
        &self,
        id: OrderId,
        number: u32,
        progress: &OrderProgress,
        end: &OrderEnd,
    ) -> Result<bool, ControlError>;

    /// One order.
    ///
    /// # Errors
    /// As `place_order`.
    async fn order(&self, id: OrderId) -> Result<Option<OrderRecord>, ControlError>;

    /// The orders that have not ended, oldest first.
    ///
    /// # Errors
    /// As `place_order`.
    async fn open_orders(&self) -> Result<Vec<OrderRecord>, ControlError>;

    /// Orders of `group` (or any), newest first, at most `limit`.
    ///
    /// # Errors
    /// As `place_order`.
    async fn orders(&self, group: Option<&GroupName>, limit: usize) -> Result<Vec<OrderRecord>, ControlError>;
}
