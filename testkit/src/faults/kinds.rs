//! What can go wrong, and where.

use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Gives way to another transaction; nothing is done.
    Reject,
    /// Does it, then says `NoAnswer`.
    FailAfter,
    /// Does nothing and answers only when the limit is over: `NoAnswer`.
    Hang,
    /// Does it twice and gives the second result.
    Twice,
    /// Does it after a while.
    Latency(Duration),
    /// Cannot be reached; nothing is done.
    Down,
    /// It takes no writes; nothing is done.
    DiskFull,
    /// The snapshot is over; nothing is read.
    Lost,
    /// Says `NoAnswer` when the limit is over and does it after that, as a packet that was on its way.
    /// For `execute` and `apply`; any other call hangs.
    Late,
    /// The caller dies before it is done: never answers, and wakes [`FaultyStore::crashed`](super::FaultyStore::crashed).
    CrashBefore,
    /// The task that calls panics; nothing is done.
    Panic,
    /// The caller dies after it is done: never answers, and wakes [`FaultyStore::crashed`](super::FaultyStore::crashed).
    CrashAfter,
}

/// A method of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named like the methods of `model::Store`")]
pub enum Call {
    Fetch,
    List,
    /// `Store::execute` and `Store::execute_seeing`.
    Execute,
    Rehearse,
    Claim,
    Apply,
    ApplyOver,
    Settle,
    LeaseUnsettled,
    UnsettledKeys,
    Backlog,
    LeftBehind,
    Traces,
    Fences,
    Strays,
    Standing,
    PastStates,
    AsLeft,
    /// `Store::carry`.
    Carry,
    /// `Store::keep`.
    Keep,
    /// `Store::recorded`.
    Recorded,
    Scan,
    /// `Scan::keyless`.
    Keyless,
    /// `Scan::left_out`.
    LeftOut,
    /// `Store::rough_count`.
    RoughCount,
    Sums,
    Members,
    Snapshot,
    Numbers,
    KeysOf,
    Learn,
    Forget,
    Incarnation,
    Prepare,
    /// All of `model::Lives` but what is brought back.
    Lives,
    /// `Lives::bring_back` and `Lives::keep_back`.
    BringBack,
    /// `Store::inspect`, `Store::bookkeeping` and `Tries`.
    Inspect,
    /// `Store::fence`.
    LookAtFence,
    MoveFence,
    Keyed,
    BeginSaga,
    SaveSaga,
    LeaseSagas,
    Saga,
    Sagas,
    OpenSagas,
    CountSagas,
    ForgetSagas,
    CopySaga,
    SagaCopies,
    RestoreSaga,
    /// `ShapeLog::shapes` and `ShapeLog::left_to_newer`.
    Shapes,
    /// `ShapeLog::register` and `ShapeLog::remember_shape`.
    Register,
}
