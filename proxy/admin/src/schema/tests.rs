#[path = "../../../control-plane/src/desk/scene.rs"]
pub(crate) mod scene;

mod fuzz;
mod preview;
mod record;
pub(crate) mod sagas;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use adapters::memory::control::MemoryControl;
use async_graphql::{Request, Variables};
use model::control::{ControlStore, RolloutRecord};
use model::{RolloutVersion, Stage};
use serde_json::{Value as Json, json};

use super::*;
use crate::auth::Via;
use scene::{desk, laid};

const WITHIN: Duration = Duration::from_secs(5);

/// The schema over empty stores and an empty control store.
pub(crate) fn idle() -> AdminSchema {
    schema(desk(&[], &Arc::new(MemoryControl::new())))
}

async fn site(needs_second: &[Stage], stage: Stage) -> (AdminSchema, Arc<MemoryControl>) {
    let (desk, control) = laid(needs_second, stage).await;
    (schema(desk), control)
}

async fn ask(schema: &AdminSchema, who: &str, role: Role, document: &str, variables: Json) -> Json {
    let identity = Identity { who: who.into(), role, via: Via::Token };
    let request = Request::new(document).variables(Variables::from_json(variables));
    let request = request.data(identity).data(Origin("10.0.0.7".into()));
    serde_json::to_value(schema.execute(request).await).unwrap()
}

fn code(answer: &Json) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none")
}

const SET: &str = "mutation($stage: String, $reads: Float) { \
    setPolicy(group: \"inventory\", stage: $stage, reads: $reads, reason: \"because\", pastGates: [\"all\"], waitMillis: 0) { \
    ended summary rollout proposal { id } policy { stage reads } } }";

/// Every mutation of the schema with made-up arguments, so that a new one cannot be forgotten.
fn mutations() -> Vec<String> {
    let parsed = apollo_compiler::Schema::parse(sdl(), "admin.graphql").unwrap();
    let mutation = parsed.get_object(parsed.schema_definition.mutation.as_ref().unwrap()).unwrap();
    let field = |field: &apollo_compiler::ast::FieldDefinition| {
        let value = |kind: &str| match kind {
            "Int" => "1",
            "Float" => "1.0",
            "Boolean" => "false",
            "Primary" => "MODERN",
            "ExcuseInput" => "{ route: \"Query.product\", cause: \"rounding\", owner: \"ada\", until: \"2026-12-31\" }",
            _ => "\"inventory\"",
        };
        let required =
            field.arguments.iter().filter(|argument| argument.ty.is_non_null() && argument.default_value.is_none());
        let given: Vec<String> =
            required.map(|argument| format!("{}: {}", argument.name, value(argument.ty.inner_named_type()))).collect();
        let arguments = if given.is_empty() { String::new() } else { format!("({})", given.join(", ")) };
        let selection = if parsed.get_object(field.ty.inner_named_type()).is_some() { "{ __typename }" } else { "" };
        format!("mutation {{ {}{arguments} {selection} }}", field.name)
    };
    mutation.fields.values().map(|definition| field(&definition.node)).collect()
}

#[tokio::test]
async fn no_mutation_is_for_viewers_and_nothing_is_for_strangers() {
    let (schema, control) = site(&[], Stage::Shift).await;
    let mutations = mutations();
    assert!(mutations.len() >= 5, "{mutations:?}");
    for mutation in &mutations {
        let answer = ask(&schema, "eve", Role::Viewer, mutation, json!({})).await;
        assert_eq!(code(&answer), "FORBIDDEN", "{mutation}: {answer}");
        let answer = serde_json::to_value(schema.execute(Request::new(mutation.as_str())).await).unwrap();
        assert_eq!(code(&answer), "FORBIDDEN", "{mutation}: {answer}");
    }
    for question in ["{ me { who } }", "{ groups { name } }", "{ audit { who } }", "{ report { text } }"] {
        let answer = serde_json::to_value(schema.execute(Request::new(question)).await).unwrap();
        assert_eq!(code(&answer), "FORBIDDEN", "{question}: {answer}");
        let answer = ask(&schema, "vic", Role::Viewer, question, json!({})).await;
        assert_eq!(answer["errors"], Json::Null, "{question}: {answer}");
    }
    assert_eq!(control.history(None, 10).await.unwrap().len(), 1);
}

#[test]
fn the_schema_is_reviewed() {
    insta::assert_snapshot!(sdl());
}

#[tokio::test]
async fn a_change_is_made_and_recorded_with_who_and_from_where() {
    let (schema, control) = site(&[], Stage::Shadow).await;
    let answer = ask(&schema, "ada", Role::Operator, SET, json!({ "stage": "shift", "reads": 12.5 })).await;
    let done = &answer["data"]["setPolicy"];
    assert_eq!((&done["ended"], &done["policy"]["reads"]), (&json!("PUBLISHED"), &json!(12.5)), "{answer}");
    let again = ask(&schema, "ada", Role::Operator, SET, json!({ "stage": "shift", "reads": 12.5 })).await;
    assert_eq!(again["data"]["setPolicy"]["ended"], "ALREADY_SO");
    let RolloutRecord { author, .. } = control.newest().await.unwrap().unwrap();
    assert_eq!((author.who.as_str(), author.origin.as_str()), ("ada", "10.0.0.7"));
    let audit = ask(&schema, "vic", Role::Viewer, "{ audit { action who reason rollout } }", json!({})).await;
    assert_eq!(
        audit["data"]["audit"][0],
        json!({ "action": "rollout", "who": "ada", "reason": "because", "rollout": 2 })
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_a_code_and_changes_nothing() {
    let (schema, control) = site(&[], Stage::Shadow).await;
    let cases = [
        ("mutation { setPolicy(group: \"nobody\", reason: \"x\") { ended } }", "UNKNOWN_GROUP"),
        ("mutation { setPolicy(group: \"inventory\", reads: 101, reason: \"x\") { ended } }", "BAD_PERCENTAGE"),
        ("mutation { setPolicy(group: \"inventory\", reads: 5, reason: \"x\") { ended } }", "NOT_POSSIBLE"),
        ("mutation { setPolicy(group: \"inventory\", stage: \"modern\", reason: \"x\") { ended } }", "NOT_POSSIBLE"),
        ("mutation { setPolicy(group: \"inventory\", stage: \"shifted\", reason: \"x\") { ended } }", "UNKNOWN_STAGE"),
        ("mutation { setPolicy(group: \"inventory\", stage: \"shift\", reason: \" \") { ended } }", "NO_REASON"),
        ("mutation { approve(id: \"0\", reason: \"x\") { ended } }", "UNKNOWN_PROPOSAL"),
        ("mutation { stopPromotion(group: \"inventory\", reason: \"x\") { policy { stage } } }", "NOT_UNDER_WAY"),
        ("{ report(filter: { cause: \"roundin\" }) { text } }", "UNKNOWN_CAUSE"),
        ("{ sample(id: \"x\") { text } }", "UNKNOWN_SAMPLE"),
    ];
    for (document, expected) in cases {
        let answer = ask(&schema, "ada", Role::Admin, document, json!({})).await;
        assert_eq!(code(&answer), expected, "{document}: {answer}");
    }
    assert_eq!(control.history(None, 10).await.unwrap().len(), 1);
    control.set_down(true);
    let answer = ask(&schema, "ada", Role::Admin, "{ groups { name } }", json!({})).await;
    assert_eq!(code(&answer), "CONTROL_STORE", "{answer}");
}

#[tokio::test]
async fn a_change_that_takes_two_is_made_by_two_and_a_lowering_by_one() {
    let (schema, control) = site(&[Stage::Shift], Stage::Shadow).await;
    let admin = |who: &'static str, document: String| {
        let schema = schema.clone();
        async move { ask(&schema, who, Role::Admin, &document, json!({ "stage": "shift", "reads": 25.0 })).await }
    };
    let answer = admin("ada", SET.into()).await;
    let done = &answer["data"]["setPolicy"];
    assert_eq!((&done["ended"], &done["policy"]["stage"]), (&json!("PROPOSED"), &json!("shadow")), "{answer}");
    assert_eq!(control.newest().await.unwrap().unwrap().rollout.version, RolloutVersion(1));
    let id = done["proposal"]["id"].as_str().unwrap().to_owned();
    let approve = format!(
        "mutation {{ approve(id: \"{id}\", reason: \"seen\", pastGates: [\"all\"], waitMillis: 0) {{ ended }} }}"
    );
    assert_eq!(code(&admin("ada", approve.clone()).await), "SAME_PERSON");
    assert_eq!(code(&ask(&schema, "bob", Role::Operator, &approve, json!({})).await), "FORBIDDEN");
    let answer = admin("bob", approve.clone()).await;
    assert_eq!(answer["data"]["approve"]["ended"], "PUBLISHED", "{answer}");
    let record = control.newest().await.unwrap().unwrap();
    assert_eq!((record.author.who.as_str(), record.approved_by.as_deref()), ("ada", Some("bob")));
    assert_eq!(code(&admin("bob", approve).await), "UNKNOWN_PROPOSAL");
    // Lowering needs nobody else.
    let lower = ask(&schema, "ada", Role::Operator, SET, json!({ "reads": 5.0 })).await;
    assert_eq!(lower["data"]["setPolicy"]["ended"], "PUBLISHED", "{lower}");
    let actions = ask(&schema, "vic", Role::Viewer, "{ audit { action } }", json!({})).await;
    let actions: Vec<_> =
        actions["data"]["audit"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["rollout", "approved", "rollout", "proposed", "rollout"]);
}

#[tokio::test]
async fn a_proposal_from_a_policy_that_is_gone_cannot_be_approved() {
    let (schema, _) = site(&[Stage::Shift], Stage::Shadow).await;
    let answer = ask(&schema, "ada", Role::Operator, SET, json!({ "stage": "shift", "reads": 25.0 })).await;
    let id = answer["data"]["setPolicy"]["proposal"]["id"].as_str().unwrap().to_owned();
    ask(&schema, "eve", Role::Operator, SET, json!({ "stage": "dual-write" })).await;
    let approve = format!(
        "mutation {{ approve(id: \"{id}\", reason: \"seen\", pastGates: [\"all\"], waitMillis: 0) {{ ended }} }}"
    );
    assert_eq!(code(&ask(&schema, "bob", Role::Admin, &approve, json!({})).await), "OVERTAKEN");
    let withdraw = format!("mutation {{ withdraw(id: \"{id}\", reason: \"stale\") {{ state decidedBy }} }}");
    let answer = ask(&schema, "ada", Role::Operator, &withdraw, json!({})).await;
    assert_eq!(answer["data"]["withdraw"], json!({ "state": "withdrawn", "decidedBy": "ada" }));
}

#[tokio::test]
async fn gates_without_data_are_closed_and_a_promotion_waits_before_them() {
    let (schema, control) = site(&[], Stage::Shadow).await;
    let promote = "mutation { promote(group: \"inventory\", reason: \"go\") { readiness { answer gates { name state } \
                   promotion { state atStep } } } }";
    let answer = ask(&schema, "ada", Role::Operator, promote, json!({})).await;
    let readiness = &answer["data"]["promote"]["readiness"];
    assert_eq!(readiness["promotion"], json!({ "state": "running", "atStep": null }), "{answer}");
    let closed: BTreeSet<&str> = readiness["gates"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|gate| gate["state"] != "PASS" && gate["state"] != "NOT_ASKED")
        .map(|gate| gate["name"].as_str().unwrap())
        .collect();
    assert!(closed.contains("mismatches") && closed.contains("coverage of routes"), "{closed:?}");
    assert!(readiness["answer"].as_str().unwrap().starts_with("No: mismatches"), "{readiness}");
    assert_eq!(code(&ask(&schema, "ada", Role::Operator, promote, json!({})).await), "UNDER_WAY");
    let stop = "mutation { stopPromotion(group: \"inventory\", reason: \"later\") { readiness { promotion { state said } } } }";
    let answer = ask(&schema, "bob", Role::Operator, stop, json!({})).await;
    let stopped = &answer["data"]["stopPromotion"]["readiness"]["promotion"];
    assert_eq!(*stopped, json!({ "state": "stopped", "said": "stopped by bob" }), "{answer}");
    assert_eq!(control.newest().await.unwrap().unwrap().rollout.version, RolloutVersion(1));
}

#[tokio::test]
async fn the_record_is_verified_and_a_rollout_that_nobody_noted_is_found() {
    let (schema, control) = site(&[], Stage::Shadow).await;
    ask(&schema, "ada", Role::Operator, SET, json!({ "stage": "shift", "reads": 1.0 })).await;
    let verified = "{ verified { ok entries rollouts tampered headPlace } }";
    let answer = ask(&schema, "vic", Role::Viewer, verified, json!({})).await;
    assert_eq!(
        answer["data"]["verified"],
        json!({ "ok": true, "entries": 2, "rollouts": 2, "tampered": null, "headPlace": 2 })
    );
    // An audit that was emptied as a whole leaves no gap, and rollouts that nobody noted.
    control.empty_audit();
    let answer = ask(&schema, "vic", Role::Viewer, verified, json!({})).await;
    assert_eq!((&answer["data"]["verified"]["ok"], &answer["data"]["verified"]["entries"]), (&json!(false), &json!(0)));
}
