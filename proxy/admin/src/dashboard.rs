//! The dashboard: what operators look at and move traffic with, in a browser.
//!
//! Pages are made here and work without scripts: forms post and lead back. `live.js` only keeps figures fresh and
//! adds a slider. Nothing is loaded from elsewhere, and a strict policy keeps whatever a value says from acting.
//! Pages ask and act through the admin API's schema, in this process: roles are checked there, once, for all.
//!
//! Promise: every group's page has its roll-back button, whatever else cannot be shown.
//! Not here: who comes (`auth`), what an order means (`desk`).

mod assets;
mod at_rest;
mod breakeven;
mod caller;
mod charts;
mod confirm;
mod diffs;
mod excuses;
mod group;
mod handover;
mod history;
mod layout;
mod of_group;
mod orders;
mod overview;
mod sagas;
mod sample;
mod shapes;
mod sides;
#[cfg(test)]
mod tests;
mod told;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};
use model::{GroupName, Policy};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::Admin;
use caller::Caller;

/// Only what this port serves itself; nothing inline, no frames, forms only to here.
const SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                        form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What pages are made from. Cheap to clone.
#[derive(Clone)]
struct Dashboard {
    admin: Admin,
}

/// Why a page cannot show or do something, for its reader.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    status: StatusCode,
    message: String,
}

/// The dashboard's pages.
pub(super) fn router(admin: &Admin) -> Router {
    Router::new()
        .route("/", get(overview::page))
        .route("/groups/{group}", get(group::page))
        .route("/groups/{group}/set", post(orders::set))
        .route("/groups/{group}/undo", post(orders::undo))
        .route("/groups/{group}/preview", get(confirm::look))
        .route("/groups/{group}/promote", post(orders::promote))
        .route("/groups/{group}/stop", post(orders::stop))
        .route("/groups/{group}/rollback", post(orders::roll_back))
        .route("/groups/{group}/handover", get(handover::page).post(orders::hand_over))
        .route("/groups/{group}/proposals/{id}", post(orders::decide))
        .route("/diffs", get(diffs::page))
        .route("/diffs/{id}", get(sample::page))
        .route("/excuses", post(excuses::accept))
        .route("/excuses/{id}", post(excuses::take_back))
        .route("/sagas", get(sagas::page))
        .route("/sagas/{id}", get(sagas::one))
        .route("/sagas/{id}/retry", post(sagas::retry))
        .route("/sagas/{id}/abandon", post(sagas::abandon))
        .route("/rest", get(at_rest::page))
        .route("/rest/{group}", post(at_rest::order))
        .route("/sides", get(sides::of))
        .route("/breakeven", get(breakeven::page))
        .route("/history", get(history::page))
        .route("/history/verify", get(history::verify))
        .route("/assets/{name}", get(assets::serve))
        .layer(map_response(secured))
        .with_state(Dashboard { admin: admin.clone() })
}

async fn secured(mut answer: Response) -> Response {
    let ours = [
        (header::CONTENT_SECURITY_POLICY, SECURITY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        // Figures of a minute ago are wrong; assets say otherwise.
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in ours {
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    answer
}

impl Dashboard {
    /// Asks the admin API in the caller's name.
    ///
    /// # Errors
    /// The API's own sentence.
    async fn ask<T: DeserializeOwned>(&self, caller: &Caller, document: &str, given: Json) -> Result<T, Problem> {
        let (identity, origin) = (caller.identity.clone(), caller.origin.clone());
        let answer = crate::schema::ask(&self.admin.api, identity, origin, document, given).await;
        if let Some(error) = answer["errors"].get(0) {
            return Err(Problem::of(error));
        }
        serde_json::from_value(answer["data"].clone()).map_err(|error| Problem {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: format!("the dashboard does not understand the admin API: {error}"),
        })
    }

    /// The group called `name`, if the contract has it.
    fn group(&self, name: &str) -> Result<GroupName, Problem> {
        let groups = &self.admin.groups;
        groups.iter().find(|group| group.as_str() == name).cloned().ok_or_else(|| {
            let known: Vec<_> = groups.iter().map(GroupName::as_str).collect();
            Problem {
                status: StatusCode::NOT_FOUND,
                message: format!("there is no group `{name}`; there are: {}", known.join(", ")),
            }
        })
    }

    /// The policy that this replica works under; known whatever is down.
    fn policy_here(&self, group: &GroupName) -> Policy {
        self.admin.rollout.policy(group)
    }
}

impl Problem {
    fn of(error: &Json) -> Self {
        let (code, kind) = (error["extensions"]["code"].as_str(), error["extensions"]["kind"].as_str());
        let status = match (code, kind) {
            (Some("FORBIDDEN"), _) => StatusCode::FORBIDDEN,
            (Some("UNKNOWN_GROUP" | "UNKNOWN_SAMPLE" | "UNKNOWN_PROPOSAL" | "UNKNOWN_EXCUSE" | "UNKNOWN_SAGA"), _) => {
                StatusCode::NOT_FOUND
            }
            (Some("CONTROL_STORE" | "NO_ROLLOUT" | "SIDE"), _) => StatusCode::SERVICE_UNAVAILABLE,
            (_, Some("wrong")) => StatusCode::UNPROCESSABLE_ENTITY,
            (_, Some("no")) => StatusCode::CONFLICT,
            (_, _) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let message = error["message"].as_str().unwrap_or("the admin API gave no reason").to_owned();
        Self { status, message }
    }
}
