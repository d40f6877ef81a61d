use super::*;

fn room(limit: usize) -> Arc<Room> {
    Room::new(Server::new("legacy"), limit)
}

fn within(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

/// Takes `count` places, whose holders all have connections.
async fn enter(room: &Arc<Room>, count: usize) -> Vec<Place> {
    let mut places = Vec::new();
    for _ in 0..count {
        places.push(room.enter(within(10)).await.unwrap());
    }
    places
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_waits_in_turn_for_a_place_that_comes_back() {
    let room = room(4);
    let mut held = enter(&room, 3).await;
    let refused = room.enter(within(10)).await.unwrap();
    assert!(refused.refused(within(500)).await.is_none(), "three others have connections");
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let room = Arc::clone(&room);
            tokio::spawn(async move { room.enter(within(500)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    held.pop();
    let mut waiting = waiting.into_iter();
    assert!(waiting.next().unwrap().await.unwrap().is_some(), "the first has it");
    assert!(waiting.next().unwrap().await.unwrap().is_some(), "the second has it after the first");
}

#[tokio::test(start_paused = true)]
async fn one_place_is_tried_again_after_each_pause_and_the_next_at_once_when_it_was_good() {
    let room = room(5);
    let held = enter(&room, 5).await;
    for place in held.into_iter().skip(2) {
        assert!(place.refused(within(10)).await.is_none());
    }
    assert!(room.state.lock().withheld == 3);
    let _two = enter(&room, 2).await;
    assert!(room.enter(within(500)).await.is_none(), "not before the pause is over");
    let third = room.enter(within(600)).await.unwrap();
    room.opened();
    let fourth = room.enter(within(10)).await.unwrap();
    assert!(fourth.refused(within(10)).await.is_none());
    assert!(room.enter(within(900)).await.is_none(), "and a refusal brings the pause back");
    drop(third);
    assert_eq!(room.server.refused(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_last_place_stays_and_its_holder_goes_on_asking() {
    let room = room(3);
    let mut last = None;
    for place in enter(&room, 3).await {
        last = place.refused(within(1_000)).await.or(last);
    }
    let last = last.expect("somebody goes on asking");
    let began = Instant::now();
    let last = last.refused(within(1_000)).await.expect("it is still the last");
    assert_eq!(began.elapsed(), LAST_PAUSE);
    drop(last);
    assert!(room.enter(within(10)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_until_the_server_is_short_and_then_no_longer_than_others_can_wait() {
    let room = room(2);
    assert!(!room.must_go(Duration::from_secs(3_600)));
    let place = room.enter(within(10)).await.unwrap();
    assert!(place.refused(within(10)).await.is_none());
    assert!(room.must_go(KEPT) && !room.must_go(KEPT / 2));
    tokio::time::sleep(SHORT).await;
    assert!(!room.must_go(Duration::from_secs(3_600)), "it has had enough for a while");
    assert!(room.begins_to_tidy() && !room.begins_to_tidy(), "one at a time looks for what nobody uses");
    assert!(!room.goes_on_tidying().await && room.begins_to_tidy(), "and not for ever");
    room.owes();
    assert!(room.must_go(Duration::ZERO) && !room.must_go(Duration::ZERO), "another pool gets one, once");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_its_last_connection_leaves_others_the_time_to_come_in() {
    let room = room(1);
    room.enter(within(10)).await.unwrap().closed();
    assert!(room.enter(within(150)).await.is_none());
    assert!(room.enter(within(150)).await.is_some());
}
