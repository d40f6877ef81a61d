//! What clients are told when something goes wrong, and how far a null reaches.

use model::Value;
use serde_json::{Value as Json, json};

use crate::fake::{World, refused, unavailable, world};

/// The answer with request ids taken out.
async fn shown(world: &World, query: &str) -> String {
    let body = json!({ "query": query });
    let reply = world.post(&body, &[("x-request-id", "R-1")]).await;
    serde_json::to_string_pretty(&reply.body).unwrap()
}

#[tokio::test]
async fn an_error_of_ours_shows_code_sentence_and_request_id_and_no_details() {
    let world = world();
    world.fail("Query.item", unavailable());
    let text = shown(&world, "{ item(id: 1) { id } }").await;
    assert!(!text.contains("db-7"));
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_refusal_shows_its_own_code_and_sentence() {
    let world = world();
    world.fail("Mutation.bump", refused());
    insta::assert_snapshot!(shown(&world, "mutation {\n  bump(id: 1, count: 2) { id }\n}").await);
}

#[tokio::test]
async fn a_document_that_cannot_be_parsed_says_where() {
    insta::assert_snapshot!(shown(&world(), "{ item(id: 1) { id }").await);
}

#[tokio::test]
async fn a_document_that_is_not_valid_says_every_mistake() {
    insta::assert_snapshot!(shown(&world(), "query($x: Int) {\n  item(id: 1) { nmae }\n  must { id }\n}").await);
}

#[tokio::test]
async fn subscriptions_are_refused() {
    let text = shown(&world(), "subscription { item(id: 1) { id } }").await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn null_reaches_as_far_as_the_specification_says() {
    let world = world();
    // Item 2 and owner b have no name, part 1.2 has no label.
    world.roads.set("Item", 1, "name", Value::Null);
    world.roads.set("Owner", 1, "name", Value::Null);
    world.roads.set("Part", 1, "label", Value::Null);
    let cases: [(&str, Json, Json); 9] = [
        // A non-null field of a nullable object.
        ("{ item(id: 2) { name } }", json!({"item": null}), json!(["item", "name"])),
        // Of a non-null object at the root: the data itself.
        ("{ must(id: 2) { name } }", json!(null), json!(["must", "name"])),
        // Of an item that may be null.
        ("{ items(ids: [1, 2]) { name } }", json!({"items": [{"name": "item 1"}, null]}), json!(["items", 1, "name"])),
        // Of an item that may not: the list.
        ("{ mustItems(ids: [1, 2]) { name } }", json!({"mustItems": null}), json!(["mustItems", 1, "name"])),
        // A missing item that may not be null.
        ("{ mustItems(ids: [1, 9]) { name } }", json!({"mustItems": null}), json!(["mustItems", 1])),
        // A missing object that may not be null.
        ("{ must(id: 9) { name } }", json!(null), json!(["must"])),
        // Through a nullable link.
        (
            "{ item(id: 2) { id owner { name } } }",
            json!({"item": {"id": "2", "owner": null}}),
            json!(["item", "owner", "name"]),
        ),
        // Through a non-null link.
        ("{ item(id: 2) { id boss { name } } }", json!({"item": null}), json!(["item", "boss", "name"])),
        // Through non-null lists of non-null items, up to the nullable field above.
        (
            "{ item(id: 1) { id parts(first: 2) { label } } }",
            json!({"item": null}),
            json!(["item", "parts", 1, "label"]),
        ),
    ];
    for (query, data, path) in cases {
        let answer = world.ask(query).await;
        assert_eq!(answer["data"], data, "{query}");
        assert!(answer.as_object().unwrap().contains_key("data"), "{query}");
        assert_eq!(answer["errors"][0]["path"], path, "{query}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "NULL_VALUE", "{query}");
        assert_eq!(answer["errors"].as_array().unwrap().len(), 1, "{query}");
    }
}
