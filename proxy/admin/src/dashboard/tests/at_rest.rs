use model::EntityName;
use model::control::reconciliation::{DriftKind, mapping};
use model::control::{Author, Findings, OrderEnd, RunId, TypeDone};
use shadow_compare::words::number;
use uuid::Uuid;

use super::*;

fn author() -> Author {
    Author { who: "schedule".into(), origin: "r1".into(), reason: None }
}

/// Notes a run of `entity` that found `findings`.
async fn run(desk: &Desk, entity: &str, findings: Findings) -> RunId {
    let (id, group) = (RunId(Uuid::now_v7()), "inventory".into());
    let mapping = mapping(&desk.contract.entities[&EntityName::from(entity)]);
    desk.control.begin_reconciliation(id, &group, &entity.into(), &author()).await.unwrap();
    desk.control.end_reconciliation(id, &entity.into(), &Findings { mapping, ..findings }).await.unwrap();
    id
}

async fn site(stage: Stage) -> (Scene, Desk) {
    let mut kept = None;
    let scene = scene_with(&[], stage, |desk| kept = Some(desk.clone())).await;
    (scene, kept.unwrap())
}

#[tokio::test]
async fn the_page_says_what_drifted_by_type_field_and_cause_and_what_is_not_known() {
    let (scene, desk) = site(Stage::Shadow).await;
    // GIVEN nothing at all
    let page = scene.get(Role::Viewer, "/rest").await.text;
    assert!(page.contains("never compared") && page.contains("not known"), "{page}");
    assert!(page.contains("Whether the rows are equal is not known: the rows of"), "{page}");
    assert!(page.contains("by order only") && !page.contains("✓"), "{page}");
    // GIVEN one type that is equal, one that drifted, and one of which not every row is known
    let rows = PerSide { legacy: 1_234, modern: 1_233 };
    run(&desk, "Product", Findings { rows, ..Findings::default() }).await;
    let kinds = vec![
        DriftKind { field: Some("onHand".into()), cause: Cause::Different, rows: 7 },
        DriftKind { field: None, cause: Cause::MissingRow, rows: 1 },
    ];
    run(&desk, "StockLevel", Findings { rows, drift: 8, kinds, ..Findings::default() }).await;
    let keyless = PerSide { legacy: 2, modern: 0 };
    run(&desk, "StockMovement", Findings { rows, keyless, ..Findings::default() }).await;
    let page = scene.get(Role::Viewer, "/rest").await.text;
    for said in [
        "8 rows differ at rest",
        "8 drifted",
        "<code>onHand</code>: different, 7 rows",
        "missing-row, 1 row",
        "Not complete: 2 rows of legacy and 0 of modern have no usable key",
        "none was found, which says nothing of the rest",
        "2 of 3 types known completely",
        number(1_234).as_str(),
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    // A type whose newest run is of another contract is not known, whatever it found.
    let strange = RunId(Uuid::now_v7());
    desk.control.begin_reconciliation(strange, &"inventory".into(), &"Product".into(), &author()).await.unwrap();
    desk.control
        .end_reconciliation(strange, &"Product".into(), &Findings { rows, ..Findings::default() })
        .await
        .unwrap();
    let page = scene.get(Role::Viewer, "/rest").await.text;
    assert!(page.contains("other contract") && page.contains("1 of 3 types known completely"), "{page}");
}

#[tokio::test]
async fn an_operator_orders_on_the_page_and_sees_how_far_it_is_and_why_it_failed() {
    let (scene, desk) = site(Stage::Shadow).await;
    let viewer = scene.get(Role::Viewer, "/rest").await.text;
    assert!(!viewer.contains("<form method=\"post\" action=\"/rest") && viewer.contains("takes the role operator"));
    let done = scene.post("/rest/inventory", "reason=before+the+step").await;
    assert_eq!((done.status, led_to(&done)), (303, "/rest?done=ordered"));
    let page = scene.get(Role::Operator, "/rest?done=ordered").await.text;
    assert!(page.contains("a replica takes it up within seconds") && page.contains("before the step"), "{page}");
    // A second one is told, and what was typed stays.
    let second = scene.post("/rest/inventory", "reason=once+more").await;
    assert_eq!(second.status, 409);
    assert!(
        second.text.contains("ada has ordered it") && second.text.contains("value=\"once more\""),
        "{}",
        second.text
    );
    // It goes on, and it fails.
    let open = desk.control.open_orders().await.unwrap().remove(0);
    let taken = desk.control.take_order(open.order.id, &"r7".into(), Duration::from_secs(60)).await.unwrap().unwrap();
    let mut progress = taken.progress.clone();
    progress.at = Some("StockLevel".into());
    progress.rows = PerSide { legacy: 5_000, modern: 4_999 };
    progress.done.push(TypeDone { entity: "Product".into(), run: RunId(Uuid::nil()), drift: 0, incomplete: None });
    assert!(desk.control.hold_order(open.order.id, 1, &progress, Duration::from_secs(60)).await.unwrap());
    let page = scene.get(Role::Viewer, "/rest").await.text;
    assert!(page.contains("r7 is at StockLevel, 1 of 3 types are done"), "{page}");
    assert!(
        page.contains(&format!("{} rows of legacy and {} of modern compared", number(5_000), number(4_999))),
        "{page}"
    );
    let end = OrderEnd::Failed("the group's stage is <b>legacy</b>".into());
    assert!(desk.control.end_order(open.order.id, 1, &progress, &end).await.unwrap());
    let page = scene.get(Role::Viewer, "/rest").await.text;
    assert!(page.contains("Not every type was compared: the group's stage is &lt;b&gt;legacy"), "{page}");
    assert!(page.contains("failed") && page.contains("by r7"), "{page}");
}

#[tokio::test]
async fn a_group_that_nothing_keeps_equal_has_no_button_and_the_order_is_refused() {
    let (scene, desk) = site(Stage::Legacy).await;
    let page = scene.get(Role::Operator, "/rest").await.text;
    assert!(page.contains("In stage legacy nothing keeps the other side equal") && !page.contains("/rest/inventory"));
    let refused = scene.post("/rest/inventory", "reason=x").await;
    assert_eq!(refused.status, 409);
    assert!(refused.text.contains("set stage dual-write first"), "{}", refused.text);
    let empty = scene.post("/rest/inventory", "reason=+").await;
    assert_eq!(empty.status, 422, "{}", empty.text);
    assert!(desk.control.open_orders().await.unwrap().is_empty());
}

#[tokio::test]
async fn without_the_control_store_the_page_says_so() {
    let (scene, _) = site(Stage::Shadow).await;
    scene.control.set_down(true);
    let page = scene.get(Role::Operator, "/rest").await;
    assert_eq!(page.status, 503);
    assert!(page.text.contains("could not be reached") && !page.text.contains("✓"), "{}", page.text);
    let order = scene.post("/rest/inventory", "reason=x").await;
    assert_eq!(order.status, 503, "{}", order.text);
}
