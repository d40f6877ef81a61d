use model::Value;
use uuid::Uuid;

use super::*;

fn key(sku: &str) -> EntityKey {
    EntityKey::new("Product".into(), vec![Value::text(sku)])
}

fn look(began: Instant, keys: &[(EntityKey, WriteId)]) -> Look {
    Look { began, keys: keys.to_vec(), overflow: false }
}

/// What is known after a first look that found nothing.
fn watched() -> UnsettledKeys {
    let keys = UnsettledKeys::default();
    keys.saw(&"inventory".into(), look(Instant::now(), &[]));
    keys
}

#[tokio::test(start_paused = true)]
async fn without_a_look_every_key_counts_as_unsettled() {
    let (keys, group, now) = (UnsettledKeys::default(), GroupName::from("inventory"), Instant::now());
    let all_count = |keys: &UnsettledKeys| {
        keys.contains(&group, &key("A"))
            && keys.any_older_than(&group, Duration::ZERO, now)
            && keys.all(&group).is_none()
    };
    assert!(all_count(&keys), "a replica that has just started");
    keys.saw(&group, look(now, &[]));
    assert!(!keys.contains(&group, &key("A")));
    // Written while the group was not dual-written, and left to the relay of a later stage.
    let write = WriteId(Uuid::from_u128(1));
    keys.begin(&group, write, &[key("B")]);
    keys.leave(&group, write, now);
    assert!(keys.contains(&group, &key("B")));
    keys.unwatch(&group);
    assert!(all_count(&keys), "dual-write was off: the ledger may hold anything");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_not_renewed_leaves_every_key_in_doubt_unless_the_primary_is_out_of_reach() {
    let (keys, group) = (watched(), GroupName::from("inventory"));
    tokio::time::advance(FRESH - Duration::from_millis(1)).await;
    assert!(!keys.contains(&group, &key("A")));
    keys.hold(&group);
    tokio::time::advance(Duration::from_millis(10)).await;
    assert!(!keys.contains(&group, &key("A")), "nobody could answer instead");
    tokio::time::advance(FRESH).await;
    assert!(keys.contains(&group, &key("A")));
    assert!(keys.any_older_than(&group, Duration::from_secs(9), Instant::now()) && keys.all(&group).is_none());
    keys.saw(&group, look(Instant::now(), &[]));
    assert!(!keys.contains(&group, &key("A")));
    // What nobody has ever looked at is not held.
    let other = GroupName::from("other");
    keys.hold(&other);
    assert!(keys.contains(&other, &key("A")));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_unsettled_from_before_the_write_until_both_sides_have_it() {
    let (keys, group) = (watched(), GroupName::from("inventory"));
    let (first, second) = (WriteId(Uuid::from_u128(1)), WriteId(Uuid::from_u128(2)));
    keys.begin(&group, first, &[key("A")]);
    keys.begin(&group, second, &[key("A")]);
    keys.end(&group, first);
    assert!(keys.contains(&group, &key("A")), "the second write still holds it");
    keys.end(&group, second);
    assert!(!keys.contains(&group, &key("A")));
}

#[test]
fn another_write_of_a_key_counts_once_it_stands_and_until_it_is_settled() {
    let (keys, group) = (UnsettledKeys::default(), GroupName::from("inventory"));
    let (first, second) = (WriteId(Uuid::from_u128(1)), WriteId(Uuid::from_u128(2)));
    let another = |keys: &UnsettledKeys| keys.another_stands(&group, second, &[key("A"), key("B")]);
    keys.begin(&group, first, &[key("A")]);
    keys.begin(&group, second, &[key("A"), key("B")]);
    assert!(!another(&keys), "it has changed nothing yet");
    keys.stands(&group, second, Instant::now());
    assert!(!another(&keys), "one's own does not count");
    keys.stands(&group, first, Instant::now());
    assert!(another(&keys));
    assert!(!keys.another_stands(&group, second, &[key("B")]), "not of this key");
    keys.leave(&group, first, Instant::now());
    assert!(another(&keys), "left to the relay");
    keys.end(&group, first);
    assert!(!another(&keys));
}

#[tokio::test(start_paused = true)]
async fn an_own_write_pins_lists_only_when_it_stands_and_is_late() {
    let (keys, group, now) = (watched(), GroupName::from("inventory"), Instant::now());
    let (write, age) = (WriteId(Uuid::from_u128(1)), Duration::from_millis(50));
    keys.begin(&group, write, &[key("A")]);
    assert!(!keys.any_older_than(&group, age, now + age), "nobody was told of it yet");
    keys.stands(&group, write, now);
    assert!(!keys.any_older_than(&group, age, now));
    assert!(keys.any_older_than(&group, age, now + age));
}

#[tokio::test(start_paused = true)]
async fn a_write_left_to_the_relay_leaves_only_after_a_later_look() {
    let (keys, group, now) = (watched(), GroupName::from("inventory"), Instant::now());
    let write = WriteId(Uuid::from_u128(1));
    let step = Duration::from_millis(10);
    keys.begin(&group, write, &[key("A")]);
    // A look that shows nothing, but began before the write was committed and left.
    keys.leave(&group, write, now + step);
    keys.saw(&group, look(now, &[]));
    assert!(keys.contains(&group, &key("A")));
    keys.saw(&group, look(now + step * 2, &[(key("A"), write)]));
    assert!(keys.contains(&group, &key("A")));
    keys.saw(&group, look(now + step * 3, &[]));
    assert!(!keys.contains(&group, &key("A")));
}

#[tokio::test(start_paused = true)]
async fn other_replicas_writes_are_seen_and_too_many_pin_the_whole_group() {
    let (keys, group, now) = (watched(), GroupName::from("inventory"), Instant::now());
    keys.saw(&group, look(now, &[(key("A"), WriteId(Uuid::from_u128(9)))]));
    assert!(keys.contains(&group, &key("A")) && !keys.contains(&group, &key("B")));
    let (age, later) = (Duration::from_millis(50), now + Duration::from_millis(250));
    assert!(!keys.any_older_than(&group, age, later), "shown once: it was on its way");
    keys.saw(&group, look(later, &[(key("A"), WriteId(Uuid::from_u128(9)))]));
    assert!(keys.any_older_than(&group, age, later), "shown again: it is late");
    keys.saw(&group, Look { began: now, keys: vec![], overflow: true });
    assert!(keys.contains(&group, &key("B")));
}

#[test]
fn while_a_secondary_is_unproven_every_key_and_list_is_the_primarys() {
    let (keys, group, now) = (UnsettledKeys::default(), GroupName::new("inventory"), Instant::now());
    keys.saw(&group, look(now, &[]));
    assert!(!keys.contains(&group, &key("A")));
    keys.set_unproven(&group, true);
    keys.saw(&group, look(now, &[]));
    assert!(keys.contains(&group, &key("A")) && keys.any_older_than(&group, Duration::from_secs(60), now));
    keys.set_unproven(&group, false);
    assert!(!keys.contains(&group, &key("A")));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_began_before_it_was_asked_for_is_not_waited_with() {
    let (keys, group, asked) = (watched(), GroupName::from("inventory"), Instant::now());
    let write = WriteId(Uuid::from_u128(9));
    let step = Duration::from_millis(10);
    tokio::time::advance(step).await;
    assert!(!keys.looked(&group, step).await, "the only look began before");
    let later = async {
        keys.saw(&group, look(asked, &[]));
        tokio::time::sleep(step).await;
        keys.saw(&group, look(Instant::now(), &[(key("A"), write)]));
    };
    assert!(tokio::join!(keys.looked(&group, step * 3), later).0);
    assert!(keys.any_of(&group, &[write]) && !keys.any_of(&group, &[WriteId(Uuid::from_u128(8))]));
    assert!(!keys.looked(&"other".into(), step).await && keys.any_of(&"other".into(), &[]));
}
