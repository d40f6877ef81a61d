use std::collections::BTreeMap;
use testkit::begin::Begin as _;

use adapters::memory::MemoryStore;
use adapters::memory::control::MemoryControl;
use model::control::ControlStore;
use model::life::LifeLook;
use model::{Change, Lives as _, Role};
use testkit::contract::{WITHIN, adjust, bring, now, set_level};
use testkit::inventory;

use super::*;
use crate::state_dir::StateDir;

mod old_instances;
mod starts;
mod without_memory;

/// Two sides in memory, a control store, and replicas with disks of their own.
struct Scene {
    sides: PerSide<MemoryStore>,
    control: Arc<MemoryControl>,
    folders: BTreeMap<&'static str, tempfile::TempDir>,
}

impl Scene {
    async fn new() -> Self {
        let side = |side| inventory::in_memory(side);
        let sides = PerSide { legacy: side(Side::Legacy), modern: side(Side::Modern) };
        sides.legacy.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
        sides.modern.begin_as(&[inventory::group()], Role::Secondary, WITHIN).await.unwrap();
        Self { sides, control: Arc::new(MemoryControl::new()), folders: BTreeMap::new() }
    }

    fn store(&self, side: Side) -> Arc<dyn Store> {
        Arc::new(self.sides.get(side).clone())
    }

    /// A replica; its disk is kept by its name.
    fn replica(&mut self, name: &'static str) -> LifeWatch {
        let stores = PerSide { legacy: self.store(Side::Legacy), modern: self.store(Side::Modern) };
        let folder = self.folders.entry(name).or_insert_with(|| tempfile::tempdir().unwrap());
        let memories = Memories {
            stores,
            control: Arc::clone(&self.control) as Arc<dyn ControlStore>,
            state: Some(StateDir::open(folder.path()).unwrap()),
            within: WITHIN,
        };
        LifeWatch {
            memories,
            compared: Arc::default(),
            answers: Arc::new(|_| {}),
            heard: Arc::new(|_, _| {}),
            spells: PerSide::default(),
        }
    }

    /// A write of legacy; brought to modern and settled, or not.
    async fn write(&self, sku: &str, on_hand: i64, bring: bool) -> Change {
        let legacy = self.store(Side::Legacy);
        let change = set_level(&legacy, sku, "BER", on_hand).await;
        if bring {
            self.bring(&change).await;
        }
        change
    }

    async fn bring(&self, change: &Change) {
        let applied = bring(&self.store(Side::Modern), std::slice::from_ref(change)).await.unwrap();
        assert!(applied[0].is_done(), "{applied:?}");
        self.sides.legacy.settle(&[change.write], WITHIN).await.unwrap();
    }

    async fn life(&self, side: Side) -> LifeLook {
        self.sides.get(side).life(&[], WITHIN).await.unwrap()
    }

    async fn takes_writes(&self) -> bool {
        let legacy = self.store(Side::Legacy);
        legacy.execute(&adjust(&legacy, "A", "BER", 1), WITHIN).await.is_ok()
    }
}

async fn verdict(replica: &LifeWatch, side: Side) -> Verdict {
    replica.tick(side).await.unwrap().0
}

#[tokio::test]
async fn a_side_that_lives_on_is_marked_and_remembered_in_three_places() {
    let mut scene = Scene::new().await;
    let replica = scene.replica("a");
    for _ in 0..3 {
        assert_eq!(verdict(&replica, Side::Legacy).await, Verdict::Same);
    }
    let memories = replica.memories.of(Side::Legacy).await.unwrap();
    let life = scene.life(Side::Legacy).await.life.unwrap();
    assert_eq!(life.mark.counter, 4);
    let newest = Memory { incarnation: life.incarnation, mark: life.mark };
    assert_eq!(memories, vec![newest; 3]);
}

/// Each place alone is enough: another replica's disk is gone, or the control store, or what the other side remembered.
#[tokio::test]
async fn a_primary_that_has_gone_back_takes_no_writes_whoever_remembers() {
    for remembers in ["disk", "control", "other side"] {
        let mut scene = Scene::new().await;
        scene.write("A", 10, true).await;
        let copy = scene.sides.legacy.copy();
        let empty = scene.sides.modern.copy();
        let replica = scene.replica("a");
        verdict(&replica, Side::Legacy).await;
        scene.write("A", 11, true).await;

        // WHEN a copy from before the last mark is put back, and one place only remembers
        scene.sides.legacy.put_back(&copy);
        let witness = match remembers {
            "disk" => {
                scene.sides.modern.put_back(&empty);
                scene.control = Arc::new(MemoryControl::new());
                scene.replica("a")
            }
            "control" => {
                scene.sides.modern.put_back(&empty);
                scene.replica("new")
            }
            _ => {
                scene.control = Arc::new(MemoryControl::new());
                scene.replica("new")
            }
        };
        let found = verdict(&witness, Side::Legacy).await;

        // THEN it is suspended inside itself, for everybody
        assert!(matches!(found, Verdict::GoneBack(_)), "{remembers}: {found:?}");
        assert!(!scene.takes_writes().await, "{remembers}");
        assert!(matches!(verdict(&witness, Side::Legacy).await, Verdict::GoneBack(_)));
        assert!(!scene.takes_writes().await, "{remembers}: and it stays so");
    }
}

/// A connection made after the restore is compared before it is used: not even the first write is acknowledged.
#[tokio::test]
async fn not_even_the_first_write_after_a_restore_is_acknowledged() {
    let mut scene = Scene::new().await;
    scene.write("A", 10, true).await;
    let copy = scene.sides.legacy.copy();
    let replica = scene.replica("a");
    verdict(&replica, Side::Legacy).await;
    scene.sides.legacy.put_back(&copy);
    assert!(!scene.takes_writes().await, "before anybody has looked");
}

#[tokio::test]
async fn a_planned_move_with_everything_is_raised_by_itself_and_later_writes_are_newer() {
    let mut scene = Scene::new().await;
    let replica = scene.replica("a");
    verdict(&replica, Side::Legacy).await;
    let before = scene.write("A", 10, true).await;
    scene.sides.legacy.move_to("another server");
    assert!(!scene.takes_writes().await, "until somebody has looked");

    assert_eq!(verdict(&replica, Side::Legacy).await, Verdict::Moved);
    assert_eq!(verdict(&replica, Side::Legacy).await, Verdict::Same);
    let after = scene.write("A", 11, false).await;
    assert!(after.version.incarnation > before.version.incarnation);
    let applied = bring(&scene.store(Side::Modern), &[after]).await.unwrap();
    assert!(applied[0].is_done(), "{applied:?}");
    assert_eq!(testkit::contract::on_hand(&scene.store(Side::Modern), "A", "BER").await, Some(11));
}

/// A failover whose lost tail is shorter than a second: every mark is there, and a write is not.
#[tokio::test]
async fn a_failover_that_lost_an_acknowledged_write_waits_for_a_person_with_the_list() {
    let mut scene = Scene::new().await;
    scene.write("A", 10, true).await;
    let replica = scene.replica("a");
    verdict(&replica, Side::Legacy).await;
    let standby = scene.sides.legacy.copy();
    let lost = scene.write("A", 11, true).await;
    scene.sides.legacy.put_back(&standby);
    scene.sides.legacy.move_to("the standby");

    assert!(matches!(verdict(&replica, Side::Legacy).await, Verdict::Suspended(_)));
    assert!(!scene.takes_writes().await);
    let life = scene.life(Side::Legacy).await.life.unwrap();
    let missing = raise::missing(&replica.memories, Side::Legacy, &life).await.unwrap();
    assert_eq!(missing.lost.iter().map(|noted| noted.write).collect::<Vec<_>>(), [lost.write]);
    assert_eq!(missing.lost[0].keys, std::slice::from_ref(&lost.key));

    // WHEN a person raises it, and the key is looked at again
    raise::raise(&replica.memories, Side::Legacy, &life, &missing.to_bring).await.unwrap().unwrap();
    assert_eq!(verdict(&replica, Side::Legacy).await, Verdict::Same);
    let legacy = scene.store(Side::Legacy);
    let touch = testkit::contract::command(model::Work::Touch, vec![lost.key.clone()]);
    let touched = now(legacy.execute(&touch, WITHIN).await).remove(0);

    // THEN the primary's truth is on both sides
    scene.bring(&touched).await;
    assert_eq!(testkit::contract::on_hand(&scene.store(Side::Modern), "A", "BER").await, Some(10));
    let life = scene.life(Side::Legacy).await.life.unwrap();
    let rest = raise::missing(&replica.memories, Side::Legacy, &life).await.unwrap();
    assert!(rest.lost.iter().all(|noted| noted.keys.is_empty()), "{rest:?}");
}

#[tokio::test]
async fn what_a_secondary_has_lost_is_brought_again_after_the_order() {
    let mut scene = Scene::new().await;
    let replica = scene.replica("a");
    verdict(&replica, Side::Modern).await;
    scene.write("A", 10, true).await;
    let copy = scene.sides.modern.copy();
    verdict(&replica, Side::Modern).await;
    let lost = scene.write("A", 11, true).await;
    assert_eq!(testkit::contract::unsettled(&scene.store(Side::Legacy)).await, 0);
    scene.sides.modern.put_back(&copy);

    assert!(matches!(verdict(&replica, Side::Modern).await, Verdict::GoneBack(_)));
    let life = scene.life(Side::Modern).await.life.unwrap();
    let missing = raise::missing(&replica.memories, Side::Modern, &life).await.unwrap();
    assert_eq!((missing.to_bring.clone(), missing.lost.len()), (vec![lost.write], 0));
    raise::raise(&replica.memories, Side::Modern, &life, &missing.to_bring).await.unwrap().unwrap();

    assert_eq!(verdict(&replica, Side::Modern).await, Verdict::Same);
    assert_eq!(testkit::contract::unsettled(&scene.store(Side::Legacy)).await, 1);
    scene.bring(&lost).await;
    assert_eq!(testkit::contract::on_hand(&scene.store(Side::Modern), "A", "BER").await, Some(11));
}

/// One replica remembers, one is new; the control store was restored to before: the newest memory counts.
#[tokio::test]
async fn replicas_of_different_memory_come_to_one_end() {
    let mut scene = Scene::new().await;
    let (old, new) = (scene.replica("old"), scene.replica("new"));
    for _ in 0..3 {
        verdict(&old, Side::Legacy).await;
        verdict(&new, Side::Legacy).await;
    }
    let copy = scene.sides.legacy.copy();
    verdict(&old, Side::Legacy).await;
    scene.sides.legacy.put_back(&copy);
    assert!(matches!(verdict(&new, Side::Legacy).await, Verdict::GoneBack(_)), "the other side remembers for it");
    let life = scene.life(Side::Legacy).await.life.unwrap();
    raise::raise(&new.memories, Side::Legacy, &life, &[]).await.unwrap().unwrap();
    assert_eq!(verdict(&old, Side::Legacy).await, Verdict::Same, "what was remembered before the raise accuses nobody");
    let again = raise::raise(&old.memories, Side::Legacy, &life, &[]).await.unwrap();
    assert_eq!(again, None, "two orders raise once");
}
