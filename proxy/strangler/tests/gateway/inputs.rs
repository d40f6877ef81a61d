//! Input coercion, for variables and for literals alike.

use serde_json::{Value as Json, json};

use crate::fake::{code, world, world_with};

const SAVE: &str = "mutation($input: ItemInput!) { save(input: $input) { id } }";

/// What the road is given for `input`, sent as a variable.
async fn saved(input: Json) -> Result<String, String> {
    let world = world();
    let answer = world.ask_with(SAVE, json!({ "input": input })).await;
    match world.calls().pop() {
        Some(call) => Ok(call),
        None => Err(answer["errors"][0]["message"].as_str().unwrap().to_owned()),
    }
}

#[tokio::test]
async fn scalars_become_canonical() {
    let input = json!({"id": 1, "name": "n", "count": 3.0, "price": 12.50, "at": "2026-01-31T09:00:00+01:00"});
    let expected = r#"{"at":"2026-01-31T08:00:00Z","count":3,"id":"1","name":"n","price":"12.5"}"#;
    assert_eq!(saved(input).await.unwrap(), format!(r#"Mutation.save {{"input":{expected}}} as save"#));
    let input = json!({"id": "1", "name": "n", "count": null, "price": "1234567890123456789.10", "colour": "RED"});
    let expected = r#"{"colour":"RED","count":null,"id":"1","name":"n","price":"1234567890123456789.1"}"#;
    assert_eq!(saved(input).await.unwrap(), format!(r#"Mutation.save {{"input":{expected}}} as save"#));
}

#[tokio::test]
async fn literals_and_variables_mean_the_same() {
    let world = world();
    world.ask("mutation { save(input: {id: 1, price: 1234567890123456789.10, at: \"2026-01-31T08:00:00Z\", colour: RED}) { id } }").await;
    world.ask_with(SAVE, json!({"input": {"id": "1", "price": "1234567890123456789.1", "at": "2026-01-31T08:00:00Z", "colour": "RED"}})).await;
    let nested = "mutation($id: ID!, $p: Decimal, $c: Colour) { save(input: {id: $id, price: $p, colour: $c, at: \"2026-01-31T08:00:00Z\"}) { id } }";
    world.ask_with(nested, json!({"id": 1, "p": "1234567890123456789.1", "c": "RED"})).await;
    let calls = world.calls();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| *call == calls[0]), "{calls:#?}");
}

#[tokio::test]
async fn what_is_none_of_the_type_is_refused_and_named() {
    let mut told = Vec::new();
    for input in [
        json!({"id": 1.5}),
        json!({"id": null}),
        json!({}),
        json!([]),
        json!({"id": "1", "count": "3"}),
        json!({"id": "1", "count": 2_147_483_648_i64}),
        json!({"id": "1", "count": 1.5}),
        json!({"id": "1", "name": null}),
        json!({"id": "1", "price": 0.123_456_789_012_345_67}),
        json!({"id": "1", "price": "1e999999999"}),
        json!({"id": "1", "price": "12,50"}),
        json!({"id": "1", "colour": "MAUVE"}),
        json!({"id": "1", "at": "yesterday"}),
        json!({"id": "1", "extra": 1}),
    ] {
        told.push(format!("{input}: {}", saved(input.clone()).await.unwrap_err()));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn literals_of_custom_scalars_are_checked_too() {
    let world = world();
    for input in [
        "{id: 1, price: \"x\"}",
        "{id: 1, price: RED}",
        "{id: 1, at: \"2026\"}",
        "{id: 1, at: 5}",
        "{id: 1, count: 9999999999}",
    ] {
        let answer = world.ask(&format!("mutation {{ save(input: {input}) {{ id }} }}")).await;
        assert!(["BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"].contains(&code(&answer)), "{input}");
        assert_eq!(answer.get("data"), None, "{input}");
    }
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn a_single_value_is_a_list_of_one() {
    let world = world();
    for (query, variables) in [
        ("{ items(ids: 1) { id } }", json!({})),
        ("query($ids: [ID!]!) { items(ids: $ids) { id } }", json!({"ids": "1"})),
        ("query($ids: [ID!]! = 1) { items(ids: $ids) { id } }", json!({})),
        ("query($id: ID!) { items(ids: [$id]) { id } }", json!({"id": 1})),
    ] {
        let answer = world.ask_with(query, variables).await;
        assert_eq!(answer, json!({"data": {"items": [{"id": "1"}]}}), "{query}");
    }
}

#[tokio::test]
async fn null_and_left_out_are_told_apart() {
    let world = world();
    let query = "query($first: Int = 3) { page(first: $first) { id } }";
    assert!(world.ask_with(query, json!({})).await["data"]["page"][2].is_object());
    // The variable may be null, the argument may not: an error of the field, which is not nullable.
    let answer = world.ask_with(query, json!({"first": null})).await;
    assert_eq!(answer["data"], json!(null));
    assert_eq!(answer["errors"][0]["path"], json!(["page"]));
    assert_eq!(code(&answer), "BAD_USER_INPUT");
}

#[tokio::test]
async fn a_list_argument_has_a_largest_length() {
    let world = world_with(|config| config.limits.list = 3);
    for (query, variables) in [
        ("{ items(ids: [1, 2, 3, 4]) { id } }", json!({})),
        ("query($ids: [ID!]!) { items(ids: $ids) { id } }", json!({"ids": [1, 2, 3, 4]})),
    ] {
        let answer = world.ask_with(query, variables).await;
        assert_eq!(code(&answer), "LIST_LIMIT");
        assert_eq!(answer.get("data"), None);
    }
    assert!(world.calls().is_empty());
}
