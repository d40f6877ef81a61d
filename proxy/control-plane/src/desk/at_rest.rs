//! Rows at rest: ordered to be compared, and what is known of them, group by group.
//!
//! An order answers at once, however large the tables are: it is state in the control store, which a replica takes up
//! (`reconcile::orders`). Who wants to know how far it is asks again.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::control::reconciliation::{AtRest, Newest, Reconciliation, at_rest, mapping};
use model::control::{Action, Author, Deed, Findings, OrderId, OrderRecord, OrderedType, Placed, ReconcileOrder};
use model::{EntityName, EntityType, GroupName, Instant, Policy};
use serde_json::json;
use uuid::Uuid;

use super::{Desk, DeskError};
use crate::desk::orders::running_in_words;
use contract::suggest;
use data_plane::reconcile::ReconcileError;

/// Runs of a group that are looked through for the last complete one of each type, and orders that are shown of it.
const RUNS: usize = 200;
const ORDERS: usize = 10;

/// What is known of a group's rows at rest.
#[derive(Debug, Clone)]
pub struct GroupAtRest {
    /// The group.
    pub group: GroupName,
    /// Its policy now.
    pub policy: Policy,
    /// What the newest run of each type says, all in all.
    pub known: AtRest,
    /// Type by type.
    pub types: Vec<TypeAtRest>,
    /// The newest orders, newest first.
    pub orders: Vec<OrderRecord>,
    /// When a type is due by the schedule; `None`: by order only, or nothing keeps the sides equal.
    pub next: Option<Instant>,
}

/// What is known of a type's rows at rest.
#[derive(Debug, Clone)]
pub struct TypeAtRest {
    /// The type.
    pub entity: EntityName,
    /// The newest run that has ended, complete or not; it decides.
    pub newest: Option<Reconciliation>,
    /// Whether that run compared by what this contract says.
    pub same_contract: bool,
    /// When the last run began that compared every row.
    pub complete: Option<Instant>,
}

impl GroupAtRest {
    /// What is known, as a sentence.
    pub fn sentence(&self) -> String {
        match &self.known {
            AtRest::Drifted(1) => "1 row differs at rest, by the newest run of each type".to_owned(),
            AtRest::Drifted(rows) => format!("{rows} rows differ at rest, by the newest run of each type"),
            AtRest::Equal(_) => "every row was equal on both sides when it was last compared".to_owned(),
            AtRest::Unknown(why) => format!("whether the rows are equal is not known: {why}"),
        }
    }

    /// When the last complete run began of the type that was compared completely longest ago; `None`: some type never was.
    pub fn complete(&self) -> Option<Instant> {
        let all: Option<Vec<Instant>> = self.types.iter().map(|one| one.complete).collect();
        all.and_then(|all| all.into_iter().min())
    }
}

impl Desk {
    /// Orders that the rows of `group` be compared at rest, or those of one type of it.
    ///
    /// # Errors
    /// When there is no such type, nothing keeps the sides equal, or an order of the group is open: nothing was ordered.
    /// When the control store does not tell: the order may stand, and a second one is told of it.
    pub async fn order_reconcile(
        &self,
        group: &GroupName,
        entity: Option<&str>,
        author: &Author,
    ) -> Result<OrderRecord, DeskError> {
        let types = self.types_of(group, entity)?;
        let policy = self.newest().await?.rollout.policy(group);
        if !policy.stage().dual_writes() {
            let why = ReconcileError::NotKeptEqual { group: group.clone(), stage: policy.stage() };
            return Err(DeskError::no("NOT_KEPT_EQUAL", why.to_string()));
        }
        match self.place_order(group, &types, author, true).await? {
            Placed::Placed(record) => Ok(record),
            Placed::Open(open) => Err(DeskError::no(
                "ALREADY_ORDERED",
                format!(
                    "rows of group {group} are to be compared already: {} Nothing was ordered; wait for its end, then order \
                     again if you still want to",
                    running_in_words(&open)
                ),
            )),
        }
    }

    /// Places an order of these types; it is on the record where a person has it placed.
    pub(crate) async fn place_order(
        &self,
        group: &GroupName,
        types: &[Arc<EntityType>],
        author: &Author,
        on_record: bool,
    ) -> Result<Placed, DeskError> {
        let ordered = |entity: &Arc<EntityType>| OrderedType { entity: entity.name.clone(), mapping: mapping(entity) };
        let order = ReconcileOrder {
            id: OrderId(Uuid::now_v7()),
            group: group.clone(),
            types: types.iter().map(ordered).collect(),
            author: author.clone(),
        };
        let names: Vec<&EntityName> = types.iter().map(|entity| &entity.name).collect();
        let deed = Deed {
            action: Action::ReconcileOrdered,
            group: Some(group.clone()),
            author: author.clone(),
            rollout: None,
            detail: json!({ "order": order.id, "types": names }),
        };
        Ok(self.control.place_order(&order, on_record.then_some(&deed)).await?)
    }

    /// The order with this id.
    ///
    /// # Errors
    /// When there is none, or the control store does not tell.
    pub async fn reconcile_order(&self, id: &str) -> Result<OrderRecord, DeskError> {
        let unknown = || DeskError::no("UNKNOWN_ORDER", format!("there is no order `{id}`"));
        let id = Uuid::parse_str(id).map_err(|_| unknown())?;
        self.control.order(OrderId(id)).await?.ok_or_else(unknown)
    }

    /// What is recorded of the types that `order` is through with, in its order.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub async fn findings_of(&self, order: &OrderRecord) -> Result<Vec<Reconciliation>, DeskError> {
        if order.progress.done.is_empty() {
            return Ok(Vec::new());
        }
        let runs = self.control.reconciliations(Some(&order.order.group), RUNS).await?;
        let of = |done: &model::control::TypeDone| {
            runs.iter().find(|run| run.run == done.run && run.entity == done.entity).cloned()
        };
        Ok(order.progress.done.iter().filter_map(of).collect())
    }

    /// What is known of the rows of `group`.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub async fn at_rest(&self, group: &GroupName) -> Result<GroupAtRest, DeskError> {
        let policy = self.newest().await?.rollout.policy(group);
        let newest = self.control.newest_reconciliations(group).await?;
        let runs = self.control.reconciliations(Some(group), RUNS).await?;
        let orders = self.control.orders(Some(group), ORDERS).await?;
        let types = self.types_of(group, None)?;
        let mappings: Vec<_> = types.iter().map(|entity| (entity.name.clone(), mapping(entity))).collect();
        let now = (self.clock)();
        let of = |name: &EntityName| newest.iter().find(|one: &&Newest| one.reconciliation.entity == *name);
        let scheduled = self.reconcile.as_ref().filter(|schedule| {
            policy.stage().dual_writes() && (schedule.groups.is_empty() || schedule.groups.contains(group))
        });
        let next = scheduled.and_then(|schedule| types.iter().map(|one| schedule.when.due(of(&one.name), now)).min());
        let one = |(name, mapping): &(EntityName, String)| {
            let newest = of(name).map(|newest| newest.reconciliation.clone());
            let findings = newest.as_ref().and_then(|run| run.findings.as_ref());
            let same_contract = findings.is_none_or(|findings| findings.mapping == *mapping);
            let is_complete =
                |run: &&Reconciliation| run.entity == *name && run.findings.as_ref().is_some_and(Findings::is_complete);
            let complete = runs.iter().find(is_complete).map(|run| run.begun);
            TypeAtRest { entity: name.clone(), newest, same_contract, complete }
        };
        Ok(GroupAtRest {
            group: group.clone(),
            policy,
            known: at_rest(&mappings, &newest),
            types: mappings.iter().map(one).collect(),
            orders,
            next,
        })
    }

    /// Open orders of groups that this contract does not have: a newer release, or an older one, has placed them.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub async fn strange_orders(&self) -> Result<Vec<OrderRecord>, DeskError> {
        let known: BTreeSet<GroupName> = self.contract.groups().into_iter().collect();
        let open = self.control.open_orders().await?;
        Ok(open.into_iter().filter(|record| !known.contains(&record.order.group)).collect())
    }

    /// The types of `group`, or the one that is called `entity`.
    fn types_of(&self, group: &GroupName, entity: Option<&str>) -> Result<Vec<Arc<EntityType>>, DeskError> {
        let of_group = self.contract.entities.values().filter(|entity| entity.group == *group);
        let types: Vec<_> = of_group.cloned().collect();
        let Some(name) = entity else { return Ok(types) };
        let found: Vec<_> = types.iter().filter(|entity| entity.name.as_str() == name).cloned().collect();
        if found.is_empty() {
            let known = suggest::or_all(name, "", types.iter().map(|entity| entity.name.as_str()));
            return Err(DeskError::wrong("UNKNOWN_TYPE", format!("group {group} has no type `{name}`: {known}")));
        }
        Ok(found)
    }
}
