//! Recognises who comes, where a way to sign in is configured.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::request::Parts;
use model::Instant;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::attempts::Attempts;
use super::jwt::Jwt;
use super::origin::text;
use super::refusal::Refusal;
use super::session::{Session, Sessions, Source};
use super::standing::Rests;
use super::tokens::Tokens;
use super::{AuthError, Identity, Via};
use crate::settings::AuthSettings;
use server::Peer;

/// Who comes, and what their session rests on.
pub(super) struct Guard {
    tokens: Option<Tokens>,
    jwt: Option<Jwt>,
    pub(super) sessions: Sessions,
    pub(super) metrics_need_token: bool,
    attempts: Mutex<Attempts>,
    clock: fn() -> Instant,
}

/// What somebody showed was good.
pub(super) struct Good {
    pub(super) identity: Identity,
    /// What a session of theirs would rest on, and when it must end.
    pub(super) source: Source,
    pub(super) until: Option<i64>,
}

/// Somebody is recognised.
pub(super) struct Recognised {
    pub(super) identity: Identity,
    /// Set when it was by a cookie.
    pub(super) session: Option<Session>,
    /// What it rests on.
    pub(super) rests: Rests,
}

impl Guard {
    pub(super) fn open(settings: &AuthSettings, clock: fn() -> Instant) -> Result<Self, AuthError> {
        Ok(Self {
            tokens: settings.tokens_file.clone().map(Tokens::open).transpose()?,
            jwt: settings.jwt.as_ref().map(Jwt::open).transpose()?,
            sessions: Sessions::new(&settings.sessions),
            metrics_need_token: settings.metrics_need_token,
            attempts: Mutex::new(Attempts::new(tokio::time::Instant::now())),
            clock,
        })
    }

    pub(super) async fn follow(&self, stop: CancellationToken) {
        let tokens = async {
            if let Some(tokens) = &self.tokens {
                tokens.follow(stop.clone()).await;
            }
        };
        let keys = async {
            if let Some(jwt) = &self.jwt {
                jwt.follow(stop.clone()).await;
            }
        };
        tokio::join!(tokens, keys);
    }

    /// Seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        (self.clock)().to_utc().timestamp()
    }

    /// Who sends a request. A token in the header comes before a cookie: no browser adds it by itself.
    pub(super) async fn recognise(&self, parts: &Parts) -> Result<Recognised, Refusal> {
        if parts.headers.contains_key(AUTHORIZATION) {
            let bearer = text(&parts.headers, AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
            let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            let (_, token) = bearer.ok_or(Refusal::BadCredential)?;
            let good = self.check(token.trim(), address(parts)).await?;
            let rests = Rests::of(&good.source, token.trim());
            return Ok(Recognised { identity: good.identity, session: None, rests });
        }
        let cookie = self.cookie(parts).ok_or(Refusal::NoCredential)?;
        let session = self.sessions.recognise(cookie, self.now())?;
        let rests = Rests::Session(session.clone());
        Ok(Recognised { identity: self.holder(&session)?, session: Some(session), rests })
    }

    /// The value of our cookie. More than one is somebody's trick.
    fn cookie<'a>(&self, parts: &'a Parts) -> Option<&'a str> {
        let name = self.sessions.cookie_name();
        let headers = parts.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = headers.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut ours = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
        ours.next().filter(|_| ours.next().is_none())
    }

    /// Whose session it is, as things are now.
    fn holder(&self, session: &Session) -> Result<Identity, Refusal> {
        match &session.source {
            Source::Token { id, mark } => self.of_line(id, mark, Via::Session),
            // The provider is no longer asked: nor are those whom it sent.
            Source::Jwt { .. } if self.jwt.is_none() => Err(Refusal::Expired),
            Source::Jwt { who, role } => Ok(Identity { who: who.clone(), role: *role, via: Via::Session }),
        }
    }

    /// Whose the line of the file is, if it is still there as it was and its last day is not over.
    pub(super) fn of_line(&self, id: &str, mark: &str, via: Via) -> Result<Identity, Refusal> {
        let entry = self.tokens.as_ref().and_then(|tokens| tokens.still(id, mark));
        let entry = entry.filter(|entry| !entry.is_over(self.today())).ok_or(Refusal::Expired)?;
        Ok(Identity { who: entry.name.clone(), role: entry.role, via })
    }

    /// Whose a session is that was recognised before, if it has not ended since.
    pub(super) fn still(&self, session: &Session) -> Result<Identity, Refusal> {
        self.sessions.goes_on(session, self.now())?;
        self.holder(session)
    }

    /// Whose `token` it is. Failures of `address` are counted.
    pub(super) async fn check(&self, token: &str, address: Option<IpAddr>) -> Result<Good, Refusal> {
        let now = tokio::time::Instant::now();
        let entry = self.tokens.as_ref().and_then(|tokens| tokens.known(token, now));
        let checked = match (entry, &self.tokens, &self.jwt) {
            (Some(entry), _, _) => Ok(entry),
            (None, _, Some(jwt)) if Jwt::looks_like_one(token) => {
                self.may_try(address)?;
                let checked = jwt.check(token).await;
                self.count(address, checked.as_ref().err());
                return checked;
            }
            (None, Some(tokens), _) => {
                self.may_try(address)?;
                tokens.verify(token, || self.may_try(address)).await
            }
            (None, None, _) => Err(Refusal::BadCredential),
        };
        self.count(address, checked.as_ref().err());
        let entry = checked?;
        if entry.is_over(self.today()) {
            return Err(Refusal::Expired);
        }
        let identity = Identity { who: entry.name.clone(), role: entry.role, via: Via::Token };
        let source = Source::Token { id: entry.id.clone(), mark: entry.mark.clone() };
        Ok(Good { identity, source, until: None })
    }

    fn today(&self) -> chrono::NaiveDate {
        (self.clock)().to_utc().date_naive()
    }

    fn may_try(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        let Some(address) = address else { return Ok(()) };
        let may = self.attempts.lock().check(address, tokio::time::Instant::now());
        may.map_err(|wait| Refusal::Limited { wait })
    }

    /// Counts a guess, or forgets those before.
    fn count(&self, address: Option<IpAddr>, refused: Option<&Refusal>) {
        let Some(address) = address else { return };
        let now = tokio::time::Instant::now();
        match refused {
            None => self.attempts.lock().proved(address, now),
            Some(Refusal::BadCredential) => {
                let wait = self.attempts.lock().failed(address, now);
                if !wait.is_zero() {
                    tracing::warn!(%address, ?wait, "{address} showed several bad tokens and waits {wait:?}");
                }
            }
            // Honest, too late, or not looked at.
            Some(_) => {}
        }
    }
}

/// Where a request comes from.
pub(super) fn address(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<Peer>().map(|Peer(address)| address.ip())
}
