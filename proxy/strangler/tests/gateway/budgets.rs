//! A client that means harm holds no more than its share: counted in bytes and connections, never by the clock.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use net::budget::Share;
use serde_json::{Value as Json, json};
use server::Peer;

use crate::fake::{Reply, World, code, world, world_with};

const MANY: &str = "query($ids: [ID!]!) { items(ids: $ids) { id name } }";

/// A document of two kilobytes at most that stands for `2^levels` fields.
fn bomb(levels: usize, name: usize) -> String {
    let mut query = format!("query Q{name} {{ item(id: 1) {{ owner {{ ...F0 }} }} }} ");
    for n in 0..levels {
        let next = n + 1;
        let _ = write!(query, "fragment F{n} on Owner {{ a: boss {{ ...F{next} }} b: boss {{ ...F{next} }} }} ");
    }
    query + &format!("fragment F{levels} on Owner {{ id }}")
}

fn from(address: [u8; 4]) -> Peer {
    Peer(SocketAddr::from((address, 4711)))
}

async fn post_from(world: &World, address: [u8; 4], body: &Json) -> Reply {
    let mut request = Request::post("/graphql").header("content-type", "application/json");
    request.extensions_mut().unwrap().insert(from(address));
    world.send(request.body(body.to_string().into()).unwrap()).await
}

/// A request whose body begins with `bytes` bytes and never ends.
fn unfinished(address: [u8; 4], bytes: usize) -> Request<Body> {
    let first = Ok::<_, Infallible>(Bytes::from(vec![b' '; bytes]));
    let body = Body::from_stream(stream::iter([first]).chain(stream::pending()));
    let mut request = Request::post("/graphql").header("content-type", "application/json").body(body).unwrap();
    request.extensions_mut().insert(from(address));
    request
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn documents_that_stand_for_too_much_are_neither_built_nor_kept() {
    let world = world_with(|config| (config.limits.aliases, config.limits.depth) = (1_000_000, 30));
    for name in 0..50 {
        assert_eq!(code(&world.ask(&bomb(12, name)).await), "COMPLEXITY_LIMIT");
    }
    assert_eq!(world.gateway.plans_held(), (0, 0));
    // What its lists cost is known when the variables are, and such a document is not kept either.
    let ids: Vec<_> = (0..400).collect();
    let world = world_with(|config| config.limits.complexity = 500);
    assert_eq!(code(&world.ask_with(MANY, json!({ "ids": ids })).await), "COMPLEXITY_LIMIT");
    assert_eq!(world.gateway.plans_held(), (0, 0));
    assert_eq!(world.ask_with(MANY, json!({ "ids": [1] })).await.get("errors"), None);
    assert_eq!(world.gateway.plans_held().0, 1);
}

#[tokio::test]
async fn kept_plans_hold_no_more_bytes_than_they_may_whatever_is_sent() {
    let most = 4 * 1024 * 1024;
    let world = world_with(|config| {
        (config.limits.aliases, config.limits.depth) = (1_000_000, 30);
        config.plan_cache_bytes = NonZeroUsize::new(most).unwrap();
    });
    let good = "{ item(id: 1) { id } }";
    world.ask(good).await;
    for name in 0..60 {
        // Each is within all limits, and stands for a thousand fields.
        let answer = world.ask(&bomb(9, name)).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        let (plans, bytes) = world.gateway.plans_held();
        assert!(bytes <= most, "{plans} plans hold {bytes} bytes");
        world.ask(good).await;
    }
    let (plans, bytes) = world.gateway.plans_held();
    assert!(plans < 60 && bytes > 60 * 1_000, "{plans} plans hold {bytes} bytes");
}

#[tokio::test]
async fn a_batch_costs_no_more_than_a_single_request_may() {
    let world = world_with(|config| config.limits.complexity = 100);
    // One list of nine items with two fields each costs 19.
    let one = json!({ "query": MANY, "variables": { "ids": [1, 2, 3, 4, 5, 6, 7, 8, 9] } });
    let reply = world.post(&json!(vec![&one; 5]), &[]).await;
    assert_eq!(reply.body.as_array().map(Vec::len), Some(5), "{}", reply.text);
    world.calls();
    let reply = world.post(&json!(vec![&one; 6]), &[]).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "COMPLEXITY_LIMIT"));
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn unfinished_bodies_hold_no_more_than_their_budget_and_one_address_no_more_than_its_share() {
    let world = world_with(|config| {
        config.body_bytes = 10_000;
        config.request_bytes = 20_000;
        config.body_budget = NonZeroU64::new(80_000).unwrap();
    });
    // GIVEN two clients, each with a body under way that never ends: one has its share
    let router = gateway::router(world.gateway.clone());
    let send = |request| {
        let router = TowerToHyperService::new(router.clone());
        tokio::spawn(async move { router.call(request).await })
    };
    let slow = [send(unfinished([192, 0, 2, 1], 10_000)), send(unfinished([192, 0, 2, 2], 5_000))];
    until(|| world.gateway.held().0 == 30_000).await;
    // WHEN the first sends more
    let more = Reply::of(send(unfinished([192, 0, 2, 1], 1)).await.unwrap().unwrap()).await;
    // THEN it is told to come again, and others are served
    assert_eq!(
        (more.status, more.code(), more.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", "1")
    );
    let good = post_from(&world, [192, 0, 2, 3], &json!({ "query": "{ __typename }" })).await;
    assert_eq!(good.status, StatusCode::OK);
    assert!(world.gateway.held().0 <= 80_000);
    // WHEN the clients go away
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    // THEN nothing is held
    until(|| world.gateway.held().0 == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_to_its_end_is_given_up_and_holds_nothing() {
    let world = world();
    let reply = world.send(unfinished([192, 0, 2, 1], 100)).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT"));
    assert_eq!(world.gateway.held(), (0, 0));
}

#[tokio::test]
async fn one_address_cannot_have_all_the_memory_and_who_does_not_fit_is_told_to_come_again() {
    let world = world_with(|config| {
        config.request_bytes = 100_000;
        config.memory_budget = NonZeroU64::new(200_000).unwrap();
        config.address_share = Share::new(0.5).unwrap();
    });
    world.delay("Query.items", Duration::from_secs(3_600));
    let ids: Vec<_> = (0..90).collect();
    let dear = json!({ "query": MANY, "variables": { "ids": ids } });
    // GIVEN a client with a request under way that may come to hold its share
    let router = TowerToHyperService::new(gateway::router(world.gateway.clone()));
    let mut request = Request::post("/graphql").header("content-type", "application/json");
    request.extensions_mut().unwrap().insert(from([192, 0, 2, 1]));
    let request = request.body(Body::from(dear.to_string())).unwrap();
    let under_way = tokio::spawn(async move { router.call(request).await });
    until(|| !world.roads.calls.lock().is_empty()).await;
    // WHEN it asks for more
    let more = post_from(&world, [192, 0, 2, 1], &dear).await;
    // THEN it is told to come again, and another client is served
    assert_eq!(
        (more.status, more.code(), more.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", "1")
    );
    let other = post_from(&world, [192, 0, 2, 2], &json!({ "query": "{ item(id: 1) { id } }" })).await;
    assert_eq!(other.text, r#"{"data":{"item":{"id":"1"}}}"#);
    assert!(world.gateway.held().1 <= 200_000);
    under_way.abort();
    until(|| world.gateway.held().1 == 0).await;
}

#[tokio::test]
async fn an_answer_is_held_until_it_is_sent_and_no_longer() {
    let world = world();
    let router = TowerToHyperService::new(gateway::router(world.gateway.clone()));
    let body = json!({ "query": MANY, "variables": { "ids": [1, 2, 3] } });
    let request = Request::post("/graphql").header("content-type", "application/json");
    let response = router.call(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let held = world.gateway.held().1;
    assert!((50..5_000).contains(&held), "{held}");
    drop(response);
    assert_eq!(world.gateway.held().1, 0);
}

#[tokio::test]
async fn an_answer_that_no_request_may_have_is_refused_and_the_next_one_is_answered() {
    // GIVEN an owner with a long name, to whom every item leads
    let world = world_with(|config| config.request_bytes = 1_000_000);
    world.roads.set("Owner", 0, "name", "x".repeat(100_000).as_str());
    // WHEN it is asked for once, it is within the limit
    let once = world.ask("{ item(id: 1) { owner { name } } }").await;
    assert_eq!(once.get("errors"), None);
    // THEN one row that stands in an answer many times over is refused for what the answer would be
    let names: String = (0..40).map(|n| format!("n{n}: name ")).collect();
    let many = world.ask(&format!("{{ items(ids: [1, 3]) {{ owner {{ {names} }} }} }}")).await;
    assert_eq!(code(&many), "ANSWER_LIMIT");
    assert_eq!(many["data"], Json::Null);
    assert_eq!(world.gateway.held().1, 0);
    // AND rows that are larger than that are refused when they come
    world.roads.set("Owner", 0, "name", "x".repeat(2_000_000).as_str());
    assert_eq!(code(&world.ask("{ item(id: 1) { owner { name } } }").await), "ANSWER_LIMIT");
    assert_eq!(world.ask("{ item(id: 2) { id } }").await["data"]["item"]["id"], "2");
}

#[tokio::test]
async fn a_compressed_body_is_told_to_come_as_it_is() {
    let world = world();
    let body = json!({ "query": "{ __typename }" });
    let reply = world.post(&body, &[("content-encoding", "gzip")]).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"));
    assert!(reply.text.contains("without Content-Encoding"), "{}", reply.text);
    assert_eq!(world.post(&body, &[("content-encoding", "identity")]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_field_that_an_input_object_names_twice_is_refused_wherever_it_stands() {
    let world = world();
    for query in [
        r#"{ parts(keys: [{ itemId: 1, number: 1, number: 2 }]) { number } }"#,
        r#"query($n: Int!) { parts(keys: [{ itemId: 1, number: $n, number: 2 }]) { number } }"#,
        r#"{ item(id: 1) { id @include(if: { a: 1, a: 2 }) } }"#,
        r#"query($i: X = { a: [{ b: 1, b: 1 }] }) { __typename }"#,
    ] {
        let answer = world.ask_with(query, json!({ "n": 1 })).await;
        assert_eq!(code(&answer), "GRAPHQL_VALIDATION_FAILED", "{query}");
        let message = answer["errors"][0]["message"].as_str().unwrap();
        assert!(message.ends_with("is given twice; give it once"), "{message}");
        assert_eq!(answer["errors"][0]["locations"].as_array().map(Vec::len), Some(1));
    }
    assert!(world.calls().is_empty());
}
