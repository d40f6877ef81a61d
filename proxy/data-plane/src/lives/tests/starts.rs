//! Servers that are started anew, with and without all that they had acknowledged.

use testkit::faults::FaultyStore;

use super::*;

/// A side's copy in its place, on the same server and log: what was written since the copy is gone, no mark is.
async fn lose_the_tail(scene: &Scene, side: Side, copy: &adapters::memory::Copy) {
    scene.sides.get(side).put_back(copy);
    scene.sides.get(side).restart();
}

#[tokio::test]
async fn a_side_that_is_started_with_everything_is_raised_by_itself() {
    let mut scene = Scene::new().await;
    let replica = scene.replica("a");
    verdict(&replica, Side::Legacy).await;
    let before = scene.write("A", 10, true).await;
    scene.sides.legacy.restart();
    assert!(!scene.takes_writes().await, "until somebody has looked");

    assert_eq!(verdict(&replica, Side::Legacy).await, Verdict::Moved);
    assert_eq!(verdict(&replica, Side::Legacy).await, Verdict::Same);
    assert!(scene.write("A", 11, true).await.version.incarnation > before.version.incarnation);
}

/// The tail is shorter than the distance of two marks: the other side's ledger alone can tell.
#[tokio::test]
async fn a_primary_that_is_started_without_its_last_writes_waits_for_a_person() {
    let mut scene = Scene::new().await;
    scene.write("A", 10, true).await;
    let replica = scene.replica("a");
    verdict(&replica, Side::Legacy).await;
    let copy = scene.sides.legacy.copy();
    let lost = scene.write("A", 7, true).await;
    lose_the_tail(&scene, Side::Legacy, &copy).await;

    assert!(!scene.takes_writes().await, "not even the first write");
    let found = verdict(&replica, Side::Legacy).await;
    assert!(matches!(&found, Verdict::Suspended(why) if why.contains("lacks 1 acknowledged")), "{found:?}");
    assert!(!scene.takes_writes().await);
    let life = scene.life(Side::Legacy).await.life.unwrap();
    let missing = raise::missing(&replica.memories, Side::Legacy, &life).await.unwrap();
    assert_eq!(missing.lost.iter().map(|noted| noted.write).collect::<Vec<_>>(), [lost.write]);
}

#[tokio::test]
async fn a_secondary_that_is_started_without_its_last_writes_gets_them_again() {
    let mut scene = Scene::new().await;
    scene.write("A", 10, true).await;
    let replica = scene.replica("a");
    verdict(&replica, Side::Modern).await;
    let copy = scene.sides.modern.copy();
    let lost = scene.write("A", 7, true).await;
    assert_eq!(testkit::contract::unsettled(&scene.store(Side::Legacy)).await, 0);
    lose_the_tail(&scene, Side::Modern, &copy).await;

    assert_eq!(verdict(&replica, Side::Modern).await, Verdict::Moved);
    assert_eq!(testkit::contract::unsettled(&scene.store(Side::Legacy)).await, 1, "not settled any more");
    scene.bring(&lost).await;
    assert_eq!(testkit::contract::on_hand(&scene.store(Side::Modern), "A", "BER").await, Some(7));
}

/// A replica that cannot reach modern, and the switch.
fn cut_off(scene: &mut Scene) -> (LifeWatch, FaultyStore) {
    let modern = FaultyStore::new(scene.store(Side::Modern));
    let mut replica = scene.replica("a");
    replica.memories.stores.modern = Arc::new(modern.clone());
    (replica, modern)
}

async fn until_it_goes_on(replica: &LifeWatch, scene: &Scene) {
    let began = tokio::time::Instant::now();
    while replica.tick(Side::Legacy).await.is_err() {
        assert!(!scene.takes_writes().await, "the other one may be starting, too");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(began.elapsed() >= BOTH_START && scene.takes_writes().await);
}

#[tokio::test(start_paused = true)]
async fn a_side_that_is_started_while_the_other_is_away_goes_on_by_its_marks_and_is_compared_later() {
    for loses in [false, true] {
        let mut scene = Scene::new().await;
        scene.write("A", 10, true).await;
        let (replica, modern) = cut_off(&mut scene);
        verdict(&replica, Side::Legacy).await;
        let copy = scene.sides.legacy.copy();
        let lost = scene.write("A", 7, true).await;
        modern.down(true);
        match loses {
            true => lose_the_tail(&scene, Side::Legacy, &copy).await,
            false => scene.sides.legacy.restart(),
        }
        until_it_goes_on(&replica, &scene).await;
        scene.write("B", 1, false).await;
        assert_eq!(verdict(&replica, Side::Legacy).await, Verdict::Same);
        let owes = scene.life(Side::Legacy).await;
        assert!(owes.doubt().is_some_and(|why| why.contains("could not be asked")));

        // WHEN the other one is back
        modern.down(false);
        let found = verdict(&replica, Side::Legacy).await;

        // THEN what was owed is told, or forgiven
        let life = scene.life(Side::Legacy).await.life.unwrap();
        if loses {
            assert!(matches!(found, Verdict::Suspended(_)), "{found:?}");
            let missing = raise::missing(&replica.memories, Side::Legacy, &life).await.unwrap();
            assert_eq!(missing.lost.iter().map(|noted| noted.write).collect::<Vec<_>>(), [lost.write]);
        } else {
            assert_eq!((found, life.unasked), (Verdict::Moved, None));
            assert_eq!(scene.life(Side::Legacy).await.doubt(), None);
        }
        assert_eq!(scene.takes_writes().await, !loses);
    }
}

/// On another server or log more than a second may be missing: that one waits, however long it takes.
#[tokio::test(start_paused = true)]
async fn a_side_that_has_moved_while_the_other_is_away_waits_for_it() {
    let mut scene = Scene::new().await;
    scene.write("A", 10, true).await;
    let (replica, modern) = cut_off(&mut scene);
    verdict(&replica, Side::Legacy).await;
    modern.down(true);
    scene.sides.legacy.move_to("the standby");
    for _ in 0..60 {
        assert!(replica.tick(Side::Legacy).await.is_err());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(!scene.takes_writes().await);
    modern.down(false);
    assert_eq!(verdict(&replica, Side::Legacy).await, Verdict::Moved);
    assert!(scene.takes_writes().await);
}
