//! Lives of the sides: each second somebody compares, moves the mark, and tells those who remember.
//!
//! Whoever finds a side that lacks a mark which anybody remembers suspends it *inside that side*: replicas that disagree
//! can do no harm, since every write proves there that the side is not suspended. A side that was moved, upgraded, failed
//! over or merely started anew takes no writes until its incarnation was raised by the first replica that sees it and has
//! asked the other side what it lacks; what lacks an acknowledged write waits for a person (`strangler sides raise`). One
//! that was started anew while the other side is away goes on after a while by its marks alone, and is asked for later.
//!
//! Promise: a side that has gone back acknowledges nothing until it was raised; what an old instance of it goes on taking
//! reaches no other side ([`model::Lives::brings_from`]).
//! Not here: what the marks mean (`model::life`), how a write proves it (`adapters`).

pub mod lost;
pub mod memories;
pub mod raise;
pub mod sagas;

use std::sync::Arc;
use std::time::Duration;

use model::life::{Identity, Life, Mark, Memory, RAISING, Verdict, judge};
use model::{Incarnation, PerSide, Side, Store, StoreError};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::compared::Compared;
use memories::Memories;

/// Pause between two marks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The same while a side is away or may not be written: whoever comes back is not to wait.
const SOON: Duration = Duration::from_millis(200);

/// How old the newest mark may be, and for how long, before it is said.
pub const STILL: Duration = Duration::from_secs(10);

/// How long a side that was started anew waits for the other one to be asked: both may be starting.
const BOTH_START: Duration = Duration::from_secs(10);

/// Compares, marks, suspends and raises.
pub struct LifeWatch {
    /// What is remembered, and where.
    pub memories: Memories,
    /// Hears whether there is anything to compare a side with.
    pub compared: Arc<Compared>,
    /// Hears that a side has answered, each time.
    pub answers: Arc<dyn Fn(Side) + Send + Sync>,
    /// Hears what was found, each time.
    pub heard: Arc<dyn Fn(Side, Heard) + Send + Sync>,
    /// Since when what does not pass at once goes on.
    pub spells: PerSide<Mutex<Spells>>,
}

/// Since when something goes on at a side that may pass by itself.
#[derive(Debug, Default)]
pub struct Spells {
    /// It waits for the other side to be asked what it lacks.
    waits: Option<Instant>,
    /// Its marks stand still; and whether that was said.
    still: Option<(Instant, bool)>,
}

/// What a look says to those who rest on a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its life is another one than at the last look: what is remembered of it counts no more.
    pub has_changed: bool,
    /// The life that it lives, if it says so.
    pub incarnation: Option<Incarnation>,
    /// It has gone back, or nobody has decided yet: what it shows may be old.
    pub is_unproven: bool,
}

impl LifeWatch {
    /// Watches until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut known: PerSide<Option<(Verdict, Option<Incarnation>)>> = PerSide { legacy: None, modern: None };
        loop {
            let both = async { tokio::join!(self.tick(Side::Legacy), self.tick(Side::Modern)) };
            let (legacy, modern) = tokio::select! {
                () = stop.cancelled() => return,
                both = both => both,
            };
            let mut pause = INTERVAL;
            for (side, seen) in [(Side::Legacy, legacy), (Side::Modern, modern)] {
                match seen {
                    Ok(seen) => self.report(side, known.get_mut(side), seen),
                    Err(error) => {
                        pause = SOON;
                        telemetry::side_error(side, &error);
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn report(
        &self,
        side: Side,
        known: &mut Option<(Verdict, Option<Incarnation>)>,
        (verdict, incarnation): (Verdict, Option<Incarnation>),
    ) {
        let suspended = !matches!(verdict, Verdict::Same | Verdict::Unknown);
        telemetry::suspended(side, suspended);
        let before = known.replace((verdict.clone(), incarnation));
        let has_changed = before.as_ref().is_some_and(|(_, then)| *then != incarnation);
        (self.heard)(side, Heard { has_changed, incarnation, is_unproven: suspended });
        if before.is_some_and(|(before, _)| before == verdict) {
            return;
        }
        match verdict {
            Verdict::Same => tracing::info!(%side, "{side} is the database that we know"),
            Verdict::Moved => tracing::warn!(%side, "{side} was started anew or moved: its incarnation rises"),
            Verdict::GoneBack(_) => {
                tracing::error!(%side, "{side} has gone back: it lacks a mark that is remembered; it is suspended, see `strangler sides show`");
            }
            Verdict::Suspended(why) => {
                tracing::error!(%side, why, "{side} is suspended ({why}): see `strangler sides show`");
            }
            Verdict::Fresh => tracing::error!(%side, "{side} has no life: run `strangler init`"),
            Verdict::Unknown => {
                tracing::warn!(%side, "nobody who remembers {side} answers: it cannot be compared");
            }
        }
    }

    /// One look at one side, and what follows from it.
    ///
    /// # Errors
    /// When the side does not answer; then nothing is known of it.
    pub async fn tick(&self, side: Side) -> Result<(Verdict, Option<Incarnation>), StoreError> {
        let store = self.memories.stores.get(side);
        let memories = self.memories.of(side).await;
        self.compared.heard(side, memories.is_some());
        let asked: Vec<Mark> = memories.iter().flatten().map(|memory| memory.mark).collect();
        let look = store.life(&asked, self.memories.within).await?;
        (self.answers)(side);
        let mut verdict = judge(&look, memories.as_deref());
        look.life.iter().for_each(|life| self.note_mark(side, life));
        let incarnation = look.life.as_ref().map(|life| life.incarnation);
        if let Some(life) = &look.life {
            // Whatever it is: what is brought from here is brought from this one.
            self.memories.stores.get(side.other()).brings_from(life.brings());
        }
        match (&verdict, &look.life) {
            (Verdict::Same, Some(life)) if life.unasked.is_some() => {
                match raise::by_itself(&self.memories, side, life, &look.identity).await {
                    // Still away.
                    Err(error) if error.side() == Some(side.other()) => self.mark(side, life).await?,
                    asked => verdict = asked?,
                }
            }
            (Verdict::Same, Some(life)) => self.mark(side, life).await?,
            (Verdict::Moved, Some(life)) => verdict = self.moved(side, life, &look.identity).await?,
            (Verdict::Suspended(why), Some(life)) if why == RAISING => {
                raise::finish(&self.memories, side, life.into()).await?;
                verdict = Verdict::Same;
            }
            (Verdict::GoneBack(memory), life) => {
                // What was found out is said of this life alone: somebody may have raised it meanwhile.
                let of = life.as_ref().map_or(memory.incarnation, |life| life.incarnation);
                let why = format!(
                    "it lacks mark {} of incarnation {}, which is remembered: a copy was restored, or a tail was lost",
                    memory.mark.counter, memory.incarnation.0
                );
                store.suspend(of, &why, self.memories.within).await?;
            }
            (Verdict::Same | Verdict::Moved, None) | (Verdict::Fresh | Verdict::Suspended(_) | Verdict::Unknown, _) => {
            }
        }
        Ok((verdict, incarnation))
    }

    /// Raises a side that was moved or started anew. One that was only started goes on without the other one's word when
    /// that is away for long: its marks are all there, and standing still costs more than what a second may have held.
    async fn moved(&self, side: Side, life: &Life, now: &Identity) -> Result<Verdict, StoreError> {
        let raised = raise::by_itself(&self.memories, side, life, now).await;
        let spells = self.spells.get(side);
        let Some(error) = raised.as_ref().err().filter(|error| error.side() == Some(side.other())) else {
            spells.lock().waits = None;
            return raised;
        };
        let since = *spells.lock().waits.get_or_insert_with(Instant::now);
        if !life.identity.was_restarted(now) || since.elapsed() < BOTH_START {
            return raised;
        }
        spells.lock().waits = None;
        let store = self.memories.stores.get(side);
        if store.go_on(life.incarnation, life.marked_at, self.memories.within).await? {
            tracing::error!(
                %side, %error,
                "{side} was started anew, and {} cannot be asked whether it lacks what was acknowledged since its last mark: it goes on by its marks, and is asked for as soon as {} answers ({error})",
                side.other(), side.other()
            );
        }
        Ok(Verdict::Moved)
    }

    /// Says once that nobody can move the marks. A side that was down, or that nobody watched, has old ones at first.
    fn note_mark(&self, side: Side, life: &Life) {
        telemetry::mark_age(side, life.mark_age);
        let mut spells = self.spells.get(side).lock();
        if life.mark_age < STILL || life.suspended.is_some() {
            spells.still = None;
            return;
        }
        let (since, said) = spells.still.get_or_insert_with(|| (Instant::now(), false));
        if !*said && since.elapsed() >= STILL {
            *said = true;
            tracing::error!(
                %side, age = ?life.mark_age,
                "no mark of {side} was made for {:?}: somebody holds a lock on strangler_mark there, or nobody may write it. Until that ends a restore is noticed by the other side's ledger alone", life.mark_age
            );
        }
    }

    /// Moves the mark and remembers the newest; whoever moved it tells the others.
    async fn mark(&self, side: Side, life: &Life) -> Result<(), StoreError> {
        let store: &Arc<dyn Store> = self.memories.stores.get(side);
        let to = Mark { counter: life.mark.counter + 1, random: random() };
        let moved = store.move_mark(life.mark, to, self.memories.within).await?;
        let newest = Memory { mark: if moved { to } else { life.mark }, ..life.into() };
        store.expect(newest);
        self.memories.keep(side, newest);
        if moved {
            self.memories.tell(side, newest).await;
        }
        Ok(())
    }
}

/// Something random that every engine's numbers can hold.
pub(crate) fn random() -> u64 {
    rand::random::<u64>() >> 2
}

#[cfg(test)]
mod tests;
