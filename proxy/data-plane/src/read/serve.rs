//! Answers a read: decides per key, asks the sides in batches, falls back, and offers a shadow.
//!
//! Promise: a failing modern side costs its share of the deadline at most and never an answer, as
//! long as legacy is primary. Shadows are offered after the answer is complete and never awaited.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::contract::RootKind;
use model::sql::{Params, params_text};
use model::{
    Bucket, EntityKey, EntityName, FieldSet, GroupName, PerSide, Policy, Record, Role, Root, Side, Store, StoreError,
};
use tokio::time::Instant;

use super::batch::Batch;
use super::seen::Seen;
use super::shadow::{Shadow, ShadowJob, ShadowedRead};
use super::turns::Asker;
use crate::breaker::{Breaker, RouteBreaker};
use crate::figures::Recorder;
use crate::own_keys::{self, Asked};
use crate::route::{self, Decision};
use crate::write::unsettled::UnsettledKeys;
use request::error::{Fault, InternalError};
use request::roads::RequestContext;
use telemetry::traces::{self, Here};

/// Limits of the read road.
#[derive(Debug, Clone, Copy)]
pub struct ReadSettings {
    /// Share of the remaining time that a side may use while the primary could still stand in.
    pub share: f64,
    /// A group with an unsettled write older than this has its lists answered by the primary.
    pub answer_budget: Duration,
}

/// What the read road needs of one side.
pub struct ReadSide {
    /// The store, in its lane for client reads.
    pub store: Arc<dyn Store>,
    /// Its breaker.
    pub breaker: Arc<Breaker>,
    /// How many lists of one route may be under way there at once.
    pub room: usize,
    /// A batcher for each entity type.
    pub batches: HashMap<EntityName, Arc<Batch>>,
}

impl ReadSide {
    fn route(&self, root: &Root) -> RouteBreaker {
        self.breaker.route(root.route.as_str(), self.room)
    }
}

/// The read road.
pub struct ReadRoad {
    /// Both sides.
    pub sides: PerSide<ReadSide>,
    /// Which keys have a write that the secondary does not have.
    pub unsettled: Arc<UnsettledKeys>,
    /// Which writes of a client's version token are on the secondary.
    pub seen: PerSide<Seen>,
    /// Where shadows are offered.
    pub shadow: Shadow,
    /// Counts answers and errors.
    pub figures: Recorder,
    /// Limits.
    pub settings: ReadSettings,
}

impl ReadRoad {
    /// Reads entities by key; see [`request::roads::Roads::by_keys`].
    ///
    /// # Errors
    /// [`Fault`] when no side could answer in time.
    pub async fn by_keys(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        keys: Vec<EntityKey>,
        fields: FieldSet,
    ) -> Result<Vec<Option<Record>>, Fault> {
        let policy = context.rollout.policy(&root.group);
        let asked = |side: Side| {
            let side = self.sides.get(side);
            Asked { store: &side.store, breaker: &side.breaker }
        };
        let sides = PerSide { legacy: asked(Side::Legacy), modern: asked(Side::Modern) };
        let keys = own_keys::canonical(sides, &root.entity, &policy, keys, context.deadline).await?;
        let behind = self.client_is_ahead(context, &root.group, &policy).await;
        let decide = |key: &EntityKey| {
            let pinned = behind || self.unsettled.contains(&root.group, key);
            route::decide(&policy, Bucket::of(&root.group, key.as_text()), pinned, draw())
        };
        let decisions: Vec<Decision> = keys.iter().map(decide).collect();
        let part = |side: Side| -> Vec<usize> { (0..keys.len()).filter(|i| decisions[*i].side == side).collect() };
        let (legacy, modern) = (part(Side::Legacy), part(Side::Modern));
        let ask = |side: Side, places: &[usize]| {
            let asked: Vec<_> = places.iter().map(|place| keys[*place].clone()).collect();
            self.keyed(context, root, &policy, side, asked, fields)
        };
        let (from_legacy, from_modern) = futures::join!(ask(Side::Legacy, &legacy), ask(Side::Modern, &modern));
        let mut answer = vec![None; keys.len()];
        for (places, part) in [(legacy, from_legacy?), (modern, from_modern?)] {
            let (answered, records) = part;
            // Where someone stood in for modern, the shadow asks it again: was it modern, or the way to it?
            let shadowed = places.iter().zip(&records).filter(|(place, _)| decisions[**place].shadow);
            let shadowed: Vec<_> = shadowed.map(|(place, record)| (keys[*place].clone(), record.clone())).collect();
            if !shadowed.is_empty() {
                let (keys, records) = shadowed.into_iter().unzip();
                self.shadow.offer(ShadowJob {
                    root: Arc::clone(root),
                    answered,
                    read: ShadowedRead::Keys { keys, records },
                    fields,
                    asker: asker(context),
                    here: Here::now(),
                });
            }
            for (place, record) in places.into_iter().zip(records) {
                answer[place] = record;
            }
        }
        Ok(answer)
    }

    /// Runs a list query; see [`request::roads::Roads::list`].
    ///
    /// # Errors
    /// As `by_keys`.
    pub async fn list(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        params: Params,
        fields: FieldSet,
    ) -> Result<Vec<Record>, Fault> {
        let policy = context.rollout.policy(&root.group);
        super::letters::require(&params, policy.stage(), &self.sides)?;
        let pinned = self.client_is_ahead(context, &root.group, &policy).await
            || self.unsettled.any_older_than(&root.group, self.settings.answer_budget, Instant::now());
        let stick = context.stick.clone().unwrap_or_else(|| format!("{}{}", root.route, params_text(&params)));
        let decision = route::decide(&policy, Bucket::of(&root.group, &stick), pinned, draw());
        let params = Arc::new(params);
        let (answered, records) = self
            .ask(context, root, &policy, decision.side, |side, within| {
                let params = Arc::clone(&params);
                async move {
                    let RootKind::List { sql, .. } = &root.kind else {
                        let problem = format!("{} is not a list", root.route);
                        return Err(Arc::new(StoreError::Misfit { side, problem, source: None }));
                    };
                    let asked = self.sides.get(side);
                    let deadline = Instant::now() + within;
                    let Some(_place) = asked.route(root).place(deadline).await else {
                        let source = "all calls that its route may make there are under way".into();
                        return Err(Arc::new(StoreError::Unreachable { side, source }));
                    };
                    let (store, within) = (&asked.store, deadline.saturating_duration_since(Instant::now()));
                    let list = store.list(&root.entity, sql.get(side), &params, fields, within);
                    traces::within(traces::call(&**store, "store.list"), list).await.map_err(Arc::new)
                }
            })
            .await?;
        if decision.shadow {
            let read = ShadowedRead::List { params: (*params).clone(), records: records.clone() };
            let (root, asker) = (Arc::clone(root), asker(context));
            self.shadow.offer(ShadowJob { root, answered, read, fields, asker, here: Here::now() });
        }
        Ok(records)
    }

    async fn keyed(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        policy: &Policy,
        side: Side,
        keys: Vec<EntityKey>,
        fields: FieldSet,
    ) -> Result<(Side, Vec<Option<Record>>), Fault> {
        if keys.is_empty() {
            return Ok((side, Vec::new()));
        }
        self.ask(context, root, policy, side, |side, within| {
            let keys = keys.clone();
            async move {
                let batch = self.sides.get(side).batches.get(&root.entity.name).ok_or_else(|| {
                    let problem = format!("{} is not in the contract", root.entity.name);
                    Arc::new(StoreError::Misfit { side, problem, source: None })
                })?;
                batch.fetch(keys, fields, within).await
            }
        })
        .await
    }

    /// Asks `side`; when it fails and is not the primary, asks the primary. Returns who answered.
    async fn ask<T, F, Fut>(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        policy: &Policy,
        side: Side,
        question: F,
    ) -> Result<(Side, T), Fault>
    where
        F: Fn(Side, Duration) -> Fut,
        Fut: Future<Output = Result<T, Arc<StoreError>>>,
    {
        let primary = policy.primary();
        let began = Instant::now();
        let remaining = context.deadline.saturating_duration_since(began);
        let within = if side == primary { remaining } else { remaining.mul_f64(self.settings.share) };
        let reason = match self.ask_one(root, (side, primary), within, &question).await {
            Ok(answer) => {
                telemetry::read_answered(&root.route, side, began);
                return Ok((side, answer));
            }
            Err(error) if side == primary => return Err(fault(&error)),
            Err(error) => {
                tracing::debug!(%side, route = %root.route, %error, "{primary} answers {} for {side}", root.route);
                error.kind()
            }
        };
        telemetry::fell_back(&root.route, reason);
        let remaining = context.deadline.saturating_duration_since(Instant::now());
        let answer =
            self.ask_one(root, (primary, primary), remaining, &question).await.map_err(|error| fault(&error))?;
        telemetry::read_answered(&root.route, primary, began);
        Ok((primary, answer))
    }

    async fn ask_one<T, F, Fut>(
        &self,
        root: &Root,
        (side, primary): (Side, Side),
        within: Duration,
        question: &F,
    ) -> Result<T, Arc<StoreError>>
    where
        F: Fn(Side, Duration) -> Fut,
        Fut: Future<Output = Result<T, Arc<StoreError>>>,
    {
        let breaker = self.sides.get(side).route(root);
        let began = Instant::now();
        // Another side can stand in for a secondary, and does so at once; for the primary there is none.
        let admitted = if side == primary { breaker.admits_by(began + within).await } else { breaker.admits(began) };
        if !admitted {
            self.figures.failed(&root.group, side);
            let source = "its breaker is open after repeated outages".into();
            return Err(Arc::new(StoreError::Unreachable { side, source }));
        }
        let within = within.saturating_sub(began.elapsed());
        let role = if side == primary { Role::Primary } else { Role::Secondary };
        let asked = traces::within(traces::ask(&root.route, side, role), question(side, within)).await;
        breaker.note(side, asked.as_ref().err().map(|error| &**error));
        match asked.as_ref().map_err(|error| &**error) {
            Ok(_) => self.figures.answered(&root.group, side, began.elapsed()),
            // The client's own mistake; the side is well.
            Err(StoreError::Refused { .. }) => {}
            Err(_) => self.figures.failed(&root.group, side),
        }
        asked
    }

    /// Whether the client has seen a write of `group` acknowledged that the secondary may not have. Without dual write
    /// nobody looks, and every key is the primary's.
    async fn client_is_ahead(&self, context: &RequestContext, group: &GroupName, policy: &Policy) -> bool {
        let secondary = policy.primary().other();
        let could_matter = policy.reads().covers(Bucket::FIRST) && policy.stage().dual_writes();
        if !could_matter || context.seen.is_empty() {
            return false;
        }
        let left = context.deadline.saturating_duration_since(Instant::now());
        let within = left.mul_f64(self.settings.share);
        self.seen.get(secondary).lacks(&context.seen, group, &self.unsettled, within).await
    }

    /// Whether `key` of `group` is pinned to the primary now.
    pub fn is_unsettled(&self, group: &GroupName, key: &EntityKey) -> bool {
        self.unsettled.contains(group, key)
    }
}

fn asker(context: &RequestContext) -> Asker {
    Asker { client: context.client, stick: context.stick.clone() }
}

fn draw() -> Bucket {
    Bucket::at(rand::random_range(0..Bucket::COUNT)).unwrap_or(Bucket::FIRST)
}

fn fault(error: &Arc<StoreError>) -> Fault {
    let text = error.to_string();
    match &**error {
        StoreError::Refused { refusal, .. } => Fault::Client(refusal.clone().into()),
        StoreError::Misfit { .. } | StoreError::KeyReused | StoreError::Fenced { .. } => {
            InternalError::Misfit(text).into()
        }
        StoreError::Unreachable { .. }
        | StoreError::Unwritable { .. }
        | StoreError::Conflict { .. }
        | StoreError::SnapshotLost { .. } => InternalError::Unavailable(text).into(),
        StoreError::NoAnswer { .. } => InternalError::DeadlineExceeded(text).into(),
    }
}
