//! Stuck sagas: seen by viewers without any value, tried again or abandoned by operators, on the record.

use adapters::Lane;
use model::{Instant, SagaId, SagaRow, SagaStatus};

use super::*;

const SECRET: &str = "field value 4711";

/// A saga that is stuck in legacy's log.
pub(crate) async fn stuck(desk: &Desk, id: &str) {
    let document = json!({
        "arguments": { "note": SECRET }, "fingerprint": "f", "attempts": 3, "refusals": 3,
        "problem": "NOT_RESERVED", "halted": "stuck",
        "steps": [
            { "name": "stock", "state": { "done": { "write": null, "states": [{ "note": SECRET }] } } },
            { "name": "order", "state": { "refused": { "code": "TOO_MANY", "message": "no" } },
              "attempts": 2, "tried_at": "2026-01-31T07:59:00Z" },
        ],
    });
    let row = SagaRow {
        id: SagaId::new(id).unwrap(),
        route: "Mutation.placeOrder".into(),
        status: SagaStatus::Stuck,
        revision: 0,
        document: document.to_string(),
        began_at: Instant::new(chrono::DateTime::UNIX_EPOCH),
    };
    desk.sides.legacy.get(Lane::Admin).begin_saga(&row, WITHIN, WITHIN).await.unwrap();
}

#[tokio::test]
async fn a_stuck_saga_is_seen_without_its_values_and_ended_by_operators_on_the_record() {
    let control = Arc::new(MemoryControl::new());
    let desk = desk(&[], &control);
    stuck(&desk, "one").await;
    stuck(&desk, "two").await;
    let schema = schema(desk);
    let look =
        "{ sagas(status: \"stuck\") { id route status side beganAt steps { name state } attempts problem refused } }";
    let seen = ask(&schema, "vic", Role::Viewer, look, json!({})).await;
    assert_eq!(seen["data"]["sagas"].as_array().unwrap().len(), 2, "{seen}");
    assert!(!seen.to_string().contains(SECRET), "{seen}");
    let one = ask(
        &schema,
        "vic",
        Role::Viewer,
        "{ saga(id: \"one\") { status problem refused steps { name state refused attempts triedAt } } }",
        json!({}),
    )
    .await;
    let told = json!({ "status": "stuck", "problem": "NOT_RESERVED", "refused": "TOO_MANY", "steps":
        [{ "name": "stock", "state": "done", "refused": null, "attempts": 0, "triedAt": null },
         { "name": "order", "state": "refused", "refused": "TOO_MANY", "attempts": 2,
           "triedAt": "2026-01-31T07:59:00Z" }] });
    assert_eq!(one["data"]["saga"], told);

    let order =
        |field: &str, id: &str| format!("mutation {{ {field}(id: \"{id}\", reason: \"mended\") {{ status }} }}");
    let tried = ask(&schema, "ada", Role::Operator, &order("retrySaga", "one"), json!({})).await;
    assert_eq!(tried["data"]["retrySaga"]["status"], "compensating", "{tried}");
    let left = ask(&schema, "ada", Role::Operator, &order("abandonSaga", "two"), json!({})).await;
    assert_eq!(left["data"]["abandonSaga"]["status"], "abandoned", "{left}");
    for id in ["one", "two"] {
        let again = ask(&schema, "ada", Role::Operator, &order("abandonSaga", id), json!({})).await;
        assert_eq!(code(&again), "NOT_STUCK", "{again}");
    }
    let unknown = ask(&schema, "ada", Role::Operator, &order("retrySaga", "three"), json!({})).await;
    assert_eq!(code(&unknown), "UNKNOWN_SAGA", "{unknown}");
    let counts = ask(&schema, "vic", Role::Viewer, "{ sagaCounts { running compensating stuck } }", json!({})).await;
    assert_eq!(counts["data"]["sagaCounts"], json!({ "running": 0, "compensating": 1, "stuck": 0 }));
    let audit = ask(&schema, "vic", Role::Viewer, "{ audit { action who reason } }", json!({})).await;
    let entry = |action: &str| json!({ "action": action, "who": "ada", "reason": "mended" });
    assert_eq!(audit["data"]["audit"], json!([entry("saga-abandoned"), entry("saga-retried")]));
}

#[tokio::test]
async fn an_order_about_a_saga_that_cannot_be_noted_does_not_take_effect() {
    let control = Arc::new(MemoryControl::new());
    let desk = desk(&[], &control);
    stuck(&desk, "one").await;
    let schema = schema(desk);
    control.set_down(true);
    for field in ["retrySaga", "abandonSaga"] {
        let order = format!("mutation {{ {field}(id: \"one\", reason: \"mended\") {{ status }} }}");
        let answer = ask(&schema, "ada", Role::Operator, &order, json!({})).await;
        assert_eq!(code(&answer), "CONTROL_STORE", "{answer}");
        let seen = ask(&schema, "vic", Role::Viewer, "{ saga(id: \"one\") { status } }", json!({})).await;
        assert_eq!(seen["data"]["saga"]["status"], "stuck", "{field}");
    }
}
