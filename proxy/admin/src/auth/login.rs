//! The login page, signing out, and who one is.

use axum::extract::{Query, Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderValue, SET_COOKIE};
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::guard::{Guard, address};
use super::refusal::Refusal;
use super::session::Session;
use super::{Auth, CsrfToken, Identity, gate};

/// Where one signs in.
pub(super) const LOGIN: &str = "/login";
/// Where one signs out.
pub(super) const LOGOUT: &str = "/logout";

const PAGE: &str = include_str!("login.html");
/// The page runs nothing, loads nothing, and sends its form home.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; \
                      base-uri 'none'";

pub(super) fn router(auth: Auth) -> Router {
    Router::new()
        .route("/login", get(page).post(sign_in))
        .route("/logout", post(sign_out))
        .route("/api/v1/me", get(me))
        .with_state(auth)
}

#[derive(Deserialize)]
struct Then {
    then: Option<String>,
}

async fn page(State(auth): State<Auth>, Query(Then { then }): Query<Then>) -> Response {
    let then = local(then.as_deref());
    if auth.guard.is_none() { Redirect::to(then).into_response() } else { shown("", then) }
}

/// Takes the form fields `token` and `then`.
async fn sign_in(State(auth): State<Auth>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // The gate has read it already and refused what is larger.
    let body = axum::body::to_bytes(body, gate::BODY_BYTES).await.unwrap_or_default();
    let then = gate::form_field(&parts, &body, "then");
    let then = local(then.as_deref());
    let Some(guard) = auth.guard.as_deref() else { return Redirect::to(then).into_response() };
    let token = gate::form_field(&parts, &body, "token").unwrap_or_default();
    match started(guard, &parts, token.trim()).await {
        Ok(cookie) => with_cookie(Redirect::to(then).into_response(), &cookie),
        Err(refusal) => {
            refusal.record(&parts, None);
            let page = shown(&refusal.to_string(), then);
            (refusal.status(), page).into_response()
        }
    }
}

/// The cookie of a new session for whoever has `token`.
async fn started(guard: &Guard, parts: &Parts, token: &str) -> Result<String, Refusal> {
    let good = guard.check(token, address(parts)).await?;
    let session = guard.sessions.start(good.source, guard.now(), good.until);
    let who = &good.identity.who;
    tracing::info!(who, "{who} signed in with a browser, as {}", good.identity.role);
    Ok(guard.sessions.cookie(&session))
}

async fn sign_out(State(auth): State<Auth>, session: Option<Extension<Session>>) -> Response {
    let answer = Redirect::to(LOGIN).into_response();
    let (Some(guard), Some(Extension(session))) = (auth.guard.as_deref(), session) else { return answer };
    guard.sessions.end(&session, guard.now());
    with_cookie(answer, &guard.sessions.no_cookie())
}

async fn me(
    Extension(identity): Extension<Identity>,
    Extension(CsrfToken(csrf)): Extension<CsrfToken>,
) -> axum::Json<Json> {
    axum::Json(json!({ "who": identity.who, "role": identity.role, "via": identity.via, "csrf": csrf }))
}

fn with_cookie(mut answer: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

/// The page with what went wrong, if anything did.
fn shown(problem: &str, then: &str) -> Response {
    let problem =
        if problem.is_empty() { String::new() } else { format!("<p role=\"alert\">{}.</p>", escaped(problem)) };
    let page = PAGE.replace("{problem}", &problem).replace("{then}", &escaped(then));
    ([(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))], Html(page)).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// A place on this port; the front page where another is asked for.
fn local(then: Option<&str>) -> &str {
    let is_local = |then: &&str| {
        let mut bytes = then.bytes();
        // Browsers take `//host` and `/\host` for other machines, and drop tabs and line breaks.
        bytes.next() == Some(b'/')
            && !matches!(bytes.next(), Some(b'/' | b'\\'))
            && then.bytes().all(|byte| byte.is_ascii_graphic())
            && then.split(['?', '#']).next() != Some(LOGIN)
    };
    then.filter(is_local).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_led_to_places_of_this_port_only() {
        for then in ["/", "/groups/inventory?tab=diffs", "/a//b"] {
            assert_eq!(local(Some(then)), then);
        }
        let others =
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "a", "/login"];
        for then in others {
            assert_eq!(local(Some(then)), "/", "{then}");
        }
        assert_eq!(local(None), "/");
    }

    #[test]
    fn what_is_shown_is_text() {
        assert_eq!(escaped("<a href=\"x\" b='&'>"), "&lt;a href=&quot;x&quot; b=&#39;&amp;&#39;&gt;");
    }
}
