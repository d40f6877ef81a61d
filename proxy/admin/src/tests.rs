use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use model::{Epoch, PerSide, Percentage, Policy, Rollout, RolloutVersion, Stage};
use tower::ServiceExt;

use super::*;
use data_plane::breaker::{Breaker, BreakerSettings};

pub(super) fn admin() -> (Admin, PerSide<Arc<Breaker>>) {
    let shift = Policy::new(Stage::Shift, Percentage::FULL, Percentage::ZERO, Epoch(1)).unwrap();
    let rollout = Rollout { version: RolloutVersion(7), policies: [("inventory".into(), shift)].into() };
    let breaker = || Arc::new(Breaker::new(BreakerSettings { failures: 1, pause: Duration::from_secs(60) }));
    let breakers = PerSide { legacy: breaker(), modern: breaker() };
    let admin = Admin {
        replica: ReplicaId::new("r1"),
        groups: vec!["inventory".into()],
        rollout: RolloutHandle::fixed(rollout),
        metrics: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
        health: Arc::new(Health::new(breakers.clone())),
        api: super::schema::tests::idle(),
        clock: || Instant::parse("2026-01-31T08:00:00Z").unwrap(),
    };
    (admin, breakers)
}

async fn ask(admin: &Admin, method: &str, path: &str, body: &str) -> (u16, String) {
    ask_as(admin, method, path, body, "application/json").await
}

async fn ask_as(admin: &Admin, method: &str, path: &str, body: &str, kind: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).header("host", "localhost").header("content-type", kind);
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = auth::Auth::loopback().protect(router(admin.clone())).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

const ORDER: &str = r#"{"id":"6f2d3a0e-5d6b-4d3c-9f34-0a8b2c1d4e5f","author":{"who":"ada","origin":"desk"}}"#;

#[tokio::test]
async fn a_rollback_reaches_the_next_request_and_counts_once() {
    let (admin, _) = admin();
    for _ in 0..2 {
        let (status, body) = ask(&admin, "POST", "/api/v1/groups/inventory/rollback", ORDER).await;
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(admin.rollout.current().policy(&"inventory".into()).reads(), Percentage::ZERO);
    assert_eq!(admin.rollout.pending().len(), 1);
}

#[tokio::test]
async fn bad_orders_are_told_what_is_wrong_and_change_nothing() {
    let (admin, _) = admin();
    let cases = [
        ("/api/v1/groups/nobody/rollback", ORDER, 404, "UNKNOWN_GROUP"),
        ("/api/v1/groups/inventory/rollback", "{}", 400, "BAD_BODY"),
        ("/api/v1/groups/inventory/rollback", "rollback please", 400, "BAD_BODY"),
        ("/api/v1/nothing", "", 404, "NOT_FOUND"),
    ];
    for (path, body, expected, code) in cases {
        let (status, answer) = ask(&admin, "POST", path, body).await;
        assert!(status == expected && answer.contains(code), "{path}: {status} {answer}");
    }
    let (status, answer) = ask_as(&admin, "POST", "/api/v1/groups/inventory/rollback", ORDER, "text/plain").await;
    assert!(status == 415 && answer.contains("NOT_JSON"), "{answer}");
    assert_eq!(admin.rollout.current().policy(&"inventory".into()).reads(), Percentage::FULL);
}

#[tokio::test]
async fn one_dead_side_leaves_the_replica_ready_and_two_do_not() {
    let (admin, breakers) = admin();
    breakers.modern.failed(tokio::time::Instant::now());
    assert_eq!(ask(&admin, "GET", "/health/ready", "").await.0, 200);
    breakers.legacy.failed(tokio::time::Instant::now());
    let (status, body) = ask(&admin, "GET", "/health/ready", "").await;
    assert!(status == 503 && body.contains("legacy does not answer"), "{body}");
}

#[tokio::test]
async fn a_draining_replica_is_not_ready_but_alive() {
    let (admin, _) = admin();
    admin.health.drain();
    assert_eq!(ask(&admin, "GET", "/health/ready", "").await.0, 503);
    assert_eq!(ask(&admin, "GET", "/health/live", "").await.0, 200);
}

#[tokio::test]
async fn the_description_lists_every_route_and_every_route_answers() {
    let (admin, _) = admin();
    let description: Json = serde_json::from_str(OPENAPI).unwrap();
    let source = concat!(include_str!("lib.rs"), include_str!("auth/login.rs"));
    let routes = source.match_indices(".route(\"").map(|(at, mark)| {
        let rest = &source[at + mark.len()..];
        &rest[..rest.find('"').unwrap()]
    });
    let routes: Vec<_> = routes.collect();
    let described: Vec<_> = description["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for route in &routes {
        assert!(described.contains(route), "{route} is not described");
    }
    assert_eq!(routes.len(), described.len());
    for path in ["/metrics", "/api/v1/replica", "/api/v1/groups", "/api/v1/groups/inventory", "/api/v1/openapi.json"] {
        assert_eq!(ask(&admin, "GET", path, "").await.0, 200, "{path}");
    }
}
