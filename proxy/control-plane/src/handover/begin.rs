//! How groups begin: both sides are looked at, and then fences are opened, raised, or left to a person.
//!
//! What is due is decided in `model::fence::beginning`. Harmless to repeat, and when several do it at once: every move is
//! a compare-and-set, and whoever loses looks again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::fence::{Authority, Beginning, Fence, Holder, Unclear, adoption, beginning, ending, is_ended};
use model::{Contract, GroupName, PerSide, Side, Store, StoreError};
use thiserror::Error;

use super::coordinate::NotHanded;
use data_plane::fences::{Seen, see};

/// How often a lost race is looked at again.
const LOOKS: usize = 4;

/// A group that only a person can begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The group.
    pub group: GroupName,
    /// Its types.
    pub types: Vec<String>,
    /// Why.
    pub why: Unclear,
    /// Groups that have a fence and that the contract does not have: perhaps it was called so.
    pub gone: Vec<GroupName>,
}

impl fmt::Display for Waiting {
    /// A sentence with types, groups and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, types) = (&self.group, self.types.join(", "));
        match self.why {
            Unclear::Older { fences, types: newest } => write!(
                f,
                "group {group} is at epoch {}, and its types ({types}) carry versions of epoch {}: they come from another group, and every write of it would be older than what stands",
                fences.0, newest.0
            )?,
            Unclear::Anew { newest } => write!(
                f,
                "a fence of group {group} was made anew, and its types ({types}) have been written before, up to epoch {}",
                newest.0
            )?,
            Unclear::Ended => write!(
                f,
                "group {group} was ended: its types ({types}) went to another group by `strangler init --adopt`"
            )?,
        }
        if !self.gone.is_empty() {
            let gone: Vec<_> = self.gone.iter().map(ToString::to_string).collect();
            write!(f, "; there are fences of groups that the contract does not have: {}", gone.join(", "))?;
        }
        write!(
            f,
            ". Go back to the former contract, or stop every replica and run `strangler init --adopt SIDE` with the side that is primary of these types"
        )
    }
}

/// Why groups have not begun.
#[derive(Debug, Error)]
pub enum NotBegun {
    /// A person must say who is primary.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Person(Vec<Waiting>),
    /// A side did not tell, or did not move.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody moves the same fences all the time.
    #[error("the fences of group {0} were moved by somebody else meanwhile: run it again")]
    Moved(GroupName),
}

/// Groups that have fences and that the contract does not have, but for those that were ended. A side that has no fence
/// of one counts as one whose fence was just made.
async fn gone(
    contract: &Contract,
    stores: &PerSide<Arc<dyn Store>>,
    within: Duration,
) -> Result<BTreeMap<GroupName, PerSide<Fence>>, StoreError> {
    let known = contract.groups();
    let mut gone: BTreeMap<GroupName, PerSide<Fence>> = BTreeMap::new();
    for side in Side::BOTH {
        for (group, fence) in stores.get(side).fences(within).await? {
            if !known.contains(&group) {
                let born = PerSide { legacy: Fence::BORN, modern: Fence::BORN };
                *gone.entry(group).or_insert(born).get_mut(side) = fence;
            }
        }
    }
    gone.retain(|_, fences| !is_ended(fences));
    Ok(gone)
}

/// Ends every group that the contract does not have, on both sides: whoever still works under a former contract writes
/// nothing more, and opens nothing.
async fn end_gone(contract: &Contract, stores: &PerSide<Arc<dyn Store>>, within: Duration) -> Result<(), NotBegun> {
    for _ in 0..LOOKS {
        let gone = gone(contract, stores, within).await?;
        if gone.is_empty() {
            return Ok(());
        }
        for (group, fences) in gone {
            for side in Side::BOTH.into_iter().filter(|side| *fences.get(*side) == Fence::BORN) {
                // A fence that is missing could be made anew, and opened, under the former contract.
                stores.get(side).prepare(std::slice::from_ref(&group), within).await?;
            }
            for step in ending(&fences) {
                if stores.get(step.side).move_fence(&group, &step, within).await? != step.to {
                    break;
                }
            }
        }
    }
    let left = gone(contract, stores, within).await?;
    left.into_keys().next().map_or(Ok(()), |group| Err(NotBegun::Moved(group)))
}

/// The groups of `contract` that only a person can begin. Changes nothing.
///
/// # Errors
/// As [`Store::fence`] and [`Store::traces`]: nothing is told by half.
pub async fn waiting(
    contract: &Contract,
    stores: &PerSide<Arc<dyn Store>>,
    within: Duration,
) -> Result<Vec<Waiting>, StoreError> {
    let mut waiting = Vec::new();
    for group in contract.groups() {
        let seen = see(stores, &group, within).await?;
        if let Beginning::Person(why) = beginning(&seen.fences, &seen.traces) {
            waiting.push(name(contract, stores, group, why, within).await?);
        }
    }
    Ok(waiting)
}

async fn name(
    contract: &Contract,
    stores: &PerSide<Arc<dyn Store>>,
    group: GroupName,
    why: Unclear,
    within: Duration,
) -> Result<Waiting, StoreError> {
    let types = contract.entities.values().filter(|entity| entity.group == group);
    let types = types.map(|entity| entity.name.to_string()).collect();
    let gone = gone(contract, stores, within).await?.into_keys().collect();
    Ok(Waiting { group, types, why, gone })
}

/// The groups of `contract` whose fences contradict each other, as sentences: no sequence of moves leads there, and only a
/// person can mend it.
///
/// # Errors
/// As [`Store::fence`].
pub async fn broken(
    contract: &Contract,
    stores: &PerSide<Arc<dyn Store>>,
    within: Duration,
) -> Result<Vec<String>, StoreError> {
    let mut broken = Vec::new();
    for group in contract.groups() {
        let (legacy, modern) =
            tokio::try_join!(stores.legacy.fence(&group, within), stores.modern.fence(&group, within))?;
        let (legacy, modern) = (legacy.fence, modern.fence);
        if Authority::of(&PerSide { legacy, modern }) == Authority::Broken {
            broken.push(NotHanded::Broken { group, legacy, modern }.to_string());
        }
    }
    Ok(broken)
}

/// Makes every group of `contract` writable on one side. Where only a person can say on which, on `adopt`, and nothing
/// is done for any group while that is not given. The fences of both sides must be there ([`Store::prepare`]).
///
/// With `adopt`, groups that the contract does not have are ended first, on both sides.
///
/// # Errors
/// [`NotBegun`]; what was done stands, and is gone on from.
pub async fn begin(
    contract: &Contract,
    stores: &PerSide<Arc<dyn Store>>,
    adopt: Option<Side>,
    within: Duration,
) -> Result<Vec<(GroupName, Holder)>, NotBegun> {
    let unclear = waiting(contract, stores, within).await?;
    if !unclear.is_empty() {
        if adopt.is_none() {
            return Err(NotBegun::Person(unclear));
        }
        end_gone(contract, stores, within).await?;
    }
    let mut begun = Vec::new();
    for group in contract.groups() {
        if let Some(holder) = begin_one(stores, &group, adopt, within).await? {
            begun.push((group, holder));
        }
    }
    Ok(begun)
}

/// Begins one group; who takes its writes then. `None`: a handover is under way, or its fences contradict each other.
async fn begin_one(
    stores: &PerSide<Arc<dyn Store>>,
    group: &GroupName,
    adopt: Option<Side>,
    within: Duration,
) -> Result<Option<Holder>, NotBegun> {
    for _ in 0..LOOKS {
        let Seen { fences, traces } = see(stores, group, within).await?;
        let moves = match (beginning(&fences, &traces), adopt) {
            (Beginning::Begun, _) => return Ok(Authority::of(&fences).holder()),
            (Beginning::Moves(moves), _) => moves,
            (Beginning::Person(_), Some(side)) => adoption(&fences, &traces, side),
            (Beginning::Person(_), None) => return Err(NotBegun::Moved(group.clone())),
        };
        for step in &moves {
            // Moved by somebody else: both sides are looked at again before anything is opened.
            if stores.get(step.side).move_fence(group, step, within).await? != step.to {
                break;
            }
        }
    }
    Err(NotBegun::Moved(group.clone()))
}
