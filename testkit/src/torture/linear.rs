//! Is the history of one shelf linearizable? Whether there is one order of all calls that respects
//! real time, and in which every answer is right.
//!
//! The search of Wing and Gong with the memory of Lowe, as Porcupine does it: take any call that no
//! finished call precedes, see whether its answer fits the state, go on, and step back when nothing fits;
//! a set of placed calls with the same state is tried once. A read that fits is never taken
//! back: wherever it stands in a right order, it may stand here.
//!
//! Linearizability is local: a history is linearizable if that of every shelf is. A transfer is two
//! calls, one on each shelf, so that both halves happen at one moment is *not* checked here (`books` checks that both happened).
//!
//! Not here: which answers count as evidence (`verdict`).

use std::collections::HashSet;
use std::time::Duration;

/// States tried before the search gives up undecided.
const MOST_STATES: usize = 5_000_000;

/// What a call does to the shelf's number, and what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Adds `by`, refused below zero; told what is left, if anything was told.
    Add {
        /// May be negative.
        by: i64,
        /// What was told.
        left: Option<i64>,
    },
    /// Sets it to `to`.
    Set {
        /// The new number.
        to: i64,
    },
    /// Saw it.
    Look {
        /// What was seen.
        saw: i64,
    },
    /// Wanted to add `by` and was told that less than zero would remain.
    TooFew {
        /// Negative.
        by: i64,
    },
}

impl Act {
    /// Whether it changes any state. One that does not where it stands now may do so elsewhere.
    fn may_change(self) -> bool {
        match self {
            Self::Add { .. } | Self::Set { .. } => true,
            Self::Look { .. } | Self::TooFew { .. } => false,
        }
    }

    /// The state after the call, if it fits the state before.
    fn step(self, state: i64) -> Option<i64> {
        match self {
            Self::Add { by, left } => {
                let after = state + by;
                (after >= 0 && left.is_none_or(|left| left == after)).then_some(after)
            }
            Self::Set { to } => Some(to),
            Self::Look { saw } => (saw == state).then_some(state),
            Self::TooFew { by } => (state + by < 0).then_some(state),
        }
    }
}

/// One call on a shelf: takes effect at one moment between `from` and `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Not before this.
    pub from: Duration,
    /// Not after this. `None`: at any time later, or never.
    pub to: Option<Duration>,
    /// Not before this call, by its place among all calls.
    pub after: Option<usize>,
    /// What it does.
    pub act: Act,
}

/// What the search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is a right order.
    Linearizable,
    /// There is none.
    Not(Stuck),
    /// The search was given up.
    Undecided,
}

/// The longest right beginning, and the call that fits nowhere behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Calls in that beginning.
    pub placed: usize,
    /// The state after it.
    pub state: i64,
    /// The call that had to come next at the latest.
    pub call: Call,
}

/// Searches a right order of `calls`, from the state `initial`.
pub fn check(initial: i64, calls: &[Call]) -> Found {
    Search::new(initial, calls).run()
}

/// Begin and end of calls in the order of time, as a list that calls can be lifted out of.
struct Timeline {
    /// Each event's call, and whether it is its begin.
    events: Vec<(usize, bool)>,
    /// Where each call's events are.
    places: Vec<(usize, Option<usize>)>,
    /// One more than the events: the last is both ends of the list.
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl Timeline {
    fn of(calls: &[Call]) -> Self {
        let begins = calls.iter().enumerate().map(|(number, call)| (call.from, false, number));
        let ends = calls.iter().enumerate().filter_map(|(number, call)| Some((call.to?, true, number)));
        let mut order: Vec<_> = begins.chain(ends).collect();
        // At the same moment begins come first: such calls overlap.
        order.sort_unstable();
        let events: Vec<_> = order.iter().map(|&(_, ends, number)| (number, !ends)).collect();
        let mut places = vec![(0, None); calls.len()];
        for (place, &(call, begins)) in events.iter().enumerate() {
            if begins {
                places[call].0 = place;
            } else {
                places[call].1 = Some(place);
            }
        }
        let size = events.len() + 1;
        let next = (0..size).map(|place| (place + 1) % size).collect();
        let previous = (0..size).map(|place| (place + size - 1) % size).collect();
        Self { events, places, next, previous }
    }

    fn anchor(&self) -> usize {
        self.events.len()
    }

    fn lift(&mut self, call: usize) {
        let (begin, end) = self.places[call];
        for place in [Some(begin), end].into_iter().flatten() {
            let (before, after) = (self.previous[place], self.next[place]);
            self.next[before] = after;
            self.previous[after] = before;
        }
    }

    /// Undoes the last [`Timeline::lift`] that is not undone.
    fn put_back(&mut self, call: usize) {
        let (begin, end) = self.places[call];
        for place in [end, Some(begin)].into_iter().flatten() {
            let (before, after) = (self.previous[place], self.next[place]);
            self.next[before] = place;
            self.previous[after] = place;
        }
    }
}

struct Search<'a> {
    calls: &'a [Call],
    timeline: Timeline,
    state: i64,
    /// Placed calls, in order, with the state before each.
    placed: Vec<(usize, i64)>,
    /// The same as bits.
    bits: Vec<u64>,
    tried: HashSet<(Vec<u64>, i64)>,
    /// Calls with an end that are not placed.
    owed: usize,
    stuck: Option<Stuck>,
}

impl<'a> Search<'a> {
    fn new(initial: i64, calls: &'a [Call]) -> Self {
        Self {
            calls,
            timeline: Timeline::of(calls),
            state: initial,
            placed: Vec::new(),
            bits: vec![0; calls.len().div_ceil(64)],
            tried: HashSet::new(),
            owed: calls.iter().filter(|call| call.to.is_some()).count(),
            stuck: None,
        }
    }

    fn run(mut self) -> Found {
        let mut place = self.timeline.next[self.timeline.anchor()];
        while self.owed > 0 {
            if self.tried.len() > MOST_STATES {
                return Found::Undecided;
            }
            place = match self.timeline.events.get(place).copied() {
                Some((call, true)) if self.place(call) => self.timeline.next[self.timeline.anchor()],
                Some((_, true)) => self.timeline.next[place],
                // Whatever ends here should have been placed by now.
                Some((call, false)) => {
                    self.note(call);
                    match self.step_back() {
                        Some(place) => place,
                        None => return self.lost(),
                    }
                }
                None => match self.step_back() {
                    Some(place) => place,
                    None => return self.lost(),
                },
            };
        }
        Found::Linearizable
    }

    /// Places `call` next, if it fits and that was not tried before.
    fn place(&mut self, call: usize) -> bool {
        let too_early = self.calls[call].after.is_some_and(|first| !self.is_placed(first));
        let Some(after) = self.calls[call].act.step(self.state).filter(|_| !too_early) else { return false };
        self.flip(call);
        if !self.tried.insert((self.bits.clone(), after)) {
            self.flip(call);
            return false;
        }
        self.placed.push((call, self.state));
        self.state = after;
        self.timeline.lift(call);
        self.owed -= usize::from(self.calls[call].to.is_some());
        true
    }

    /// Takes calls back up to the last one that could have been another; where to go on.
    fn step_back(&mut self) -> Option<usize> {
        loop {
            let (call, before) = self.placed.pop()?;
            self.flip(call);
            self.state = before;
            self.timeline.put_back(call);
            self.owed += usize::from(self.calls[call].to.is_some());
            if self.calls[call].act.may_change() {
                return Some(self.timeline.next[self.timeline.places[call].0]);
            }
        }
    }

    fn is_placed(&self, call: usize) -> bool {
        self.bits[call / 64] & (1 << (call % 64)) != 0
    }

    fn flip(&mut self, call: usize) {
        self.bits[call / 64] ^= 1 << (call % 64);
    }

    fn note(&mut self, call: usize) {
        if self.stuck.as_ref().is_none_or(|stuck| self.placed.len() > stuck.placed) {
            self.stuck = Some(Stuck { placed: self.placed.len(), state: self.state, call: self.calls[call] });
        }
    }

    fn lost(self) -> Found {
        // A call that is owed has an end, and the search cannot be lost without having stood before one.
        self.stuck.map_or(Found::Undecided, Found::Not)
    }
}

#[cfg(test)]
#[path = "linear_tests.rs"]
mod tests;
