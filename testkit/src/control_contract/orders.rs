//! Orders to compare rows at rest: one of a group is open, one is held, and who lost it says nothing more.

use std::time::Duration;

use model::control::{
    Action, Author, ControlStore, Deed, OrderEnd, OrderId, OrderProgress, OrderRecord, OrderState, OrderedType, Placed,
    ReconcileOrder, RunId, TypeDone,
};
use model::{GroupName, PerSide, ReplicaId};
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(600);

fn ada() -> Author {
    Author { who: "ada".into(), origin: "desk".into(), reason: Some("before the promotion".into()) }
}

fn order(number: u128, group: &str) -> ReconcileOrder {
    let one = |entity: &str| OrderedType { entity: entity.into(), mapping: "m".into() };
    ReconcileOrder {
        id: OrderId(Uuid::from_u128(number)),
        group: group.into(),
        types: vec![one("Product"), one("StockLevel")],
        author: ada(),
    }
}

fn deed(group: &str) -> Deed {
    let group = Some(GroupName::from(group));
    Deed { action: Action::ReconcileOrdered, group, author: ada(), rollout: None, detail: serde_json::Value::Null }
}

async fn place(control: &dyn ControlStore, order: &ReconcileOrder) -> Placed {
    control.place_order(order, Some(&deed(order.group.as_str()))).await.unwrap()
}

fn b2() -> ReplicaId {
    "b".into()
}

async fn now(control: &dyn ControlStore, order: &ReconcileOrder) -> OrderRecord {
    control.order(order.id).await.unwrap().unwrap()
}

/// Of a group one order is open, whoever asks and however often; each is noted once.
pub async fn a_group_has_one_open_order_and_a_second_is_told_of_it(control: &dyn ControlStore) {
    let (first, second, other) = (order(1, "inventory"), order(2, "inventory"), order(3, "sales"));
    let Placed::Placed(placed) = place(control, &first).await else { panic!("it is the first") };
    assert_eq!((placed.order.clone(), placed.state(), &placed.taken), (first.clone(), OrderState::Waiting, &None));
    // The same again: an answer that was lost is no reason for another.
    assert!(matches!(place(control, &first).await, Placed::Placed(again) if again.order == first));
    assert!(matches!(place(control, &second).await, Placed::Open(open) if open.order == first));
    assert!(matches!(place(control, &other).await, Placed::Placed(_)));
    // Both at once: the database decides.
    let (left, right) = (order(4, "orders"), order(5, "orders"));
    let both = tokio::join!(place(control, &left), place(control, &right));
    assert!(
        matches!(&both, (Placed::Placed(one), Placed::Open(open)) | (Placed::Open(open), Placed::Placed(one)) if one.order == open.order),
        "{both:?}"
    );
    let noted = control.newest_audit(None, None, 10).await.unwrap();
    assert_eq!(noted.len(), 3, "one for each that stands: {noted:?}");
    assert_eq!(noted[2].author, ada());
    assert_eq!(control.open_orders().await.unwrap().len(), 3);
    // When it has ended, another may be placed.
    assert!(control.end_order(first.id, 0, &OrderProgress::default(), &OrderEnd::Failed("x".into())).await.unwrap());
    assert!(matches!(place(control, &second).await, Placed::Placed(_)));
    let listed = control.orders(Some(&"inventory".into()), 10).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|one| one.order.id).collect();
    assert_eq!(ids, [second.id, first.id], "newest first");
    assert_eq!(control.order(OrderId(Uuid::from_u128(99))).await.unwrap(), None);
}

/// One replica has an order; after its lease another may, and then the first one's word counts for nothing.
pub async fn an_order_is_held_by_one_replica_and_who_lost_it_changes_nothing(control: &dyn ControlStore) {
    let (a, b): (ReplicaId, ReplicaId) = ("a".into(), "b".into());
    let (first, second) = (order(1, "inventory"), order(2, "sales"));
    place(control, &first).await;
    place(control, &second).await;
    let taken = control.take_order(first.id, &a, LONG).await.unwrap().unwrap();
    assert_eq!(taken.state(), OrderState::Running);
    assert_eq!(taken.taken.as_ref().map(|taken| (taken.by.clone(), taken.number)), Some((a.clone(), 1)));
    assert_eq!(control.take_order(first.id, &b, LONG).await.unwrap(), None);
    assert_eq!(control.take_order(second.id, &b, LONG).await.unwrap(), None, "the fleet runs one at a time");
    // GIVEN a replica that is not heard of any more: its lease has run out
    let done = |entity: &str, incomplete: Option<&str>| TypeDone {
        entity: entity.into(),
        run: RunId(Uuid::nil()),
        drift: 0,
        incomplete: incomplete.map(str::to_owned),
    };
    let rows = PerSide { legacy: 7, modern: 6 };
    let far =
        OrderProgress { done: vec![done("Product", None)], at: Some("StockLevel".into()), rows, drift: 1, chunks: 4 };
    assert!(control.hold_order(first.id, 1, &far, Duration::ZERO).await.unwrap());
    let idle = now(control, &first).await;
    assert_eq!((idle.state(), idle.progress.clone()), (OrderState::Waiting, far.clone()));
    let left: Vec<_> = idle.progress.left(&idle.order).map(|one| one.entity.clone()).collect();
    assert_eq!(left, ["StockLevel".into()]);
    let again = control.take_order(first.id, &b, LONG).await.unwrap().unwrap();
    assert_eq!(again.taken.as_ref().map(|taken| (taken.by.clone(), taken.number)), Some((b, 2)));
    assert_eq!(again.progress, far, "it goes on where the first one was");
    // THEN what the first one says changes nothing
    let nothing = OrderProgress::default();
    assert!(!control.hold_order(first.id, 1, &nothing, LONG).await.unwrap());
    assert!(!control.end_order(first.id, 1, &nothing, &OrderEnd::Failed("late".into())).await.unwrap());
    assert!(!control.end_order(first.id, 0, &nothing, &OrderEnd::Failed("nobody took it".into())).await.unwrap());
    assert_eq!(now(control, &first).await.progress, far);
    // and the end is the end.
    let whole = OrderProgress { done: vec![done("Product", None), done("StockLevel", Some("a lock"))], ..far };
    assert!(control.end_order(first.id, 2, &whole, &OrderEnd::Done).await.unwrap());
    assert_eq!(now(control, &first).await.state(), OrderState::Incomplete);
    assert!(!control.hold_order(first.id, 2, &nothing, LONG).await.unwrap());
    assert_eq!(control.take_order(first.id, &a, LONG).await.unwrap(), None);
    // A lease that ran out is no loss while nobody has taken anything, and one when another order is held.
    assert!(control.take_order(second.id, &a, Duration::ZERO).await.unwrap().is_some(), "the next one's turn");
    assert!(control.hold_order(second.id, 1, &nothing, Duration::ZERO).await.unwrap());
    let third = order(3, "orders");
    place(control, &third).await;
    assert!(control.take_order(third.id, &b2(), LONG).await.unwrap().is_some());
    assert!(!control.hold_order(second.id, 1, &nothing, LONG).await.unwrap());
}
