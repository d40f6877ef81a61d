//! Documents that nobody would write: whatever comes in, an answer in the shape of GraphQL goes out.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::fake::world;

/// Pieces from which both valid and nearly valid documents arise.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ":",
        "$x",
        "$ids",
        "...",
        "!",
        "=",
        "query",
        "mutation",
        "fragment F on Item",
        "...F",
        "... on Item",
        "... on Thing",
        "@include(if: $x)",
        "@skip(if: true)",
        "item(id: 1)",
        "items(ids: $ids)",
        "page(first: 3)",
        "owner",
        "boss",
        "parts(first: 2)",
        "id",
        "name",
        "a: id",
        "a:",
        "__typename",
        "__schema { types { name } }",
        "bump(id: 1, count: 2)",
        "($x: Boolean!, $ids: [ID!]! = [1, 2])",
        "\"text\"",
        "\"\"\"",
        "1e999",
        "-0",
        "#",
        "\u{feff}",
        "😀",
        "\\",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.join(" "))
}

/// Valid documents: selections of an item, nested at random.
fn selections() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "id",
        "name",
        "x: count",
        "__typename",
        "price @include(if: $x)",
        "colour @skip(if: $x)",
    ]);
    let leaf = leaf.prop_map(str::to_owned);
    let tree = leaf.prop_recursive(4, 40, 5, |inner| {
        let inner = prop::collection::vec(inner, 1..5).prop_map(|fields| fields.join(" "));
        let around = prop::sample::select(vec![
            "... on Item",
            "... @include(if: $x)",
            "... on Named { __typename } ... on Item",
            "... on Thing",
        ]);
        (around, inner).prop_map(|(around, inner)| match around {
            "... on Thing" => format!("... on Thing {{ ... on Item {{ {inner} }} }}"),
            around => format!("{around} {{ {inner} }}"),
        })
    });
    prop::collection::vec(tree, 1..6).prop_map(|fields| fields.join(" "))
}

fn answered(body: &Json) -> Json {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { world().post(body, &[]).await.body })
}

fn has_the_shape_of_graphql(answer: &Json) -> bool {
    let errors = answer["errors"].as_array();
    let coded = |error: &Json| error["message"].is_string() && error["extensions"]["code"].is_string();
    errors.map_or(answer["data"].is_object(), |errors| !errors.is_empty() && errors.iter().all(coded))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_document_gets_an_answer(query in pieces(), x in any::<Option<bool>>()) {
        let answer = answered(&json!({"query": query, "variables": {"x": x}}));
        prop_assert!(has_the_shape_of_graphql(&answer), "{query}\n{answer}");
    }

    #[test]
    fn any_text_gets_an_answer(query in ".{0,200}") {
        let answer = answered(&json!({ "query": query }));
        prop_assert!(has_the_shape_of_graphql(&answer), "{query}\n{answer}");
    }

    #[test]
    fn any_variable_gets_an_answer(text in ".{0,20}", number in any::<f64>(), flag in any::<bool>()) {
        for value in [json!(text), json!(number), json!(flag), json!([text, number]), json!({"id": text, "count": number, "price": text})] {
            let query = "mutation($v: ItemInput!) { save(input: $v) { id } }";
            let answer = answered(&json!({"query": query, "variables": {"v": value}}));
            prop_assert!(has_the_shape_of_graphql(&answer), "{value}\n{answer}");
        }
    }

    #[test]
    fn valid_selections_have_no_errors_whatever_is_skipped(selection in selections(), x in any::<bool>()) {
        let query = format!("query($x: Boolean!) {{ item(id: 1) {{ id {selection} }} page(first: 2) {{ n: name @include(if: $x) {selection} }} }}");
        let answer = answered(&json!({"query": query, "variables": {"x": x}}));
        let unused = answer["errors"][0]["message"].as_str().is_some_and(|told| told.contains("conflict"));
        prop_assert!(unused || answer.get("errors").is_none(), "{query}\n{answer}");
    }
}
