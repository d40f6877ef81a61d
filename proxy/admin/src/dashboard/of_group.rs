//! A request about one group, whose address names it. A group that the contract does not have is answered with the page
//! that says so, before anything else is looked at.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use model::GroupName;

use super::Dashboard;
use super::caller::Caller;
use super::layout::{self, Part};

/// Who asks about which group. Addresses name it `{group}`.
pub(super) struct OfGroup {
    pub(super) dashboard: Dashboard,
    pub(super) caller: Caller,
    pub(super) group: GroupName,
}

impl FromRequestParts<Dashboard> for OfGroup {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Response> {
        let caller = Caller::from_request_parts(parts, dashboard).await?;
        let given = RawPathParams::from_request_parts(parts, dashboard).await.map_err(IntoResponse::into_response)?;
        let name = given.iter().find(|(place, _)| *place == "group").map_or("", |(_, name)| name);
        match dashboard.group(name) {
            Ok(group) => Ok(Self { dashboard: dashboard.clone(), caller, group }),
            Err(problem) => Err(layout::failed(&caller, Part::Groups, "No such group", &problem)),
        }
    }
}
