//! The last word before a fence is opened, and the way back when it is no.

use model::fence::{Authority, Holder, Move};
use model::{Epoch, Side};
use tokio::time::Instant;

use super::{AGAIN, Coordinator, NotHanded, Run};
use crate::handover::decide::{Proposed, Undecided};
use crate::handover::drain::Left;
use crate::handover::steps::StepName;

impl Coordinator<'_> {
    /// Asks whether the authority may go to `holder`; `false`: ask again. Undoes the handover when it may not.
    pub(super) async fn decided(&self, holder: Holder, was: Epoch, run: &mut Run) -> Result<bool, NotHanded> {
        let began = Instant::now();
        // What is left of the limit is for the fence: replicas undo a freeze that is as old as the limit.
        let until = run.until.checked_sub(self.settings.limit / 8).unwrap_or(began).max(began + AGAIN);
        let proposed = Proposed { holder, was, steps: &run.steps, left: &run.left };
        let outcome = match tokio::time::timeout_at(until, self.decide.decide(&proposed)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Undecided::Unknown("the control store gave no answer in time".to_owned())),
        };
        match outcome {
            Ok(note) => {
                run.note(StepName::Publish, began, note);
                Ok(true)
            }
            Err(Undecided::Unknown(_)) if Instant::now() < until => {
                tokio::time::sleep(AGAIN).await;
                Ok(false)
            }
            Err(undecided) => {
                run.until = Instant::now() + self.settings.limit;
                self.undo(if holder.alone { holder.side } else { holder.side.other() }, run).await?;
                let steps = std::mem::take(&mut run.steps);
                Err(match undecided {
                    Undecided::Overtaken(why) => NotHanded::Overtaken { why, steps },
                    Undecided::Unknown(why) => NotHanded::Undecided { to: holder.side, why, steps },
                })
            }
        }
    }

    /// Undoes what cannot be brought to its end.
    pub(super) async fn undrained(&self, last: Side, left: Left, run: &mut Run) -> Result<(), NotHanded> {
        run.until = Instant::now() + self.settings.limit;
        self.undo(last, run).await?;
        let steps = std::mem::take(&mut run.steps);
        Err(NotHanded::Undrained { to: last.other(), within: self.settings.limit * 3 / 4, left, steps })
    }

    /// Gives the authority back to the frozen side, `last`. Done means that the fences say so.
    async fn undo(&self, last: Side, run: &mut Run) -> Result<(), NotHanded> {
        loop {
            let standings = self.fences.standings(self.group).await?;
            let fences = standings.map(|_, standing| standing.fence);
            match Authority::of(&fences) {
                Authority::Frozen { .. } => self.step(Move::give_up(&fences), StepName::GiveUp, run).await?,
                Authority::GivenUp { .. } => self.step(Move::open(&fences), StepName::Reopen, run).await?,
                Authority::Held { by, .. } if by == last => return Ok(()),
                Authority::Held { by, .. } => return Err(NotHanded::Undone { by }),
                Authority::Alone { .. } => return Err(NotHanded::Alone(self.group.clone())),
                Authority::Unopened => return Err(NotHanded::Unopened(self.group.clone())),
                Authority::Broken => return Err(self.broken(fences)),
            }
        }
    }
}
