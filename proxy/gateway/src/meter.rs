//! What one request makes this process hold: its text, what it asks for, the rows, the answer until it is sent.
//!
//! What it may come to is held before anything runs, by its cost; rows and answer that are larger than that are counted
//! as they come. A request that needs more than any may have is refused for itself; one for which there is no room at
//! the moment is told to come again.

use std::sync::Arc;

use axum::http::StatusCode;
use parking_lot::Mutex;

use super::answer::{Answer, GraphqlError};
use net::budget::{Budget, Hold, NoRoom};
use net::client::Client;
use request::error::{ClientError, Fault};

/// What a body is taken to hold for each of its bytes, once it is read: a list in JSON takes ten times its text.
const READ: u64 = 16;
/// What one field of one object is taken to hold, from the row to the answer. Seen: 550 bytes with what carries it.
const FIELD: u64 = 512;
/// Counts for one request.
#[derive(Debug)]
pub(crate) struct Meter {
    most: u64,
    counted: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    hold: Hold,
    text: u64,
    expected: u64,
    used: u64,
}

/// Why a request cannot have more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooMuch {
    /// No request may have so much.
    OfOne(u64),
    /// There is no room at the moment.
    AtOnce(NoRoom),
}

impl Meter {
    /// Holds what a request of `bytes` bytes takes once it is read.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(crate) fn begin(budget: &Arc<Budget>, client: Client, most: u64, bytes: usize) -> Result<Arc<Self>, NoRoom> {
        // What was taken as a body can be read, whatever the limits are.
        let text = (bytes as u64).saturating_mul(READ).min(most / 2);
        let hold = budget.hold(client, text)?;
        Ok(Arc::new(Self { most, counted: Mutex::new(Counted { hold, text, expected: 0, used: 0 }) }))
    }

    /// One that counts for nobody.
    pub(crate) fn free() -> Arc<Self> {
        let hold = Budget::endless().hold(Client::default(), 0).expect("an endless budget has room");
        Arc::new(Self { most: u64::MAX, counted: Mutex::new(Counted { hold, text: 0, expected: 0, used: 0 }) })
    }

    /// Holds what a request of this cost may come to.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(crate) fn expect(&self, cost: u64) -> Result<(), NoRoom> {
        let counted = &mut *self.counted.lock();
        let expected = cost.saturating_mul(FIELD).min(self.most - counted.text);
        counted.hold.resize(counted.text + expected.max(counted.used))?;
        counted.expected = expected;
        Ok(())
    }

    /// Counts `bytes` more, which are there already.
    ///
    /// # Errors
    /// [`TooMuch`]; they are counted all the same.
    pub(crate) fn add(&self, bytes: u64) -> Result<(), TooMuch> {
        let counted = &mut *self.counted.lock();
        counted.used = counted.used.saturating_add(bytes);
        if counted.used > self.most - counted.text {
            return Err(TooMuch::OfOne(self.most));
        }
        counted.hold.resize(counted.text + counted.expected.max(counted.used)).map_err(TooMuch::AtOnce)
    }

    /// Nothing is left of the request but `bytes` of its answer.
    pub(crate) fn keep(&self, bytes: usize) {
        let counted = &mut *self.counted.lock();
        let bytes = counted.hold.amount().min(bytes as u64);
        // To hold less always succeeds.
        let _ = counted.hold.resize(bytes).is_ok();
    }
}

impl TooMuch {
    /// What the client is told.
    pub(crate) fn error(self) -> ClientError {
        match self {
            Self::OfOne(most) => ClientError::new(
                "ANSWER_LIMIT",
                format!("the answer would need more than {most} bytes here; ask for less at once"),
            ),
            Self::AtOnce(no_room) => overloaded("memory", no_room),
        }
    }
}

impl From<TooMuch> for Fault {
    fn from(too_much: TooMuch) -> Self {
        too_much.error().into()
    }
}

/// The answer to a request for which `budget` has no room.
pub(crate) fn refused(budget: &'static str, no_room: NoRoom) -> Answer {
    Answer::refused_with(StatusCode::SERVICE_UNAVAILABLE, GraphqlError::from(overloaded(budget, no_room)))
}

fn overloaded(budget: &'static str, no_room: NoRoom) -> ClientError {
    telemetry::no_room(budget, no_room);
    let message = match no_room {
        NoRoom::OfClient => "your address has as much under way here as it may; wait for answers, then try again",
        NoRoom::AtAll => "this server has as much under way as it may; try again in a moment",
    };
    ClientError::new("OVERLOADED", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client::at([192, 0, 2, 1].into())
    }

    #[test]
    fn a_request_holds_what_it_may_come_to_and_gives_back_all_but_its_answer() {
        let budget = Budget::new(1_000_000, 1_000_000, |_| {});
        let meter = Meter::begin(&budget, client(), 100_000, 100).unwrap();
        assert_eq!(budget.held(), 1_600);
        meter.expect(100).unwrap();
        assert_eq!(budget.held(), 1_600 + 51_200);
        meter.add(51_200).unwrap();
        assert_eq!(budget.held(), 1_600 + 51_200);
        meter.add(10_000).unwrap();
        assert_eq!(budget.held(), 1_600 + 61_200);
        assert_eq!(meter.add(50_000), Err(TooMuch::OfOne(100_000)));
        meter.keep(700);
        assert_eq!(budget.held(), 700);
        drop(meter);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_costly_request_holds_no_more_than_one_may() {
        let budget = Budget::new(1_000_000, 1_000_000, |_| {});
        let meter = Meter::begin(&budget, client(), 100_000, 1 << 20).unwrap();
        meter.expect(u64::MAX).unwrap();
        assert_eq!(budget.held(), 100_000);
    }

    #[test]
    fn what_does_not_fit_beside_the_others_is_told_to_come_again() {
        let budget = Budget::new(1_000_000, 60_000, |_| {});
        let meter = Meter::begin(&budget, client(), 100_000, 100).unwrap();
        assert_eq!(meter.expect(1_000), Err(NoRoom::OfClient));
        assert_eq!(meter.add(70_000), Err(TooMuch::AtOnce(NoRoom::OfClient)));
        assert_eq!(TooMuch::AtOnce(NoRoom::OfClient).error().code, "OVERLOADED");
    }
}
