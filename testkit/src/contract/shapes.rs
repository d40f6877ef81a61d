//! What a side remembers of the shapes of types, and what that bars: see `model::shape`.

use std::time::Duration;

use model::shape::{HomeShape, registered};
use model::{Applied, Change, EntityType, Shape, Stand, Value, Why};

use super::{
    Subject, WITHIN, bring, bring_over, change, command, entity, now, on_hand, overtaken_by, read, set_level,
    unsettled, with_key,
};
use crate::inventory::{self, level_key, product_key};

/// The shape of stock levels with a field more than any contract here has.
fn wider() -> Shape {
    let mut shape = Shape::of(&entity(&level_key("A", "BER")));
    let mut field = shape.fields[2].clone();
    field.name = "reserved".into();
    field.home = field.home.map(|_, home| HomeShape { column: "reserved".into(), ..home });
    shape.fields.push(field);
    shape
}

async fn apply(store: &Subject, change: &Change) -> Applied {
    bring(store, std::slice::from_ref(change)).await.expect("applied").remove(0)
}

/// A change with one field left out of its state.
fn without(mut change: Change, entity: &EntityType, field: &str) -> Change {
    let mut image = change.state.as_ref().expect("a state").to_json(entity);
    image.as_object_mut().expect("an object").remove(field);
    change.state = model::Record::from_json(entity, &image);
    change
}

/// Whoever raises a shape does so from the one that he has seen; two cannot both.
pub async fn a_shape_is_raised_by_one_of_many_and_only_from_what_he_saw(store: Subject) {
    let (narrow, wide) = (Shape::of(&entity(&level_key("A", "BER"))), wider());
    assert_eq!(store.shapes(WITHIN).await.expect("shapes"), []);
    store.remember_shape(&wide, WITHIN).await.expect("remembered");
    store.remember_shape(&wide, WITHIN).await.expect("remembered again");
    let remembered = store.shapes(WITHIN).await.expect("shapes");
    assert_eq!(remembered.len(), 1);
    assert_eq!(registered(&remembered, &wide.entity), None, "seen, and not registered");
    assert!(!store.register(&narrow, 1, WITHIN).await.expect("an answer"), "nobody has rank 1");
    let tasks = (0..8).map(|_| {
        let (store, narrow) = (store.clone(), narrow.clone());
        tokio::spawn(async move { store.register(&narrow, 0, WITHIN).await.unwrap_or(false) })
    });
    let raised = futures::future::join_all(tasks).await;
    assert_eq!(raised.into_iter().filter(|raised| *raised.as_ref().expect("no panic")).count(), 1);
    let remembered = store.shapes(WITHIN).await.expect("shapes");
    let one = registered(&remembered, &narrow.entity).expect("registered");
    assert_eq!((one.id, one.rank, one.shape.as_ref()), (narrow.id(), 1, Some(&narrow)));
    assert!(store.register(&wide, 1, WITHIN).await.expect("an answer"));
    assert!(!store.register(&narrow, 1, WITHIN).await.expect("an answer"), "another one has been raised since");
    assert!(store.register(&narrow, 2, WITHIN).await.expect("an answer"), "and back, in the open");
}

/// A state that lacks a field only names its key, with all of its write; beneath a newer whole one it has come too
/// late.
pub async fn a_state_that_is_not_whole_is_applied_by_nobody(store: Subject) {
    let entity = entity(&level_key("A", "BER"));
    let first = change("A", "BER", 5, Some(5));
    assert_eq!(apply(&store, &first).await, Applied::Newer);
    let part = without(change("A", "BER", 7, Some(7)), &entity, "countedAt");
    assert_eq!(apply(&store, &part).await, Applied::NotWhole);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(5), "nothing of it was applied");
    assert_eq!(store.standing(&[part.write], WITHIN).await.expect("an answer"), []);
    // Nor is another change of its write.
    let other = Change { write: part.write, ordinal: 1, ..change("B", "BER", 7, Some(7)) };
    let mixed = [other, part.clone(), change("C", "BER", 7, Some(7))];
    let applied = bring(&store, &mixed).await.expect("applied");
    assert_eq!(applied, [Applied::NotWhole, Applied::NotWhole, Applied::Newer]);
    assert_eq!(on_hand(&store, "B", "BER").await, None);
    assert_eq!(apply(&store, &change("A", "BER", 8, Some(8))).await, Applied::Newer);
    overtaken_by(&apply(&store, &part).await);
    let deletion = change("A", "BER", 9, None);
    assert_eq!(apply(&store, &deletion).await, Applied::Newer, "a deletion is whole");
}

/// Who does not know the registered shape writes as primary, and applies and leases nothing of the type; the keys that
/// wait are known to him all the same, and what he leaves is told.
pub async fn who_does_not_know_the_registered_shape_only_writes(store: Subject) {
    assert_eq!(apply(&store, &change("A", "BER", 5, Some(5))).await, Applied::Newer);
    let before = set_level(&store, "B", "BER", 1).await;
    assert!(store.register(&wider(), 0, WITHIN).await.expect("an answer"));
    let written = set_level(&store, "C", "BER", 3).await;
    for late in [change("A", "BER", 6, Some(6)), change("A", "BER", 6, None)] {
        assert_eq!(apply(&store, &late).await, Applied::NotKnown);
        let over = bring_over(&store, std::slice::from_ref(&late)).await.expect("answered");
        assert_eq!(over, [Applied::NotKnown]);
    }
    assert_eq!(on_hand(&store, "A", "BER").await, Some(5));
    let key = product_key("A");
    let product = super::entity(&key);
    let values = [("sku", "A".into()), ("active", Value::Bool(true))];
    let set = command(model::Work::Set(model::Record::of(&product, values)), vec![key.clone()]);
    let other = now(store.execute(&with_key(set, "k", "print"), WITHIN).await).remove(0);
    let group = inventory::group();
    let leased = store.lease_unsettled(&group, Stand::Open, Duration::ZERO, Duration::from_secs(9), 10, WITHIN).await;
    let leased: Vec<_> = leased.expect("leased").iter().map(|one| one.changes[0].write).collect();
    assert_eq!(leased, [other.write], "of the other type");
    let keys = store.unsettled_keys(&inventory::group(), 10, WITHIN).await.expect("keys");
    assert_eq!(keys.len(), 3);
    let left = store.left_to_newer(&inventory::group(), 10, WITHIN).await.expect("what is left");
    assert_eq!(left.iter().map(|one| one.write).collect::<Vec<_>>(), [before.write, written.write]);
    assert!(left.iter().all(|one| one.why == Why::Shape), "{left:?}");
    assert_eq!(unsettled(&store).await, 3);
    assert!(read(&store, &key).await.is_some());
    // Going back is an order; then all goes on.
    assert!(store.register(&Shape::of(&entity(&level_key("A", "BER"))), 1, WITHIN).await.expect("an answer"));
    assert_eq!(apply(&store, &change("A", "BER", 6, Some(6))).await, Applied::Newer);
    let leased = store.lease_unsettled(&group, Stand::Open, Duration::ZERO, Duration::from_secs(9), 10, WITHIN).await;
    assert_eq!(leased.expect("leased").len(), 2);
}
