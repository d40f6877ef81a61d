//! The admin port: health, metrics, and the few things that must work when all else is down.
//!
//! A rollback told here takes effect at the next request, whether or not the control store, modern,
//! or both are up. Errors are JSON: `{"code": …, "message": …}`.
//! Not here: who comes and what they may (`auth`, which stands in front of this router), pages for people (`dashboard`).

mod api;
pub mod auth;
mod dashboard;
mod health;
pub mod schema;
pub mod serve;
pub mod settings;
mod socket;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use model::{GroupName, Instant, ReplicaId};
use serde::Serialize;
use serde_json::{Value as Json, json};

use auth::Identity;
use control_plane::rollout::{Override, RollbackOrder, RolloutHandle};
use schema::AdminSchema;

pub use health::{Check, Health};

const OPENAPI: &str = include_str!("openapi.json");

/// What the admin port tells about, and acts on.
#[derive(Clone)]
pub struct Admin {
    /// This replica.
    pub replica: ReplicaId,
    /// The groups of the contract.
    pub groups: Vec<GroupName>,
    /// The rollout.
    pub rollout: RolloutHandle,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Says whether this replica can serve.
    pub health: Arc<Health>,
    /// The admin API.
    pub api: AdminSchema,
    /// The wall clock, for the record of an override.
    pub clock: fn() -> Instant,
}

/// An error of the admin API.
#[derive(Debug, Serialize)]
struct AdminError {
    #[serde(skip)]
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        (self.status, axum::Json(&self)).into_response()
    }
}

/// The routes of the admin port. To be put behind [`auth::Auth::protect`], without which nobody may roll back.
pub fn router(admin: Admin) -> Router {
    let dashboard = dashboard::router(&admin);
    Router::new()
        .route("/health/live", get(|| async { axum::Json(json!({ "status": "live" })) }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/graphql", get(socket::listen).post(api::ask))
        .route("/api/v1/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], OPENAPI) }))
        .route("/api/v1/replica", get(replica))
        .route("/api/v1/groups", get(groups))
        .route("/api/v1/groups/{group}", get(group))
        .route("/api/v1/groups/{group}/rollback", post(roll_back))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "NOT_FOUND", "see /api/v1/openapi.json for what is here") })
        .with_state(admin)
        .merge(dashboard)
}

async fn ready(State(admin): State<Admin>) -> Response {
    let checks = admin.health.checks(&admin.rollout);
    let status = if Health::is_ready(&checks) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(json!({ "ready": status == StatusCode::OK, "checks": checks }))).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], admin.metrics.render()).into_response()
}

async fn replica(State(admin): State<Admin>) -> axum::Json<Json> {
    axum::Json(json!({
        "id": admin.replica,
        "rollout": admin.rollout.version(),
        "pendingOverrides": admin.rollout.pending().len(),
        "controlStoreUp": admin.rollout.is_control_up(),
        "rolloutSaved": admin.rollout.is_saved(),
    }))
}

async fn groups(State(admin): State<Admin>) -> axum::Json<Json> {
    axum::Json(admin.groups.iter().map(|group| shown(&admin, group)).collect())
}

async fn group(State(admin): State<Admin>, Path(name): Path<String>) -> Result<axum::Json<Json>, Box<AdminError>> {
    let group = known(&admin, &name)?;
    Ok(axum::Json(shown(&admin, &group)))
}

async fn roll_back(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<axum::Json<Json>, Box<AdminError>> {
    // A web page on the operator's machine can post to loopback, but not as JSON without being asked.
    let is_json =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return Err(error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "NOT_JSON", "send the body as application/json"));
    }
    let group = known(&admin, &name)?;
    let order: RollbackOrder = serde_json::from_slice(&body).map_err(|problem| {
        let message = format!("the body must be {{\"id\": uuid, \"author\": {{\"who\", \"origin\"}}}}: {problem}");
        error(StatusCode::BAD_REQUEST, "BAD_BODY", message)
    })?;
    let told = Override {
        id: order.id,
        group: group.clone(),
        author: identity.sign(order.author, order.passed_on),
        at: (admin.clock)(),
        idle_under: None,
    };
    let done = admin.rollout.roll_back(told).await;
    Ok(axum::Json(json!({
        "group": group,
        "policy": done.policy,
        "rollout": done.version,
        "saved": done.saved,
    })))
}

fn shown(admin: &Admin, group: &GroupName) -> Json {
    json!({ "group": group, "policy": admin.rollout.policy(group) })
}

impl IntoResponse for Box<AdminError> {
    fn into_response(self) -> Response {
        (*self).into_response()
    }
}

fn known(admin: &Admin, name: &str) -> Result<GroupName, Box<AdminError>> {
    let group = admin.groups.iter().find(|group| group.as_str() == name);
    group.cloned().ok_or_else(|| {
        let known: Vec<_> = admin.groups.iter().map(GroupName::as_str).collect();
        let message = format!("there is no group of this name; there are: {}", known.join(", "));
        error(StatusCode::NOT_FOUND, "UNKNOWN_GROUP", message)
    })
}

fn error(status: StatusCode, code: &'static str, message: impl Into<String>) -> Box<AdminError> {
    Box::new(AdminError { status, code, message: message.into() })
}

#[cfg(test)]
mod tests;
