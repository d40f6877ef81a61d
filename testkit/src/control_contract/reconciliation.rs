//! Promises about reconciliations and repairs.

use std::collections::BTreeMap;

use model::control::reconciliation::{DriftKind, RepairCount, RepairOrder};
use model::control::{Author, ControlStore, Findings, RunId};
use model::evidence::{Cause, Difference};
use model::{LeftOut, PerSide};
use uuid::Uuid;

use super::group;

fn author() -> Author {
    Author { who: "ada".into(), origin: "desk".into(), reason: Some("a try".into()) }
}

fn found(drift: u64) -> Findings {
    let values = PerSide { legacy: "\u{0}1".into(), modern: serde_json::Value::Null };
    let cause = Cause::MissingRow;
    let sample = Difference {
        field: None,
        cause,
        key: r#"["A"]"#.into(),
        records: values.clone(),
        values,
        excused: false,
        explained: Default::default(),
    };
    Findings {
        rows: PerSide { legacy: 100, modern: 99 },
        drift,
        excused: 2,
        undecided: 1,
        held_back: 1,
        keyless: PerSide { legacy: 1, modern: 0 },
        named: vec![r#"legacy ["A",null]"#.into()],
        kinds: vec![DriftKind { field: None, cause, rows: drift }],
        samples: vec![sample],
        left_out: vec![LeftOut { column: "RSNTXT".into(), column_type: "text".into(), rows: 100, filled: 7 }],
        problem: None,
        mapping: "0123456789abcdef".into(),
    }
}

/// What a run found comes back whole; the newest that has ended decides, complete or not: what it could not compare is
/// not what an older one has found.
pub async fn the_newest_ended_reconciliation_of_each_type_decides(store: &dyn ControlStore) {
    let (group, types) = (group("inventory"), ["Product".into(), "StockLevel".into()]);
    let runs = [1, 2, 3].map(|number| RunId(Uuid::from_u128(number)));
    assert!(store.newest_reconciliations(&group).await.unwrap().is_empty());
    for run in runs {
        for entity in &types {
            for _ in 0..2 {
                store.begin_reconciliation(run, &group, entity, &author()).await.unwrap();
            }
        }
    }
    assert!(store.newest_reconciliations(&group).await.unwrap().is_empty(), "begun is not done");
    let stopped = Findings { problem: Some("modern could not be reached".into()), ..found(0) };
    store.end_reconciliation(runs[0], &types[0], &found(7)).await.unwrap();
    store.end_reconciliation(runs[1], &types[0], &found(3)).await.unwrap();
    store.end_reconciliation(runs[1], &types[0], &found(9)).await.unwrap();
    let newest = store.newest_reconciliations(&group).await.unwrap();
    assert_eq!(newest.len(), 1);
    let one = &newest[0].reconciliation;
    assert_eq!((one.run, &one.entity, one.author.clone()), (runs[1], &types[0], author()));
    assert_eq!(one.findings, Some(found(3)), "the first end stays");
    assert!(one.ended.is_some_and(|ended| ended >= one.begun));
    assert!(newest[0].age.is_some_and(|age| age.as_secs() < 60));
    store.end_reconciliation(runs[2], &types[0], &stopped).await.unwrap();
    store.end_reconciliation(runs[2], &types[1], &found(0)).await.unwrap();
    let newest = store.newest_reconciliations(&group).await.unwrap();
    let decides: Vec<_> =
        newest.iter().map(|one| (one.reconciliation.entity.clone(), one.reconciliation.findings.clone())).collect();
    assert_eq!(decides, [(types[0].clone(), Some(stopped.clone())), (types[1].clone(), Some(found(0)))]);

    let all = store.reconciliations(Some(&group), 100).await.unwrap();
    assert_eq!(all.len(), 6);
    assert!(all.is_sorted_by(|one, next| one.begun >= next.begun));
    assert_eq!(all.iter().filter(|one| one.findings == Some(stopped.clone())).count(), 1);
    assert_eq!(store.reconciliations(None, 2).await.unwrap().len(), 2);
    assert!(store.reconciliations(Some(&super::group("other")), 9).await.unwrap().is_empty());
}

/// A repair is on record from its beginning, with who and why.
pub async fn repairs_are_on_record_from_their_beginning(store: &dyn ControlStore) {
    let id = RunId(Uuid::from_u128(1));
    let order = RepairOrder {
        id,
        group: group("inventory"),
        entity: "Product".into(),
        author: author(),
        asked: r#"key ["A"]"#.into(),
    };
    for _ in 0..2 {
        store.begin_repair(&order).await.unwrap();
    }
    let begun = store.repairs(None, 10).await.unwrap();
    assert_eq!(begun.len(), 1);
    assert_eq!((&begun[0].order, begun[0].ended, begun[0].count.as_ref()), (&order, None, None));
    let refused = BTreeMap::from([("TOO_LONG".to_owned(), 1)]);
    let count = RepairCount { repaired: 3, level: 1, refused, ..RepairCount::default() };
    store.end_repair(id, &count).await.unwrap();
    store.end_repair(id, &RepairCount::default()).await.unwrap();
    let ended = store.repairs(Some(&group("inventory")), 10).await.unwrap();
    assert_eq!(ended[0].count, Some(count));
    assert!(ended[0].ended.is_some_and(|ended| ended >= begun[0].begun));
    assert!(store.repairs(Some(&group("other")), 10).await.unwrap().is_empty());
}
