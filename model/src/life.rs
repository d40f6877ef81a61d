//! Lives of a side: is this still the database that we knew, or one that has gone back?
//!
//! Logs rewind, move and begin anew: a copy is restored, a dump is loaded elsewhere, a standby takes over without the
//! tail. Positions alone do not show it, since others write to a log too. So each side keeps a *life*: who its server is,
//! an incarnation (our own number, part of every version), whether it is suspended, and a *mark*: a counter and something
//! random, moved each second by one who has compared first. The other side, the control store and every replica's disk
//! remember the newest mark that they saw. A side that lacks a mark which anybody remembers **has gone back**.
//!
//! Invariant: whoever remembers a mark that the side lacks, and nobody raised the incarnation since, calls it gone back;
//! memory that is merely old never does.
//! Not here: looking (`adapters`), suspending, raising and saying so (`proxy::lives`).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::change::{Applied, Change, Incarnation, WriteId};
use crate::name::GroupName;
use crate::record::EntityKey;
use crate::side::Side;
use crate::store::{Bare, StoreError};
use crate::value::Instant;

/// How many marks a side keeps; older ones count as kept.
pub const MARKS_KEPT: u64 = 100_000;

/// Why a side takes no writes while its incarnation is being raised: until the other side remembers the new one.
pub const RAISING: &str = "its incarnation is being raised: the other side has to hear of it first";

/// Who a server says it is: changes with a move to another server, an upgrade, a failover, a restore to a moment, and
/// whenever it is started. Marks are a second apart: what a start has lost since the last one, only the other side knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// PostgreSQL's system identifier, Oracle's DBID.
    pub system: String,
    /// PostgreSQL's timeline, Oracle's RESETLOGS count.
    pub log: u32,
    /// When it was started, in its own words. The same for ever where several servers run one database (Oracle RAC).
    pub boot: String,
}

impl Identity {
    /// Whether `now` is the same database on the same log, started anew.
    pub fn was_restarted(&self, now: &Self) -> bool {
        self.boot != now.boot && (&self.system, self.log) == (&now.system, now.log)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, log {}", self.system, self.log)
    }
}

/// One step of a side's life. The random part tells two lives apart that count alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// Rises by one.
    pub counter: u64,
    /// Made by whoever moved it.
    pub random: u64,
}

/// A side's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Who the server was when the row was made or raised.
    pub identity: Identity,
    /// Part of every version that is written here.
    pub incarnation: Incarnation,
    /// Why the side takes no writes; `None` when it does.
    pub suspended: Option<String>,
    /// It was started anew, and went on though nobody could ask the other side what it lacks since this moment.
    pub unasked: Option<Instant>,
    /// The newest mark.
    pub mark: Mark,
    /// When it was made, by the side's clock.
    pub marked_at: Instant,
    /// How long ago that is, by the same clock.
    pub mark_age: Duration,
}

/// A mark of a side that somebody else remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Memory {
    /// The incarnation under which it was seen.
    pub incarnation: Incarnation,
    /// The mark.
    pub mark: Mark,
}

impl Life {
    /// As what the other side takes changes from here. Nothing while it is owed to ask that side what is lacking here: what
    /// was made without it would bury it there.
    pub fn brings(&self) -> Incarnation {
        if self.unasked.is_some() { Incarnation(0) } else { self.incarnation }
    }
}

impl From<&Life> for Memory {
    /// What others are to remember of it.
    fn from(life: &Life) -> Self {
        Self { incarnation: life.incarnation, mark: life.mark }
    }
}

/// What a side says when it is asked about its life and about marks that others remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeLook {
    /// Who the server says it is now.
    pub identity: Identity,
    /// Its row; `None` when there is none.
    pub life: Option<Life>,
    /// The counter of the oldest mark that is kept.
    pub oldest: u64,
    /// Those of the marks asked for that are kept.
    pub kept: Vec<Mark>,
}

impl LifeLook {
    /// Why this side may lack something that was acknowledged, whatever marks say; `None` when it is whole.
    pub fn doubt(&self) -> Option<String> {
        let Some(life) = &self.life else { return Some("has no life, or no mark of it: run `strangler init`".into()) };
        match (&life.suspended, life.unasked) {
            (Some(why), _) => Some(format!("is suspended ({why})")),
            (None, _) if life.identity != self.identity => {
                Some("was started anew or moved, and no replica has compared it since".into())
            }
            (None, Some(since)) => {
                Some(format!("was started anew, and the other side could not be asked since {since} what it lacks"))
            }
            (None, None) => None,
        }
    }
}

/// What became of a side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is no row, and nobody remembers one: its life may begin.
    Fresh,
    /// It is the database that we knew.
    Same,
    /// Every remembered mark is there, and the server is another: moved, upgraded, failed over or started anew without
    /// loss that marks can show.
    Moved,
    /// It lacks what somebody remembers: a restore, or a tail that was lost.
    GoneBack(Memory),
    /// It says itself that it is suspended, and why.
    Suspended(String),
    /// Nobody who remembers could be asked.
    Unknown,
}

/// Decides. `memories`: what each place that answered remembers of the side; `None` when no place answered at all.
pub fn judge(look: &LifeLook, memories: Option<&[Memory]>) -> Verdict {
    let Some(memories) = memories else { return Verdict::Unknown };
    let Some(life) = &look.life else {
        return memories.iter().max().map_or(Verdict::Fresh, |newest| Verdict::GoneBack(*newest));
    };
    if let Some(lacking) = memories.iter().filter(|memory| is_lacking(look, life, memory)).max() {
        return Verdict::GoneBack(*lacking);
    }
    match &life.suspended {
        Some(why) => Verdict::Suspended(why.clone()),
        None if life.identity != look.identity => Verdict::Moved,
        None => Verdict::Same,
    }
}

/// Whether the side lacks what is remembered. What was remembered before a raise was settled by the raise.
fn is_lacking(look: &LifeLook, life: &Life, memory: &Memory) -> bool {
    if memory.incarnation != life.incarnation {
        return memory.incarnation > life.incarnation;
    }
    memory.mark.counter >= look.oldest && !look.kept.contains(&memory.mark)
}

/// A write that stands in the ledger of one side, as [`Lives::writes_since`] tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Which.
    pub write: WriteId,
    /// Its group.
    pub group: GroupName,
    /// Whether it is known to be on both sides.
    pub settled: bool,
    /// Those of its keys that nothing newer has been recorded for here.
    pub keys: Vec<EntityKey>,
}

/// Over whose rows lost writes are brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Only over rows that are as they were left.
    Nobody,
    /// Over those, too, of which nobody knows whose they are: no write of ours had touched them before the loss.
    Unproven,
    /// Over what somebody else has made of a row, too.
    Anybody,
}

/// A side's life, as a port.
#[async_trait]
pub trait Lives: Send + Sync {
    /// The side's life, and which of `asked` it keeps.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn life(&self, asked: &[Mark], within: Duration) -> Result<LifeLook, StoreError>;

    /// Moves the mark from `from`, unless the side is suspended, the server is another, or somebody else has moved it.
    /// Whether it was moved.
    ///
    /// # Errors
    /// `Unreachable`, `Unwritable`, `NoAnswer`, `Conflict`, `Misfit`.
    async fn move_mark(&self, from: Mark, to: Mark, within: Duration) -> Result<bool, StoreError>;

    /// Suspends the side, inside the side: from then on it commits no write of ours, whoever asks. Harmless to repeat;
    /// the first reason stays, but for [`RAISING`]. Writers in flight either committed before or fail. Nothing when the
    /// incarnation is not `of` any more: what was found out about one life says nothing about the one that somebody raised
    /// meanwhile.
    ///
    /// # Errors
    /// As `move_mark`.
    async fn suspend(&self, of: Incarnation, why: &str, within: Duration) -> Result<(), StoreError>;

    /// Raises the incarnation from that of `from` to `to`, under the server's present identity and a new mark. The side
    /// stays suspended, as [`RAISING`], until [`Self::resume`]: the other side has to remember `to` first. False, and
    /// nothing was done, when the incarnation is not that of `from` any more.
    ///
    /// # Errors
    /// As `move_mark`.
    async fn raise(&self, from: Incarnation, to: Memory, within: Duration) -> Result<bool, StoreError>;

    /// Lets a side of incarnation `of` that was [started anew](Identity::was_restarted) go on as it is, though the other
    /// side cannot be asked what it lacks: that is owed, `since` then ([`Life::unasked`]), until a raise. False, and nothing
    /// was done, when it was not merely started anew, or is suspended.
    ///
    /// # Errors
    /// As `move_mark`.
    async fn go_on(&self, of: Incarnation, since: Instant, within: Duration) -> Result<bool, StoreError>;

    /// Ends a raise to `incarnation`: from then on the side takes writes. Harmless to repeat, and does nothing to a side
    /// that is suspended for another reason.
    ///
    /// # Errors
    /// As `move_mark`.
    async fn resume(&self, incarnation: Incarnation, within: Duration) -> Result<(), StoreError>;

    /// As secondary: this process has last read that the other side lives as `source`. Each apply proves by it that this
    /// side remembers nothing later of the other one; else whoever is at its end of the wire is an old instance, and it
    /// is [`Barred`](crate::Applied::Barred). Says whether that is another one than before. Nothing was read: 0.
    fn brings_from(&self, source: Incarnation) -> bool;

    /// Every new connection is compared with `memory` before it is first used: one to a side that lacks it suspends the
    /// side. What is expected last counts.
    fn expect(&self, memory: Memory);

    /// Remembers a mark of another side, unless something newer is remembered already.
    ///
    /// # Errors
    /// As `move_mark`.
    async fn remember(&self, of: Side, memory: Memory, within: Duration) -> Result<(), StoreError>;

    /// The newest mark of `of` that is remembered here.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn remembered(&self, of: Side, within: Duration) -> Result<Option<Memory>, StoreError>;

    /// Writes in this side's ledger that were noted at `since` or later, by id, beginning after `after`; at most `limit`.
    /// Abandoned ones are left out, and those that neither changed anything nor have an idempotency key.
    ///
    /// # Errors
    /// As `remembered`.
    async fn writes_since(
        &self,
        since: Instant,
        after: Option<WriteId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Noted>, StoreError>;

    /// As primary: makes settled writes unsettled again, for the relay to bring to a secondary that has lost them.
    ///
    /// # Errors
    /// As `move_mark`.
    async fn unsettle(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError>;

    /// The changes of those of `writes` that stand in this side's ledger (not abandoned), by write and ordinal.
    ///
    /// # Errors
    /// As `remembered`.
    async fn changes_of(&self, writes: &[WriteId], within: Duration) -> Result<Vec<Change>, StoreError>;

    /// Those of `writes` that stand in this side's ledger, changed nothing, and have an idempotency key.
    ///
    /// # Errors
    /// As `remembered`.
    async fn bare_of(&self, writes: &[WriteId], within: Duration) -> Result<Vec<Bare>, StoreError>;

    /// As a side that has gone back: takes changes that it has lost, from the ledger of the other side. As
    /// [`Store::apply`](crate::Store::apply), but behind another gate: this side is suspended and of the incarnation
    /// `of`, else [`Applied::Barred`]; a fence that is open bars nobody, since nobody can write here, and whichever
    /// instance of the other side was read, what it has was lost here. Whoever raises this side waits for it, and none
    /// comes after the raise.
    ///
    /// A row of which nobody knows whose it is ([`Whose::Unproven`](crate::foreign::Whose)) is
    /// [`Applied::Foreign`], too, with [`Over::Nobody`]; with [`Over::Anybody`] it is as with
    /// [`Store::apply_over`](crate::Store::apply_over).
    ///
    /// What came too late (`Stale`) is carried along in the ledger all the same: it was acknowledged here, and a repeat
    /// must find it. Harmless to repeat.
    ///
    /// # Errors
    /// As `Store::apply`.
    async fn bring_back(
        &self,
        of: Incarnation,
        changes: &[Change],
        over: Over,
        within: Duration,
    ) -> Result<Vec<Applied>, StoreError>;

    /// As [`Self::bring_back`], for writes that changed nothing: their rows, as [`Store::keep`](crate::Store::keep).
    ///
    /// # Errors
    /// As `Store::apply`.
    async fn keep_back(&self, of: Incarnation, writes: &[Bare], within: Duration) -> Result<Vec<Applied>, StoreError>;

    /// As secondary: ends settled writes that the primary has lost and nobody brings back. They are abandoned, and hold
    /// no idempotency key: a repeat is a new write, and settles. Harmless to repeat.
    ///
    /// # Errors
    /// As `move_mark`.
    async fn give_up(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError>;

    /// As secondary: settled writes hold no idempotency key any more, because another write has theirs on the primary.
    /// Harmless to repeat.
    ///
    /// # Errors
    /// As `move_mark`.
    async fn free_keys(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError>;

    /// The greatest incarnation in this side's life, versions and memories.
    ///
    /// # Errors
    /// As `remembered`.
    async fn greatest_incarnation(&self, within: Duration) -> Result<Incarnation, StoreError>;
}

#[cfg(test)]
mod tests;
