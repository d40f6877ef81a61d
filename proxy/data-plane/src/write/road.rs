//! A mutation from arguments to acknowledged.
//!
//! The work runs in a task of its own: a client that hangs up, or a gateway that gives up waiting,
//! never leaves a write half done. Order of events: the keys count as unsettled → the primary
//! commits (business change and ledger together) → the secondary applies the state → settled. The
//! client is answered after the second step, and waits for the third no longer than the budget.
//!
//! Promise: what was acknowledged stands on the primary; what was refused stands nowhere; what is
//! unknown is claimed, never guessed.

use std::sync::Arc;
use std::time::Duration;

use model::{
    Applied, Change, EntityKey, GroupName, Instant as Time, PerSide, Policy, Record, Rollout, Side, States, StoreError,
    WriteId, Written,
};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use super::again::{jitter, worth_retrying};
use super::apply::Outcome;
use super::command::{self, Attempt};
use super::rehearse::{self, Rehearsals};
use super::side::WriteSide;
use super::unsettled::UnsettledKeys;
use super::used_up::UsedUp;
use crate::compared::Compared;
use crate::fences::Fences;
use crate::figures::Recorder;
use crate::own_keys::{self, Numbered, Spare};
use net::client::Client;
use request::arguments::Arguments;
use request::error::{Fault, InternalError};
use request::roads::RequestContext;
use telemetry::traces::Here;

mod named;

/// How often a write that lost against another transaction is tried again.
const RETRIES: u32 = 8;

/// Limits of the write road.
#[derive(Debug, Clone, Copy)]
pub struct WriteSettings {
    /// How long an answer waits for the secondary after the primary has committed.
    pub answer_budget: Duration,
    /// How long a claim may wait for the first attempt, beyond the client's deadline.
    pub claim_within: Duration,
}

/// The write road.
pub struct WriteRoad {
    /// Both sides.
    pub sides: PerSide<WriteSide>,
    /// The newest rollout: a retry after a fence must not use the request's old snapshot.
    pub rollout: Arc<dyn Fn() -> Arc<Rollout> + Send + Sync>,
    /// Tells who has the authority when a write met a fence.
    pub fences: Arc<Fences>,
    /// Whether there is anything to compare the sides with.
    pub compared: Arc<Compared>,
    /// Where unsettled keys are kept.
    pub unsettled: Arc<UnsettledKeys>,
    /// Counts how long writes take to settle.
    pub figures: Recorder,
    /// The wall clock, for stamped fields and the age of sagas only.
    pub clock: fn() -> Time,
    /// Rehearses the secondary's own operation where a mutation asks for it.
    pub rehearsals: Rehearsals,
    /// Limits.
    pub settings: WriteSettings,
    /// Numbers of the ERP that refused writes have left.
    pub spare: Spare,
    /// Numbers of the ERP that refused writes have used up.
    pub used_up: UsedUp,
    /// Writes under way, waited for at shutdown.
    pub tasks: TaskTracker,
}

/// What the client's side of a write waits for: its id and the states it left.
type Answered = Result<(WriteId, Vec<Option<Record>>), Fault>;

/// One mutation, owned: it outlives the request.
struct Mutation {
    root: Arc<model::Root>,
    arguments: Arguments,
    response_name: String,
    idempotency: Option<String>,
    bound_to: Option<String>,
    client: Client,
    deadline: Instant,
}

/// A write that stands on the primary.
struct Standing {
    write: WriteId,
    policy: Policy,
    changes: Vec<Change>,
    /// An idempotent repeat: the first attempt looks after the secondary.
    repeat: bool,
    /// How the touched entities stood before; `None` where nobody asked, or nobody knows.
    before: Option<States>,
    /// The time that stamped fields were given.
    stamped: Time,
}

impl WriteRoad {
    /// Runs the mutation `root`; see [`request::roads::Roads::write`].
    ///
    /// # Errors
    /// [`Fault`]; nothing was written, unless the code is `OUTCOME_UNKNOWN`.
    pub async fn write(
        self: &Arc<Self>,
        context: &RequestContext,
        root: &Arc<model::Root>,
        arguments: &Arguments,
        response_name: &str,
    ) -> Result<Vec<Option<Record>>, Fault> {
        let mutation = Mutation {
            root: Arc::clone(root),
            arguments: arguments.clone(),
            response_name: response_name.to_owned(),
            idempotency: context.idempotency.clone(),
            bound_to: context.bound_to.clone(),
            client: context.client,
            deadline: context.deadline,
        };
        let (answer, receiver) = oneshot::channel();
        let span = Here::now().continued_by(tracing::debug_span!(parent: None, "write.dual", route = %root.route));
        self.tasks.spawn(Arc::clone(self).run(mutation, answer).instrument(span));
        let gone = || Fault::from(InternalError::OutcomeUnknown("the write's task ended without an answer".into()));
        let (write, states) = receiver.await.map_err(|_| gone())??;
        context.note_written(write);
        Ok(states)
    }

    async fn run(self: Arc<Self>, mut mutation: Mutation, answer: oneshot::Sender<Answered>) {
        let began = Instant::now();
        let standing = match self.named_and_stand(&mut mutation).await {
            Ok(standing) => standing,
            Err(fault) => {
                telemetry::write_ended(&mutation.root.route, outcome_of(&fault), None, began);
                // The client may have hung up; there is nobody else to tell.
                let _ = answer.send(Err(fault));
                return;
            }
        };
        let reply = command::action(&mutation.root)
            .ok_or_else(|| InternalError::Misfit(format!("{} is not a write", mutation.root.route)).into())
            .and_then(|action| command::states(action, &mutation.arguments, &standing.changes).map_err(Fault::from))
            .map_err(|fault| InternalError::not_shown(standing.write, &fault).into())
            .map(|states| (standing.write, states));
        let primary = standing.policy.primary();
        let ended = |outcome| telemetry::write_ended(&mutation.root.route, outcome, Some(primary), began);
        if standing.repeat {
            ended("repeated");
            let _ = answer.send(reply);
            return;
        }
        let group = mutation.root.group.clone();
        if !standing.policy.stage().dual_writes() {
            // The other side does not have it, and gets it only if a later stage dual-writes.
            self.unsettled.leave(&group, standing.write, Instant::now());
            ended("primary_only");
            let _ = answer.send(reply);
            return;
        }
        let committed = Instant::now();
        self.unsettled.stands(&group, standing.write, committed);
        let write = standing.write;
        let (changes, keyed) = (standing.changes.len(), mutation.idempotency.is_some());
        // One that changed nothing leaves the row of its key, and that is the relay's: no read waits for it.
        let settled = |applied: Vec<Applied>| (changes == 0 && !keyed) || Applied::settle(&applied, changes);
        let mut apply = Box::pin(async { self.carry(&mutation, standing).await.map(settled) });
        let within_budget = tokio::time::timeout(self.settings.answer_budget, &mut apply).await;
        ended(match &within_budget {
            Ok(Ok(true)) => "settled",
            Ok(Ok(false) | Err(_)) | Err(_) => "unsettled",
        });
        let early = within_budget.ok();
        if let Some(outcome) = early {
            // Before the answer: the client may read on this replica at once.
            self.finish(&mutation.root, committed, write, primary, outcome);
            let _ = answer.send(reply);
        } else {
            let _ = answer.send(reply);
            let outcome = apply.await;
            self.finish(&mutation.root, committed, write, primary, outcome);
        }
    }

    /// Brings a standing write to the secondary; where the mutation asks for it, after a rehearsal there.
    async fn carry(&self, mutation: &Mutation, standing: Standing) -> Outcome {
        let secondary = self.sides.get(standing.policy.primary().other());
        if let Some(action) = command::action(&mutation.root).filter(|action| rehearse::is_asked(action)) {
            let Standing { write, policy, stamped, .. } = standing;
            // Types that have numbers are not rehearsed.
            let attempt = Attempt { write, policy, numbers: &[], now: stamped, idempotency: None, bound_to: None };
            let play = rehearse::Play {
                root: &mutation.root,
                attempt: &attempt,
                command: command::build_rehearsal(&mutation.root, action, &mutation.arguments, &attempt).ok(),
                before: standing.before,
                changes: &standing.changes,
                raced: self.unsettled.another_stands(&mutation.root.group, write, &keys(&standing.changes)),
            };
            self.rehearsals.hold(&secondary.store, &secondary.breaker, play).await;
        }
        if standing.changes.is_empty() {
            return Ok(Vec::new());
        }
        secondary.door.apply(standing.changes).await
    }

    /// The secondary has answered for a write, in whichever way.
    fn finish(&self, root: &model::Root, committed: Instant, write: WriteId, primary: Side, outcome: Settled) {
        let (route, group) = (&root.route, &root.group);
        match outcome {
            // It is not there; the door has told why.
            Ok(false) => {
                self.unsettled.leave(group, write, Instant::now());
            }
            Ok(true) => {
                self.figures.settled(group, committed.elapsed());
                self.unsettled.end(group, write);
                self.sides.get(primary).settler.settled(write);
            }
            Err(error) => {
                let side = primary.other();
                // During an outage this is every write; the breaker has said so once.
                if self.sides.get(side).breaker.is_open() {
                    tracing::debug!(write.id = %write, %side, %route, error = %error, "write {write} left unsettled on {side}");
                } else {
                    tracing::warn!(write.id = %write, %side, %route, error = %error, "write {write} left unsettled on {side}, relay will finish it");
                }
                self.unsettled.leave(group, write, Instant::now());
            }
        }
    }

    /// Makes the write stand on the primary, or makes sure that it never does.
    async fn stand(self: &Arc<Self>, mutation: &Mutation) -> Result<Standing, Fault> {
        let root = &mutation.root;
        let action =
            command::action(root).ok_or_else(|| InternalError::Misfit(format!("{} is not a write", root.route)))?;
        let mut last = None;
        let mut retry = 0;
        loop {
            if mutation.deadline <= Instant::now() || retry == RETRIES {
                break;
            }
            if !self.fences.may_write(&root.group).await {
                self.fences.wait(&root.group).await;
                let policy = (self.rollout)().policy(&root.group);
                last = Some(StoreError::Fenced { side: policy.primary() });
                continue;
            }
            let policy = (self.rollout)().policy(&root.group);
            self.compared.require(policy.primary(), mutation.deadline).await?;
            let write = WriteId(Uuid::now_v7());
            let idempotency = mutation.idempotency.as_deref().map(|key| (key, mutation.response_name.as_str()));
            if own_keys::are_told(action) {
                self.check_unnumbered(root, &mutation.arguments, policy, idempotency)?;
            }
            let (asked, deadline) = (*self.asked().get(policy.primary()), mutation.deadline);
            let Numbered { numbers, added } =
                own_keys::numbers(asked, &self.spare, action, &mutation.arguments, write, deadline).await?;
            let (now, bound_to) = ((self.clock)(), mutation.bound_to.as_deref());
            let attempt = Attempt { write, policy, numbers: &numbers, now, idempotency, bound_to };
            let command = command::build(root, action, &mutation.arguments, &attempt)?;
            super::letters::require(&command, &self.sides)?;
            let primary = self.sides.get(policy.primary());
            self.may_number(mutation, action, primary, &command.touches).await?;
            let admitted = primary.admits(root, mutation.deadline).await?;
            self.unsettled.begin(&root.group, write, &command.touches);
            let remaining = mutation.deadline.saturating_duration_since(Instant::now());
            let executed = rehearse::execute(&*primary.store, action, &policy, &command, remaining).await;
            admitted.ended(policy.primary(), executed.as_ref().err());
            match &executed {
                Ok((Written::Now(_), _)) => {}
                Err(error) if error.may_have_applied() => {}
                // It stands nowhere: its numbers are the next one's.
                Ok((Written::Before(_), _)) | Err(_) => self.spare.give_back(added),
            }
            let stands =
                |changes, before| Standing { write, policy, changes, repeat: false, before, stamped: attempt.now };
            match executed {
                Ok((Written::Now(changes), before)) => {
                    return Ok(stands(changes, before));
                }
                Ok((Written::Before(changes), _)) => {
                    self.left_by_the_first(&root.group, write, policy);
                    let write = changes.first().map_or(write, |change| change.write);
                    return Ok(Standing { write, repeat: true, ..stands(changes, None) });
                }
                Err(error) if error.may_have_applied() => {
                    if let Some(changes) = self.resolve(&root.group, write, policy, mutation.deadline).await? {
                        return Ok(stands(changes, None));
                    }
                    last = Some(error);
                    retry += 1;
                }
                // A handover is under way: that is no failure, and is waited for until the client's time is over.
                Err(error @ StoreError::Fenced { .. }) => {
                    self.unsettled.end(&root.group, write);
                    last = Some(error);
                    self.fences.wait(&root.group).await;
                }
                Err(error) => {
                    self.unsettled.end(&root.group, write);
                    if !worth_retrying(&error) {
                        self.note_refused(mutation, action, policy.primary(), &command.touches);
                        return Err(error.into());
                    }
                    last = Some(error);
                    tokio::time::sleep(jitter(retry)).await;
                    retry += 1;
                }
            }
        }
        // Every attempt is known not to stand: the last error only says why there is no other.
        match last {
            Some(error @ StoreError::Fenced { .. }) => {
                let group = &root.group;
                tracing::error!(%group, %error, "a write of group {group} waited in vain for a side that takes writes: look at `strangler groups show {group}`");
                Err(InternalError::Unavailable(error.to_string()).into())
            }
            Some(error) => Err(InternalError::DeadlineExceeded(error.to_string()).into()),
            None => Err(InternalError::DeadlineExceeded("no time left".to_owned()).into()),
        }
    }

    /// The secondary may lack what the first attempt wrote, and the client is told of it now: the keys
    /// stay unsettled until a look at the ledger shows how it is.
    fn left_by_the_first(&self, group: &GroupName, write: WriteId, policy: Policy) {
        if policy.stage().dual_writes() {
            let now = Instant::now();
            self.unsettled.stands(group, write, now);
            self.unsettled.leave(group, write, now);
        } else {
            self.unsettled.end(group, write);
        }
    }

    /// Whether `key` may have a write that the secondary does not have.
    pub fn is_unsettled(&self, group: &GroupName, key: &EntityKey) -> bool {
        self.unsettled.contains(group, key)
    }
}

/// Whether the secondary has a write now.
type Settled = Result<bool, Arc<StoreError>>;

fn keys(changes: &[Change]) -> Vec<EntityKey> {
    changes.iter().map(|change| change.key.clone()).collect()
}

fn outcome_of(fault: &Fault) -> &'static str {
    match fault {
        Fault::Client(_) => "refused",
        Fault::Internal(InternalError::OutcomeUnknown(_)) => "unknown",
        Fault::Internal(
            InternalError::Unavailable(_)
            | InternalError::DeadlineExceeded(_)
            | InternalError::NothingRemembered(_)
            | InternalError::Misfit(_),
        ) => "failed",
    }
}
