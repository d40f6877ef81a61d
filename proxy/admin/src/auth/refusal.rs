//! Why somebody was not let in, and what they, the log and the metrics are told. Never the token.

use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;
use thiserror::Error;

use super::{Identity, Role, origin};
use server::Peer;

/// Why a request was not let in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("sign in: send `authorization: Bearer TOKEN`, or open /login in a browser")]
    NoCredential,
    #[error("this token or session is not known here")]
    BadCredential,
    #[error("this token or session has ended; sign in again")]
    Expired,
    #[error("this needs the role {needs}")]
    Role { needs: Role },
    #[error("the request does not come with its page's csrf token; reload the page")]
    Csrf,
    #[error("a page of another site sent this")]
    CrossSite,
    #[error("this port has no users and answers to localhost only, by that name or its address")]
    Host,
    #[error("too many failed attempts; wait {} s", .wait.as_secs().max(1))]
    Limited { wait: Duration },
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body took too long to come")]
    TooSlow,
    #[error("the identity provider's keys are not known: {0}")]
    Unavailable(String),
}

impl Refusal {
    /// The label of the metric.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::BadCredential => "bad_credential",
            Self::Expired => "expired",
            Self::Role { .. } => "role",
            Self::Csrf => "csrf",
            Self::CrossSite => "cross_site",
            Self::Host => "host",
            Self::Limited { .. } => "limited",
            Self::TooLarge { .. } => "too_large",
            Self::TooSlow => "too_slow",
            Self::Unavailable(_) => "unavailable",
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoCredential | Self::BadCredential | Self::Expired => StatusCode::UNAUTHORIZED,
            Self::Role { .. } | Self::Csrf | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoCredential | Self::BadCredential | Self::Expired => "UNAUTHENTICATED",
            Self::Role { .. } => "FORBIDDEN",
            Self::Csrf => "CSRF",
            Self::CrossSite => "CROSS_SITE",
            Self::Host => "NOT_LOCALHOST",
            Self::Limited { .. } => "TOO_MANY_ATTEMPTS",
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::TooSlow => "TOO_SLOW",
            Self::Unavailable(_) => "UNAVAILABLE",
        }
    }

    /// Whether somebody should hear of it: not of those who merely have to sign in, and not of every guess of
    /// somebody who is held up anyway.
    fn is_worth_a_line(&self) -> bool {
        match self {
            Self::NoCredential | Self::Expired | Self::Limited { .. } => false,
            Self::BadCredential
            | Self::Role { .. }
            | Self::Csrf
            | Self::CrossSite
            | Self::Host
            | Self::TooLarge { .. }
            | Self::TooSlow
            | Self::Unavailable(_) => true,
        }
    }

    /// Counts it and logs it: who, from where, what they wanted.
    pub(super) fn record(&self, parts: &Parts, who: Option<&Identity>) {
        telemetry::admin_refused(self.reason());
        let from = parts.extensions.get::<Peer>().map(|Peer(address)| address.to_string());
        let from = from.as_deref().unwrap_or("an unknown address");
        let who = who.map_or("somebody", |identity| identity.who.as_str());
        // Without the query, where a careless client may have put a secret.
        let (method, path) = (&parts.method, parts.uri.path());
        if self.is_worth_a_line() {
            tracing::warn!(from, who, %method, path, "{who} from {from} was refused {method} {path}: {self}");
        } else {
            tracing::debug!(from, who, %method, path, "{who} from {from} was refused {method} {path}: {self}");
        }
    }

    /// The answer to a request with `parts`. A browser that has to sign in is led to the login page.
    pub(super) fn answer(&self, parts: &Parts) -> Response {
        let accept = origin::text(&parts.headers, header::ACCEPT.as_str()).unwrap_or_default();
        let is_page = parts.method == Method::GET && accept.contains("text/html");
        if is_page && self.status() == StatusCode::UNAUTHORIZED {
            let then = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let then: String = form_urlencoded::byte_serialize(then.as_bytes()).collect();
            return Redirect::to(&format!("/login?then={then}")).into_response();
        }
        self.plain()
    }

    /// The answer as JSON.
    pub(super) fn plain(&self) -> Response {
        let body = axum::Json(json!({ "code": self.code(), "message": self.to_string() }));
        let mut answer = (self.status(), body).into_response();
        let headers = answer.headers_mut();
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer realm=\"strangler\""));
        }
        if let Self::Limited { wait } = self {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from(wait.as_secs().max(1)));
        }
        answer
    }
}
