//! An old instance of the primary lives on after another one has taken over, and replicas reach it.

use super::*;
use crate::breaker::{Breaker, BreakerSettings};
use crate::write::apply::Door;
use model::Applied;
use testkit::faults::{Call, Fault, FaultyStore};

/// A replica with the stores that it reaches, as a process of its own.
struct Process {
    watch: LifeWatch,
    door: Arc<Door>,
    legacy: Arc<dyn Store>,
}

impl Process {
    fn of(scene: &mut Scene, name: &'static str, legacy: &MemoryStore) -> Self {
        let modern: Arc<dyn Store> = Arc::new(scene.sides.modern.of_another_process());
        let stores = PerSide { legacy: Arc::new(legacy.of_another_process()) as Arc<dyn Store>, modern };
        let mut watch = scene.replica(name);
        watch.memories.stores = stores.clone();
        let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
        let doors = Door::both(&inventory::contract(), &stores, breaker, WITHIN, None);
        Self { watch, door: doors.modern, legacy: stores.legacy }
    }

    /// A write on the instance that it reaches.
    async fn write(&self, sku: &str, on_hand: i64) -> Change {
        set_level(&self.legacy, sku, "BER", on_hand).await
    }

    async fn bring(&self, change: &Change) -> Applied {
        self.door.apply(vec![change.clone()]).await.unwrap().remove(0)
    }
}

/// Legacy fails over with everything that it had; the old instance is alive, and one replica reaches only that.
struct Failover {
    scene: Scene,
    /// Reaches the new instance.
    new: Process,
    /// Reaches the old one.
    old: Process,
    /// Written before, and not brought.
    before: Change,
}

impl Failover {
    async fn new() -> Self {
        let mut scene = Scene::new().await;
        let legacy = scene.sides.legacy.clone();
        let old = Process::of(&mut scene, "old", &legacy);
        verdict(&old.watch, Side::Legacy).await;
        let before = old.write("A", 10).await;
        let standby = inventory::in_memory(Side::Legacy);
        standby.put_back(&legacy.copy());
        standby.move_to("the standby");
        let new = Process::of(&mut scene, "new", &standby);
        Self { scene, new, old, before }
    }

    async fn on_modern(&self, sku: &str) -> Option<i64> {
        testkit::contract::on_hand(&self.scene.store(Side::Modern), sku, "BER").await
    }
}

#[tokio::test]
async fn what_an_old_instance_goes_on_acknowledging_reaches_the_other_side_no_more() {
    // GIVEN a new instance whose life was raised, and a replica that has not looked since
    let failover = Failover::new().await;
    let Failover { new, old, before, .. } = &failover;
    assert_eq!(verdict(&new.watch, Side::Legacy).await, Verdict::Moved);

    // WHEN a client of that replica is acknowledged by the old instance
    let isolated = old.write("A", 99).await;

    // THEN nothing of it is applied, and nothing is settled
    assert_eq!(old.bring(&isolated).await, Applied::Barred);
    assert_eq!(old.bring(before).await, Applied::Barred, "nor what it has from before: its own replica brings it");
    assert_eq!(failover.on_modern("A").await, None);
    assert_eq!(testkit::contract::unsettled(&old.legacy).await, 2);
    // AND what was written before the raise comes from the new instance, under the version that it had
    assert_eq!(new.bring(before).await, Applied::Newer);
    assert_eq!(failover.on_modern("A").await, Some(10));
    // AND the old one takes nothing any more once its replica has looked
    assert!(matches!(verdict(&old.watch, Side::Legacy).await, Verdict::GoneBack(_)));
    let refused = old.legacy.execute(&adjust(&old.legacy, "A", "BER", 1), WITHIN).await;
    assert!(matches!(refused, Err(StoreError::Unwritable { .. })), "{refused:?}");
    assert_eq!(verdict(&new.watch, Side::Legacy).await, Verdict::Same);
}

/// Directly after a raise a replica that has not heard of it knows less than the other side: it looks once, and its write
/// is on both sides at once.
#[tokio::test]
async fn a_write_directly_after_a_raise_settles_without_waiting_for_the_next_look() {
    let mut scene = Scene::new().await;
    let legacy = scene.sides.legacy.clone();
    let (raises, other) = (Process::of(&mut scene, "raises", &legacy), Process::of(&mut scene, "other", &legacy));
    verdict(&raises.watch, Side::Legacy).await;
    verdict(&other.watch, Side::Legacy).await;
    legacy.move_to("another server");
    assert_eq!(verdict(&raises.watch, Side::Legacy).await, Verdict::Moved);

    let written = other.write("A", 10).await;
    assert_eq!(written.version.incarnation, Incarnation(2));
    assert_eq!(other.bring(&written).await, Applied::Newer);
}

/// Two lanes of a door learn of a raise at once: whoever comes second hears nothing new, and goes on all the same.
#[tokio::test(start_paused = true)]
async fn two_writes_at_once_directly_after_a_raise_both_settle() {
    let mut scene = Scene::new().await;
    let legacy = scene.sides.legacy.clone();
    let (raises, other) = (Process::of(&mut scene, "raises", &legacy), Process::of(&mut scene, "other", &legacy));
    verdict(&raises.watch, Side::Legacy).await;
    verdict(&other.watch, Side::Legacy).await;
    legacy.move_to("another server");
    assert_eq!(verdict(&raises.watch, Side::Legacy).await, Verdict::Moved);

    // GIVEN a primary that takes a moment to tell its life
    let slow = FaultyStore::new(Arc::clone(&other.legacy));
    slow.always(Call::Lives, Fault::Latency(Duration::from_millis(10)));
    let stores = PerSide { legacy: Arc::new(slow.clone()) as Arc<dyn Store>, ..other.watch.memories.stores.clone() };
    let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
    let door = Door::both(&inventory::contract(), &stores, breaker, WITHIN, None).modern;
    // WHEN two writes go to the other side, the second while the first is barred
    let (first, second) = (other.write("A", 10).await, other.write("B", 20).await);
    let later = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        door.apply(vec![second]).await
    };
    let (first, second) = tokio::join!(door.apply(vec![first]), later);
    // THEN both have looked, and both are there
    assert_eq!(slow.calls(Call::Lives), 2);
    assert_eq!((first.unwrap(), second.unwrap()), (vec![Applied::Newer], vec![Applied::Newer]));
}

/// Whoever raises may die before the other side has heard of it: nothing is acknowledged until somebody has told it.
#[tokio::test]
async fn a_raise_that_was_not_finished_is_finished_by_the_next_who_looks() {
    let mut scene = Scene::new().await;
    let replica = scene.replica("a");
    verdict(&replica, Side::Legacy).await;
    scene.sides.legacy.move_to("another server");
    let life = scene.life(Side::Legacy).await.life.unwrap();
    let to = Memory { incarnation: Incarnation(2), mark: Mark { counter: life.mark.counter + 1, random: 5 } };
    assert!(scene.sides.legacy.raise(life.incarnation, to, WITHIN).await.unwrap());
    assert!(!scene.takes_writes().await, "the other side takes changes of the old life still");

    assert_eq!(verdict(&replica, Side::Legacy).await, Verdict::Same);
    assert_eq!(scene.sides.modern.remembered(Side::Legacy, WITHIN).await.unwrap(), Some(to));
    scene.write("A", 10, true).await;
}

/// Both sides are restored: what the one that is raised remembers of the other is as old as its copy.
#[tokio::test]
async fn a_side_that_is_raised_hears_of_the_other_sides_newest_life_first() {
    let mut scene = Scene::new().await;
    let replica = scene.replica("a");
    let copy = scene.sides.modern.copy();
    verdict(&replica, Side::Legacy).await;
    verdict(&replica, Side::Modern).await;
    scene.sides.legacy.move_to("another server");
    assert_eq!(verdict(&replica, Side::Legacy).await, Verdict::Moved);
    scene.sides.modern.put_back(&copy);
    assert_eq!(scene.sides.modern.remembered(Side::Legacy, WITHIN).await.unwrap(), None);

    assert!(matches!(verdict(&replica, Side::Modern).await, Verdict::GoneBack(_)));
    let life = scene.life(Side::Modern).await.life.unwrap();
    raise::raise(&replica.memories, Side::Modern, &life, &[]).await.unwrap().unwrap();
    let remembered = scene.sides.modern.remembered(Side::Legacy, WITHIN).await.unwrap();
    assert_eq!(remembered.map(|memory| memory.incarnation), Some(Incarnation(2)));
}
