//! A rollback that meets a handover to modern: it bars the handover by the fence, or says that it came too late.
//!
//! A rollback that was published stops a handover by itself (`rollout::handed`). This is for the other two cases: the
//! handover was published first and modern is not open yet, or nobody can publish anything now.

use std::time::Duration;

use model::fence::{Authority, Move};
use model::{GroupName, Holder, Policy, Side};

use super::Desk;

/// How often fences that others move are looked at again.
const LOOKS: usize = 6;
/// How long a rollback waits for the sides.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the fences say after the handover was barred, if one was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Barred {
    /// Legacy has the authority, and no handover that was under way can open modern any more.
    Legacy(Holder),
    /// Modern has it.
    Modern,
    /// A side does not tell, or takes no orders now: nor from whoever runs a handover.
    Unknown,
}

impl Desk {
    /// Ends a handover of `group` to modern that is under way. Which of both comes first, modern's fence decides.
    pub(super) async fn bar_handover(&self, group: &GroupName) -> Barred {
        let fences = self.fences();
        for _ in 0..LOOKS {
            let Ok(authority) = fences.look_anew(group).await else { return Barred::Unknown };
            match authority {
                Authority::Held { by: Side::Legacy, epoch } => {
                    return Barred::Legacy(Holder { side: Side::Legacy, epoch, alone: false });
                }
                Authority::Held { by: Side::Modern, .. } | Authority::Alone { .. } => return Barred::Modern,
                // Nobody wants modern to be primary who is not already.
                Authority::Frozen { last: Side::Modern, .. } | Authority::GivenUp { back: Side::Modern, .. } => {
                    return Barred::Modern;
                }
                Authority::Unopened | Authority::Broken => return Barred::Unknown,
                Authority::Frozen { last: Side::Legacy, .. } | Authority::GivenUp { back: Side::Legacy, .. } => {}
            }
            let Ok(standings) = fences.standings(group).await else { return Barred::Unknown };
            let standing = standings.map(|_, standing| standing.fence);
            let Some(step) = Move::give_up(&standing).or_else(|| Move::open(&standing)) else { continue };
            // What it came to is read from the fences.
            let _ = fences.stores().get(step.side).move_fence(group, &step, self.handover.within).await;
        }
        Barred::Unknown
    }

    /// As [`Self::bar_handover`], but not for long: a rollback must not wait for sides that are down.
    pub(super) async fn barred_within(&self, group: &GroupName) -> Barred {
        tokio::time::timeout(PATIENCE, self.bar_handover(group)).await.unwrap_or(Barred::Unknown)
    }

    /// Whether `policy`, by which modern is primary, is one that a rollback may still prevent: then who is primary.
    pub(super) async fn prevented(&self, group: &GroupName, policy: &Policy) -> Option<Holder> {
        match self.barred_within(group).await {
            Barred::Legacy(holder) if holder.epoch > policy.epoch() => Some(holder),
            Barred::Legacy(_) | Barred::Modern | Barred::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests;
