//! From journal and books to the history of each shelf, and what the search says of it.
//!
//! What counts as evidence:
//! - an acknowledged write, with what it left;
//! - `INSUFFICIENT_STOCK`, when no attempt of the operation is in doubt;
//! - a write in doubt that stands in the books, at any time up to the end; one that does not stand never was;
//! - a read, as far as its client was promised something ([`Promise`]): it stands behind the client's own last write, and may be
//!   older than the read itself. Modern may answer it, so the whole design promises no more;
//! - what both sides hold at the end.
//!
//! Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use model::Side;

use super::books::Books;
use super::journal::{Action, Operation, Outcome, Promise, Shelf};
use super::linear::{Act, Call, Found, check};

/// Calls that touch count as overlapping; so long after another, a call comes later.
const INSTANT: Duration = Duration::from_nanos(1);
/// How much of a history is told when something fits nowhere in it.
const BEFORE: Duration = Duration::from_secs(2);

/// The search over all shelves.
#[derive(Debug, Default)]
pub struct Histories {
    /// Shelves that were searched.
    pub shelves: usize,
    /// Calls in all histories.
    pub calls: usize,
    /// Calls in the longest history.
    pub longest: usize,
    /// Shelves whose history is wrong.
    pub wrong: usize,
    /// Shelves whose history is not linearizable, or could not be decided, and why.
    pub told: Vec<String>,
}

/// Searches every shelf, from `initial` on each; `ended` is when the books were read.
pub fn search(operations: &[Operation], books: &Books, initial: i64, ended: Duration) -> Histories {
    let mut histories = Histories::default();
    for (shelf, calls) in of_shelves(operations, books, ended) {
        histories.shelves += 1;
        histories.calls += calls.len();
        histories.longest = histories.longest.max(calls.len());
        match check(initial, &calls) {
            Found::Linearizable => continue,
            Found::Not(stuck) => {
                let Call { from, to, act, .. } = stuck.call;
                histories.told.push(format!(
                    "{shelf}: after {} calls {} is on hand; {act:?} between {from:?} and {to:?} fits nowhere",
                    stuck.placed, stuck.state
                ));
                histories.told.extend(around(operations, &shelf, &stuck.call));
            }
            Found::Undecided => histories.told.push(format!("{shelf}: {} calls are too many to decide", calls.len())),
        }
        histories.wrong += 1;
    }
    histories
}

/// The history of each shelf, and where in it the write of a mark stands.
#[derive(Default)]
struct Shelves {
    calls: BTreeMap<Shelf, Vec<Call>>,
    places: HashMap<(Shelf, String), usize>,
}

impl Shelves {
    fn put(&mut self, shelf: &Shelf, (from, to): (Duration, Duration), after: Option<usize>, act: Act) -> usize {
        let calls = self.calls.entry(shelf.clone()).or_default();
        calls.push(Call { from, to: Some(to), after, act });
        calls.len() - 1
    }

    fn write(&mut self, operation: &Operation, to: Duration, left: &[i64]) {
        let span = (operation.began, to);
        let left = |place: usize| left.get(place).copied();
        let effects = match &operation.action {
            Action::Adjust { shelf, delta } => vec![(shelf, Act::Add { by: *delta, left: left(0) })],
            Action::Count { shelf, on_hand } => vec![(shelf, Act::Set { to: *on_hand })],
            Action::Transfer { from, to, quantity } => {
                vec![(from, Act::Add { by: -quantity, left: left(0) }), (to, Act::Add { by: *quantity, left: left(1) })]
            }
            Action::Miss { .. } | Action::Look { .. } => Vec::new(),
        };
        for (shelf, act) in effects {
            let place = self.put(shelf, span, None, act);
            self.places.insert((shelf.clone(), operation.mark.clone()), place);
        }
    }

    fn read(&mut self, shelf: &Shelf, promise: &Promise, ended: Duration, saw: i64) {
        let since = promise.own().map_or(Duration::ZERO, |own| own.began);
        let own = promise.own().and_then(|own| self.places.get(&(shelf.clone(), own.mark.clone())).copied());
        self.put(shelf, (since, ended), own, Act::Look { saw });
    }
}

fn of_shelves(operations: &[Operation], books: &Books, ended: Duration) -> BTreeMap<Shelf, Vec<Call>> {
    let mut shelves = Shelves::default();
    for operation in operations {
        match &operation.outcome {
            Outcome::Acknowledged { left, .. } => shelves.write(operation, operation.ended, left),
            Outcome::Unknown if Side::BOTH.iter().any(|side| books.get(*side).has(operation)) => {
                shelves.write(operation, ended, &[])
            }
            Outcome::Refused => {
                if let Some((shelf, by)) = taken(&operation.action) {
                    shelves.put(shelf, (operation.began, operation.ended), None, Act::TooFew { by });
                }
            }
            Outcome::Unknown | Outcome::Failed | Outcome::Read(_) | Outcome::Nothing => {}
        }
    }
    // Behind all writes, since they name them.
    for operation in operations {
        if let (Outcome::Read(saw), Action::Look { shelf, promise }) = (&operation.outcome, &operation.action) {
            shelves.read(shelf, promise, operation.ended, *saw);
        }
    }
    let last = ended + INSTANT;
    for side in Side::BOTH {
        for (shelf, on_hand) in &books.get(side).levels {
            shelves.put(shelf, (last, last), None, Act::Look { saw: *on_hand });
        }
    }
    shelves.calls
}

/// What happened on the shelf at about that time.
fn around(operations: &[Operation], shelf: &Shelf, call: &Call) -> Vec<String> {
    let (from, to) = (call.from.saturating_sub(BEFORE), call.to.unwrap_or(call.from));
    let near = |it: &&Operation| it.touches(shelf) && it.began <= to && it.ended >= from;
    let mut near: Vec<_> = operations.iter().filter(near).collect();
    near.sort_by_key(|operation| operation.began);
    near.into_iter().map(|operation| format!("  {operation}")).collect()
}

/// Of what an operation takes away, and how much as a negative number.
fn taken(action: &Action) -> Option<(&Shelf, i64)> {
    match action {
        Action::Adjust { shelf, delta } => Some((shelf, *delta)),
        Action::Transfer { from, quantity, .. } => Some((from, -quantity)),
        Action::Count { .. } | Action::Miss { .. } | Action::Look { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use model::PerSide;

    use super::super::books::{Movement, SideBooks};
    use super::super::journal::Own;
    use super::*;

    const END: Duration = Duration::from_secs(99);

    fn shelf() -> Shelf {
        Shelf { sku: "A".into(), location: "B".into() }
    }

    fn operation(mark: &str, second: u64, action: Action, outcome: Outcome) -> Operation {
        let (began, ended) = (Duration::from_secs(second), Duration::from_millis(second * 1_000 + 500));
        Operation { mark: mark.into(), action, replica: 0, began, ended, failures: Vec::new(), outcome }
    }

    fn adjust(second: u64, delta: i64, left: i64) -> Operation {
        let outcome = Outcome::Acknowledged { write: format!("w{second}"), left: vec![left] };
        operation(&format!("m{second}"), second, Action::Adjust { shelf: shelf(), delta }, outcome)
    }

    fn look(second: u64, promise: Promise, saw: i64) -> Operation {
        operation("", second, Action::Look { shelf: shelf(), promise }, Outcome::Read(saw))
    }

    fn books(legacy: i64, modern: i64, mark: Option<&str>) -> Books {
        let side = |on_hand| {
            let mut side = SideBooks { levels: [(shelf(), on_hand)].into(), ..SideBooks::default() };
            if let Some(mark) = mark {
                let movement = Movement { id: "w".into(), shelf: shelf(), kind: "R".into(), quantity: 0 };
                side.movements.insert(mark.to_owned(), vec![movement]);
            }
            side
        };
        PerSide { legacy: side(legacy), modern: side(modern) }
    }

    fn wrong(operations: &[Operation], books: &Books) -> usize {
        search(operations, books, 10, END).wrong
    }

    #[test]
    fn a_final_state_that_acknowledged_writes_do_not_explain_is_found() {
        let history = [adjust(1, -3, 7), adjust(2, -2, 5)];
        assert_eq!(wrong(&history, &books(5, 5, None)), 0);
        // One acknowledged write removed, or doubled, on either side.
        for (legacy, modern) in [(7, 7), (3, 3), (5, 7), (3, 5)] {
            assert_eq!(wrong(&history, &books(legacy, modern, None)), 1);
        }
        assert_eq!(wrong(&history[1..], &books(5, 5, None)), 1, "a write that the history does not know");
    }

    #[test]
    fn a_read_may_be_older_than_itself_and_not_older_than_its_promise() {
        let writes = [adjust(1, -3, 7), adjust(3, -2, 5)];
        let own = |second: u64| Own { mark: format!("m{second}"), began: Duration::from_secs(second) };
        let with = |promise, saw| [writes.as_slice(), &[look(6, promise, saw)]].concat();
        let (first, last) = (Promise::Token(own(1)), Promise::SameReplica(own(3)));
        assert_eq!(wrong(&with(first.clone(), 7), &books(5, 5, None)), 0, "another's write since is not promised");
        assert_eq!(wrong(&with(first, 10), &books(5, 5, None)), 1, "the own one is");
        assert_eq!(wrong(&with(last, 7), &books(5, 5, None)), 1);
        assert_eq!(wrong(&with(Promise::Existed, 10), &books(5, 5, None)), 0);
        assert_eq!(wrong(&with(Promise::Existed, 9), &books(5, 5, None)), 1, "it never was");
    }

    #[test]
    fn a_write_in_doubt_counts_exactly_if_it_is_booked() {
        let doubt = operation("m", 1, Action::Adjust { shelf: shelf(), delta: -3 }, Outcome::Unknown);
        let history = [doubt, adjust(5, -2, 8)];
        assert_eq!(wrong(&history, &books(5, 5, Some("m"))), 0, "it took effect late");
        assert_eq!(wrong(&history, &books(8, 8, Some("m"))), 1, "it is booked");
        assert_eq!(wrong(&history, &books(8, 8, None)), 0);
        assert_eq!(wrong(&history, &books(5, 5, None)), 1, "it is not booked");
    }

    #[test]
    fn a_refusal_must_have_been_due() {
        let refused = |delta| operation("m", 3, Action::Adjust { shelf: shelf(), delta }, Outcome::Refused);
        assert_eq!(wrong(&[adjust(1, -3, 7), refused(-8)], &books(7, 7, None)), 0);
        assert_eq!(wrong(&[adjust(1, -3, 7), refused(-7)], &books(7, 7, None)), 1);
    }
}
