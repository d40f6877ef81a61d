//! What holds of the life of every side.

use std::sync::Arc;
use std::time::Duration;

use model::fence::Move;
use model::life::{LifeLook, Mark, Memory, RAISING, Verdict, judge};
use model::{Epoch, Fence, Incarnation, Instant, Side, Stand, StoreError};

use super::{Subject, WITHIN, adjust, now, on_hand, set_level, write_id};
use crate::inventory;

pub(super) async fn look(store: &Subject, asked: &[Mark]) -> LifeLook {
    store.life(asked, WITHIN).await.expect("a look")
}

/// What the side would have others remember of it now.
pub(super) async fn memory(store: &Subject) -> Memory {
    let life = look(store, &[]).await.life.expect("a prepared side has a life");
    Memory { incarnation: life.incarnation, mark: life.mark }
}

pub(super) fn after(mark: Mark, random: u64) -> Mark {
    Mark { counter: mark.counter + 1, random }
}

/// A prepared side lives, and nobody who remembers it accuses it.
pub async fn a_prepared_side_has_a_life(store: Subject) {
    let first = memory(&store).await;
    let seen = look(&store, &[first.mark]).await;
    assert_eq!(judge(&seen, Some(&[first])), Verdict::Same);
    assert_eq!(store.incarnation(WITHIN).await.expect("an incarnation"), first.incarnation);
}

/// A mark is moved by one of many who know the last one, and all of them are kept.
pub async fn a_mark_is_moved_by_one_of_many(store: Subject) {
    let first = memory(&store).await.mark;
    let movers = (0..8).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.move_mark(first, after(first, 100 + number), WITHIN).await })
    });
    let mut moved = 0;
    for mover in movers.collect::<Vec<_>>() {
        moved += u32::from(mover.await.expect("no panic").expect("an answer"));
    }
    assert_eq!(moved, 1);
    let now = memory(&store).await.mark;
    assert_eq!(now.counter, first.counter + 1);
    let made_up = Mark { random: now.random + 1_000, ..now };
    assert_eq!(look(&store, &[first, now, made_up]).await.kept.len(), 2);
    let late = store.move_mark(first, after(first, 1), WITHIN).await.expect("an answer");
    assert!(!late, "whoever knows an older mark moves nothing");
}

/// A suspended side commits no write, whoever asks; a raise is a compare-and-set, and what is written under it is newer.
pub async fn a_suspended_side_commits_no_write_until_it_is_raised(store: Subject) {
    let before = set_level(&store, "A", "BER", 10).await;
    let of = memory(&store).await.incarnation;
    store.suspend(of, "a test", WITHIN).await.expect("suspended");
    store.suspend(of, "another reason", WITHIN).await.expect("harmless to repeat");
    let life = look(&store, &[]).await.life.expect("a life");
    assert_eq!(life.suspended.as_deref(), Some("a test"));

    let refused = store.execute(&adjust(&store, "A", "BER", -1), WITHIN).await;
    assert!(matches!(refused, Err(StoreError::Unwritable { .. })), "{refused:?}");
    assert_eq!(on_hand(&store, "A", "BER").await, Some(10));
    assert!(!store.move_mark(life.mark, after(life.mark, 1), WITHIN).await.expect("an answer"));

    let former = life.incarnation;
    let to = Memory { incarnation: Incarnation(former.0 + 3), mark: after(life.mark, 2) };
    let wrong = Incarnation(life.incarnation.0 + 1);
    assert!(!store.raise(wrong, to, WITHIN).await.expect("an answer"), "from another incarnation");
    assert!(store.raise(life.incarnation, to, WITHIN).await.expect("an answer"));
    assert_eq!(memory(&store).await, to);

    // Not before the other side has heard of it.
    let refused = store.execute(&adjust(&store, "A", "BER", -1), WITHIN).await;
    assert!(matches!(refused, Err(StoreError::Unwritable { .. })), "{refused:?}");
    store.resume(life.incarnation, WITHIN).await.expect("an answer");
    let life = look(&store, &[]).await.life.expect("a life");
    assert_eq!(life.suspended.as_deref(), Some(RAISING), "who means another raise ends none");
    for _ in 0..2 {
        store.resume(to.incarnation, WITHIN).await.expect("harmless to repeat");
    }
    // Somebody who has looked before the raise comes late.
    store.suspend(former, "it has gone back", WITHIN).await.expect("nothing to be done");
    assert_eq!(look(&store, &[]).await.life.expect("a life").suspended, None);
    let written = now(store.execute(&adjust(&store, "A", "BER", -1), WITHIN).await).remove(0);
    assert_eq!(written.version.incarnation, to.incarnation);
    assert!(written.version > before.version);
    assert!(store.greatest_incarnation(WITHIN).await.expect("a number") >= to.incarnation);
}

/// A side that is suspended is not opened for writes; it may be frozen and closed.
pub async fn a_suspended_side_is_not_opened(store: Subject) {
    let group = inventory::group();
    let stands = store.fence(&group, WITHIN).await.expect("a fence").fence;
    let step = |from: Fence, to| Move { side: store.side(), from, to, takes_over: false };
    let of = memory(&store).await.incarnation;
    store.suspend(of, "a test", WITHIN).await.expect("suspended");
    let frozen = Fence::new(Epoch(stands.epoch.0 + 1), Stand::Frozen);
    assert_eq!(store.move_fence(&group, &step(stands, frozen), WITHIN).await.expect("a move"), frozen);
    let open = Fence::new(Epoch(stands.epoch.0 + 2), Stand::Open);
    for to in [open, Fence::new(open.epoch, Stand::Alone)] {
        let refused = store.move_fence(&group, &step(frozen, to), WITHIN).await;
        assert!(matches!(refused, Err(StoreError::Unwritable { .. })), "{refused:?}");
    }
    assert_eq!(store.fence(&group, WITHIN).await.expect("a fence").fence, frozen);
    // Whoever is late and names another place is told where it stands, as ever.
    assert_eq!(store.move_fence(&group, &step(stands, open), WITHIN).await.expect("a move"), frozen);
    let life = look(&store, &[]).await.life.expect("a life");
    let to = Memory { incarnation: Incarnation(life.incarnation.0 + 1), mark: after(life.mark, 2) };
    assert!(store.raise(life.incarnation, to, WITHIN).await.expect("an answer"));
    store.resume(to.incarnation, WITHIN).await.expect("an answer");
    assert_eq!(store.move_fence(&group, &step(frozen, open), WITHIN).await.expect("a move"), open);
}

/// What is suspended for a reason of its own is not let go by who ends a raise.
pub async fn a_raise_that_ends_lets_go_of_nothing_else(store: Subject) {
    let life = memory(&store).await;
    store.suspend(life.incarnation, "a test", WITHIN).await.expect("suspended");
    store.resume(life.incarnation, WITHIN).await.expect("an answer");
    let suspended = async || look(&store, &[]).await.life.expect("a life").suspended;
    assert_eq!(suspended().await.as_deref(), Some("a test"));
    // Nor what is found to have gone back before the raise has ended.
    let to = Memory { incarnation: Incarnation(life.incarnation.0 + 1), mark: after(life.mark, 2) };
    assert!(store.raise(life.incarnation, to, WITHIN).await.expect("an answer"));
    store.suspend(to.incarnation, "gone back again", WITHIN).await.expect("suspended");
    store.resume(to.incarnation, WITHIN).await.expect("an answer");
    assert_eq!(suspended().await.as_deref(), Some("gone back again"));
}

/// What a side holds that has gone back may be of a life that is over: nobody brings it anywhere, until it was raised.
pub async fn a_suspended_side_gives_nothing_to_a_relay(store: Subject) {
    let written = set_level(&store, "A", "BER", 10).await;
    let lease = async || {
        let (group, none) = (inventory::group(), Duration::ZERO);
        let taken = store.lease_unsettled(&group, Stand::Open, none, none, 10, WITHIN).await.expect("an answer");
        taken.iter().map(|unsettled| unsettled.changes[0].write).collect::<Vec<_>>()
    };
    assert_eq!(lease().await, [written.write]);
    store.suspend(memory(&store).await.incarnation, "a test", WITHIN).await.expect("suspended");
    assert_eq!(lease().await, []);
    let life = look(&store, &[]).await.life.expect("a life");
    let to = Memory { incarnation: Incarnation(life.incarnation.0 + 1), mark: after(life.mark, 2) };
    assert!(store.raise(life.incarnation, to, WITHIN).await.expect("an answer"));
    store.resume(to.incarnation, WITHIN).await.expect("an answer");
    assert_eq!(lease().await, [written.write]);
}

/// What is remembered of the other side never goes back.
pub async fn memory_of_another_side_never_goes_back(store: Subject) {
    let other = store.side().other();
    assert_eq!(store.remembered(other, WITHIN).await.expect("an answer"), None);
    let at = |incarnation, counter| Memory { incarnation: Incarnation(incarnation), mark: Mark { counter, random: 7 } };
    for (told, known) in [(at(2, 5), at(2, 5)), (at(2, 4), at(2, 5)), (at(1, 9), at(2, 5)), (at(3, 1), at(3, 1))] {
        store.remember(other, told, WITHIN).await.expect("remembered");
        assert_eq!(store.remembered(other, WITHIN).await.expect("an answer"), Some(known));
    }
    let own: Side = store.side();
    assert_eq!(store.remembered(own, WITHIN).await.expect("an answer"), None);
}

/// Writes are told by id, with what they are still the newest of; settled ones can be made unsettled again.
pub async fn what_was_written_since_is_told_and_can_be_brought_again(store: Subject) {
    let begin = Instant::new(chrono::Utc::now() - chrono::TimeDelta::hours(1));
    let first = set_level(&store, "A", "BER", 10).await;
    let second = set_level(&store, "A", "BER", 11).await;
    let third = set_level(&store, "B", "BER", 5).await;
    store.settle(&[first.write, second.write], WITHIN).await.expect("settled");

    let noted = store.writes_since(begin, None, 10, WITHIN).await.expect("writes");
    let told: Vec<_> = noted.iter().map(|noted| (noted.write, noted.settled, noted.keys.len())).collect();
    assert_eq!(told, [(first.write, true, 0), (second.write, true, 1), (third.write, false, 1)]);
    let rest = store.writes_since(begin, Some(first.write), 1, WITHIN).await.expect("writes");
    assert_eq!(rest.iter().map(|noted| noted.write).collect::<Vec<_>>(), [second.write]);
    let later = Instant::new(chrono::Utc::now() + chrono::TimeDelta::hours(1));
    assert_eq!(store.writes_since(later, None, 10, WITHIN).await.expect("writes"), []);

    store.unsettle(&[second.write, write_id()], WITHIN).await.expect("unsettled");
    assert_eq!(super::unsettled(&store).await, 2);
}
