//! The whole of it, from request to answer: who comes in, who does not, and what each is told.

mod browser;
mod loopback;
mod sockets;
mod tokens;

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use chrono::Utc;
use http_body_util::BodyExt;
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use crate::settings::SessionSettings;
use crate::{router, tests};
use server::Peer;

const ROLL_BACK: &str = "/api/v1/groups/inventory/rollback";
const ORDER: &str = r#"{"id":"6f2d3a0e-5d6b-4d3c-9f34-0a8b2c1d4e5f","author":{"who":"eve","origin":"desk"}}"#;

thread_local! {
    /// How far the wall clock of this test is ahead, in seconds.
    static AHEAD: Cell<i64> = const { Cell::new(0) };
}

fn clock() -> Instant {
    Instant::new(Utc::now() + chrono::TimeDelta::seconds(AHEAD.get()))
}

fn later(seconds: i64) {
    AHEAD.set(AHEAD.get() + seconds);
}

/// An admin port with a token per role.
struct Desk {
    auth: Auth,
    router: Router,
    folder: TempDir,
    viewer: String,
    operator: String,
    lines: Vec<String>,
}

impl Desk {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut AuthSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [viewer, operator] = [("vic", Role::Viewer), ("ada", Role::Operator)].map(|(name, role)| made(name, role));
        let file = folder.path().join("tokens");
        let lines = vec![viewer.line, operator.line];
        std::fs::write(&file, lines.join("\n")).unwrap();
        let sessions = SessionSettings {
            secret: None,
            idle: Duration::from_secs(600),
            longest: Duration::from_secs(3_600),
            secure: false,
        };
        let mut settings = AuthSettings { tokens_file: Some(file), jwt: None, metrics_need_token: false, sessions };
        change(&mut settings);
        let auth = Auth::open(Some(&settings), clock).unwrap();
        let router = auth.protect(router(tests::admin().0));
        Self { auth, router, folder, viewer: viewer.token, operator: operator.token, lines }
    }

    /// Writes the file of tokens anew.
    fn write(&self, lines: &[String]) {
        std::fs::write(self.folder.path().join("tokens"), lines.join("\n")).unwrap();
    }

    async fn send(&self, ask: Ask) -> Answer {
        ask.of(&self.router).await
    }
}

fn made(name: &str, role: Role) -> token::NewToken {
    token::make(rand::random(), name, role, None).unwrap()
}

/// A request.
struct Ask {
    request: axum::http::request::Builder,
    body: Body,
    from: SocketAddr,
}

fn get(path: &str) -> Ask {
    ask("GET", path)
}

fn post(path: &str) -> Ask {
    ask("POST", path)
}

fn ask(method: &str, path: &str) -> Ask {
    let request = Request::builder().method(method).uri(path).header("host", "localhost:9090");
    Ask { request, body: Body::empty(), from: "10.0.0.7:1".parse().unwrap() }
}

/// An order to roll back.
fn roll_back() -> Ask {
    post(ROLL_BACK).header("content-type", "application/json").body(ORDER)
}

impl Ask {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    fn from(mut self, address: &str) -> Self {
        self.from = format!("{address}:1").parse().unwrap();
        self
    }

    fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    async fn of(self, router: &Router) -> Answer {
        let mut request = self.request.body(self.body).unwrap();
        request.extensions_mut().insert(Peer(self.from));
        let answer = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8_lossy(&body).into() }
    }
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Whether it is a refusal with that status and code.
    #[track_caller]
    fn is(&self, status: u16, code: &str) {
        assert!(self.status == status && self.body.contains(code), "not {status} {code}: {self:?}");
    }
}
