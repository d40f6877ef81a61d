//! POST and GET, statuses and types, headers in and out, batches.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value as Json, json};

use crate::fake::{Reply, World, code, world, world_with};

const GRAPHQL: (&str, &str) = ("accept", "application/graphql-response+json");

async fn get(world: &World, query: &str) -> Reply {
    world.send(Request::get(format!("/graphql?{query}")).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_status_depends_on_the_type_that_the_client_accepts() {
    let world = world();
    for (query, status) in [("{ __typename }", 200), ("{ oops }", 400), ("{", 400), ("{ must(id: 9) { id } }", 200)] {
        let body = json!({ "query": query });
        assert_eq!(world.post(&body, &[GRAPHQL]).await.status, status, "{query}");
        assert_eq!(world.post(&body, &[]).await.status, StatusCode::OK, "{query}");
    }
    let reply = world.post(&json!({"query": "{ __typename }"}), &[GRAPHQL]).await;
    assert_eq!(reply.header("content-type"), "application/graphql-response+json; charset=utf-8");
    assert_eq!(reply.header("cache-control"), "no-store");
    let reply = world.post(&json!({"query": "{ __typename }"}), &[("accept", "text/html")]).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE"));
}

#[tokio::test]
async fn get_reads_and_never_writes() {
    let world = world();
    let reply = get(&world, "query=query($id:ID!){item(id:$id){id}}&variables=%7B%22id%22:%222%22%7D").await;
    assert_eq!(reply.body, json!({"data": {"item": {"id": "2"}}}));
    world.calls();
    let reply = get(&world, "query=mutation{drop(id:1)}").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"));
    assert_eq!(reply.header("allow"), "POST, GET");
    assert!(world.calls().is_empty());
    let reply = get(&world, "query=%7B__typename%7D&variables=nonsense").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "BAD_REQUEST"));
}

#[tokio::test]
async fn other_methods_are_told_which_to_use() {
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let request = Request::builder().method(method).uri("/graphql").body(Body::empty()).unwrap();
        let reply = world().send(request).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(reply.header("allow"), "POST, GET");
    }
}

#[tokio::test]
async fn a_post_that_a_page_of_another_origin_could_send_is_refused() {
    let world = world();
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let body = json!({"query": "mutation { drop(id: 1) }"}).to_string();
        let mut request = Request::post("/graphql");
        if !media.is_empty() {
            request = request.header("content-type", media);
        }
        let reply = world.send(request.body(body.into()).unwrap()).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"));
    }
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn bodies_that_are_no_request_are_refused_with_a_reason() {
    let world = world();
    let mut told = Vec::new();
    for body in [
        "",
        "nonsense",
        "{}",
        "[]",
        "[1]",
        r#"{"query": 1}"#,
        r#"{"query": "{a}", "variables": []}"#,
        r#"{"query": "{a}", "operationName": {}}"#,
        "\"text\"",
    ] {
        let request = Request::post("/graphql").header("content-type", "application/json");
        let reply = world.send(request.body(body.into()).unwrap()).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "BAD_REQUEST"), "{body}");
        told.push(format!("{body}: {}", reply.body["errors"][0]["message"].as_str().unwrap()));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn clients_that_try_persisted_queries_are_told_to_send_the_document() {
    let body = json!({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "00"}}});
    let reply = world().post(&body, &[]).await;
    assert_eq!(reply.code(), "PERSISTED_QUERY_NOT_SUPPORTED");
    assert_eq!(reply.body["errors"][0]["message"], "PersistedQueryNotSupported");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_in_the_shape_of_graphql() {
    let world = world_with(|config| config.body_bytes = 100);
    let reply = world.post(&json!({"query": "x".repeat(200)}), &[]).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::PAYLOAD_TOO_LARGE, "BODY_LIMIT"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let body = Body::from_stream(futures::stream::pending::<Result<&[u8], std::io::Error>>());
    let request = Request::post("/graphql").header("content-type", "application/json");
    let reply = world().send(request.body(body).unwrap()).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT"));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_kept_when_the_roads_do_not() {
    let world = world();
    world.delay("Query.item", Duration::from_secs(3_600));
    world.delay("Mutation.drop", Duration::from_secs(3_600));
    let reply = world.post(&json!({"query": "{ item(id: 1) { id } }"}), &[]).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"));
    let reply = world.post(&json!({"query": "mutation { drop(id: 1) }"}), &[]).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::GATEWAY_TIMEOUT, "OUTCOME_UNKNOWN"));
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let world = world();
    let batch = json!([{"query": "{ item(id: 1) { id } }"}, {"query": "{ ! }"}, {"query": "{ item(id: 2) { id } }"}]);
    let reply = world.post(&batch, &[GRAPHQL]).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.body[0], json!({"data": {"item": {"id": "1"}}}));
    assert_eq!(code(&reply.body[1]), "GRAPHQL_PARSE_FAILED");
    assert_eq!(reply.body[2], json!({"data": {"item": {"id": "2"}}}));
    let many: Vec<Json> = (0..11).map(|_| json!({"query": "{ __typename }"})).collect();
    let reply = world.post(&json!(many), &[]).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "BATCH_LIMIT"));
}

#[tokio::test(start_paused = true)]
async fn writes_of_a_batch_run_in_order_and_their_idempotency_keys_differ() {
    let world = world();
    world.delay("Mutation.drop", Duration::from_millis(20));
    let write = json!({"query": "mutation { drop(id: 1) }"});
    let reply =
        world.post(&json!([write, write, {"query": "{ item(id: 1) { id } }"}]), &[("idempotency-key", "K")]).await;
    assert_eq!(reply.body[0], json!({"data": {"drop": true}}));
    assert_eq!(
        world.calls(),
        [r#"Mutation.drop {"id":"1"} as 0.drop"#, r#"Mutation.drop {"id":"1"} as 1.drop"#, r#"Query.item ["1"] : id"#,]
    );
}

#[tokio::test]
async fn headers_reach_the_roads() {
    let world = world();
    let seen = uuid::Uuid::now_v7().to_string();
    let headers = [("x-customer-id", "C-9"), ("idempotency-key", "K-1"), ("x-strangler-version", seen.as_str())];
    world.post(&json!({"query": "{ item(id: 1) { id } }"}), &headers).await;
    world.post(&json!({"query": "{ item(id: 1) { id } }"}), &[]).await;
    assert_eq!(*world.roads.contexts.lock(), [r#"Some("C-9")|Some("K-1")|1"#, "None|None|0"]);
}

#[tokio::test]
async fn a_mutation_returns_a_version_token_that_grows() {
    let world = world();
    let write = json!({"query": "mutation { a: drop(id: 1) b: drop(id: 2) }"});
    let first = world.post(&write, &[]).await;
    let token = first.header("x-strangler-version").to_owned();
    assert_eq!(token.split(',').count(), 2);
    let second = world.post(&write, &[("x-strangler-version", &token)]).await;
    let grown = second.header("x-strangler-version");
    assert_eq!(grown.split(',').count(), 4);
    assert!(grown.ends_with(&token), "newest first");
    let read = world.post(&json!({"query": "{ __typename }"}), &[("x-strangler-version", grown)]).await;
    assert_eq!(read.header("x-strangler-version"), "");
    let mut token = token;
    for _ in 0..10 {
        token = world.post(&write, &[("x-strangler-version", &token)]).await.header("x-strangler-version").to_owned();
    }
    assert_eq!(token.split(',').count(), 16);
}

#[tokio::test]
async fn headers_that_are_nonsense_are_refused() {
    let world = world();
    let long = "k".repeat(201);
    for header in [("x-strangler-version", "abc"), ("idempotency-key", ""), ("idempotency-key", &long)] {
        let reply = world.post(&json!({"query": "mutation { drop(id: 1) }"}), &[header]).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "BAD_REQUEST"));
    }
    // Whoever means to be safe is not left to write twice.
    for key in [json!("K-1"), json!(42), json!({"key": "K-1"})] {
        let body = json!({"query": "mutation { drop(id: 1) }", "extensions": {"idempotencyKey": key}});
        let reply = world.post(&body, &[]).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "BAD_REQUEST"));
    }
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn a_request_keeps_its_id_when_it_is_a_plain_one() {
    let world = world();
    let ask = json!({"query": "{ __typename }"});
    assert_eq!(world.post(&ask, &[("x-request-id", "abc-1")]).await.header("x-request-id"), "abc-1");
    for odd in ["a b", &"x".repeat(65), "{}"] {
        let reply = world.post(&ask, &[("x-request-id", odd)]).await;
        assert_eq!(reply.header("x-request-id").len(), 32);
    }
}

#[tokio::test]
async fn the_explorer_is_served_to_browsers_in_development_only_and_loads_nothing_from_elsewhere() {
    let browser = || Request::get("/graphql").header("accept", "text/html,*/*;q=0.8").body(Body::empty()).unwrap();
    let reply = world_with(|config| config.development = true).send(browser()).await;
    assert!(reply.text.contains("<!doctype html>"));
    assert!(!reply.text.contains("http://") && !reply.text.contains("https://"));
    let reply = world().send(browser()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}
