//! One call per link and level, equal keys once; mutations in order.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::fake::{refused, unavailable, world, world_with};

#[tokio::test]
async fn a_link_of_a_list_is_one_call_with_equal_keys_once() {
    let world = world();
    let answer = world.ask("{ page(first: 4) { id owner { name } } }").await;
    let owners: Vec<_> = answer["data"]["page"].as_array().unwrap().iter().map(|i| &i["owner"]["name"]).collect();
    assert_eq!(json!(owners), json!(["owner a", "owner b", "owner a", null]));
    assert_eq!(world.calls()[1..], [r#"Item.owner ["a"] ["b"] : name"#.to_owned()]);
}

#[tokio::test]
async fn links_below_lists_of_lists_are_still_one_call_per_level() {
    let world = world();
    let answer = world.ask("{ page(first: 4) { parts(first: 9) { number maker { boss { name } } } } }").await;
    let first = &answer["data"]["page"][0]["parts"];
    assert_eq!(
        *first,
        json!([
            {"number": 1, "maker": {"boss": {"name": "owner b"}}},
            {"number": 2, "maker": {"boss": null}},
        ])
    );
    let calls = world.calls();
    let of = |route: &str| calls.iter().filter(|call| call.starts_with(route)).count();
    assert_eq!((of("Item.parts"), of("Part.maker"), of("Owner.boss")), (4, 1, 1));
}

#[tokio::test]
async fn keys_are_answered_slot_by_slot_and_asked_once() {
    let world = world();
    let answer = world.ask("{ items(ids: [2, 9, 1, 2]) { id } }").await;
    assert_eq!(answer["data"], json!({"items": [{"id": "2"}, null, {"id": "1"}, {"id": "2"}]}));
    assert_eq!(world.calls(), [r#"Query.items ["2"] ["9"] ["1"] : id"#]);
    let answer = world
        .ask("{ parts(keys: [{itemId: 1, number: 2}, {itemId: 7, number: 1}]) { label } items(ids: []) { id } }")
        .await;
    assert_eq!(answer["data"], json!({"parts": [{"label": "part 1.2"}, null], "items": []}));
}

#[tokio::test(start_paused = true)]
async fn list_links_of_many_parents_are_asked_a_few_at_a_time() {
    let world = world_with(|config| config.fan_out = 2.try_into().unwrap());
    world.delay("Item.looseParts", Duration::from_millis(10));
    let began = Instant::now();
    let answer = world.ask("{ page(first: 4) { looseParts { number } } }").await;
    assert_eq!(answer["data"]["page"][3], json!({"looseParts": []}));
    assert_eq!(began.elapsed().as_millis(), 20);
}

#[tokio::test]
async fn a_key_with_a_null_part_has_null_for_an_answer_and_asks_nobody() {
    let world = world();
    let answer = world.ask("{ item(id: 4) { owner { name } } }").await;
    assert_eq!(answer, json!({"data": {"item": {"owner": null}}}));
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn mutations_run_in_order_and_links_in_their_answers_read_after_them() {
    let world = world();
    world.delay("Mutation.bump", Duration::from_millis(50));
    let query = "mutation { a: bump(id: 1, count: 1) { count owner { id } } drop(id: 3) \
                 b: bump(id: 2, count: 2) { count } swap(from: 1, to: 2) { id parts { number } } }";
    let answer = world.ask(query).await;
    assert_eq!(answer["data"]["a"], json!({"count": 1, "owner": {"id": "a"}}));
    assert_eq!(answer["data"]["drop"], true);
    assert_eq!(answer["data"]["swap"][1]["parts"], json!([{"number": 1}]));
    let calls = world.calls();
    let routes: Vec<_> = calls.iter().map(|call| call.split(' ').next().unwrap()).collect();
    let expected =
        ["Mutation.bump", "Item.owner", "Mutation.drop", "Mutation.bump", "Mutation.swap", "Item.parts", "Item.parts"];
    assert_eq!(routes, expected);
}

#[tokio::test]
async fn a_refused_mutation_that_may_be_null_does_not_stop_the_next() {
    let world = world();
    world.fail("Mutation.tryBump", refused());
    let answer = world.ask("mutation { tryBump(id: 9, count: 1) { id } drop(id: 1) }").await;
    assert_eq!(answer["data"], json!({"tryBump": null, "drop": true}));
    assert_eq!(answer["errors"][0]["extensions"], json!({"code": "NOT_FOUND"}));
}

#[tokio::test]
async fn nothing_begins_after_a_mutation_whose_null_reaches_the_root() {
    let world = world();
    world.fail("Mutation.bump", unavailable());
    let answer = world.ask("mutation { bump(id: 9, count: 1) { id } drop(id: 1) }").await;
    assert_eq!(answer["data"], json!(null));
    assert!(answer.as_object().unwrap().contains_key("data"));
    assert_eq!(world.calls().len(), 1);
}
