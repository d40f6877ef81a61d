//! The same question at 0 % and at 100 % has the same answer, byte for byte. Invariant 10.

use model::{Side, Stage};
use serde_json::json;
use testkit::faults::Call;

use crate::erp::{Erp, article};
use crate::rig::{Pace, Replica};

const PRODUCT: &str = "sku name description unit unitPrice weight active soldUntil updatedAt";
const LEVEL: &str = "sku location onHand reserved reorderPoint blocked updatedAt";
const MOVEMENT: &str = "id sku location kind quantity bookedAt reason bookedBy";

/// Every query and every link of the contract, with answers that are long, short, empty and null.
fn questions() -> Vec<String> {
    let mut questions = Vec::new();
    for number in [1, 2, 7, 9, 12, 40, 41, 99] {
        let sku = article(number);
        questions.push(format!(
            "{{ product(sku: \"{sku}\") {{ {PRODUCT} stockLevels {{ {LEVEL} }} movements(first: 50) {{ {MOVEMENT} }} }} }}"
        ));
        questions.push(format!(
            "{{ stockLevel(sku: \"{sku}\", location: \"BER1\") {{ {LEVEL} product {{ {PRODUCT} }} }} }}"
        ));
        questions
            .push(format!("{{ movementsOfProduct(sku: \"{sku}\", first: 100) {{ {MOVEMENT} product {{ name }} }} }}"));
    }
    let all: Vec<_> = (0..=44).rev().map(|number| format!("\"{}\"", article(number))).collect();
    questions.push(format!("{{ products(skus: [{}]) {{ {PRODUCT} }} }}", all.join(" ")));
    let keys = [("ITM-003", "HAM1"), ("ITM-003", "XXX1"), ("ITM-042", "BER1"), ("ITM-003", "HAM1")];
    let keys = keys.map(|(sku, location)| format!("{{ sku: \"{sku}\", location: \"{location}\" }}"));
    questions.push(format!("{{ stockLevels(keys: [{}]) {{ {LEVEL} product {{ name }} }} }}", keys.join(" ")));
    for page in ["", "(first: 7)", "(first: 7, after: \"ITM-007\")", "(first: 0)", "(after: \"ITM-040\")"] {
        questions.push(format!("{{ productList{page} {{ {PRODUCT} }} }}"));
    }
    questions
        .push(format!("{{ lowStock(location: \"BER1\", below: 200, first: 100) {{ {LEVEL} product {{ name }} }} }}"));
    questions.push(format!("{{ lowStock(location: \"HAM1\", below: 100, after: \"ITM-005\") {{ {LEVEL} }} }}"));
    for id in ["M000001", "M000002", "M000003", "nobody"] {
        questions.push(format!("{{ movement(id: \"{id}\") {{ {MOVEMENT} product {{ name }} }} }}"));
    }
    questions.push("{ movementsOfProduct(sku: \"ITM-002\", first: 2, after: \"M000085\") { id } }".to_owned());
    questions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_question_at_0_and_at_100_percent_has_the_same_answer_byte_for_byte() {
    has_the_same_answer(Erp::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_to_an_oracle_has_the_same_answer_byte_for_byte() {
    has_the_same_answer(Erp::on_oracle().await).await;
}

async fn has_the_same_answer(erp: Erp) {
    // GIVEN both sides equal, after a copy and writes of every kind
    let ground = erp.ground().await;
    erp.copy().await;
    let replica = Replica::start(&ground, &Pace::default());
    for write in [
        "{ adjustStock(sku: \"ITM-001\", location: \"BER1\", delta: -7, reason: \"\", bookedBy: \"me\") { onHand } }",
        "{ setStock(sku: \"ITM-002\", location: \"HAM1\", onHand: 0) { onHand } }",
        "{ transferStock(sku: \"ITM-007\", from: \"BER1\", to: \"HAM1\", quantity: 3) { onHand } }",
        "{ upsertProduct(input: { sku: \"ITM-009\", name: \"Ähre  \", description: \"\", unitPrice: \"10\", weight: \"1.50\", soldUntil: \"2030-10-27T00:30:00Z\" }) { sku } }",
        "{ upsertProduct(input: { sku: \"ITM-044\", name: \"New\", unitPrice: \"0.10\", unit: LITRE, active: false }) { sku } }",
        "{ discontinueProduct(sku: \"ITM-012\") }",
    ] {
        let reply = replica.ask(&format!("mutation {write}")).await;
        assert!(reply.body["errors"].is_null(), "{write}: {}", reply.text);
    }
    ground.settled().await;
    // Whoever wrote knows at once that nothing is unsettled; the ledger is asked for the rest.
    crate::rig::until("no key is pinned", async || {
        replica.unsettled.all(&ground.group()).is_some_and(|keys| keys.is_empty())
    })
    .await;
    for question in questions() {
        // WHEN it is asked at 0 % and at 100 %
        let mut answers = Vec::new();
        for (reads, side) in [(0.0, Side::Legacy), (100.0, Side::Modern)] {
            ground.set(Stage::Shift, reads, 0.0);
            let store = ground.stores.get(side.other());
            let before = store.calls(Call::Fetch) + store.calls(Call::List);
            answers.push(replica.ask_with(&question, &json!({}), &[]).await.text);
            assert_eq!(store.calls(Call::Fetch) + store.calls(Call::List), before, "the other side was asked");
        }
        // THEN the answers are the same text
        assert!(answers[0].starts_with("{\"data\":{") && !answers[0].contains("errors"), "{question}: {}", answers[0]);
        assert_eq!(answers[0], answers[1], "{question}");
    }
}
