//! What settles a write: that its secondary has it, or something newer of the same history. Nothing else does.

use std::sync::Arc;

use data_plane::breaker::{Breaker, BreakerSettings};
use data_plane::read::batch::Batch;
use data_plane::write::apply::Door;
use model::saga::OpenSagas;
use model::store::Forget;
use model::write::Work;
use model::{Applied, Change, Command, EntityKey, Epoch, PerSide, Role, Side, Store};
use testkit::begin::Begin as _;
use testkit::contract::{adjust, change, command, entity, now, on_hand, set_level};
use testkit::faults::{Call, Fault, FaultyStore};
use testkit::inventory::{self, level_key};

use crate::rig::WITHIN;

/// A place in a log that was lost, beyond what the one that was restored reaches here.
const LOST: u64 = 1 << 60;

/// Two sides, and the doors to both.
struct Site {
    stores: PerSide<FaultyStore>,
    doors: PerSide<Arc<Door>>,
}

impl Site {
    async fn new() -> Self {
        let stores = PerSide {
            legacy: FaultyStore::new(Arc::new(inventory::in_memory(Side::Legacy))),
            modern: FaultyStore::new(Arc::new(inventory::in_memory(Side::Modern))),
        };
        stores.legacy.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
        stores.modern.begin_as(&[inventory::group()], Role::Secondary, WITHIN).await.unwrap();
        Self { doors: doors(&stores), stores }
    }

    fn legacy(&self) -> Arc<dyn Store> {
        Arc::new(self.stores.legacy.clone())
    }

    fn modern(&self) -> Arc<dyn Store> {
        Arc::new(self.stores.modern.clone())
    }

    async fn stands_on_modern(&self, change: &Change) -> bool {
        !self.stores.modern.standing(&[change.write], WITHIN).await.unwrap().is_empty()
    }
}

fn doors(stores: &PerSide<FaultyStore>) -> PerSide<Arc<Door>> {
    let stores = stores.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>);
    let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
    Door::both(&inventory::contract(), &stores, breaker, WITHIN, None)
}

/// A write of one level, as legacy commits it.
async fn write(site: &Site, on_hand: i64) -> Change {
    set_level(&site.legacy(), "A", "BER", on_hand).await
}

/// The second write has come to modern, and the first not: as after a repair, which overwrites whatever it finds.
async fn overtaken(site: &Site, second: &Change) {
    let applied = site.doors.modern.apply_over(vec![second.clone()]).await.unwrap();
    assert!(Applied::settle(&applied, 1), "{applied:?}");
}

#[tokio::test]
async fn what_its_own_history_has_overtaken_is_settled_and_known_there() {
    let site = Site::new().await;
    let (first, second) = (write(&site, 1).await, write(&site, 2).await);
    overtaken(&site, &second).await;
    for _ in 0..2 {
        let applied = site.doors.modern.apply(vec![first.clone()]).await.unwrap();
        assert!(matches!(applied[..], [Applied::Overtaken(by)] if by.winner().write == second.write), "{applied:?}");
        assert!(Applied::settle(&applied, 1) && site.stands_on_modern(&first).await);
    }
    // The winner's ledger row was forgotten: the version row has come as far.
    site.stores.legacy.settle(&[first.write, second.write], WITHIN).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let forget = Forget { retention: std::time::Duration::ZERO, limit: 10, sagas: OpenSagas::Unknown };
    let forgotten = site.stores.legacy.forget(&forget, WITHIN).await.unwrap();
    assert_eq!(forgotten, 2);
    let applied = site.doors.modern.apply(vec![first]).await.unwrap();
    assert!(Applied::settle(&applied, 1), "{applied:?}");
    assert_eq!(on_hand(&site.modern(), "A", "BER").await, Some(2));
}

#[tokio::test]
async fn what_a_lost_history_has_overtaken_is_never_settled() {
    for lost in [change("A", "BER", LOST, Some(9)), change("A", "BER", LOST, None)] {
        // GIVEN a modern that has a state of a legacy that is no more
        let site = Site::new().await;
        assert_eq!(*site.doors.modern.apply(vec![lost.clone()]).await.unwrap(), [Applied::Newer]);
        // WHEN the legacy that was restored takes writes: a value, a step, a deletion
        let made = write(&site, 1).await;
        let step = now(site.legacy().execute(&adjust(&site.legacy(), "A", "BER", 1), WITHIN).await).remove(0);
        let delete = command(Work::Delete, vec![level_key("A", "BER")]);
        let gone = now(site.legacy().execute(&delete, WITHIN).await).remove(0);
        // THEN none of them counts as there, by whichever road it is brought
        for change in [made, step, gone] {
            for _ in 0..2 {
                let applied = site.doors.modern.apply(vec![change.clone()]).await.unwrap();
                assert!(matches!(applied[..], [Applied::Stale(by)] if by.write == lost.write), "{applied:?}");
                let applied = site.doors.modern.apply_over(vec![change.clone()]).await.unwrap();
                assert!(!Applied::settle(&applied, 1), "{applied:?}");
                assert!(!site.stands_on_modern(&change).await);
            }
        }
    }
}

/// The same, with modern as primary.
#[tokio::test]
async fn what_a_lost_history_has_overtaken_is_never_settled_in_reverse() {
    let site = Site::new().await;
    testkit::contract::close(&site.legacy()).await;
    let mut lost = change("A", "BER", LOST, Some(9));
    lost.version.epoch = Epoch(2);
    assert_eq!(*site.doors.legacy.apply(vec![lost.clone()]).await.unwrap(), [Applied::Newer]);
    testkit::contract::open(&site.modern(), Epoch(2)).await;
    let set = command(Work::Set(inventory::level("A", "BER", 1)), vec![level_key("A", "BER")]);
    let written = site.modern().execute(&Command { epoch: Epoch(2), ..set }, WITHIN).await;
    let applied = site.doors.legacy.apply(now(written)).await.unwrap();
    assert!(matches!(applied[..], [Applied::Stale(by)] if by.write == lost.write), "{applied:?}");
}

#[tokio::test]
async fn without_an_answer_of_the_primary_nothing_is_proven() {
    let site = Site::new().await;
    let (first, second) = (write(&site, 1).await, write(&site, 2).await);
    overtaken(&site, &second).await;
    for call in [Call::Recorded, Call::Standing] {
        site.stores.legacy.always(call, Fault::Down);
        let outcome = site.doors.modern.apply(vec![first.clone()]).await;
        assert!(outcome.is_err(), "{outcome:?}");
        assert!(!site.stands_on_modern(&first).await);
        site.stores.legacy.heal();
    }
    site.stores.modern.on(Call::Carry, 1, Fault::Down);
    assert!(site.doors.modern.apply(vec![first.clone()]).await.is_err());
    assert!(Applied::settle(&site.doors.modern.apply(vec![first]).await.unwrap(), 1));
}

#[tokio::test]
async fn a_side_that_has_opened_takes_no_late_write_of_the_other() {
    let site = Site::new().await;
    let late = write(&site, 1).await;
    testkit::contract::open(&site.modern(), Epoch(2)).await;
    for _ in 0..2 {
        assert_eq!(*site.doors.modern.apply(vec![late.clone()]).await.unwrap(), [Applied::Barred]);
        assert_eq!(*site.doors.modern.apply_over(vec![late.clone()]).await.unwrap(), [Applied::Barred]);
    }
    assert_eq!(on_hand(&site.modern(), "A", "BER").await, None);
}

#[tokio::test]
async fn a_task_that_panics_gives_its_lane_back() {
    // As many as there are lanes, and more.
    const PANICS: usize = 5;
    let site = Site::new().await;
    let changes = [write(&site, 1).await];
    for _ in 0..PANICS {
        site.stores.modern.on(Call::Apply, 1, Fault::Panic);
        assert!(site.doors.modern.apply(changes.to_vec()).await.is_err());
    }
    assert_eq!(*site.doors.modern.apply(changes.to_vec()).await.unwrap(), [Applied::Newer]);
    let keys: Vec<EntityKey> = vec![level_key("A", "BER")];
    let entity = entity(&keys[0]);
    let batch = Batch::new(site.modern(), Arc::clone(&entity));
    for _ in 0..PANICS {
        site.stores.modern.on(Call::Fetch, 1, Fault::Panic);
        assert!(batch.fetch(keys.clone(), entity.all_fields(), WITHIN).await.is_err());
    }
    assert!(batch.fetch(keys, entity.all_fields(), WITHIN).await.unwrap()[0].is_some());
}
