//! Bad input through the front door, over real databases: a stable code, and nothing is changed.

use std::fmt::Write as _;

use model::{Side, Stage};
use serde_json::{Value as Json, json};

use crate::erp::Erp;
use crate::rig::{Pace, Replica};

const UPSERT: &str = "mutation($i: ProductInput!) { upsertProduct(input: $i) { sku } }";
const ADJUST: &str =
    "mutation($s: ID!, $l: ID!, $d: Int!) { adjustStock(sku: $s, location: $l, delta: $d) { onHand } }";
const SET: &str = "mutation($s: ID!, $l: ID!, $n: Int!) { setStock(sku: $s, location: $l, onHand: $n) { onHand } }";
const TRANSFER: &str = "mutation($s: ID!, $f: ID!, $t: ID!, $n: Int!) { transferStock(sku: $s, from: $f, to: $t, quantity: $n) { onHand } }";

/// A good product with one field changed.
fn product(field: &str, value: Json) -> Json {
    let mut product = json!({ "sku": "ITM-001", "name": "A bolt", "unitPrice": "1.25" });
    product[field] = value;
    json!({ "i": product })
}

fn requests() -> Vec<(&'static str, &'static str, Json)> {
    let sku = "ITM-001";
    vec![
        ("more than there is", ADJUST, json!({ "s": sku, "l": "BER1", "d": -101 })),
        ("beyond int32 after the change", ADJUST, json!({ "s": sku, "l": "BER1", "d": 2_147_483_647 })),
        ("an unknown shelf", ADJUST, json!({ "s": sku, "l": "XXX1", "d": 1 })),
        ("a location longer than CHAR(4)", ADJUST, json!({ "s": sku, "l": "BERLIN", "d": 1 })),
        ("a delta beyond Int", ADJUST, json!({ "s": sku, "l": "BER1", "d": 2_147_483_648_i64 })),
        ("a delta as text", ADJUST, json!({ "s": sku, "l": "BER1", "d": "1" })),
        ("a delta with a fraction", ADJUST, json!({ "s": sku, "l": "BER1", "d": 1.5 })),
        ("a variable left out", ADJUST, json!({ "s": sku, "l": "BER1" })),
        ("null for non-null", ADJUST, json!({ "s": null, "l": "BER1", "d": 1 })),
        ("negative stock", SET, json!({ "s": sku, "l": "BER1", "n": -1 })),
        ("a product that is not there", SET, json!({ "s": "ITM-999", "l": "BER1", "n": 1 })),
        ("a sku longer than CHAR(18)", SET, json!({ "s": "ITM-0000000000000001", "l": "BER1", "n": 1 })),
        ("a new location too long", SET, json!({ "s": sku, "l": "BERLIN", "n": 1 })),
        ("from a location to itself", TRANSFER, json!({ "s": sku, "f": "BER1", "t": "BER1", "n": 1 })),
        ("a transfer of nothing", TRANSFER, json!({ "s": sku, "f": "BER1", "t": "HAM1", "n": 0 })),
        ("a transfer of too much", TRANSFER, json!({ "s": sku, "f": "BER1", "t": "HAM1", "n": 101 })),
        ("a transfer to nowhere", TRANSFER, json!({ "s": sku, "f": "BER1", "t": "XXX1", "n": 1 })),
        ("a key longer than CHAR(18)", UPSERT, product("sku", json!("ITM-0000000000000001"))),
        ("a key that ends with a blank", UPSERT, product("sku", json!("ITM-001 "))),
        ("a key with NUL", UPSERT, product("sku", json!("ITM\u{0}"))),
        ("a name too long", UPSERT, product("name", json!("x".repeat(61)))),
        ("no name", UPSERT, product("name", Json::Null)),
        ("too precise for modern", UPSERT, product("unitPrice", json!("1.999"))),
        ("beyond modern's precision", UPSERT, product("unitPrice", json!("12345678901.00"))),
        ("a price that is no number", UPSERT, product("unitPrice", json!("cheap"))),
        ("a weight too precise", UPSERT, product("weight", json!("0.0001"))),
        ("a unit that does not exist", UPSERT, product("unit", json!("DOZEN"))),
        ("a time that is none", UPSERT, product("soldUntil", json!("2026-02-30T00:00:00Z"))),
        ("the time that stands for null", UPSERT, product("soldUntil", json!("9999-12-30T23:00:00Z"))),
        ("a field that does not exist", UPSERT, product("colour", json!("red"))),
        ("null for a column that is not null", UPSERT, product("active", Json::Null)),
        (
            "a product that cannot be deleted",
            "mutation($s: ID!) { discontinueProduct(sku: $s) }",
            json!({ "s": "ITM-999" }),
        ),
        ("not GraphQL", "mutation {", json!({})),
    ]
}

async fn both(erp: &Erp) -> [Vec<i64>; 2] {
    [erp.checksums(Side::Legacy).await, erp.checksums(Side::Modern).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_has_a_stable_code_and_changes_nothing_on_either_side() {
    // GIVEN both sides with the same rows
    let erp = Erp::new().await;
    let ground = erp.ground().await;
    erp.copy().await;
    ground.set(Stage::Shift, 50.0, 0.0);
    let replica = Replica::start(&ground, &Pace::default());
    let before = both(&erp).await;
    let mut shown = String::new();
    // WHEN they are sent what they cannot take
    for (what, query, variables) in requests() {
        let reply = replica.ask_with(query, &variables, &[]).await;
        let error = &reply.body["errors"][0];
        let (code, message) = (error["extensions"]["code"].as_str(), error["message"].as_str());
        let (code, message) = (code.unwrap_or("NO ERROR"), message.unwrap_or_default());
        let _ = writeln!(shown, "{what}\n    {} {code}: {message}", reply.status.as_u16());
        // THEN nothing has changed, anywhere
        assert_eq!(both(&erp).await, before, "{what}: {}", reply.text);
    }
    assert_eq!(ground.backlog().await, 0);
    insta::assert_snapshot!(shown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_or_reused_idempotency_key_and_an_oversize_body_change_nothing() {
    let erp = Erp::new().await;
    let ground = erp.ground().await;
    erp.copy().await;
    let replica = Replica::start(&ground, &Pace::default());
    let good = json!({ "s": "ITM-001", "l": "BER1", "d": -1 });
    // GIVEN a key that was used
    let first = replica.ask_with(ADJUST, &good, &[("idempotency-key", "order 4711")]).await;
    assert_eq!(first.text, r#"{"data":{"adjustStock":{"onHand":99}}}"#);
    ground.settled().await;
    let before = both(&erp).await;
    let mut shown = String::new();
    // WHEN keys are wrong, and a body is larger than allowed
    let long = "x".repeat(201);
    let other = json!({ "s": "ITM-001", "l": "BER1", "d": -2 });
    for (what, key, variables) in [
        ("reused for something else", "order 4711", &other),
        ("with characters of another alphabet", "заказ", &good),
        ("with a control character", "a\tb", &good),
        ("too long", long.as_str(), &good),
        ("empty", "", &good),
    ] {
        let reply = replica.ask_with(ADJUST, variables, &[("idempotency-key", key)]).await;
        let _ = writeln!(shown, "a key {what}\n    {} {}", reply.status.as_u16(), reply.code());
    }
    let body = json!({ "query": ADJUST, "variables": good, "extensions": "x".repeat(1 << 20) }).to_string();
    let reply = replica.post(body, &[]).await;
    let _ = writeln!(shown, "a body beyond the limit\n    {} {}", reply.status.as_u16(), reply.code());
    // THEN each has its code, nothing is changed, and the first result still stands for its key
    assert_eq!(both(&erp).await, before);
    let again = replica.ask_with(ADJUST, &good, &[("idempotency-key", "order 4711")]).await;
    assert_eq!(
        (again.text.as_str(), again.header("x-strangler-version")),
        (first.text.as_str(), first.header("x-strangler-version"))
    );
    assert_eq!(both(&erp).await, before);
    insta::assert_snapshot!(shown);
}
