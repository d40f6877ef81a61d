//! What all clients together may make this process hold, and what one of them may: bytes, or connections.
//!
//! Nobody waits here: who does not fit is told so at once, and can come again. Waiting would only hold more.
//!
//! Promise: what is held is never more than the budget, and of one client never more than its share. What is given back
//! is given back when its [`Hold`] is dropped, whatever became of the request.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use model::{Record, Value};
use parking_lot::Mutex;

use crate::client::Client;

/// The part of a budget that one client may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

impl Share {
    /// `None` unless it is above 0 and at most 1.
    pub fn new(ratio: f64) -> Option<Self> {
        (ratio > 0.0 && ratio <= 1.0).then_some(Self(ratio))
    }

    /// This part of `all`, and at least `least`.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a bound: it need not be exact, and is neither negative nor larger than what it is a part of"
    )]
    pub fn of(self, all: u64, least: u64) -> u64 {
        ((all as f64 * self.0) as u64).max(least).min(all)
    }
}

/// A budget and who holds how much of it.
#[derive(Debug)]
pub struct Budget {
    most: u64,
    share: u64,
    held: Mutex<Held>,
    /// Told whenever what is held has changed.
    shown: fn(u64),
}

#[derive(Debug, Default)]
struct Held {
    all: u64,
    by_client: HashMap<Client, u64>,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// This client has its share.
    OfClient,
    /// All together have everything.
    AtAll,
}

impl NoRoom {
    /// The closed label for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OfClient => "address",
            Self::AtAll => "process",
        }
    }
}

/// A part of a budget, until it is dropped.
#[derive(Debug)]
pub struct Hold {
    budget: Arc<Budget>,
    client: Client,
    amount: u64,
}

impl Budget {
    /// `most` in all, `share` for one client. `shown` is told what is held.
    pub fn new(most: u64, share: u64, shown: fn(u64)) -> Arc<Self> {
        Arc::new(Self { most, share, held: Mutex::default(), shown })
    }

    /// A budget that never ends, for what no client asks.
    pub fn endless() -> Arc<Self> {
        Self::new(u64::MAX, u64::MAX, |_| {})
    }

    /// Holds `amount` for `client`.
    ///
    /// # Errors
    /// [`NoRoom`]; nothing is held then.
    pub fn hold(self: &Arc<Self>, client: Client, amount: u64) -> Result<Hold, NoRoom> {
        let mut hold = Hold { budget: Arc::clone(self), client, amount: 0 };
        hold.resize(amount)?;
        Ok(hold)
    }

    /// What is held now.
    pub fn held(&self) -> u64 {
        self.held.lock().all
    }

    /// What `client` holds now.
    pub fn held_by(&self, client: Client) -> u64 {
        self.held.lock().by_client.get(&client).copied().unwrap_or_default()
    }

    fn change(&self, client: Client, from: u64, to: u64) -> Result<(), NoRoom> {
        let mut held = self.held.lock();
        let all = (held.all - from).saturating_add(to);
        if to > from && all > self.most {
            return Err(NoRoom::AtAll);
        }
        if client.is_known() {
            match held.by_client.entry(client) {
                Entry::Occupied(mut known) => {
                    let own = (known.get() - from).saturating_add(to);
                    if to > from && own > self.share {
                        return Err(NoRoom::OfClient);
                    }
                    if own == 0 {
                        known.remove();
                    } else {
                        *known.get_mut() = own;
                    }
                }
                Entry::Vacant(_) if to > self.share => return Err(NoRoom::OfClient),
                Entry::Vacant(place) => {
                    if to > 0 {
                        place.insert(to);
                    }
                }
            }
        }
        held.all = all;
        drop(held);
        (self.shown)(all);
        Ok(())
    }
}

impl Hold {
    /// Holds `amount` from now on. To hold less always succeeds.
    ///
    /// # Errors
    /// [`NoRoom`]; as much is held as before.
    pub fn resize(&mut self, amount: u64) -> Result<(), NoRoom> {
        self.budget.change(self.client, self.amount, amount)?;
        self.amount = amount;
        Ok(())
    }

    /// How much it is.
    pub fn amount(&self) -> u64 {
        self.amount
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // To hold less always succeeds.
        let _ = self.resize(0).is_ok();
    }
}

/// The bytes that rows hold.
pub fn rows<'r>(records: impl IntoIterator<Item = &'r Record>) -> u64 {
    /// What a value holds besides its text.
    const VALUE: usize = size_of::<Option<Value>>();
    let value = |value: &Value| match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Instant(_) => 0,
        Value::Decimal(_) => 2 * VALUE,
        Value::Text(text) => VALUE + text.len(),
        Value::List(values) => VALUE * values.len(),
    };
    let record = |record: &Record| -> usize { record.iter().map(|(_, held)| VALUE + value(held)).sum() };
    records.into_iter().map(|held| (VALUE + record(held)) as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(last: u8) -> Client {
        Client::at([192, 0, 2, last].into())
    }

    #[test]
    fn one_client_has_its_share_and_all_have_the_rest() {
        let budget = Budget::new(100, 40, |_| {});
        let first = budget.hold(client(1), 40).unwrap();
        assert_eq!(budget.hold(client(1), 1).unwrap_err(), NoRoom::OfClient);
        let mut second = budget.hold(client(2), 30).unwrap();
        assert_eq!(second.resize(41), Err(NoRoom::OfClient));
        assert_eq!((second.amount(), budget.held()), (30, 70));
        // Who is not counted has a place among all.
        assert_eq!(budget.hold(Client::default(), 31).unwrap_err(), NoRoom::AtAll);
        drop(first);
        assert_eq!(budget.held_by(client(1)), 0);
        assert!(budget.hold(Client::default(), 70).is_ok());
    }

    #[test]
    fn a_share_is_a_part_and_never_none() {
        assert_eq!([0.0, -1.0, 1.1, f64::NAN].map(Share::new), [None; 4]);
        let quarter = Share::new(0.25).unwrap();
        assert_eq!((quarter.of(1_000, 1), quarter.of(2, 1), quarter.of(10, 20)), (250, 1, 10));
    }

    proptest! {
        #[test]
        fn what_is_held_is_within_the_budget_and_all_of_it_comes_back(
            steps in prop::collection::vec((0_u8..4, 0_u64..60, any::<bool>()), 1..80),
        ) {
            let budget = Budget::new(100, 40, |_| {});
            let mut holds: Vec<Hold> = Vec::new();
            for (who, amount, begins) in steps {
                if begins {
                    holds.extend(budget.hold(client(who), amount));
                } else if let Some(mut hold) = holds.pop()
                    && hold.resize(amount).is_ok()
                    && amount % 2 == 0
                {
                    holds.insert(0, hold);
                }
                let sum: u64 = holds.iter().map(Hold::amount).sum();
                prop_assert_eq!(budget.held(), sum);
                prop_assert!(sum <= 100);
                for who in 0..4 {
                    prop_assert!(budget.held_by(client(who)) <= 40);
                }
            }
            holds.clear();
            prop_assert_eq!(budget.held(), 0);
            prop_assert!(budget.held.lock().by_client.is_empty());
        }
    }
}
