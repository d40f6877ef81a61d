//! Who asks for a page: the identity that `auth` has put beside the request, and from where.

use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::Response;

use super::layout::refused;
use super::{Dashboard, Problem};
use crate::api;
use crate::auth::{CsrfToken, Identity, Role};
use crate::schema::Origin;
use server::Peer;

/// Whoever asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) identity: Identity,
    /// What forms send back; empty where no cookie is used.
    pub(super) csrf: String,
    /// For the record.
    pub(super) origin: Origin,
}

impl Caller {
    /// Whether buttons are shown. What they do is checked by the schema.
    pub(super) fn may_act(&self) -> bool {
        self.identity.role >= Role::Operator
    }

    /// Whether what somebody else has proposed can be approved.
    pub(super) fn may_approve(&self) -> bool {
        self.identity.role >= Role::Admin
    }
}

impl FromRequestParts<Dashboard> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Dashboard) -> Result<Self, Response> {
        let Some(identity) = parts.extensions.get::<Identity>().cloned() else {
            return Err(refused(&Problem {
                status: StatusCode::UNAUTHORIZED,
                message: "nobody knows who you are: sign in, or come from this machine".to_owned(),
            }));
        };
        // Once more what `auth` looks at: no page of another site acts in an operator's name.
        if parts.method != Method::GET && parts.method != Method::HEAD && !is_own_page(parts) {
            return Err(refused(&Problem {
                status: StatusCode::FORBIDDEN,
                message: "this form was sent by a page of another site; nothing was done".to_owned(),
            }));
        }
        let peer = parts.extensions.get::<Peer>().copied();
        let csrf = parts.extensions.get::<CsrfToken>().map(|token| token.0.clone()).unwrap_or_default();
        Ok(Self { identity, csrf, origin: api::origin(peer.map(Extension)) })
    }
}

/// Whether a request was made by one of our pages, or by no page at all.
fn is_own_page(parts: &Parts) -> bool {
    let text = |name: HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let site = text(HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return false;
    }
    // HTTP/2 names the host in the address instead.
    let host = text(header::HOST).or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    match text(header::ORIGIN) {
        Some(origin) => origin.split_once("://").is_some_and(|(_, from)| Some(from) == host),
        None => true,
    }
}
