//! Promises about writes that changed nothing: a repeat of one is told so on both sides.

use std::time::Duration;

use model::saga::OpenSagas;
use model::store::{Bare, Forget};
use model::write::Work;
use model::{
    Applied, Command, Epoch, Fingerprint, IdempotencyKey, Incarnation, Instant, Position, Stand, StoreError, Version,
    Written,
};

use super::{Subject, WITHIN, close, command, now, on_hand, open, set_level, unsettled, with_key, write_id};
use crate::inventory::{self, level_key};

/// Deletes a level, whether it is there or not.
pub(super) fn remove(store: &Subject, sku: &str) -> Command {
    let work = Work::Run { statements: vec![inventory::remove(store.side())], params: inventory::at(sku, "BER", 0) };
    command(work, vec![level_key(sku, "BER")])
}

pub(super) fn bare(key: Option<&str>) -> Bare {
    let idempotency = key.map(|key| {
        let key = IdempotencyKey::new(key, "field").expect("a good key");
        (key, Fingerprint("print".into()))
    });
    let version = Version { epoch: Epoch(1), incarnation: Incarnation(1), position: Position(7) };
    Bare { write: write_id(), group: inventory::group(), version, idempotency }
}

async fn leased(store: &Subject) -> Vec<model::store::Unsettled> {
    let (group, none) = (inventory::group(), Duration::ZERO);
    store.lease_unsettled(&group, Stand::Open, none, none, 10, WITHIN).await.expect("a lease")
}

async fn kept(store: &Subject, writes: &[Bare]) -> Vec<Applied> {
    let before = close(store).await.expect("it was open");
    let kept = store.keep(writes, WITHIN).await.expect("an answer");
    open(store, before.epoch).await;
    kept
}

async fn stands(store: &Subject, bare: &Bare) -> bool {
    !store.standing(&[bare.write], WITHIN).await.expect("an answer").is_empty()
}

/// What a repeat may ask for waits for the other side, as any write does. Nobody asks for one without a key.
pub async fn a_write_that_changed_nothing_waits_for_the_other_side_where_it_has_a_key(store: Subject) {
    let begin = Instant::new(chrono::Utc::now() - chrono::TimeDelta::hours(1));
    assert_eq!(now(store.execute(&remove(&store, "A"), WITHIN).await), []);
    assert_eq!((unsettled(&store).await, leased(&store).await), (0, vec![]));
    let changed = set_level(&store, "B", "BER", 1).await;
    let keyed = with_key(remove(&store, "A"), "key", "print");
    assert_eq!(now(store.execute(&keyed, WITHIN).await), []);
    // It is counted and given, after the older one; and pins no key.
    assert_eq!(unsettled(&store).await, 2);
    let given = leased(&store).await;
    assert_eq!(given.iter().map(|one| one.write).collect::<Vec<_>>(), [changed.write, keyed.write]);
    assert_eq!((given[0].bare.as_ref(), &given[0].changes), (None, &vec![changed.clone()]));
    let bare = given[1].bare.as_ref().expect("what is known of it");
    assert_eq!((&bare.group, &bare.idempotency, bare.write), (&keyed.group, &keyed.idempotency, keyed.write));
    assert!(given[1].changes.is_empty() && bare.version > changed.version);
    let keys = store.unsettled_keys(&inventory::group(), 1, WITHIN).await.expect("keys");
    assert_eq!(keys, [(changed.key, changed.write)]);
    // A side that loses the authority has left it behind.
    let before = close(&store).await.expect("it was open");
    let left = store.left_behind(&inventory::group(), Some(changed.write), 10, WITHIN).await.expect("a list");
    assert_eq!((left.len(), left[0].bare.as_ref()), (1, Some(bare)));
    open(&store, before.epoch).await;
    // When the other side has gone back, it is told of, and brought again.
    store.settle(&[keyed.write, changed.write], WITHIN).await.expect("settled");
    assert_eq!(unsettled(&store).await, 0);
    let noted = store.writes_since(begin, None, 10, WITHIN).await.expect("writes");
    assert_eq!(noted.iter().map(|noted| noted.write).collect::<Vec<_>>(), [changed.write, keyed.write]);
    store.unsettle(&[keyed.write], WITHIN).await.expect("unsettled");
    assert_eq!(leased(&store).await.iter().map(|one| one.write).collect::<Vec<_>>(), [keyed.write]);
}

/// Kept on the other side, it is the first result of its key there, whatever stands by then; and forgotten like others.
pub async fn what_changed_nothing_is_known_on_the_side_that_keeps_it(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let before = unsettled(&store).await;
    let both = [bare(Some("key")), bare(None)];
    for _ in 0..2 {
        assert_eq!(kept(&store, &both).await, [Applied::There, Applied::There]);
        assert!(stands(&store, &both[0]).await && stands(&store, &both[1]).await);
    }
    assert_eq!(unsettled(&store).await, before, "both sides have it");
    let repeat = with_key(remove(&store, "A"), "key", "print");
    assert_eq!(store.execute(&repeat, WITHIN).await.expect("a repeat"), Written::Before(vec![]));
    assert_eq!(on_hand(&store, "A", "BER").await, Some(5));
    let other = with_key(remove(&store, "A"), "key", "another print");
    assert!(matches!(store.execute(&other, WITHIN).await, Err(StoreError::KeyReused)));
    tokio::time::sleep(Duration::from_millis(5)).await;
    let forget = Forget { retention: Duration::ZERO, limit: 10, sagas: OpenSagas::These(Vec::new()) };
    assert_eq!(store.forget(&forget, WITHIN).await.expect("forgotten"), 2);
    assert!(!stands(&store, &both[0]).await);
}

/// Two writes under one key: that is told, and holds up no other.
pub async fn a_key_that_another_write_has_is_an_answer(store: Subject) {
    let first = bare(Some("key"));
    assert_eq!(kept(&store, std::slice::from_ref(&first)).await, [Applied::There]);
    let three = [bare(Some("other")), bare(Some("key")), bare(None)];
    for _ in 0..2 {
        assert_eq!(kept(&store, &three).await, [Applied::There, Applied::KeyTaken(first.write), Applied::There]);
        assert!(!stands(&store, &three[1]).await && stands(&store, &three[2]).await);
    }
    // Also one that has changed something.
    let written = set_level(&store, "A", "BER", 5).await;
    let keyed = with_key(remove(&store, "A"), "third", "print");
    now(store.execute(&keyed, WITHIN).await);
    assert_eq!(kept(&store, &[bare(Some("third"))]).await, [Applied::KeyTaken(keyed.write)]);
    assert!(written.write < keyed.write);
}

/// A side that takes writes of its own, that has gone back, or that has no such group keeps nothing of another primary.
pub async fn a_side_that_takes_writes_keeps_no_repeat_of_another(store: Subject) {
    let late = [bare(Some("key")), Bare { group: "nobody".into(), ..bare(Some("other")) }];
    let barred = [Applied::Barred, Applied::Barred];
    assert_eq!(store.keep(&late, WITHIN).await.expect("an answer"), barred);
    assert!(!stands(&store, &late[0]).await);
    assert_eq!(kept(&store, &late).await, [Applied::There, Applied::Barred]);
    close(&store).await;
    let of = store.incarnation(WITHIN).await.expect("an incarnation");
    store.suspend(of, "it has gone back", WITHIN).await.expect("suspended");
    assert_eq!(store.keep(&[bare(Some("third"))], WITHIN).await.expect("an answer"), [Applied::Barred]);
    assert_eq!(store.keep(&[], WITHIN).await.expect("an answer"), []);
}
