//! A bounded queue in which clients take turns: by address, and behind one address by the value of the stick header.
//!
//! Whoever sends much waits behind himself. When the queue is full, the one to go is the newest of the address that has
//! the most waiting, and there of its fullest lane: a client that floods loses its own.
//!
//! Invariants: never more than `most` wait; no lane is empty. Not here: what is queued (`shadow`).

use std::collections::VecDeque;

use indexmap::IndexMap;

use net::client::Client;

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Asker {
    /// By address. All who are not known (tests, a trusted proxy that names nobody) are one.
    pub client: Client,
    /// What the client says it is: worth something only among those of one address.
    pub stick: Option<String>,
}

/// What waits.
#[derive(Debug)]
pub(super) struct Turns<T> {
    addresses: IndexMap<Client, Lanes<T>>,
    waiting: usize,
    most: usize,
}

#[derive(Debug)]
struct Lanes<T> {
    sticks: IndexMap<Option<String>, VecDeque<T>>,
    waiting: usize,
}

impl<T> Turns<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { addresses: IndexMap::new(), waiting: 0, most: most.max(1) }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Lets `item` wait; returns what must go for it, which may be itself.
    pub(super) fn push(&mut self, asker: Asker, item: T) -> Option<T> {
        let mut gone = None;
        if self.waiting >= self.most {
            let own = self.addresses.get(&asker.client).map_or(0, |lanes| lanes.waiting);
            let fullest = self.addresses.values().max_by_key(|lanes| lanes.waiting);
            let fullest = fullest.filter(|lanes| lanes.waiting > own).map(|_| ());
            // Among those that have equally much, whoever comes now has come too late.
            let own_lane = self.addresses.get(&asker.client).and_then(|lanes| lanes.sticks.get(&asker.stick));
            let longest = self.addresses.get(&asker.client).map_or(0, Lanes::longest);
            if fullest.is_none() && own_lane.map_or(0, VecDeque::len) >= longest {
                return Some(item);
            }
            gone = match fullest {
                Some(()) => self.evict(None),
                None => self.evict(Some(asker.client)),
            };
        }
        let lanes = self.addresses.entry(asker.client).or_insert_with(Lanes::new);
        lanes.sticks.entry(asker.stick).or_default().push_back(item);
        lanes.waiting += 1;
        self.waiting += 1;
        gone
    }

    /// The next one, whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let (address, mut lanes) = self.addresses.shift_remove_index(0)?;
        let item = lanes.pop();
        self.waiting -= usize::from(item.is_some());
        if lanes.waiting > 0 {
            self.addresses.insert(address, lanes);
        }
        item
    }

    /// Takes the newest of the fullest lane of `address`, or of the address that has the most waiting.
    fn evict(&mut self, address: Option<Client>) -> Option<T> {
        let place = match address {
            Some(address) => self.addresses.get_index_of(&address)?,
            None => (0..self.addresses.len()).max_by_key(|place| self.addresses[*place].waiting)?,
        };
        let lanes = &mut self.addresses[place];
        let lane = (0..lanes.sticks.len()).max_by_key(|lane| lanes.sticks[*lane].len())?;
        let item = lanes.sticks[lane].pop_back();
        if lanes.sticks[lane].is_empty() {
            lanes.sticks.shift_remove_index(lane);
        }
        lanes.waiting -= usize::from(item.is_some());
        self.waiting -= usize::from(item.is_some());
        if lanes.waiting == 0 {
            self.addresses.shift_remove_index(place);
        }
        item
    }
}

impl<T> Lanes<T> {
    fn new() -> Self {
        Self { sticks: IndexMap::new(), waiting: 0 }
    }

    fn longest(&self) -> usize {
        self.sticks.values().map(VecDeque::len).max().unwrap_or(0)
    }

    fn pop(&mut self) -> Option<T> {
        let (stick, mut lane) = self.sticks.shift_remove_index(0)?;
        let item = lane.pop_front();
        self.waiting -= usize::from(item.is_some());
        if !lane.is_empty() {
            self.sticks.insert(stick, lane);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asker(address: u8, stick: u8) -> Asker {
        let client = Client::at(std::net::IpAddr::from([10, 0, 0, address]));
        Asker { client, stick: (stick > 0).then(|| stick.to_string()) }
    }

    fn drain(turns: &mut Turns<(u8, u8)>) -> Vec<(u8, u8)> {
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn a_client_that_floods_loses_its_own_and_waits_behind_itself() {
        let mut turns = Turns::new(100);
        for _ in 0..5_000 {
            turns.push(asker(1, 0), (1, 0));
        }
        // WHEN ten others come late to a full queue, each with two questions
        for other in 2..12 {
            for _ in 0..2 {
                assert_eq!(turns.push(asker(other, 0), (other, 0)), Some((1, 0)), "the flood makes room");
            }
        }
        // THEN each has its turn after at most one of the flood's
        let order = drain(&mut turns);
        assert_eq!(order.len(), 100);
        let last = order.iter().rposition(|(address, _)| *address != 1).unwrap();
        assert!(last < 22, "{order:?}");
    }

    #[test]
    fn behind_one_address_clients_take_turns_by_what_they_say_they_are() {
        let mut turns = Turns::new(10);
        for _ in 0..500 {
            turns.push(asker(1, 1), (1, 1));
        }
        assert_eq!(turns.push(asker(1, 2), (1, 2)), Some((1, 1)));
        assert_eq!(drain(&mut turns)[..2], [(1, 1), (1, 2)]);
    }

    #[test]
    fn a_thousand_names_of_one_address_are_one_address() {
        let mut turns = Turns::new(100);
        for name in 0..1_000_u16 {
            let stick = Some(name.to_string());
            turns.push(Asker { stick, ..asker(1, 0) }, (1, 1));
        }
        for _ in 0..40 {
            assert_eq!(turns.push(asker(2, 0), (2, 0)), Some((1, 1)));
        }
        let served = drain(&mut turns);
        assert_eq!(served.iter().take(20).filter(|(address, _)| *address == 2).count(), 10);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_or_is_given_back(
            pushes in prop::collection::vec((0..4u8, 0..3u8), 0..60), most in 1..20usize, pops in 0..30usize,
        ) {
            let mut turns = Turns::new(most);
            let (mut given, mut back) = (0, 0);
            for (place, (address, stick)) in pushes.iter().enumerate() {
                back += usize::from(turns.push(asker(*address, *stick), (*address, *stick)).is_some());
                if place % 3 == 0 && place / 3 < pops {
                    given += usize::from(turns.pop().is_some());
                }
                prop_assert!(turns.waiting() <= most);
            }
            let left = turns.waiting();
            prop_assert_eq!(drain(&mut turns).len(), left);
            prop_assert_eq!(given + back + left, pushes.len());
            prop_assert!(turns.addresses.is_empty());
        }
    }
}
