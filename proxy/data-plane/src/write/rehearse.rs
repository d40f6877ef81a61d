//! Rehearsals: would the secondary's own operation have left what the primary's has left?
//!
//! For mutations with `dualWrite: replay`. After the primary has committed, and before its state is applied, the
//! secondary runs its own operation with the same arguments, write id and time in a transaction that is rolled back.
//! What both began with and what both came to is judged; a difference is evidence of cause `logic`.
//!
//! Why that is not lag: the primary tells what it began with under its locks, the rehearsal under its own, and only what
//! began equal counts. A key with another unsettled write, or one that another replica is just applying, begins unequal
//! and is inconclusive. There is no second look, since the state that is applied afterwards wins.
//!
//! Promises: a rehearsal changes nothing and fails nothing. The apply waits for it no longer than its own limit (before
//! anybody is blamed, twice that), out of the client's answer budget; when too many are under way, or the side's breaker is open, it is dropped and counted.
//! Not here: running it (`Store::rehearse`), judging it (`shadow_compare::rehearsal`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use model::contract::{DualWrite, Refusal, WriteAction};
use model::evidence::{Observation, Verdict};
use model::{
    Change, Command, EntityKey, PerSide, Policy, Record, Rehearsed, Root, RouteName, Side, States, Store, StoreError,
    Written,
};
use parking_lot::Mutex;
use serde_json::json;
use shadow_compare::judge::{Judgement, Reason};
use shadow_compare::redact::Redactor;
use shadow_compare::rehearsal::{Touched, judge_rehearsal};
use tokio::sync::Semaphore;

use super::command::Attempt;
use crate::breaker::Breaker;
use crate::excuses::AcceptedExcuses;
use crate::figures::Recorder;
use request::error::with_root;
use telemetry::traces;

/// Limits of rehearsals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RehearsalSettings {
    /// Limit of one. An apply waits for it, so it is a part of the answer budget.
    pub within: Duration,
    /// Most under way at once. They use the side's connections for writes.
    pub at_once: usize,
}

impl Default for RehearsalSettings {
    fn default() -> Self {
        Self { within: Duration::from_millis(25), at_once: 4 }
    }
}

/// Holds rehearsals and hands over what they found.
pub struct Rehearsals {
    /// Hides sensitive values.
    pub redactor: Redactor,
    /// Takes what was found. Must not block.
    pub observe: Arc<dyn Fn(Observation) + Send + Sync>,
    /// Counts verdicts.
    pub figures: Recorder,
    /// Today's date, for excuses that end.
    pub today: fn() -> NaiveDate,
    /// Excuses that engineers have accepted; those of the contract count besides.
    pub excuses: AcceptedExcuses,
    /// Rehearsals allowed at once.
    pub limit: Semaphore,
    /// Limit of one.
    pub within: Duration,
    /// Routes of which the log has said that the secondary cannot run them.
    pub told: Mutex<BTreeSet<RouteName>>,
}

/// A write that stands on the primary, as far as a rehearsal needs it.
pub(super) struct Play<'a> {
    pub(super) root: &'a Root,
    pub(super) attempt: &'a Attempt<'a>,
    /// The same mutation in the secondary's terms; `None` when it cannot be put together.
    pub(super) command: Option<Command>,
    /// What the primary's operation began with; `None` when nobody knows.
    pub(super) before: Option<States>,
    /// What it has left.
    pub(super) changes: &'a [Change],
    /// Another write of the same keys is on its way to the secondary.
    pub(super) raced: bool,
}

/// Whether a mutation asks for rehearsals.
pub(super) fn is_asked(action: &WriteAction) -> bool {
    match action.dual_write {
        DualWrite::Replay => true,
        DualWrite::State => false,
    }
}

/// Runs `command` on the primary. With the states before it, where a rehearsal will need them.
///
/// # Errors
/// As [`Store::execute`].
pub(super) async fn execute(
    store: &dyn Store,
    action: &WriteAction,
    policy: &Policy,
    command: &Command,
    within: Duration,
) -> Result<(Written, Option<States>), StoreError> {
    let span = traces::call(store, "store.execute");
    if is_asked(action) && policy.stage().dual_writes() {
        let (written, before) = traces::within(span, store.execute_seeing(command, within)).await?;
        return Ok((written, Some(before)));
    }
    Ok((traces::within(span, store.execute(command, within)).await?, None))
}

/// Why a rehearsal says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// Another write of the key is not settled.
    Unsettled,
    /// The secondary was given another state meanwhile.
    Unequal,
    /// Not made: no room, an open breaker, or nobody knows what the primary began with.
    Dropped,
    /// Not done within its own limit, or it gave way to another transaction.
    Late,
    /// The side could not run it.
    Failed,
}

impl Silence {
    fn outcome(self) -> &'static str {
        match self {
            Self::Unsettled => "unsettled",
            Self::Unequal => "unequal_before",
            Self::Dropped => "dropped",
            Self::Late => "late",
            Self::Failed => "failed",
        }
    }

    /// In the words of evidence. A rehearsal that is late says nothing against the side: its limit is far below that of
    /// a client's call, and gates count `timed-out` as a failure.
    fn reason(self) -> Reason {
        match self {
            Self::Unsettled => Reason::Unsettled,
            Self::Unequal => Reason::UnequalBefore,
            Self::Dropped | Self::Late => Reason::Dropped,
            Self::Failed => Reason::SideError,
        }
    }

    fn of(error: &StoreError) -> Self {
        match error {
            StoreError::NoAnswer { .. } | StoreError::Conflict { .. } => Self::Late,
            StoreError::Unreachable { .. }
            | StoreError::Unwritable { .. }
            | StoreError::Refused { .. }
            | StoreError::KeyReused
            | StoreError::Fenced { .. }
            | StoreError::SnapshotLost { .. }
            | StoreError::Misfit { .. } => Self::Failed,
        }
    }
}

/// What both operations began with and came to.
struct Played {
    touched: Vec<Touched>,
    refused: Option<Refusal>,
}

impl Rehearsals {
    /// Rehearses `play` on the secondary and hands over what was found. Returns within the limit of a rehearsal, or
    /// twice that when there is somebody to blame.
    pub(super) async fn hold(&self, store: &Arc<dyn Store>, breaker: &Breaker, play: Play<'_>) {
        let root = play.root;
        let secondary = play.attempt.policy.primary().other();
        let found = match self.played(store, breaker, &play).await {
            Ok(played) => {
                let found = self.judged(root, secondary, &played);
                let blames = found.verdict == Verdict::Mismatch;
                if blames && self.was_overtaken(store, &play, &played).await {
                    Err(Silence::Unequal)
                } else {
                    Ok(found)
                }
            }
            Err(silence) => Err(silence),
        };
        let (observation, outcome) = match found {
            Ok(found) => {
                let outcome = match found.reason.as_deref() {
                    None => found.verdict.as_str(),
                    Some(reason) if reason == Reason::NothingCompared.as_str() => "nothing_compared",
                    Some(_) => "unequal_before",
                };
                (found, outcome)
            }
            Err(silence) => {
                let judgement = Judgement::inconclusive(silence.reason());
                (self.redactor.observe(root.route.clone(), &root.entity, &judgement), silence.outcome())
            }
        };
        if observation.verdict == Verdict::Mismatch {
            let count = observation.differences.len();
            tracing::info!(route = %root.route, side = %secondary, "{}: the operation of {secondary} leads elsewhere, {count} differences", root.route);
        }
        telemetry::rehearsed(&root.route, outcome);
        self.figures.observed(&observation);
        (self.observe)(observation);
    }

    /// Whether a record that was missing came to be while we rehearsed. A row is locked once it is seen, and an apply
    /// waits for that; what is missing cannot be locked, and an apply, which takes no lock of keys, may put it there
    /// between the look and the work. In doubt: yes.
    async fn was_overtaken(&self, store: &Arc<dyn Store>, play: &Play<'_>, played: &Played) -> bool {
        let side = store.side();
        let version = play.changes.iter().map(|change| change.version).max();
        let missing = played.touched.iter().filter(|one| one.before.get(side).is_none());
        let look = async {
            for one in missing {
                let keys = std::slice::from_ref(&one.key);
                let history = store.history(&one.key, 1, self.within).await?;
                let found = store.fetch(&one.entity, keys, one.entity.key_fields(), self.within).await?;
                // The state of this very write is not applied before we are done: whoever recorded it was another.
                let applied = history.recorded.is_some_and(|recorded| version.is_none_or(|own| recorded >= own));
                if applied || found.iter().any(Option::is_some) {
                    return Ok(true);
                }
            }
            Ok::<_, StoreError>(false)
        };
        !matches!(tokio::time::timeout(self.within, look).await, Ok(Ok(false)))
    }

    async fn played(&self, store: &Arc<dyn Store>, breaker: &Breaker, play: &Play<'_>) -> Result<Played, Silence> {
        let (Some(command), Some(before), false) = (&play.command, &play.before, breaker.is_open()) else {
            return Err(Silence::Dropped);
        };
        if play.raced {
            return Err(Silence::Unsettled);
        }
        let _place = self.limit.try_acquire().map_err(|_| Silence::Dropped)?;
        let span = traces::call(&**store, "store.rehearse");
        let rehearsed = traces::within(span, store.rehearse(command, self.within)).await;
        let rehearsal = rehearsed.map_err(|error| {
            let (side, route) = (store.side(), &play.root.route);
            let wrong = matches!(error, StoreError::Misfit { .. });
            if wrong && self.told.lock().insert(route.clone()) {
                tracing::error!(%side, %route, %error, "{route} cannot be rehearsed on {side}, so nothing is known of it: {}. See `strangler check`", with_root(&error));
            } else {
                tracing::debug!(%side, %route, %error, "{route} could not be rehearsed on {side}");
            }
            Silence::of(&error)
        })?;
        let (after, refused) = match rehearsal.outcome {
            Rehearsed::Done(after) => (after, None),
            Rehearsed::Refused(refusal) => (States::new(), Some(refusal)),
        };
        let secondary = Both { before: &rehearsal.before, after: &after };
        let left: States = play.changes.iter().map(|change| (change.key.clone(), change.state.clone())).collect();
        let primary = Both { before, after: &left };
        Ok(Played { touched: touched(play.root, &command.touches, store.side(), &primary, &secondary), refused })
    }

    fn judged(&self, root: &Root, secondary: Side, played: &Played) -> Observation {
        let excuses = self.excuses.of(&root.route, (self.today)());
        let judgements = judge_rehearsal(&played.touched, played.refused.as_ref().map(|_| secondary), &excuses);
        let nothing = Judgement::inconclusive(Reason::NothingCompared);
        let mut observation = self.redactor.observe(root.route.clone(), &root.entity, &nothing);
        // A type of which neither side had a record says nothing, and takes nothing from what the others say.
        let says = judgements.into_iter().filter(|(_, judgement)| judgement.reason != nothing.reason);
        for (place, (entity, judgement)) in says.enumerate() {
            let part = self.redactor.observe(root.route.clone(), &entity, &judgement);
            observation.verdict = if place == 0 { part.verdict } else { worse(observation.verdict, part.verdict) };
            observation.reason = if place == 0 { part.reason } else { observation.reason.or(part.reason) };
            observation.differences.extend(part.differences);
            // A route's coverage is told in fields and keys of the type that it answers with.
            if entity.name == root.entity.name {
                observation.fields = part.fields;
                observation.keys = part.keys;
            }
        }
        if let (Some(refusal), Some(difference)) = (&played.refused, observation.differences.first_mut()) {
            *difference.values.get_mut(secondary) = json!({ "refused": refusal.code });
        }
        observation
    }
}

/// One side's states before and after.
struct Both<'a> {
    before: &'a States,
    after: &'a States,
}

fn touched(root: &Root, keys: &[EntityKey], secondary: Side, first: &Both<'_>, second: &Both<'_>) -> Vec<Touched> {
    let action = super::command::action(root);
    let of = |states: &States, key: &EntityKey| -> Option<Record> {
        states.iter().find(|(known, _)| known == key).and_then(|(_, record)| record.clone())
    };
    let pair = |first: Option<Record>, second: Option<Record>| match secondary {
        Side::Modern => PerSide { legacy: first, modern: second },
        Side::Legacy => PerSide { legacy: second, modern: first },
    };
    let one = |key: &EntityKey| {
        let mut types = action?.touches.iter().map(|touch| &touch.entity);
        Some(Touched {
            entity: Arc::clone(types.find(|entity| entity.name == *key.entity())?),
            key: key.clone(),
            before: pair(of(first.before, key), of(second.before, key)),
            after: pair(of(first.after, key), of(second.after, key)),
        })
    };
    keys.iter().filter_map(one).collect()
}

/// A mismatch outweighs all, an excuse a match; inconclusive comes alone.
fn worse(one: Verdict, other: Verdict) -> Verdict {
    let weight = |verdict| match verdict {
        Verdict::Match => 0,
        Verdict::Excused => 1,
        Verdict::Inconclusive => 2,
        Verdict::Mismatch => 3,
    };
    if weight(other) > weight(one) { other } else { one }
}
