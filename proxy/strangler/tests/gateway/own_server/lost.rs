//! What becomes of writes that a restored primary has lost, by order: while clients go on trying, and when the order dies.

use std::sync::Arc;
use std::time::Duration;

use data_plane::lives::lost::{Order, Outcome};
use data_plane::lives::memories::Memories;
use data_plane::lives::raise;
use model::life::{Noted, Over, Verdict};
use model::{Change, EntityKey, Side, Written};
use parking_lot::Mutex;
use testkit::contract::{WITHIN, adjust, now, on_hand, with_key};
use testkit::faults::{Call, Fault, FaultyStore};
use testkit::inventory::{self, level_key};

use super::lives::{NAME, Pair, connect};

fn sku(number: usize) -> String {
    format!("K{number}")
}

impl Pair {
    /// A pair whose legacy holds 100 of each of `keys`, and is a copy from before `lost` was taken off each, under a key.
    async fn restored(keys: usize, lost: &[i64]) -> Self {
        let pair = Self::new(Side::Legacy).await;
        for number in 0..keys {
            pair.write(&sku(number), 100).await;
        }
        pair.tick(Side::Legacy).await;
        let copy = pair.back_up().await;
        pair.tick(Side::Legacy).await;
        for delta in lost {
            for number in 0..keys {
                let change = pair.take_off(number, *delta).await;
                pair.bring(&change).await;
            }
        }
        pair.put_back(&copy, false).await;
        let verdict = pair.tick(Side::Legacy).await;
        assert!(matches!(verdict, Verdict::GoneBack(_)), "{verdict:?}");
        pair
    }

    async fn take_off(&self, number: usize, delta: i64) -> Change {
        now(self.ask(number, delta).await).remove(0)
    }

    /// As a client asks, and asks again.
    async fn ask(&self, number: usize, delta: i64) -> Result<Written, model::StoreError> {
        let command = adjust(&self.stores.legacy, &sku(number), "BER", -delta);
        let command = with_key(command, &format!("{} less of {}", delta, sku(number)), "print");
        self.stores.legacy.execute(&command, WITHIN).await
    }

    async fn nobody_writes(&self) {
        let refused = self.ask(0, 1).await;
        assert!(matches!(refused, Err(model::StoreError::Unwritable { .. })), "{refused:?}");
    }

    async fn lost(&self) -> Vec<Noted> {
        let life = self.life().await;
        raise::missing(&self.watch.memories, Side::Legacy, &life).await.unwrap().lost
    }

    async fn bring_back(&self, memories: &Memories, over: Over) -> Outcome {
        let (contract, lost) = (inventory::contract(), self.lost().await);
        let of = self.life().await.incarnation;
        Order { memories, contract: &contract, side: Side::Legacy, of }.bring_back(&lost, over).await.unwrap()
    }

    async fn give_up(&self, memories: &Memories) -> Outcome {
        let (contract, lost) = (inventory::contract(), self.lost().await);
        let of = self.life().await.incarnation;
        Order { memories, contract: &contract, side: Side::Legacy, of }.give_up(&lost).await.unwrap()
    }

    /// Raises legacy, of which nothing may be lost any more.
    async fn raise(&self) {
        assert_eq!(self.lost().await, []);
        let life = self.life().await;
        raise::raise(&self.watch.memories, Side::Legacy, &life, &[]).await.unwrap().unwrap();
        assert_eq!(self.tick(Side::Legacy).await, Verdict::Same);
    }

    /// The memories of a process whose calls of one side go wrong.
    fn faulty(&self, side: Side) -> (FaultyStore, Memories) {
        let faulty = FaultyStore::new(Arc::clone(self.stores.get(side)));
        let mut stores = self.stores.clone();
        *stores.get_mut(side) = Arc::new(faulty.clone());
        (faulty, Memories { stores, ..self.watch.memories.clone() })
    }
}

fn keys(numbers: &[usize]) -> Vec<EntityKey> {
    numbers.iter().map(|number| level_key(&sku(*number), "BER")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_is_back_before_a_client_that_goes_on_trying_writes() {
    // GIVEN a copy that lacks 10 off each key, acknowledged and settled; and clients that try to take off 1 all the while
    const KEYS: usize = 40;
    let pair = Arc::new(Pair::restored(KEYS, &[10]).await);
    assert_eq!(pair.lost().await.len(), KEYS);
    let (stop, written) = (tokio_util::sync::CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (pair, stop, written) = (Arc::clone(&pair), stop.clone(), Arc::clone(&written));
            tokio::spawn(async move {
                let mut number = client;
                while !stop.is_cancelled() {
                    let one = adjust(&pair.stores.legacy, &sku(number), "BER", -1);
                    match pair.stores.legacy.execute(&one, WITHIN).await {
                        Ok(done) => {
                            written.lock().push(now(Ok(done)).remove(0));
                            number = (number + 4) % KEYS;
                        }
                        Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;

    // WHEN it is brought back, and the side is raised
    let outcome = pair.bring_back(&pair.watch.memories, Over::Nobody).await;
    assert!(outcome.is_whole(), "{outcome:?}");
    assert_eq!(written.lock().len(), 0);
    pair.raise().await;
    while written.lock().len() < 3 * KEYS {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    for client in clients {
        client.await.unwrap();
    }

    // THEN nothing acknowledged is missing on either side, and a repeat books nothing
    let written = std::mem::take(&mut *written.lock());
    for number in 0..KEYS {
        let repeat = pair.ask(number, 10).await.unwrap();
        assert!(matches!(repeat, Written::Before(_)), "{repeat:?}");
        let key = level_key(&sku(number), "BER");
        let mut own: Vec<&Change> = written.iter().filter(|change| change.key == key).collect();
        own.sort_by_key(|change| change.version);
        for change in &own {
            pair.bring(change).await;
        }
        let left = 90 - i64::try_from(own.len()).unwrap();
        assert_eq!(pair.both(&sku(number)).await, (Some(left), Some(left)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_was_killed_leaves_the_side_suspended_and_is_gone_on_with() {
    // GIVEN two lost writes of each key: they come in two calls, and the order dies between them
    let pair = Pair::restored(10, &[10, 5]).await;
    let (faulty, memories) = pair.faulty(Side::Legacy);
    faulty.on(Call::BringBack, 2, Fault::CrashBefore);
    let order = tokio::time::timeout(Duration::from_secs(2), pair.bring_back(&memories, Over::Nobody)).await;
    assert!(order.is_err(), "it hangs until it is killed");
    assert_eq!(on_hand(&pair.stores.legacy, &sku(3), "BER").await, Some(90), "the first call stands");

    // THEN nobody writes on what is half done, and half of the list is left
    assert_eq!(pair.lost().await.len(), 10);
    pair.nobody_writes().await;
    assert!(matches!(pair.tick(Side::Legacy).await, Verdict::GoneBack(_) | Verdict::Suspended(_)));

    // AND the order, repeated, goes on
    assert!(pair.bring_back(&pair.watch.memories, Over::Nobody).await.is_whole());
    pair.raise().await;
    for number in 0..10 {
        assert_eq!(pair.both(&sku(number)).await, (Some(85), Some(85)));
        for delta in [10, 5] {
            assert!(matches!(pair.ask(number, delta).await.unwrap(), Written::Before(_)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_erps_own_users_changed_on_the_copy_stops_the_order_and_is_overwritten_only_if_asked() {
    // GIVEN a copy on which the ERP's own users have worked since
    let pair = Pair::restored(4, &[10]).await;
    let client = connect(&pair.server.url(NAME)).await;
    let users = "UPDATE inv_loc_bal SET oh_qty = 500 WHERE itm_no = 'K0'; DELETE FROM inv_loc_bal WHERE itm_no = 'K1'";
    client.batch_execute(users).await.unwrap();

    // WHEN the order is given: it stops, with what is in its way
    let stopped = pair.bring_back(&pair.watch.memories, Over::Nobody).await;
    let in_the_way: Vec<EntityKey> = stopped.in_the_way.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!((in_the_way, stopped.is_whole()), (keys(&[0, 1]), false));
    assert_eq!(pair.lost().await.len(), 2);
    pair.nobody_writes().await;
    assert_eq!(pair.both(&sku(0)).await, (Some(500), Some(90)));
    assert_eq!(pair.both(&sku(1)).await, (None, Some(90)));

    // THEN it is overwritten by order, and told
    let outcome = pair.bring_back(&pair.watch.memories, Over::Anybody).await;
    assert_eq!((outcome.over.clone(), outcome.is_whole()), (keys(&[0, 1]), true));
    pair.raise().await;
    for number in 0..4 {
        assert_eq!(pair.both(&sku(number)).await, (Some(90), Some(90)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_of_what_was_given_up_is_a_new_write_and_settles() {
    let pair = Pair::restored(6, &[10, 5]).await;
    // An order that dies when it has stated the rows anew on legacy alone leaves it suspended, and the list.
    let (faulty, memories) = pair.faulty(Side::Modern);
    faulty.on(Call::ApplyOver, 1, Fault::CrashBefore);
    let order = tokio::time::timeout(Duration::from_secs(2), pair.give_up(&memories)).await;
    assert!(order.is_err(), "it hangs until it is killed");
    assert_eq!(pair.lost().await.len(), 12);
    pair.nobody_writes().await;

    // The repeated order has levelled the rows before the side takes writes.
    let outcome = pair.give_up(&pair.watch.memories).await;
    assert!(outcome.is_whole(), "{outcome:?}");
    for number in 0..6 {
        assert_eq!(pair.both(&sku(number)).await, (Some(100), Some(100)));
    }
    pair.nobody_writes().await;
    pair.raise().await;

    // Repeats are new writes, and are on both sides; each once.
    for number in 0..6 {
        for delta in [10, 5] {
            let change = pair.take_off(number, delta).await;
            pair.bring(&change).await;
            assert!(matches!(pair.ask(number, delta).await.unwrap(), Written::Before(_)));
        }
        assert_eq!(pair.both(&sku(number)).await, (Some(85), Some(85)));
    }
    assert_eq!(testkit::contract::unsettled(&pair.stores.legacy).await, 0);
}
