//! What the model remembers: both databases, the replicas, the coordinators.

use crate::fence::{Fence, Stand};
pub use crate::side::Side;

/// How many keys there are.
pub(crate) const KEYS: usize = 2;
/// How many writes a scenario has at most.
pub(crate) const OPS: usize = 3;
/// Each write is tried at most twice, under two names.
pub(crate) const TRIES: usize = 2;
/// Epochs that there is room for; no scenario needs more.
pub(crate) const EPOCHS: usize = 12;
/// Names of writes.
pub(crate) const NAMES: usize = OPS * TRIES;

/// Where in a primary's log a state stands: epoch, life of the log, position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u8, pub(crate) u8, pub(crate) u8);

/// A row, as far as it matters: whether it is there, and which writes (a bit each) it is the outcome of. A row that was
/// deleted remembers that too, which no database does: it is how a lost write is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) there: bool,
    pub(crate) holds: u8,
    /// The same for a field that only the newer of two contracts has.
    pub(crate) wide: u8,
}

/// In [`Row::holds`]: somebody outside strangler has written it.
pub(crate) const OUTSIDE: u8 = 1 << 7;

/// What a write leaves: a row for each key that it touches.
pub(crate) type Rows = [Option<Row>; KEYS];

/// How far a write is, in the ledger of the side that took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mark {
    /// Claimed before it stood: it never will.
    Abandoned,
    /// The other side is not known to have it.
    Unsettled,
    /// Both have it.
    Settled,
}

/// A ledger row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) mark: Mark,
    pub(crate) version: Version,
    pub(crate) rows: Rows,
}

/// A transaction of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tx {
    /// Has its snapshot, and waits for the fence's lock. With [`Flaw::OldSnapshot`] only: else no statement that is
    /// answered from a snapshot comes before that lock is held.
    Waiting { epoch: u8, saw: Fence },
    /// Holds the fence's lock, shared; waits for the key's. The position is there with [`Flaw::PositionBeforeLock`] only.
    Begun { epoch: u8, position: Option<u8> },
    /// Holds both. Rows changed, fence proved, position taken, ledger rows inserted.
    Inserted { version: Version, rows: Rows },
}

/// One database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) fence: Fence,
    /// Which life its log is in.
    pub(crate) life: u8,
    /// Nobody writes here until somebody has raised its life.
    pub(crate) suspended: bool,
    /// The newest mark that its life row has.
    pub(crate) mark: u8,
    /// The last place of its log that was taken.
    pub(crate) position: u8,
    pub(crate) rows: [Row; KEYS],
    /// The version that stands recorded for each key; `(0, 0, 0)`: none.
    pub(crate) recorded: [Version; KEYS],
    /// The version of the state that each row really holds. Nobody in the protocol can see it.
    pub(crate) shown: [Version; KEYS],
    /// By name of the write.
    pub(crate) ledger: [Option<Entry>; NAMES],
    /// By name of the write.
    pub(crate) txs: [Option<Tx>; NAMES],
}

/// Where a client's write is, as the replica sees it that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// To be sent, again or for the first time.
    Idle,
    /// Sent to a side; its answer is waited for.
    Sent(Side),
    /// No answer came: the name is claimed there.
    Claiming(Side),
    /// The client was told that it stands.
    Acknowledged,
    /// The client was told that it does not, or nothing: the replica has died.
    Ended,
}

/// A write under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Under {
    pub(crate) phase: Phase,
    /// Which try.
    pub(crate) tried: u8,
}

/// Who is primary by the newest rollout, and under which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct View {
    pub(crate) epoch: u8,
    pub(crate) modern: bool,
}

impl View {
    pub(crate) fn side(self) -> Side {
        if self.modern { Side::Modern } else { Side::Legacy }
    }
}

/// How far a coordinator is. What it knows of the fences may be old when it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Not begun, or to look again.
    Idle,
    /// Legacy's fence is read.
    Half(Fence),
    /// Both are.
    Looked([Fence; 2]),
    /// And nothing was left in the frozen side's ledger.
    Drained([Fence; 2]),
    /// The side it was asked for has the authority, and the rollout says so; or it gave up and put everything back.
    Done,
}

/// Somebody who hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Coordinator {
    pub(crate) step: Step,
    /// It ran out of time, and undoes the handover.
    pub(crate) undoing: bool,
    /// It froze the other side, or found it frozen: it does so once, and when that was undone it ends.
    pub(crate) froze: bool,
    /// Modern's fence, behind which it found everything brought over.
    pub(crate) drained: Option<Fence>,
}

/// Everything at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) stores: [Store; 2],
    pub(crate) under: [Under; OPS],
    pub(crate) published: View,
    /// Who was primary, by epoch. Each is what some replica may still believe: of how many, and which, makes no difference.
    pub(crate) believed: [Option<Side>; EPOCHS],
    pub(crate) coordinators: [Coordinator; 2],
    /// Pages of each baseline run that were read, by key.
    pub(crate) pages: [[Option<Row>; KEYS]; 2],
    /// Pages that were written at least once, or refused.
    pub(crate) filled: [[bool; KEYS]; 2],
    /// Pages that came when modern had the authority.
    pub(crate) refused: [[bool; KEYS]; 2],
    /// Where somebody outside strangler has written a key, and under which epoch of that side.
    pub(crate) outside: [Option<(Side, u8)>; KEYS],
    /// A copy of legacy, from which it may be restored.
    pub(crate) copy: Option<Store>,
    /// Restores that may still happen.
    pub(crate) restores: u8,
    /// The newest mark of legacy's that modern remembers.
    pub(crate) known: u8,
    /// Keys that must be looked at on legacy, since its life was raised.
    pub(crate) owed: [bool; KEYS],
    /// Crashes that may still happen.
    pub(crate) crashes: u8,
    /// Answers that may still get lost.
    pub(crate) losses: u8,
    /// A row went back to an older state.
    pub(crate) went_back: bool,
    /// A write was committed, or a change applied, that the fence did not allow at that moment.
    pub(crate) trespassed: bool,
}

/// What a write does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Changes the row or makes it.
    Set,
    /// Deletes it.
    Delete,
    /// Changes both rows.
    Transfer,
    /// Changes the row, by a replica whose contract has a field less: the row keeps that field, what is told of it lacks it.
    Narrow,
    /// Repair: reads it again under its lock.
    Touch,
}

/// A write of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Op {
    /// Of which key.
    pub key: usize,
    /// What it does.
    pub kind: Kind,
}

/// A wrong turn: each must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// Commits do not prove the fence.
    NoFence,
    /// The position is taken before the key's lock is held.
    PositionBeforeLock,
    /// Deleting on the secondary forgets the version.
    NoTombstone,
    /// An unknown outcome is looked up, and what is not there yet is tried again.
    LookInsteadOfClaim,
    /// Whoever freezes does not wait for writers in flight.
    FreezeWithoutWaiting,
    /// Undoing opens the old side without raising the new side's fence first.
    UndoWithoutRaising,
    /// The backlog is read before the freeze.
    DrainBeforeFreeze,
    /// Nothing is drained.
    NoDrain,
    /// Versions are compared by position alone.
    PositionWithoutEpoch,
    /// A primary does not record the versions of its own writes.
    PrimaryRecordsNothing,
    /// Backlog that is left behind does not stop the handover (`--force`).
    Force,
    /// A transaction reads the fence in the snapshot that it had before it held the fence's lock: another isolation than
    /// READ COMMITTED.
    OldSnapshot,
    /// What is applied does not prove that the side it changes has not the authority.
    ApplyPastFence,
    /// A state that lacks a field is applied as if it were whole.
    NarrowApplied,
    /// A replica compares a side's life with what it remembers itself, which may be nothing, and not with what the other
    /// side remembers.
    OwnMemory,
    /// A life is raised, and nobody looks at the keys that the other side has from the one before.
    RaiseWithoutLooking,
    /// Modern takes writes alone before legacy is barred.
    AloneWithoutBar,
}

/// What a coordinator is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// That the side has the authority.
    To(Side),
    /// That modern takes writes alone.
    Alone,
}

/// What is tried.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name in reports.
    pub name: &'static str,
    /// The clients' writes and the repairs: each by any replica, at any time.
    pub ops: Vec<Op>,
    /// What the authority shall come to, by one coordinator each, all at once.
    pub handovers: Vec<Goal>,
    /// Whether it begins after a handover to modern.
    pub reverse: bool,
    /// Baseline runs.
    pub baselines: usize,
    /// How many processes die.
    pub crashes: u8,
    /// How many answers get lost.
    pub losses: u8,
    /// Keys that somebody outside strangler writes on the primary, once each, under epoch 2 and later.
    pub outsiders: Vec<usize>,
    /// How often legacy is restored from a copy.
    pub restores: u8,
    /// Rows that legacy holds at the beginning and modern does not.
    pub only_on_legacy: bool,
    /// Wrong turns.
    pub flaws: Vec<Flaw>,
}

impl Scenario {
    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.flaws.contains(&flaw)
    }

    pub(crate) fn begin(&self) -> State {
        let none = Version(0, 0, 0);
        let fence = |side: Side| match (self.reverse, side) {
            (false, Side::Legacy) => Fence::new(1, Stand::Open),
            (false, Side::Modern) => Fence::new(1, Stand::Closed),
            (true, Side::Legacy) => Fence::new(2, Stand::Frozen),
            (true, Side::Modern) => Fence::new(2, Stand::Open),
        };
        let store = |side: Side| Store {
            fence: fence(side),
            life: 1,
            suspended: false,
            mark: 0,
            position: 0,
            rows: [Row { there: side == Side::Legacy || !self.only_on_legacy, holds: 0, wide: 0 }; KEYS],
            recorded: [none; KEYS],
            shown: [none; KEYS],
            ledger: [None; NAMES],
            txs: [None; NAMES],
        };
        let view = View { epoch: 1 + u8::from(self.reverse), modern: self.reverse };
        let under = |place| {
            let phase = if place < self.ops.len() { Phase::Idle } else { Phase::Ended };
            Under { phase, tried: 0 }
        };
        let coordinator = |place| {
            let step = if place < self.handovers.len() { Step::Idle } else { Step::Done };
            Coordinator { step, undoing: false, froze: false, drained: None }
        };
        State {
            stores: Side::BOTH.map(store),
            under: std::array::from_fn(under),
            published: view,
            believed: std::array::from_fn(|epoch| match epoch {
                1 => Some(Side::Legacy),
                2 if self.reverse => Some(Side::Modern),
                _ => None,
            }),
            coordinators: std::array::from_fn(coordinator),
            pages: [[None; KEYS]; 2],
            filled: [[false; KEYS]; 2],
            refused: [[false; KEYS]; 2],
            outside: [None; KEYS],
            copy: None,
            restores: self.restores,
            known: 0,
            owed: [false; KEYS],
            crashes: self.crashes,
            losses: self.losses,
            went_back: false,
            trespassed: false,
        }
    }
}

impl State {
    pub(crate) fn store(&self, side: Side) -> &Store {
        &self.stores[side.index()]
    }

    pub(crate) fn store_mut(&mut self, side: Side) -> &mut Store {
        &mut self.stores[side.index()]
    }

    pub(crate) fn fences(&self) -> [Fence; 2] {
        self.stores.map(|store| store.fence)
    }
}

impl Store {
    /// The row of `key` becomes `row` of `version`; whether that is a step back.
    pub(crate) fn put(&mut self, key: usize, row: Row, version: Version) -> bool {
        let back = version < self.shown[key];
        self.rows[key] = row;
        self.shown[key] = version;
        back
    }
}

/// The name of a try of a write.
pub(crate) fn name_of(op: usize, tried: u8) -> usize {
    op * TRIES + usize::from(tried)
}
