//! One handover, run by whoever was asked: reads the fences, does the step that is due, and reads them again.
//!
//! A call that got no answer is not repeated blindly: the fences tell whether it was done. So a coordinator that dies
//! at any point leaves fences from which the next one goes on.

use std::sync::Arc;
use std::time::Duration;

use model::fence::{Authority, Fence, Holder, Move};
use model::{Epoch, GroupName, PerSide, Side, Store, StoreError};
use thiserror::Error;
use tokio::time::Instant;

use super::decide::Decide;
use super::drain::{Drain, Left};
use super::steps::StepName;
use data_plane::fences::Fences;
use data_plane::write::apply::Door;

mod decided;

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
    /// Whether nobody keeps the other side equal any more.
    pub alone: bool,
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
    /// The group was changed, rolled back or withdrawn since the handover was decided; it has its primary again.
    #[error("{why}: the handover was undone")]
    Overtaken {
        /// By whom, in words.
        why: String,
        /// What was done.
        steps: Vec<Step>,
    },
    /// It could not be published that the authority goes there; the group has its primary again.
    #[error("it could not be published in time that {to} is primary ({why}): the handover was undone")]
    Undecided {
        /// The side that was to be primary.
        to: Side,
        /// What the control store said.
        why: String,
        /// What was done.
        steps: Vec<Step>,
    },
    /// There is no way back.
    #[error(
        "modern takes the writes of group {0} alone: legacy lacks all of them. To leave that, legacy would have to be filled anew from modern, as modern once was from legacy, which strangler does not do"
    )]
    Alone(GroupName),
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
    /// A fence was made anew.
    #[error("a fence of group {0} was made anew and nobody has looked at both sides since: run `strangler init`")]
    Unopened(GroupName),
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
    /// Is asked before modern is opened.
    pub decide: &'a dyn Decide,
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
    /// Modern's fence, behind which everything was brought over.
    drained: Option<Fence>,
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
        let mut run = Run::new(&self.settings);
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
                Authority::Held { by, epoch } if by == to => {
                    return Ok(run.handed(Holder { side: to, epoch, alone: false }));
                }
                Authority::Alone { .. } => return Err(NotHanded::Alone(self.group.clone())),
                Authority::Held { by, .. } if run.froze => return Err(NotHanded::Undone { by }),
                Authority::Held { .. } => self.freeze(&fences, &mut run).await?,
                Authority::Frozen { last, .. } if last != to => self.bring_over(&fences, last, force, &mut run).await?,
                Authority::Frozen { .. } => self.step(Move::give_up(&fences), StepName::GiveUp, &mut run).await?,
                Authority::GivenUp { .. } => self.step(Move::open(&fences), StepName::Reopen, &mut run).await?,
                Authority::Unopened => return Err(NotHanded::Unopened(self.group.clone())),
                Authority::Broken => return Err(self.broken(fences)),
            }
        }
    }

    /// Ends the dual write of the group, or finishes what somebody began: modern is frozen, everything of it is brought to
    /// legacy, legacy is barred, and modern takes writes alone. So legacy has everything up to that moment and nothing
    /// after it, whatever a replica that sleeps believes.
    ///
    /// # Errors
    /// [`NotHanded`]; modern is primary as before, or gets to be when the time is over.
    pub async fn end_dual_write(&self) -> Result<Handed, NotHanded> {
        let mut run = Run::new(&self.settings);
        loop {
            let fences = match self.fences.standings(self.group).await {
                Ok(standings) => standings.map(|_, standing| standing.fence),
                Err(error) if Instant::now() >= run.until => return Err(error.into()),
                Err(_) => {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            match Authority::of(&fences) {
                Authority::Alone { epoch } => {
                    return Ok(run.handed(Holder { side: Side::Modern, epoch, alone: true }));
                }
                Authority::Held { by, .. } if by == Side::Legacy || run.froze => return Err(NotHanded::Undone { by }),
                Authority::Held { .. } => self.freeze(&fences, &mut run).await?,
                Authority::Frozen { last: Side::Modern, .. } => self.bar(&fences, &mut run).await?,
                Authority::Frozen { last, .. } => return Err(NotHanded::Undone { by: last }),
                // Another handover may have been given up with writes that were not brought over.
                Authority::GivenUp { epoch, .. } if run.drained == Some(fences.modern) => {
                    let holder = Holder { side: Side::Modern, epoch, alone: true };
                    if self.decided(holder, Epoch(epoch.0.saturating_sub(2)), &mut run).await? {
                        self.step(Move::alone(&fences), StepName::Alone, &mut run).await?;
                    }
                }
                Authority::GivenUp { .. } => self.step(Move::open(&fences), StepName::Reopen, &mut run).await?,
                Authority::Unopened => return Err(NotHanded::Unopened(self.group.clone())),
                Authority::Broken => return Err(self.broken(fences)),
            }
        }
    }

    /// Drains modern and bars legacy, or gives up.
    async fn bar(&self, fences: &PerSide<Fence>, run: &mut Run) -> Result<(), NotHanded> {
        let left = self.drain(Side::Modern, run).await?;
        if left.writes > 0 {
            return self.undrained(Side::Modern, left, run).await;
        }
        run.drained = Some(fences.modern);
        self.step(Move::give_up(fences), StepName::Bar, run).await
    }

    fn broken(&self, PerSide { legacy, modern }: PerSide<Fence>) -> NotHanded {
        NotHanded::Broken { group: self.group.clone(), legacy, modern }
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
        let left = self.drain(last, run).await?;
        if left.writes > 0 && !force {
            return self.undrained(last, left, run).await;
        }
        run.left = left;
        let step = Move::open(fences);
        // Legacy is opened first and published then: no rollback is overrun by it.
        if let (Side::Legacy, Some(step)) = (last, &step) {
            let holder = Holder { side: step.side, epoch: step.to.epoch, alone: false };
            if !self.decided(holder, Epoch(step.to.epoch.0.saturating_sub(1)), run).await? {
                return Ok(());
            }
        }
        self.step(step, StepName::Open, run).await
    }

    /// Brings what the frozen side has to the other one; what is left.
    async fn drain(&self, last: Side, run: &mut Run) -> Result<Left, NotHanded> {
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
        Ok(left)
    }

    /// Moves a fence that no writer holds.
    async fn step(&self, step: Option<Move>, name: StepName, run: &mut Run) -> Result<(), NotHanded> {
        let Some(step) = step else { return Ok(()) };
        let began = Instant::now();
        match self.store(step.side).move_fence(self.group, &step, self.settings.within).await {
            Ok(fence) if fence == step.to => {
                if matches!(name, StepName::Open | StepName::Reopen | StepName::Alone) {
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
    fn new(settings: &HandoverSettings) -> Self {
        Self {
            steps: Vec::new(),
            paused: None,
            pause: None,
            froze: false,
            left: Left::default(),
            drained: None,
            until: Instant::now() + settings.freeze + settings.limit,
        }
    }

    fn note(&mut self, name: StepName, began: Instant, note: String) {
        telemetry::handover_step(name.as_str(), began.elapsed());
        self.steps.push(Step { name, took: began.elapsed(), note });
    }

    fn handed(self, Holder { side: to, epoch, alone }: Holder) -> Handed {
        Handed { to, epoch, alone, steps: self.steps, pause: self.pause, left: self.left }
    }
}
