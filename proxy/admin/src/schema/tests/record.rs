//! The record over the API: what was done, found by who, what and when; and the chain, to be followed elsewhere.

use model::control::{Action, AuditStore, Author, Deed};

use super::*;

async fn note(control: &MemoryControl, action: Action, who: &str, detail: Json) {
    let author = Author { who: who.into(), origin: "desk".into(), reason: Some("=1+1".into()) };
    control.note(&Deed { action, group: None, author, rollout: None, detail }).await.unwrap();
}

#[tokio::test]
async fn an_entry_says_what_was_done_and_is_found_by_who_what_and_page() {
    let (schema, control) = site(&[], Stage::Shadow).await;
    for number in 0..3 {
        note(&control, Action::Repaired, "ada", json!({ "type": "Product", "keys": number, "asked": "one key" })).await;
        note(&control, Action::Excused, "bob", json!({ "what": "case in name of Query.product", "owner": "shop" }))
            .await;
    }
    let found = async |filter: &str| {
        let document = format!("{{ audit{filter} {{ place event who summary }} }}");
        let answer = ask(&schema, "vic", Role::Viewer, &document, json!({})).await;
        let entries = answer["data"]["audit"].as_array().unwrap_or_else(|| panic!("{filter}: {answer}")).clone();
        entries
            .into_iter()
            .map(|entry| (entry["place"].as_u64().unwrap(), entry["summary"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(found("").await.len(), 7);
    let repaired = found("(event: \"repaired\", who: \"ada\")").await;
    assert_eq!(repaired[0], (6, "repaired 2 keys of Product: one key".to_owned()));
    assert_eq!(repaired[1].1, "repaired 1 key of Product: one key");
    assert_eq!(found("(event: \"excused\")").await[0].1, "excused case in name of Query.product, owner shop");
    assert_eq!(found("(event: \"repaired\", who: \"bob\")").await, []);
    // A page of what was asked for goes on where the one before ended, past all that was not.
    let page = found("(event: \"repaired\", limit: 1)").await;
    let next = found(&format!("(event: \"repaired\", limit: 1, before: {})", page[0].0)).await;
    assert_eq!((page[0].0, next[0].0), (6, 4));
    let unknown = ask(&schema, "vic", Role::Viewer, "{ audit(event: \"repared\") { who } }", json!({})).await;
    let said = unknown["errors"][0]["message"].as_str().unwrap();
    assert!(said.contains("there is no event `repared`") && said.contains("repaired"), "{said}");
}

#[tokio::test]
async fn the_chain_comes_with_what_its_hashes_cover() {
    let (schema, control) = site(&[], Stage::Shadow).await;
    note(&control, Action::Excused, "ada", json!({ "z": 0.1, "a": [null, "\u{e9}\"\n"] })).await;
    let document =
        "{ auditChain(after: 1) { place at action event group who origin reason rollout detailText previous hash } }";
    let answer = ask(&schema, "vic", Role::Viewer, document, json!({})).await;
    let told = &answer["data"]["auditChain"][0];
    let entry = control.audit(1, 9).await.unwrap().remove(0);
    let micros = model::Instant::parse(told["at"].as_str().unwrap()).unwrap().to_utc().timestamp_micros();
    let covered = json!([
        told["previous"],
        told["place"],
        micros,
        told["action"],
        told["group"],
        [told["who"], told["origin"], told["reason"]],
        told["rollout"],
        told["detailText"],
    ]);
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(covered.to_string().as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((told["hash"].as_str(), entry.hash.0.as_str()), (Some(hash.as_str()), hash.as_str()));
}
