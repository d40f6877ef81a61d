//! What the model remembers: both databases, the replicas, the coordinators.

use crate::fence::{Fence, Stand};

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

/// What a system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The ERP.
    Legacy,
    /// The new store.
    Modern,
}

impl Side {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::Legacy, Self::Modern];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Legacy => Self::Modern,
            Self::Modern => Self::Legacy,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// Where in a primary's log a state stands: epoch, then position. One life of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u8, pub(crate) u8);

/// A row, as far as it matters: whether it is there, and which writes (a bit each) it is the outcome of. A row that was
/// deleted remembers that too, which no database does: it is how a lost write is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) there: bool,
    pub(crate) holds: u8,
}

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
    pub(crate) row: Row,
}

/// A transaction of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tx {
    /// Holds the fence's lock, shared; waits for the key's. The position is there with [`Flaw::PositionBeforeLock`] only.
    Begun { epoch: u8, position: Option<u8> },
    /// Holds both. Row changed, fence proved, position taken, ledger row inserted.
    Inserted { version: Version, row: Row },
}

/// One database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) fence: Fence,
    /// The last place of its log that was taken.
    pub(crate) position: u8,
    pub(crate) rows: [Row; KEYS],
    /// The version that stands recorded for each key; `(0, 0)`: none.
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
    /// Pages that were written at least once.
    pub(crate) filled: [[bool; KEYS]; 2],
    /// Crashes that may still happen.
    pub(crate) crashes: u8,
    /// Answers that may still get lost.
    pub(crate) losses: u8,
    /// A row went back to an older state.
    pub(crate) went_back: bool,
    /// A write was committed that the fence did not allow at that moment.
    pub(crate) trespassed: bool,
}

/// What a write does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Changes the row or makes it.
    Set,
    /// Deletes it.
    Delete,
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
}

/// What is tried.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name in reports.
    pub name: &'static str,
    /// The clients' writes and the repairs: each by any replica, at any time.
    pub ops: Vec<Op>,
    /// Where the authority is handed to, by one coordinator each, all at once.
    pub handovers: Vec<Side>,
    /// Baseline runs.
    pub baselines: usize,
    /// How many processes die.
    pub crashes: u8,
    /// How many answers get lost.
    pub losses: u8,
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
        let none = Version(0, 0);
        let store = |side: Side| Store {
            fence: Fence::new(1, if side == Side::Legacy { Stand::Open } else { Stand::Closed }),
            position: 0,
            rows: [Row { there: side == Side::Legacy || !self.only_on_legacy, holds: 0 }; KEYS],
            recorded: [none; KEYS],
            shown: [none; KEYS],
            ledger: [None; NAMES],
            txs: [None; NAMES],
        };
        let view = View { epoch: 1, modern: false };
        let under = |place| {
            let phase = if place < self.ops.len() { Phase::Idle } else { Phase::Ended };
            Under { phase, tried: 0 }
        };
        let coordinator = |place| {
            let step = if place < self.handovers.len() { Step::Idle } else { Step::Done };
            Coordinator { step, undoing: false, froze: false }
        };
        State {
            stores: Side::BOTH.map(store),
            under: std::array::from_fn(under),
            published: view,
            believed: std::array::from_fn(|epoch| (epoch == 1).then_some(Side::Legacy)),
            coordinators: std::array::from_fn(coordinator),
            pages: [[None; KEYS]; 2],
            filled: [[false; KEYS]; 2],
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
