//! Foreign writes: somebody's script has changed a row of the secondary past us, and an apply has met it.
//!
//! The door brings what it met here. Unless the group's primary wins by configuration, the row is left as it is and
//! the write stays unsettled, so its keys are answered by the primary until somebody decides (`strangler repair`).
//! Either way it is told: log, counter, and evidence with cause *foreign write*, once for each state that is met, by
//! each replica that meets it, although the relay goes on trying.
//!
//! Promise: nothing here delays an apply or its answer; memory is bounded; field values are in the evidence only.
//! Not here: how a store knows (`model::foreign`), overwriting it on order (`catchup::repair`).

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use chrono::NaiveDate;
use model::evidence::{self, Cause, Observation, Verdict};
use model::foreign::Found;
use model::{Applied, Change, Contract, EntityKey, EntityType, GroupName, PerSide, RootKind, RouteName, Side};
use parking_lot::Mutex;
use serde_json::Value as Json;
use shadow_compare::redact::Redactor;
use shadow_compare::{Answer, Asked, Excuses, Question, judge};

/// Rows that are remembered as told; beyond, all are forgotten and told once more.
const MOST_TOLD: usize = 10_000;

/// What is shown in place of a record that the contract cannot read.
const UNREADABLE: &str = "a row that the contract cannot read";

/// What becomes of rows that somebody else has changed, and who hears of them.
pub struct ForeignWrites {
    contract: Arc<Contract>,
    primary_wins: BTreeSet<GroupName>,
    redactor: Redactor,
    observe: Arc<dyn Fn(Observation) + Send + Sync>,
    today: fn() -> NaiveDate,
    /// What was told of a key, until it is applied again.
    told: Mutex<HashMap<EntityKey, u64>>,
}

impl ForeignWrites {
    /// Those groups' primary wins that are in `primary_wins`; `observe` takes the evidence.
    pub fn new(
        contract: Arc<Contract>,
        primary_wins: BTreeSet<GroupName>,
        redactor: Redactor,
        observe: Arc<dyn Fn(Observation) + Send + Sync>,
        today: fn() -> NaiveDate,
    ) -> Self {
        Self { contract, primary_wins, redactor, observe, today, told: Mutex::default() }
    }

    /// Whether a write that has met a foreign row is to overwrite it: the primary of its group wins.
    pub fn overwrites(&self, changes: &[Change]) -> bool {
        let wins = |change: &Change| {
            let entity = self.contract.entity(change.key.entity());
            entity.is_some_and(|entity| self.primary_wins.contains(&entity.group))
        };
        changes.iter().all(wins)
    }

    /// Hears what `secondary` has answered to `changes`.
    pub fn heard(&self, secondary: Side, changes: &[Change], applied: &[Applied]) {
        for (change, applied) in changes.iter().zip(applied) {
            match applied {
                Applied::Newer | Applied::Unproven => drop(self.told.lock().remove(&change.key)),
                Applied::Foreign(found) => {
                    if self.is_news(change, found) {
                        self.tell(secondary, change, found, false);
                    }
                }
                Applied::Over(found) => {
                    self.told.lock().remove(&change.key);
                    self.tell(secondary, change, found, true);
                }
                // What the side itself makes of our values is shown as what it is: a difference.
                Applied::Altered(found) => {
                    if self.is_news(change, found) {
                        self.show(secondary, change, found, None);
                    }
                }
                Applied::There
                | Applied::Overtaken(_)
                | Applied::Stale(_)
                | Applied::NotThere
                | Applied::KeyTaken(_)
                | Applied::Barred
                | Applied::NotWhole
                | Applied::NotKnown
                | Applied::Held => {}
            }
        }
    }

    /// Whether this state of the key was not told yet.
    fn is_news(&self, change: &Change, found: &Found) -> bool {
        let mut hasher = DefaultHasher::new();
        match (found, self.contract.entity(change.key.entity())) {
            (Found::Record(record), Some(entity)) => record.to_json(entity).to_string().hash(&mut hasher),
            (Found::Nothing, _) => 0.hash(&mut hasher),
            (Found::Unreadable, _) | (Found::Record(_), None) => 1.hash(&mut hasher),
        }
        let state = hasher.finish();
        let mut told = self.told.lock();
        if told.len() >= MOST_TOLD && !told.contains_key(&change.key) {
            told.clear();
        }
        told.insert(change.key.clone(), state) != Some(state)
    }

    fn tell(&self, secondary: Side, change: &Change, found: &Found, overwritten: bool) {
        let Some(entity) = self.contract.entity(change.key.entity()) else { return };
        let (name, group, write) = (&entity.name, &entity.group, change.write);
        telemetry::foreign_write(group, overwritten);
        if overwritten {
            tracing::warn!(write.id = %write, side = %secondary, entity = %name, "a row of {name} on {secondary} was changed past strangler and is now overwritten by write {write}: the evidence has both states");
        } else {
            tracing::error!(write.id = %write, side = %secondary, entity = %name, "a row of {name} on {secondary} was changed past strangler: write {write} is not applied and stays unsettled until somebody decides, see `strangler diffs list --cause foreign-write`");
        }
        self.show(secondary, change, found, Some(Cause::ForeignWrite));
    }

    /// Leaves evidence of what was found, with this cause where it is known.
    fn show(&self, secondary: Side, change: &Change, found: &Found, cause: Option<Cause>) {
        let Some(entity) = self.contract.entity(change.key.entity()) else { return };
        let Some(route) = self.route(entity) else { return };
        (self.observe)(self.evidence(route, (secondary, cause), entity, change, found));
    }

    /// The route under which people look for rows of this type.
    fn route(&self, entity: &EntityType) -> Option<RouteName> {
        let of_type = self.contract.roots.values().filter(|root| root.entity.name == entity.name);
        let rank = |kind: &RootKind| match kind {
            RootKind::ByKey { .. } => 0,
            RootKind::ByKeys { .. } => 1,
            RootKind::List { .. } => 2,
            RootKind::Write(_) => 3,
        };
        of_type.min_by_key(|root| rank(&root.kind)).map(|root| root.route.clone())
    }

    /// What the primary says beside what was found.
    fn evidence(
        &self,
        route: RouteName,
        (secondary, cause): (Side, Option<Cause>),
        entity: &Arc<EntityType>,
        change: &Change,
        found: &Found,
    ) -> Observation {
        let theirs = match found {
            Found::Nothing => None,
            Found::Record(record) => Some(record.clone()),
            Found::Unreadable => return self.unreadable(route, secondary, entity, change),
        };
        let answer = |side| Answer(vec![if side == secondary { theirs.clone() } else { change.state.clone() }]);
        let answers = PerSide { legacy: answer(Side::Legacy), modern: answer(Side::Modern) };
        let asked = Asked::Keys(vec![change.key.clone()]);
        let question = Question { entity: Arc::clone(entity), fields: entity.all_fields(), asked };
        let excuses = Excuses::of_contract((self.today)());
        let mut judgement = judge(&question, &answers, &excuses);
        if let Some(cause) = cause {
            judgement.attribute(entity, &change.key, cause, &excuses);
        }
        self.redactor.observe(route, entity, &judgement)
    }

    fn unreadable(&self, route: RouteName, secondary: Side, entity: &EntityType, change: &Change) -> Observation {
        let ours = change.state.as_ref().map_or(Json::Null, |record| self.redactor.record(entity, record));
        let value = |side| if side == secondary { UNREADABLE.into() } else { ours.clone() };
        let values = PerSide { legacy: value(Side::Legacy), modern: value(Side::Modern) };
        let key = self.redactor.key_text(entity, &change.key);
        let difference = evidence::Difference {
            field: None,
            cause: Cause::ForeignWrite,
            key: key.clone(),
            records: values.clone(),
            values,
            excused: false,
            explained: Vec::new(),
        };
        Observation {
            route,
            verdict: Verdict::Mismatch,
            reason: None,
            differences: vec![difference],
            fields: entity.fields.iter().map(|field| field.name.clone()).collect(),
            keys: vec![key],
        }
    }
}
