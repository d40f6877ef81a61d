//! Numbers of the ERP that refused writes have used up, by client: a limit.
//!
//! A whole entity that is made under a key of the client's own is given its number before the ERP is asked, and keeps it
//! when the ERP refuses: the same key may be sent again, and at the same moment by somebody else. So a number cannot be
//! given back there, as it can where the key is ours ([`crate::own_keys::Spare`]). Who sends ever fresh keys that are
//! refused would use the sequence up. After so many in an hour a client is given no further numbers; what has a number
//! goes on.

use std::collections::HashMap;
use std::time::Duration;

use model::contract::{WriteAction, WriteWork};
use model::{EntityKey, EntityType, Side};
use parking_lot::Mutex;
use tokio::time::Instant;

use net::client::Client;

/// For how long a refusal counts.
const WINDOW: Duration = Duration::from_secs(60 * 60);
/// Clients that are told apart; further ones count as one.
const CLIENTS: usize = 10_000;
/// How many clients stand behind those that cannot be told apart.
const TOGETHER: u32 = 100;

/// How many writes of each client were refused lately, each of which may have used up a number.
#[derive(Debug)]
pub struct UsedUp {
    most: u32,
    clients: Mutex<HashMap<Client, Window>>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    refused: u32,
}

impl UsedUp {
    /// A client may use up `most` in an hour.
    pub fn new(most: u32) -> Self {
        Self { most, clients: Mutex::default() }
    }

    /// Whether `client` has used up what it may.
    pub fn is_over(&self, client: Client, now: Instant) -> bool {
        let clients = self.clients.lock();
        // One that has no place of its own is among those that count as one.
        let has_place = clients.contains_key(&client) || clients.len() < CLIENTS;
        let client = if has_place { client } else { Client::default() };
        let counted = clients.get(&client);
        counted.is_some_and(|window| window.is_open(now) && window.refused >= self.most_of(client))
    }

    fn most_of(&self, client: Client) -> u32 {
        if client.is_known() { self.most } else { self.most.saturating_mul(TOGETHER) }
    }

    /// A write of `client` was refused.
    pub fn note(&self, client: Client, now: Instant) {
        let mut clients = self.clients.lock();
        if clients.len() >= CLIENTS && !clients.contains_key(&client) {
            clients.retain(|_, window| window.is_open(now));
        }
        let client = if clients.len() < CLIENTS || clients.contains_key(&client) { client } else { Client::default() };
        let window = clients.entry(client).or_insert(Window { since: now, refused: 0 });
        if !window.is_open(now) {
            *window = Window { since: now, refused: 0 };
        }
        window.refused = window.refused.saturating_add(1);
    }
}

impl Window {
    fn is_open(&self, now: Instant) -> bool {
        now.duration_since(self.since) < WINDOW
    }
}

/// Those of `touches` that `action` gives a number on `side`, where they have none: with their type.
pub(super) fn to_number<'t>(
    action: &'t WriteAction,
    side: Side,
    touches: &'t [EntityKey],
) -> impl Iterator<Item = (&'t EntityType, &'t EntityKey)> {
    let by_key = matches!(action.work, WriteWork::Set { .. });
    let own = action.touches.iter().filter(move |touch| by_key && touch.entity.own_key(side).is_some());
    own.flat_map(move |touch| {
        let of_type = touches.iter().filter(move |key| *key.entity() == touch.entity.name);
        of_type.map(move |key| (&*touch.entity, key))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> Client {
        Client::at([192, 0, 2, last].into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_uses_up_no_more_than_it_may_in_an_hour_and_others_are_not_concerned() {
        let (used, now) = (UsedUp::new(3), Instant::now());
        for _ in 0..2 {
            used.note(client(1), now);
        }
        assert!(!used.is_over(client(1), now));
        used.note(client(1), now);
        assert!(used.is_over(client(1), now) && !used.is_over(client(2), now));
        assert!(!used.is_over(client(1), now + WINDOW));
        used.note(client(1), now + WINDOW);
        assert!(!used.is_over(client(1), now + WINDOW));
    }

    #[tokio::test(start_paused = true)]
    async fn clients_without_number_count_as_one() {
        let (used, now) = (UsedUp::new(3), Instant::now());
        let at = |n: u32| Client::at(std::net::Ipv4Addr::from_bits(n).into());
        for n in 0..u32::try_from(CLIENTS).unwrap() {
            used.note(at(n), now);
        }
        for n in 0..3 * TOGETHER {
            used.note(at(1 << 24 | n), now);
        }
        assert!(used.clients.lock().len() <= CLIENTS + 1);
        assert!(used.is_over(at(1 << 25), now) && !used.is_over(at(0), now));
    }
}
