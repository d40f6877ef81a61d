//! Fields are merged and conditions honoured.

use serde_json::json;

use crate::fake::world;

#[tokio::test]
async fn equal_fields_are_merged_at_every_level_and_run_once() {
    let world = world();
    let query = "{ item(id: 1) { owner { id } } ...A item(id: 1) { owner { boss { id } } name } } \
                 fragment A on Query { item(id: 1) { owner { name ...B } } } fragment B on Owner { id name }";
    let answer = world.ask(query).await;
    let owner = json!({"id": "a", "name": "owner a", "boss": {"id": "b"}});
    assert_eq!(answer, json!({"data": {"item": {"owner": owner, "name": "item 1"}}}));
    assert_eq!(
        world.calls(),
        [r#"Query.item ["1"] : name ownerId"#, r#"Item.owner ["a"] : id name bossId"#, r#"Owner.boss ["b"] : id"#,]
    );
}

#[tokio::test]
async fn only_the_fields_asked_for_are_read() {
    let world = world();
    world.ask("{ item(id: 1) { __typename } }").await;
    world
        .ask("query($no: Boolean = false) { item(id: 1) { id note @include(if: $no) owner @include(if: $no) { id } } }")
        .await;
    assert_eq!(world.calls(), [r#"Query.item ["1"] :"#, r#"Query.item ["1"] : id"#]);
}

#[tokio::test]
async fn conditions_hold_for_each_mention_of_a_field_on_its_own() {
    let query = "query($a: Boolean!, $b: Boolean!) { item(id: 1) { \
        name @include(if: $a) owner @include(if: $a) { name } ... @skip(if: $b) { owner { id } count } \
        ...N @include(if: $b) } } fragment N on Item { note @skip(if: $a) }";
    let cases = [
        (false, false, json!({"owner": {"id": "a"}, "count": 10})),
        (true, false, json!({"name": "item 1", "owner": {"name": "owner a", "id": "a"}, "count": 10})),
        (false, true, json!({"note": null})),
        (true, true, json!({"name": "item 1", "owner": {"name": "owner a"}})),
    ];
    let world = world();
    for (a, b, expected) in cases {
        let answer = world.ask_with(query, json!({"a": a, "b": b})).await;
        assert_eq!(answer, json!({"data": {"item": expected}}), "{a} {b}");
    }
}

#[tokio::test]
async fn constant_conditions_are_decided_before_anything_runs() {
    let world = world();
    let answer = world
        .ask("{ item(id: 1) { id @skip(if: true) name @include(if: true) } must(id: 1) @include(if: false) { id } }")
        .await;
    assert_eq!(answer, json!({"data": {"item": {"name": "item 1"}}}));
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test]
async fn a_mutation_that_is_skipped_is_not_run() {
    let world = world();
    let query = "mutation($go: Boolean!) { bump(id: 1, count: 3) @include(if: $go) { id } __typename }";
    assert_eq!(world.ask_with(query, json!({"go": false})).await, json!({"data": {"__typename": "Mutation"}}));
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn the_operation_is_chosen_by_name() {
    let world = world();
    let query = "query A { item(id: 1) { id } } query B { item(id: 2) { id } }";
    for (name, id) in [("A", "1"), ("B", "2"), ("A", "1")] {
        let reply = world.post(&json!({"query": query, "operationName": name}), &[]).await;
        assert_eq!(reply.body["data"]["item"]["id"], id);
    }
    for name in [json!(null), json!("C")] {
        let reply = world.post(&json!({"query": query, "operationName": name}), &[]).await;
        assert_eq!(reply.code(), "OPERATION_RESOLUTION_FAILURE");
    }
}
