//! In front of every request: who comes, may they, and is it really them who want it?
//!
//! Order: recognise, then check the role, then read the body (bounded in size and time), then the csrf token.
//! What is open to everybody is listed here and nowhere else.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::Method;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::Bytes;

use super::guard::{Guard, Recognised};
use super::refusal::Refusal;
use super::session::Session;
use super::standing::{Rests, Standing};
use super::{Auth, CsrfToken, Identity, Role, Via, login, origin};

/// Largest body of any request.
pub(super) const BODY_BYTES: usize = 1 << 20;
/// How long a client may take to send it.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// The header with the csrf token.
const CSRF_HEADER: &str = "x-csrf-token";

pub(super) fn protect(auth: &Auth, router: Router) -> Router {
    router
        .merge(login::router(auth.clone()))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn_with_state(auth.clone(), gate))
}

/// Who was let in. Nobody, where everybody may.
#[derive(Default)]
struct Admitted {
    identity: Option<Identity>,
    session: Option<Session>,
    rests: Option<Rests>,
}

async fn gate(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut answer = match admit(&auth, &mut parts, body).await {
        Err(refusal) => {
            refusal.record(&parts, parts.extensions.get::<Identity>());
            refusal.answer(&parts)
        }
        Ok(body) => {
            let session = parts.extensions.get::<Session>().cloned();
            let renewed = auth.guard.as_deref().zip(session);
            let renewed = renewed.and_then(|(guard, session)| guard.sessions.renew(&session, guard.now()));
            let mut answer = next.run(Request::from_parts(parts, body)).await;
            let cookie = renewed.and_then(|cookie| HeaderValue::from_str(&cookie).ok());
            // Signing out has a cookie of its own to give.
            if let Some(cookie) = cookie.filter(|_| !answer.headers().contains_key(header::SET_COOKIE)) {
                answer.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            answer
        }
    };
    harden(&mut answer);
    answer
}

/// Lets a request in: its body, read where it is bounded; who comes is put into `parts`.
async fn admit(auth: &Auth, parts: &mut Parts, body: Body) -> Result<Body, Refusal> {
    let admitted = match &auth.guard {
        None => on_loopback(parts)?,
        Some(guard) => guarded(guard, parts).await?,
    };
    let csrf = match (&auth.guard, &admitted.session) {
        (Some(guard), Some(session)) => guard.sessions.csrf(session),
        _ => String::new(),
    };
    parts.extensions.insert(CsrfToken(csrf));
    if let Some(identity) = admitted.identity {
        let (role, needs) = (identity.role, least(parts));
        parts.extensions.insert(identity);
        if role < needs {
            return Err(Refusal::Role { needs });
        }
    }
    // A socket has no body before it is one, and no way to show a csrf token: its origin was checked.
    if !has_body(&parts.method) {
        // It stays open: what it rests on is asked again.
        if let Some(rests) = admitted.rests {
            parts.extensions.insert(Standing::new(auth, rests));
        }
        if let Some(session) = admitted.session {
            parts.extensions.insert(session);
        }
        return Ok(body);
    }
    let body = bounded(body).await?;
    if let (Some(guard), Some(session)) = (&auth.guard, admitted.session) {
        let shown = origin::text(&parts.headers, CSRF_HEADER).map(str::to_owned);
        let shown = shown.or_else(|| form_field(parts, &body, "csrf")).ok_or(Refusal::Csrf)?;
        if !guard.sessions.is_csrf(&session, &shown) {
            return Err(Refusal::Csrf);
        }
        parts.extensions.insert(session);
    }
    Ok(Body::from(body))
}

/// Without a way to sign in: whoever reaches the port is an admin, so no page of another site may reach it through
/// a browser on this machine.
fn on_loopback(parts: &Parts) -> Result<Admitted, Refusal> {
    if is_health(parts) {
        return Ok(Admitted::default());
    }
    if !origin::host(parts).is_some_and(|host| origin::is_loopback(&host)) {
        return Err(Refusal::Host);
    }
    if origin::acts(parts) && !origin::is_own(parts) {
        return Err(Refusal::CrossSite);
    }
    let identity = Identity { who: "local".to_owned(), role: Role::Admin, via: Via::Loopback };
    Ok(Admitted { rests: Some(Rests::Loopback(identity.clone())), identity: Some(identity), session: None })
}

async fn guarded(guard: &Guard, parts: &Parts) -> Result<Admitted, Refusal> {
    let has_token = parts.headers.contains_key(header::AUTHORIZATION);
    // Only a page of ours may use a cookie, or try to get one.
    if !has_token && origin::acts(parts) && !origin::is_own(parts) {
        return Err(Refusal::CrossSite);
    }
    if is_open(guard, parts) {
        return Ok(Admitted::default());
    }
    let recognised = guard.recognise(parts).await?;
    let Recognised { identity, session, rests } = recognised;
    Ok(Admitted { identity: Some(identity), session, rests: Some(rests) })
}

/// What everybody may ask. Probes and Prometheus come without a token.
fn is_open(guard: &Guard, parts: &Parts) -> bool {
    is_health(parts) || parts.uri.path() == login::LOGIN || (is_metrics(parts) && !guard.metrics_need_token)
}

fn is_health(parts: &Parts) -> bool {
    !has_body(&parts.method) && matches!(parts.uri.path(), "/health/live" | "/health/ready")
}

fn is_metrics(parts: &Parts) -> bool {
    parts.method == Method::GET && parts.uri.path() == "/metrics"
}

/// The role without which nothing here can be done. The GraphQL schema asks for more, field by field.
fn least(parts: &Parts) -> Role {
    let is_for_all = matches!(parts.uri.path(), "/api/graphql" | login::LOGOUT);
    if is_for_all || !has_body(&parts.method) { Role::Viewer } else { Role::Operator }
}

fn has_body(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::CONNECT)
}

/// A whole body; hyper has no limit of its own, neither of size nor of time.
async fn bounded(body: Body) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(BODY_WITHIN, to_bytes(body, BODY_BYTES)).await;
    read.map_err(|_| Refusal::TooSlow)?.map_err(|_| Refusal::TooLarge { limit: BODY_BYTES })
}

/// A field of a form.
pub(super) fn form_field(parts: &Parts, body: &[u8], name: &str) -> Option<String> {
    let kind = origin::text(&parts.headers, header::CONTENT_TYPE.as_str())?;
    let is_form = kind.split(';').next()?.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let mut fields = form_urlencoded::parse(if is_form { body } else { &[] });
    fields.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// What every answer says to browsers, unless the page knows better.
fn harden(answer: &mut Response) {
    let ours = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in ours {
        let name: HeaderName = name;
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
}
