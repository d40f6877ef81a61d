//! The table of `notes/graphql-engine.md`: what async-graphql's dynamic executor gets wrong, in its order.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::fake::{code, unavailable, world, world_with};

#[tokio::test]
async fn a_nullable_field_that_errs_is_null_and_the_rest_is_kept() {
    let world = world();
    world.fail("Item.owner", unavailable());
    let answer = world.ask("{ item(id: 1) { id owner { name } name } }").await;
    assert_eq!(answer["data"], json!({"item": {"id": "1", "owner": null, "name": "item 1"}}));
    assert_eq!(code(&answer), "UNAVAILABLE");
}

#[tokio::test]
async fn a_non_null_field_that_errs_nulls_the_nearest_nullable_parent() {
    let world = world();
    world.fail("Item.boss", unavailable());
    let answer = world.ask("{ a: item(id: 1) { id boss { name } } b: item(id: 2) { id } }").await;
    assert_eq!(answer["data"], json!({"a": null, "b": {"id": "2"}}));
}

#[tokio::test]
async fn an_error_has_the_path_of_its_field() {
    let world = world();
    world.fail("Item.owner", unavailable());
    let answer = world.ask("{ list: items(ids: [4, 1]) { whose: owner { name } } }").await;
    let paths: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|e| &e["path"]).collect();
    assert_eq!(json!(paths), json!([["list", 0, "whose"], ["list", 1, "whose"]]));
}

#[tokio::test]
async fn a_mutation_that_is_named_twice_runs_once() {
    let world = world();
    let query = "mutation { bump(id: 1, count: 11) { id } ...Again } \
                 fragment Again on Mutation { bump(id: 1, count: 11) { count } }";
    let answer = world.ask(query).await;
    assert_eq!(answer, json!({"data": {"bump": {"id": "1", "count": 11}}}));
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test]
async fn a_fragment_on_a_union_or_an_interface_gives_its_fields() {
    let world = world();
    let query = "{ item(id: 1) { ... on Thing { ... on Item { id } ... on Owner { bossId } } ... on Named { name } } }";
    assert_eq!(world.ask(query).await, json!({"data": {"item": {"id": "1", "name": "item 1"}}}));
}

#[tokio::test]
async fn an_omitted_variable_is_an_omitted_argument() {
    let world = world();
    world.ask("query($colour: Colour) { page(colour: $colour) { id } }").await;
    world.ask("mutation($n: Int) { save(input: {id: 1, count: $n}) { id } }").await;
    let calls = world.calls();
    // A parameter that was left out is null; what is left out of a whole-entity set is not touched.
    assert_eq!(calls[0], "Query.page after=null colour=null first=2 : id");
    assert!(calls[1].contains(r#"{"count":7,"id":"1","name":"unnamed"}"#), "{calls:?}");
}

#[tokio::test]
async fn a_text_variable_for_a_number_is_refused() {
    let world = world();
    let query = "query($n: Int!) { page(first: $n) { id } }";
    let answer = world.ask_with(query, json!({"n": "2"})).await;
    assert_eq!(code(&answer), "BAD_USER_INPUT");
    assert_eq!(answer.get("data"), None);
    let answer = world.ask_with("query($n: String!) { page(first: $n) { id } }", json!({"n": "2"})).await;
    assert_eq!(code(&answer), "GRAPHQL_VALIDATION_FAILED");
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn a_missing_required_variable_is_refused() {
    let world = world();
    let answer = world.ask("query($n: Int!) { page(first: $n) { id } }").await;
    assert_eq!(code(&answer), "BAD_USER_INPUT");
    assert_eq!(answer.get("data"), None);
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn a_default_inside_an_input_object_is_applied() {
    let world = world();
    let answer = world.ask("mutation { save(input: {id: 1}) { name count } }").await;
    assert_eq!(answer["data"], json!({"save": {"name": "unnamed", "count": 7}}));
    let query = "mutation($input: ItemInput!) { save(input: $input) { name count } }";
    let answer = world.ask_with(query, json!({"input": {"id": 2}})).await;
    assert_eq!(answer["data"], json!({"save": {"name": "unnamed", "count": 7}}));
}

#[tokio::test]
async fn without_introspection_everything_else_still_works() {
    let world = world_with(|config| config.introspection = false);
    for query in ["{ __schema { types { name } } }", "{ item(id: 1) { id } __type(name: \"Item\") { name } }"] {
        let answer = world.ask(query).await;
        assert_eq!(code(&answer), "INTROSPECTION_DISABLED");
        assert_eq!(answer.get("data"), None);
    }
    let answer = world.ask("{ __typename item(id: 1) { __typename } }").await;
    assert_eq!(answer, json!({"data": {"__typename": "Query", "item": {"__typename": "Item"}}}));
}

#[tokio::test]
async fn introspection_shows_what_clients_see() {
    let world = world();
    let query = "query($name: String!) { __schema { queryType { name } directives { name } } item(id: 1) { id } \
                 t: __type(name: $name) { fields { name } } }";
    let answer = world.ask_with(query, json!({"name": "Owner"})).await;
    assert_eq!(answer["data"]["item"]["id"], "1");
    assert_eq!(answer["data"]["__schema"]["queryType"]["name"], "Query");
    assert_eq!(answer["data"]["t"]["fields"][0]["name"], "id");
    assert!(!answer.to_string().contains("byKey"), "{answer}");
    assert_eq!(answer.get("errors"), None);
}

#[tokio::test(start_paused = true)]
async fn root_fields_and_links_run_concurrently() {
    let world = world();
    for route in ["Query.item", "Query.must", "Item.owner", "Item.boss", "Item.parts"] {
        world.delay(route, Duration::from_millis(50));
    }
    let began = Instant::now();
    world.ask("{ item(id: 1) { owner { id } boss { id } parts { number } } must(id: 2) { owner { id } } }").await;
    assert_eq!(began.elapsed().as_millis(), 100);
}

#[tokio::test(start_paused = true)]
async fn keys_stand_in_the_order_of_the_query_whatever_is_slower() {
    let world = world();
    world.delay("Query.must", Duration::from_millis(100));
    let text = world.text("{ z: must(id: 1) { name id } __typename a: item(id: 2) { id name } }").await;
    let expected = r#"{"data":{"z":{"name":"item 1","id":"1"},"__typename":"Query","a":{"id":"2","name":"item 2"}}}"#;
    assert_eq!(text, expected);
}

#[tokio::test]
async fn values_are_written_as_the_contract_says() {
    let world = world();
    let answer = world.ask("{ item(id: 1) { price at count spare colour note } }").await;
    let expected = json!({"price": "12.50", "at": "2026-01-31T08:00:00Z", "count": 10, "spare": null,
        "colour": "RED", "note": null});
    assert_eq!(answer["data"]["item"], expected);
}

#[tokio::test]
async fn a_stored_value_that_the_type_cannot_hold_is_a_field_error_without_the_value() {
    let world = world();
    world.roads.set("Item", 0, "colour", "MAUVE");
    world.roads.set("Item", 0, "spare", 3_000_000_000);
    let text = world.text("{ item(id: 1) { id colour spare } }").await;
    insta::assert_snapshot!(text);
    assert!(!text.contains("MAUVE"));
}
