//! What one request may ask for. Beyond a limit nothing runs.

use gateway::Limits;
use serde_json::json;

use crate::fake::{code, world_with};

/// The code with which `query` is refused under changed limits; `None` when it is answered.
async fn refused(change: impl FnOnce(&mut Limits), query: &str) -> Option<String> {
    let world = world_with(|config| change(&mut config.limits));
    let answer = world.ask(query).await;
    answer.get("errors")?;
    assert_eq!(answer.get("data"), None, "{answer}");
    assert!(world.calls().is_empty());
    Some(code(&answer).to_owned())
}

#[tokio::test]
async fn each_limit_has_its_code_and_lets_pass_what_is_within() {
    let deep = "{ item(id: 1) { owner { boss { id } } } }";
    assert_eq!(refused(|l| l.depth = 4, deep).await, None);
    assert_eq!(refused(|l| l.depth = 3, deep).await.as_deref(), Some("DEPTH_LIMIT"));
    let wide = "{ page(first: 4) { id parts(first: 5) { number } } }";
    // One page of four items with one field and one link each, five parts with one field: 1 + 4 × (1 + 1 + 5).
    assert_eq!(refused(|l| l.complexity = 29, wide).await, None);
    assert_eq!(refused(|l| l.complexity = 28, wide).await.as_deref(), Some("COMPLEXITY_LIMIT"));
    assert_eq!(refused(|l| l.first = 3, wide).await.as_deref(), Some("FIRST_LIMIT"));
    assert_eq!(refused(|_| {}, "{ page(first: -1) { id } }").await.as_deref(), Some("BAD_USER_INPUT"));
    let keys = "{ items(ids: [1, 2, 3]) { id } }";
    assert_eq!(refused(|l| l.complexity = 4, keys).await, None);
    assert_eq!(refused(|l| l.complexity = 3, keys).await.as_deref(), Some("COMPLEXITY_LIMIT"));
    let aliases = "{ a: item(id: 1) { b: id } c: item(id: 2) { id } }";
    assert_eq!(refused(|l| l.aliases = 3, aliases).await, None);
    assert_eq!(refused(|l| l.aliases = 2, aliases).await.as_deref(), Some("ALIAS_LIMIT"));
    assert_eq!(refused(|l| l.root_fields = 1, aliases).await.as_deref(), Some("ROOT_FIELD_LIMIT"));
    assert_eq!(refused(|l| l.tokens = 20, aliases).await.as_deref(), Some("TOKEN_LIMIT"));
    let nested = format!("{}id{}", "{ a ".repeat(300), "}".repeat(300));
    assert_eq!(refused(|_| {}, &nested).await.as_deref(), Some("TOKEN_LIMIT"));
}

#[tokio::test]
async fn an_unbounded_list_counts_as_the_assumed_one() {
    let query = "{ item(id: 1) { looseParts { number } } }";
    assert_eq!(refused(|l| (l.assumed_list, l.complexity) = (10, 12), query).await, None);
    assert_eq!(
        refused(|l| (l.assumed_list, l.complexity) = (10, 11), query).await.as_deref(),
        Some("COMPLEXITY_LIMIT")
    );
}

#[tokio::test]
async fn what_variables_skip_costs_nothing() {
    let world = world_with(|config| config.limits.complexity = 3);
    let query = "query($all: Boolean!) { item(id: 1) { id owner @include(if: $all) { id name } } }";
    assert_eq!(world.ask_with(query, json!({"all": false})).await.get("errors"), None);
    let answer = world.ask_with(query, json!({"all": true})).await;
    assert_eq!(code(&answer), "COMPLEXITY_LIMIT");
}

#[tokio::test]
async fn fragments_that_multiply_are_refused_and_not_expanded() {
    let mut query = String::from("{ item(id: 1) { owner { ...F0 } } } ");
    for n in 0..12 {
        let next = n + 1;
        query += &format!("fragment F{n} on Owner {{ a{n}: boss {{ ...F{next} }} b{n}: boss {{ ...F{next} }} }} ");
    }
    query += "fragment F12 on Owner { id }";
    let code = refused(|l| l.aliases = 1_000_000, &query).await;
    assert_eq!(code.as_deref(), Some("COMPLEXITY_LIMIT"));
}

#[tokio::test]
async fn the_schema_is_not_given_away_many_times_over() {
    let mut query = String::new();
    for n in 0..30 {
        query += &format!("a{n}: __schema {{ types {{ name }} }} ");
    }
    assert_eq!(refused(|_| {}, &format!("{{ {query} }}")).await.as_deref(), Some("COMPLEXITY_LIMIT"));
    let nested =
        "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }";
    assert_eq!(refused(|_| {}, nested).await.as_deref(), Some("DEPTH_LIMIT"));
}
