//! One handover, run by whoever was asked: reads the fences, does the step that is due, and reads them again.
//!
//! A call that got no answer is not repeated blindly: the fences tell whether it was done. So a coordinator that dies
//! at any point leaves fences from which the next one goes on.

use std::sync::Arc;
use std::time::Duration;

use model::fence::{Authority, Fence, Move};
use model::{Epoch, GroupName, PerSide, Side, Store, StoreError};
use thiserror::Error;
use tokio::time::Instant;

use super::drain::{Drain, Left};
use super::fences::Fences;
use crate::telemetry;
use crate::write::apply::Door;

/// Pause before a side that did not answer is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// Limits of a handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandoverSettings {
    /// How long writers in flight are waited for. Clients wait as long.
    pub freeze: Duration,
    /// How long no side may take writes: then the handover is undone, by whoever sees it.
    pub limit: Duration,
    /// Limit of one call.
    pub within: Duration,
}

impl Default for HandoverSettings {
    fn default() -> Self {
        // Together below a client's deadline of 5 s; the first above the 2 s after which a frozen writer is ended.
        Self { freeze: Duration::from_millis(2_500), limit: Duration::from_secs(2), within: Duration::from_secs(2) }
    }
}

/// What is done to hand a group over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepName {
    /// The old primary stops taking writes; those in flight are waited for.
    Freeze,
    /// What only it has is brought to the other side.
    Drain,
    /// The new primary takes writes.
    Open,
    /// Replicas are told by a rollout.
    Publish,
    /// The handover is given up: the side that was to be opened is barred.
    GiveUp,
    /// The old primary takes writes again.
    Reopen,
}

impl StepName {
    /// Every step.
    pub const ALL: [Self; 6] = [Self::Freeze, Self::Drain, Self::Open, Self::Publish, Self::GiveUp, Self::Reopen];

    /// The word in reports and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Drain => "drain",
            Self::Open => "open",
            Self::Publish => "publish",
            Self::GiveUp => "give-up",
            Self::Reopen => "reopen",
        }
    }
}

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub name: StepName,
    /// How long it took.
    pub took: Duration,
    /// What it waited for or found, in words.
    pub note: String,
}

/// A group that is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// The side that has the authority.
    pub to: Side,
    /// Under this epoch.
    pub epoch: Epoch,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// How long no side took writes; none when the side had the authority already.
    pub pause: Option<Duration>,
    /// What was left behind by force.
    pub left: Left,
}

/// Why a group is not handed over.
#[derive(Debug, Error)]
pub enum NotHanded {
    /// Writers in flight did not end; nothing was changed.
    #[error("writes in flight on {side} did not end within {within:?}: nothing was changed, try again")]
    WritersStay {
        /// Where.
        side: Side,
        /// How long they were waited for.
        within: Duration,
    },
    /// What only the old primary has could not be brought over in time; it has the authority again.
    #[error("{} writes could not be brought to {to} within {within:?}: the handover was undone", .left.writes)]
    Undrained {
        /// The side that was to be primary.
        to: Side,
        /// How long it was tried.
        within: Duration,
        /// What is in the way.
        left: Left,
        /// What was done.
        steps: Vec<Step>,
    },
    /// Somebody else undid it, or handed it elsewhere, meanwhile.
    #[error("the handover was undone meanwhile, {by} has the authority: run it again")]
    Undone {
        /// Who has it.
        by: Side,
    },
    /// The fences do not go together.
    #[error(
        "the fences of group {group} contradict each other (legacy {legacy}, modern {modern}): somebody changed one by hand or restored one side alone; see the runbook on broken fences"
    )]
    Broken {
        /// The group.
        group: GroupName,
        /// Legacy's fence.
        legacy: Fence,
        /// Modern's.
        modern: Fence,
    },
    /// A side did not answer, and the time is over. Whoever runs it again goes on from where it stands; when nobody
    /// does, a replica undoes it.
    #[error("{0}; run it again to go on, else it is undone when its time is over")]
    Store(#[from] StoreError),
}

/// Hands one group over.
pub struct Coordinator<'a> {
    /// The fences of both sides.
    pub fences: &'a Fences,
    /// The doors to both sides.
    pub doors: &'a PerSide<Arc<Door>>,
    /// The group.
    pub group: &'a GroupName,
    /// Limits.
    pub settings: HandoverSettings,
}

/// A handover under way.
struct Run {
    steps: Vec<Step>,
    /// Since no side takes writes.
    paused: Option<Instant>,
    pause: Option<Duration>,
    froze: bool,
    left: Left,
    until: Instant,
}

impl Coordinator<'_> {
    fn store(&self, side: Side) -> &Arc<dyn Store> {
        self.fences.stores().get(side)
    }

    /// Hands the group to `to`, or finishes what somebody began. `force`: also when not everything was brought over.
    ///
    /// # Errors
    /// [`NotHanded`].
    pub async fn hand_to(&self, to: Side, force: bool) -> Result<Handed, NotHanded> {
        let mut run = Run {
            steps: Vec::new(),
            paused: None,
            pause: None,
            froze: false,
            left: Left::default(),
            until: Instant::now() + self.settings.freeze + self.settings.limit,
        };
        loop {
            let standings = match self.fences.standings(self.group).await {
                Ok(standings) => standings,
                Err(error) if Instant::now() >= run.until => return Err(error.into()),
                Err(_) => {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            let fences = standings.map(|_, standing| standing.fence);
            match Authority::of(&fences) {
                Authority::Held { by, epoch } if by == to => return Ok(run.handed(to, epoch)),
                Authority::Held { by, .. } if run.froze => return Err(NotHanded::Undone { by }),
                Authority::Held { .. } => self.freeze(&fences, &mut run).await?,
                Authority::Frozen { last, .. } if last != to => self.bring_over(&fences, last, force, &mut run).await?,
                Authority::Frozen { .. } => self.step(Move::give_up(&fences), StepName::GiveUp, &mut run).await?,
                Authority::GivenUp { .. } => self.step(Move::open(&fences), StepName::Reopen, &mut run).await?,
                Authority::Broken => {
                    let PerSide { legacy, modern } = fences;
                    return Err(NotHanded::Broken { group: self.group.clone(), legacy, modern });
                }
            }
        }
    }

    async fn freeze(&self, fences: &PerSide<Fence>, run: &mut Run) -> Result<(), NotHanded> {
        let Some(step) = Move::freeze(fences) else { return Ok(()) };
        let (began, within) = (Instant::now(), self.settings.freeze);
        match self.store(step.side).move_fence(self.group, &step, within).await {
            Ok(fence) if fence == step.to => {
                run.froze = true;
                run.paused = Some(began);
                run.until = Instant::now() + self.settings.limit;
                run.note(StepName::Freeze, began, format!("{} stopped taking writes", step.side));
                Ok(())
            }
            // Somebody else was faster, or it is not known: the fences tell.
            Ok(_) => Ok(()),
            Err(StoreError::Conflict { .. }) => Err(NotHanded::WritersStay { side: step.side, within }),
            Err(error) => {
                run.paused.get_or_insert(began);
                self.again(error, run).await
            }
        }
    }

    /// Drains the frozen side and opens the other, or gives up.
    async fn bring_over(
        &self,
        fences: &PerSide<Fence>,
        last: Side,
        force: bool,
        run: &mut Run,
    ) -> Result<(), NotHanded> {
        run.froze = true;
        let (began, to) = (Instant::now(), last.other());
        run.paused.get_or_insert(began);
        let drain =
            Drain { from: self.store(last), door: self.doors.get(to), group: self.group, within: self.settings.within };
        // What is left of the limit is for the next step: replicas undo a freeze that is as old as the limit.
        let until = run.until.checked_sub(self.settings.limit / 4).unwrap_or(began);
        let left = drain.run(until.max(began + AGAIN)).await?;
        let note = match left.writes {
            0 => format!("{to} has everything that {last} has"),
            writes => format!("{writes} writes are on {last} alone"),
        };
        run.note(StepName::Drain, began, note);
        if left.writes == 0 || force {
            run.left = left;
            return self.step(Move::open(fences), StepName::Open, run).await;
        }
        run.until = Instant::now() + self.settings.limit;
        self.undo(run).await?;
        let steps = std::mem::take(&mut run.steps);
        Err(NotHanded::Undrained { to, within: self.settings.limit * 3 / 4, left, steps })
    }

    /// Gives the authority back to the frozen side.
    async fn undo(&self, run: &mut Run) -> Result<(), NotHanded> {
        loop {
            let standings = self.fences.standings(self.group).await?;
            let fences = standings.map(|_, standing| standing.fence);
            match Authority::of(&fences) {
                Authority::Frozen { .. } => self.step(Move::give_up(&fences), StepName::GiveUp, run).await?,
                Authority::GivenUp { .. } => self.step(Move::open(&fences), StepName::Reopen, run).await?,
                Authority::Held { .. } | Authority::Broken => return Ok(()),
            }
        }
    }

    /// Moves a fence that no writer holds.
    async fn step(&self, step: Option<Move>, name: StepName, run: &mut Run) -> Result<(), NotHanded> {
        let Some(step) = step else { return Ok(()) };
        let began = Instant::now();
        match self.store(step.side).move_fence(self.group, &step, self.settings.within).await {
            Ok(fence) if fence == step.to => {
                if matches!(name, StepName::Open | StepName::Reopen) {
                    run.pause = run.paused.map(|since| since.elapsed());
                }
                run.note(name, began, format!("{} is {}", step.side, step.to));
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => self.again(error, run).await,
        }
    }

    async fn again(&self, error: StoreError, run: &Run) -> Result<(), NotHanded> {
        if Instant::now() >= run.until {
            return Err(error.into());
        }
        tokio::time::sleep(AGAIN).await;
        Ok(())
    }
}

impl Run {
    fn note(&mut self, name: StepName, began: Instant, note: String) {
        telemetry::handover_step(name.as_str(), began.elapsed());
        self.steps.push(Step { name, took: began.elapsed(), note });
    }

    fn handed(self, to: Side, epoch: Epoch) -> Handed {
        Handed { to, epoch, steps: self.steps, pause: self.pause, left: self.left }
    }
}
