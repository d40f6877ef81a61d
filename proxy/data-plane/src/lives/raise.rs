//! Raising a side's incarnation: when that is safe by itself, and what a person has to decide.
//!
//! A side that was moved or started with everything loses nothing by a raise: from then on its versions are newer than all before.
//! One that lost writes does: they may still stand on the other side, which would keep them for ever. So a raise asks the
//! other side's ledger first. What it has of groups for which *it* is primary is brought again; what it has of writes that
//! this side acknowledged and has lost is a list for a person.
//!
//! The other side hears of the new incarnation before this side takes writes under it: from then on it takes nothing from
//! an old instance that lives on somewhere. What that one has brought until then is looked for once more afterwards.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryFutureExt as _;
use model::fence::{Fence, Move};
use model::life::{Identity, Life, Mark, Memory, Noted, Verdict};
use model::{Epoch, GroupName, Incarnation, Instant, Side, Stand, StoreError, WriteId};

use super::memories::Memories;
use super::{random, sagas};

/// The two sides' clocks may differ, and a mark may have been moved after the copy was put back.
pub(super) const MARGIN: TimeDelta = TimeDelta::hours(1);

/// The same where a server was merely started anew: clocks alone. Writes wait while this is looked through.
const CLOCKS: TimeDelta = TimeDelta::minutes(10);

/// Writes asked for at once. Each page goes over all that is due, so few are better.
const PAGE: usize = 5_000;

/// What one side has in its ledger that the other lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Writes of groups whose primary the other side is: they are brought again.
    pub to_bring: Vec<WriteId>,
    /// Writes that this side has acknowledged as primary and has not any more, with the keys that still stand so there.
    pub lost: Vec<Noted>,
}

/// What `side` has lost since `life`'s newest mark was made.
///
/// # Errors
/// When a side does not answer: then nothing is known, and nothing may be raised.
pub async fn missing(memories: &Memories, side: Side, life: &Life) -> Result<Missing, StoreError> {
    missing_since(memories, side, owed_since(life) - MARGIN).await
}

/// From when on the other side has to be asked: the newest mark, or where nobody could be asked already.
pub(super) fn owed_since(life: &Life) -> DateTime<Utc> {
    life.unasked.unwrap_or(life.marked_at).to_utc()
}

async fn missing_since(memories: &Memories, side: Side, since: DateTime<Utc>) -> Result<Missing, StoreError> {
    let (here, there) = (memories.stores.get(side), memories.stores.get(side.other()));
    let since = Instant::new(since);
    let mut missing = Missing::default();
    let mut stands: Vec<(GroupName, Stand)> = Vec::new();
    let mut after = None;
    loop {
        let page = there.writes_since(since, after, PAGE, memories.within).await?;
        let Some(last) = page.last().map(|noted| noted.write) else { return Ok(missing) };
        after = Some(last);
        let ids: Vec<WriteId> = page.iter().map(|noted| noted.write).collect();
        let standing = here.standing(&ids, memories.within).await?;
        // Unsettled there: its own write, which the relay brings anyway.
        for noted in page.into_iter().filter(|noted| noted.settled && !standing.contains(&noted.write)) {
            let known = stands.iter().find(|(group, _)| *group == noted.group).map(|(_, stand)| *stand);
            let stand = match known {
                Some(known) => known,
                None => {
                    let stand = there.fence(&noted.group, memories.within).await?.fence.stand;
                    stands.push((noted.group.clone(), stand));
                    stand
                }
            };
            match stand {
                Stand::Open => missing.to_bring.push(noted.write),
                // Nobody keeps this side equal: it lacks what it was never to have.
                Stand::Alone => {}
                Stand::Frozen | Stand::Closed => missing.lost.push(noted),
            }
        }
    }
}

/// Raises a side that was moved or started anew, if nothing is lost; else suspends it, for a person to decide. What became
/// of it. `now`: who the server says it is.
///
/// # Errors
/// When a side does not answer: it stays as it is.
pub(super) async fn by_itself(
    memories: &Memories,
    side: Side,
    life: &Life,
    now: &Identity,
) -> Result<Verdict, StoreError> {
    let on_its_log = (&life.identity.system, life.identity.log) == (&now.system, now.log);
    let margin = if on_its_log { CLOCKS } else { MARGIN };
    let missing = missing_since(memories, side, owed_since(life) - margin).await?;
    if !missing.lost.is_empty() {
        let why = format!("it lacks {} acknowledged writes that {} has", missing.lost.len(), side.other());
        memories.stores.get(side).suspend(life.incarnation, &why, memories.within).await?;
        return Ok(Verdict::Suspended(why));
    }
    let raised = raise(memories, side, life, &missing.to_bring).await?;
    if let Some(Raised { memory, lost }) = raised {
        tracing::warn!(
            %side, incarnation = memory.incarnation.0,
            "{side} was started anew or moved, and lacks no write of ours: its incarnation is {} now", memory.incarnation.0
        );
        if !lost.is_empty() {
            tracing::error!(
                %side, writes = lost.len(),
                "{} writes came to {} meanwhile from an instance of {side} that lives on: see `strangler sides show`",
                lost.len(), side.other()
            );
        }
    }
    Ok(Verdict::Moved)
}

/// What a raise came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// The new life.
    pub memory: Memory,
    /// What this side has lost, looked for once more since nothing of the old life is taken there.
    pub lost: Vec<Noted>,
}

/// Raises the incarnation of `side` above all that anybody knows, and has `to_bring` brought again. `None`: somebody else
/// has raised it meanwhile.
///
/// # Errors
/// When a side does not answer. Before the raise nothing but the order to bring was done; after it, whoever looks at the
/// side next finishes it.
pub async fn raise(
    memories: &Memories,
    side: Side,
    life: &Life,
    to_bring: &[WriteId],
) -> Result<Option<Raised>, StoreError> {
    let (here, there) = (memories.stores.get(side), memories.stores.get(side.other()));
    // What it remembers of the other side may be as old as a copy of it. It must not take an old instance for the newest.
    if let Some(newest) = memories.of(side.other()).await.unwrap_or_default().into_iter().max() {
        here.remember(side.other(), newest, memories.within).await?;
    }
    close_outdated(memories, side).await?;
    // Before it takes writes: a client that repeats a saga would begin another one.
    sagas::bring_back(memories, side, life, &HashSet::new()).await?;
    // Before the raise: after it nobody would ask for them again.
    for page in to_bring.chunks(PAGE) {
        there.unsettle(page, memories.within).await?;
    }
    let known = memories.of(side).await.unwrap_or_default();
    let remembered = known.iter().map(|memory| memory.incarnation);
    let (own, other) =
        tokio::try_join!(here.greatest_incarnation(memories.within), there.greatest_incarnation(memories.within))?;
    let greatest = remembered.chain([own, other, life.incarnation]).max().unwrap_or(own);
    let counter = known.iter().map(|memory| memory.mark.counter).max().unwrap_or(0).max(life.mark.counter) + 1;
    let to = Memory { incarnation: Incarnation(greatest.0 + 1), mark: Mark { counter, random: random() } };
    if !here.raise(life.incarnation, to, memories.within).await? {
        return Ok(None);
    }
    let late = finish(memories, side, to).and_then(|()| missing(memories, side, life)).await?;
    Ok(Some(Raised { memory: to, lost: late.lost }))
}

/// Closes each fence of `side` that stands open from before the other side took the authority over: an older copy has it
/// so, and nobody could write while both are open. Only the younger one was opened by a handover that has ended.
async fn close_outdated(memories: &Memories, side: Side) -> Result<(), StoreError> {
    let (here, there) = (memories.stores.get(side), memories.stores.get(side.other()));
    let ours = here.fences(memories.within).await?;
    for (group, known) in there.fences(memories.within).await? {
        let Some(fence) = ours.iter().find(|(name, _)| *name == group).map(|(_, fence)| *fence) else { continue };
        if fence.stand.takes_writes() && known.stand.takes_writes() && fence.epoch < known.epoch {
            let to = Fence::new(known.epoch, Stand::Closed);
            let step = Move { side, from: fence, to, takes_over: false };
            here.move_fence(&group, &step, memories.within).await?;
            tracing::warn!(%side, %group, "{side} was restored to before {} became primary of group {group}: its fence is closed again", side.other());
        } else if is_of_before_two_handovers(fence, known) {
            give_back(memories, side, &group, (fence, known)).await?;
        }
    }
    Ok(())
}

/// Whether a fence that stands open here is of before the other side had the authority, and gave it back: it is closed
/// under a younger epoch, or still frozen for us.
fn is_of_before_two_handovers(ours: Fence, theirs: Fence) -> bool {
    let gave_it_back = matches!(theirs.stand, Stand::Closed | Stand::Frozen);
    ours.stand == Stand::Open && gave_it_back && ours.epoch < theirs.epoch
}

/// Has the authority of `group` given back to `side`, under an epoch beyond all that were: it is frozen as if it had begun
/// to hand over, and replicas give that up, as they do when a coordinator has died. A side that is suspended itself may be
/// a copy of before it took the authority again, and one that holds anything unsettled has not given all of it back:
/// nothing is done then, and the contradiction is told.
async fn give_back(
    memories: &Memories,
    side: Side,
    group: &GroupName,
    fences: (Fence, Fence),
) -> Result<(), StoreError> {
    let (here, there) = (memories.stores.get(side), memories.stores.get(side.other()));
    let life = there.life(&[], memories.within).await?.life;
    if life.is_none_or(|life| life.suspended.is_some()) || there.backlog(group, memories.within).await?.all() > 0 {
        return Ok(());
    }
    let (ours, theirs) = (here.traces(group, memories.within).await?, there.traces(group, memories.within).await?);
    let greatest =
        [fences.0.epoch, fences.1.epoch, ours.epoch, theirs.epoch].into_iter().max().unwrap_or(fences.1.epoch);
    let to = Fence::new(Epoch(greatest.0 + 1), Stand::Frozen);
    let step = Move { side, from: fences.0, to, takes_over: false };
    here.move_fence(group, &step, memories.within).await?;
    tracing::warn!(%side, %group, "{side} was restored to before two handovers of group {group}: it takes the authority again as if it had begun another one that is given up");
    Ok(())
}

/// Lets a side take writes again that was raised to `to`, once the other side has heard of it. Harmless to repeat.
///
/// # Errors
/// When a side does not answer: then it takes none, and whoever looks next does this.
pub(super) async fn finish(memories: &Memories, side: Side, to: Memory) -> Result<(), StoreError> {
    let (here, there) = (memories.stores.get(side), memories.stores.get(side.other()));
    memories.tell_first(side, to).await?;
    here.resume(to.incarnation, memories.within).await?;
    here.expect(to);
    there.brings_from(to.incarnation);
    memories.keep(side, to);
    Ok(())
}
