//! What stands against a move is named before it, and refuses it when nobody goes past it.

use super::*;

const ORDER: &str = "mutation($stage: String, $reads: Float, $past: [String!]! = [], $after: Int) { \
    setPolicy(group: \"inventory\", stage: $stage, reads: $reads, pastGates: $past, after: $after, reason: \"because\", \
    waitMillis: 0) { ended rollout back } }";
const LOOK: &str = "query($stage: String, $reads: Float) { preview { set(group: \"inventory\", stage: $stage, reads: $reads) \
    { rollout settings { name from to } objections { name } stops } } }";

async fn look(schema: &AdminSchema, wish: Json) -> (Vec<String>, u64) {
    let answer = ask(schema, "vic", Role::Viewer, LOOK, wish).await;
    let one = &answer["data"]["preview"]["set"];
    let names = one["objections"].as_array().unwrap_or_else(|| panic!("{answer}")).iter();
    (names.map(|one| one["name"].as_str().unwrap().to_owned()).collect(), one["rollout"].as_u64().unwrap())
}

#[tokio::test]
async fn an_order_is_refused_until_every_objection_is_named_and_then_bound_to_what_was_seen() {
    let (schema, control) = site(&[], Stage::Shadow).await;
    let order = async |wish: Json| ask(&schema, "ada", Role::Operator, ORDER, wish).await;
    let refused = order(json!({ "stage": "shift", "reads": 5.0 })).await;
    assert_eq!(code(&refused), "PAST_GATES", "{refused}");
    let (mut names, rollout) = look(&schema, json!({ "stage": "shift", "reads": 5.0 })).await;
    assert!(names.contains(&"mismatches".to_owned()) && rollout == 1, "{names:?}");
    let one = names.pop().unwrap();
    let part = order(json!({ "stage": "shift", "reads": 5.0, "past": names })).await;
    assert!(code(&part) == "PAST_GATES" && part.to_string().contains(&one), "{part}");
    names.push(one);
    // Somebody else lowers nothing and changes something.
    let other = ask(&schema, "bob", Role::Operator, ORDER, json!({ "stage": "dual-write" })).await;
    assert_eq!(other["data"]["setPolicy"]["ended"], "PUBLISHED", "{other}");
    let stale = order(json!({ "stage": "shift", "reads": 5.0, "past": names, "after": rollout })).await;
    assert_eq!(code(&stale), "OVERTAKEN", "{stale}");
    let future = order(json!({ "stage": "shift", "reads": 5.0, "past": names, "after": 99 })).await;
    assert_eq!(code(&future), "OVERTAKEN", "{future}");
    let done = order(json!({ "stage": "shift", "reads": 5.0, "past": names, "after": 2 })).await;
    assert_eq!(done["data"]["setPolicy"]["ended"], "PUBLISHED", "{done}");
    assert_eq!(done["data"]["setPolicy"]["back"], "strangler groups undo inventory --rollout 3 --reason WHY");
    // Lower, and lower still: nobody asks anything.
    for wish in [json!({ "reads": 1.0 }), json!({ "reads": 0.0 }), json!({ "stage": "dual-write" })] {
        let lower = order(wish.clone()).await;
        assert_eq!(lower["data"]["setPolicy"]["ended"], "PUBLISHED", "{wish} {lower}");
    }
    let leave = order(json!({ "stage": "legacy" })).await;
    assert_eq!(code(&leave), "PAST_GATES", "{leave}");
    let leave = order(json!({ "stage": "legacy", "past": ["dual write"] })).await;
    assert_eq!(leave["data"]["setPolicy"]["ended"], "PUBLISHED", "{leave}");
    assert_eq!(control.newest().await.unwrap().unwrap().rollout.version, RolloutVersion(7));
}

#[tokio::test]
async fn whoever_approves_goes_past_what_stands_against_it_then() {
    let (schema, control) = site(&[Stage::Shift], Stage::Shadow).await;
    let answer = ask(&schema, "ada", Role::Operator, SET, json!({ "stage": "shift", "reads": 25.0 })).await;
    let id = answer["data"]["setPolicy"]["proposal"]["id"].as_str().unwrap().to_owned();
    let question = format!("{{ preview {{ approve(id: \"{id}\") {{ objections {{ name }} }} }} }}");
    let seen = ask(&schema, "bob", Role::Viewer, &question, json!({})).await;
    assert!(seen.to_string().contains("mismatches"), "{seen}");
    let approve = |past: &str| {
        format!("mutation {{ approve(id: \"{id}\", reason: \"seen\", pastGates: {past}, waitMillis: 0) {{ ended }} }}")
    };
    let refused = ask(&schema, "bob", Role::Admin, &approve("[]"), json!({})).await;
    assert_eq!(code(&refused), "PAST_GATES", "{refused}");
    assert_eq!(control.newest().await.unwrap().unwrap().rollout.version, RolloutVersion(1));
    let done = ask(&schema, "bob", Role::Admin, &approve("[\"all\"]"), json!({})).await;
    assert_eq!(done["data"]["approve"]["ended"], "PUBLISHED", "{done}");
}

#[tokio::test]
async fn an_undo_is_of_ones_own_newest_change_or_of_one_that_is_named() {
    let (schema, control) = site(&[], Stage::Shadow).await;
    let set = |wish: Json| (ORDER, wish);
    let undo = |given: &str| {
        format!("mutation {{ undo(group: \"inventory\", reason: \"oops\", waitMillis: 0{given}) {{ ended summary }} }}")
    };
    let run = async |who: &str, document: &str, given: Json| ask(&schema, who, Role::Operator, document, given).await;
    let first = run("ada", &undo(""), json!({})).await;
    assert_eq!(code(&first), "NOT_POSSIBLE", "nothing was changed yet: {first}");
    let (document, wish) = set(json!({ "stage": "shift", "reads": 3.0, "past": ["all"] }));
    run("ada", document, wish).await;
    let others = run("bob", &undo(""), json!({})).await;
    assert!(code(&others) == "OVERTAKEN" && others.to_string().contains("rollout 2 by ada"), "{others}");
    let older = run("bob", &undo(", rollout: 1"), json!({})).await;
    assert_eq!(code(&older), "OVERTAKEN", "{older}");
    let done = run("bob", &undo(", rollout: 2"), json!({})).await;
    assert_eq!(done["data"]["undo"]["summary"], "stage shift -> shadow, reads 3 % -> 0 %", "{done}");
    // Undone, it can be undone: up again, so gates are asked.
    let again = run("bob", &undo(""), json!({})).await;
    assert_eq!(code(&again), "PAST_GATES", "{again}");
    let again = run("bob", &undo(", pastGates: [\"all\"]"), json!({})).await;
    assert_eq!(again["data"]["undo"]["ended"], "PUBLISHED", "{again}");
    let policy = control.newest().await.unwrap().unwrap().rollout.policy(&"inventory".into());
    assert_eq!(f64::from(policy.reads()), 3.0);
}
