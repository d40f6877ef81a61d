//! Sessions of browsers: a signed cookie, and nothing kept here.
//!
//! The cookie names the token that it was given for, and each request looks that token up: what leaves the file
//! ends its sessions too. Nothing has to be stored or shared but the key, so any replica takes a session that
//! another one gave, whatever is down (`docs/adr/0013-sessions-are-signed-not-stored.md`). What that costs: signing
//! out is remembered by this replica only; the others forget the session when it has idled.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Role;
use super::refusal::Refusal;
use crate::settings::SessionSettings;

/// Version of the cookie's format.
const VERSION: &str = "v1";
/// More than any cookie of ours.
const LONGEST: usize = 2_048;
/// A cookie older than this is given anew, so that an active session does not idle.
const RENEWED_AFTER: i64 = 60;
/// Sessions that are remembered as signed out.
const MOST_ENDED: usize = 4_096;

/// What a session was given for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    /// A token of the file: its id, and the mark of its line. Name and role are looked up.
    Token { id: String, mark: String },
    /// A token of the identity provider: what it said. The session ends with it.
    Jwt { who: String, role: Role },
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// 128 random bits.
    pub(super) id: String,
    pub(super) source: Source,
    /// Seconds since 1970: when its cookie was given, and when it ends whatever happens.
    given: i64,
    ends: i64,
}

/// Gives sessions and recognises them.
pub(super) struct Sessions {
    signing: [u8; 32],
    csrf: [u8; 32],
    idle: i64,
    longest: i64,
    secure: bool,
    /// Signed out here, and until when that matters.
    ended: Mutex<HashMap<String, i64>>,
}

impl Sessions {
    pub(super) fn new(settings: &SessionSettings) -> Self {
        let secret = settings.secret.clone().unwrap_or_else(|| rand::random::<[u8; 32]>().to_vec());
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 4);
        Self {
            signing: blake3::derive_key("strangler 2026 admin session cookie", &secret),
            csrf: blake3::derive_key("strangler 2026 admin csrf token", &secret),
            idle: seconds(settings.idle),
            longest: seconds(settings.longest),
            secure: settings.secure,
            ended: Mutex::default(),
        }
    }

    /// A new session, which ends with what it was given for (`until`) at the latest.
    pub(super) fn start(&self, source: Source, now: i64, until: Option<i64>) -> Session {
        let ends = now.saturating_add(self.longest).min(until.unwrap_or(i64::MAX));
        Session { id: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()), source, given: now, ends }
    }

    /// The session of a cookie's value.
    pub(super) fn recognise(&self, cookie: &str, now: i64) -> Result<Session, Refusal> {
        let session = self.open(cookie).ok_or(Refusal::BadCredential)?;
        self.goes_on(&session, now)?;
        Ok(session)
    }

    /// Whether a session has neither ended nor idled.
    pub(super) fn goes_on(&self, session: &Session, now: i64) -> Result<(), Refusal> {
        let idle_since = session.given.saturating_add(self.idle);
        if now >= session.ends || now >= idle_since || self.ended.lock().contains_key(&session.id) {
            return Err(Refusal::Expired);
        }
        Ok(())
    }

    fn open(&self, cookie: &str) -> Option<Session> {
        let (signed, signature) = cookie.rsplit_once('.').filter(|_| cookie.len() <= LONGEST)?;
        let signature: [u8; 32] = URL_SAFE_NO_PAD.decode(signature).ok()?.try_into().ok()?;
        // Compared in constant time, and before anything is read.
        if blake3::keyed_hash(&self.signing, signed.as_bytes()) != signature {
            return None;
        }
        let payload = URL_SAFE_NO_PAD.decode(signed.strip_prefix(VERSION)?.strip_prefix('.')?).ok()?;
        serde_json::from_slice(&payload).ok()
    }

    /// The value of a session's cookie.
    fn seal(&self, session: &Session) -> String {
        let payload = serde_json::to_vec(session).expect("a session is plain text and numbers");
        let signed = format!("{VERSION}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = blake3::keyed_hash(&self.signing, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_bytes()))
    }

    /// The cookie to give again, if the one that came is getting old.
    pub(super) fn renew(&self, session: &Session, now: i64) -> Option<String> {
        let is_due = now.saturating_sub(session.given) >= RENEWED_AFTER;
        is_due.then(|| self.cookie(&Session { given: now, ..session.clone() }))
    }

    /// Signs out: the session is not recognised here any more.
    pub(super) fn end(&self, session: &Session, now: i64) {
        let mut ended = self.ended.lock();
        ended.retain(|_, until| *until > now);
        if ended.len() >= MOST_ENDED {
            let first = ended.iter().min_by_key(|(_, until)| **until).map(|(id, _)| id.clone());
            if let Some(id) = first {
                ended.remove(&id);
            }
        }
        // Its last cookie may have been given just now, with all its idle time before it.
        ended.insert(session.id.clone(), session.ends.min(now.saturating_add(self.idle)));
    }

    /// What forms of this session send along: another site can neither read nor guess it.
    pub(super) fn csrf(&self, session: &Session) -> String {
        URL_SAFE_NO_PAD.encode(blake3::keyed_hash(&self.csrf, session.id.as_bytes()).as_bytes())
    }

    /// Whether `shown` is the token that [`Sessions::csrf`] gave. In constant time.
    pub(super) fn is_csrf(&self, session: &Session, shown: &str) -> bool {
        let shown: Option<[u8; 32]> = URL_SAFE_NO_PAD.decode(shown).ok().and_then(|bytes| bytes.try_into().ok());
        shown.is_some_and(|shown| blake3::keyed_hash(&self.csrf, session.id.as_bytes()) == shown)
    }

    /// The value of the header that gives the cookie.
    pub(super) fn cookie(&self, session: &Session) -> String {
        format!("{}={}; {}", self.cookie_name(), self.seal(session), self.attributes())
    }

    /// The value of the header that takes the cookie away.
    pub(super) fn no_cookie(&self) -> String {
        format!("{}=; Max-Age=0; {}", self.cookie_name(), self.attributes())
    }

    /// `__Host-`: browsers take it over TLS only, for this very host, and no neighbour can plant one.
    pub(super) fn cookie_name(&self) -> &'static str {
        if self.secure { "__Host-strangler" } else { "strangler" }
    }

    fn attributes(&self) -> &'static str {
        if self.secure { "Path=/; HttpOnly; SameSite=Strict; Secure" } else { "Path=/; HttpOnly; SameSite=Strict" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn sessions(secret: &str) -> Sessions {
        let secret = Some(secret.as_bytes().to_vec());
        let (idle, longest) = (Duration::from_secs(600), Duration::from_secs(3_600));
        Sessions::new(&SessionSettings { secret, idle, longest, secure: true })
    }

    fn value(sessions: &Sessions, session: &Session) -> String {
        sessions.seal(session)
    }

    fn source() -> Source {
        Source::Token { id: "0011".into(), mark: "m".into() }
    }

    #[test]
    fn any_replica_with_the_secret_recognises_a_session_and_no_other_does() {
        let here = sessions("one secret");
        let session = here.start(source(), NOW, None);
        let cookie = value(&here, &session);
        assert_eq!(sessions("one secret").recognise(&cookie, NOW).unwrap(), session);
        assert_eq!(sessions("another secret").recognise(&cookie, NOW), Err(Refusal::BadCredential));
        assert!(sessions("one secret").is_csrf(&session, &here.csrf(&session)));
    }

    #[test]
    fn a_cookie_with_any_letter_changed_is_not_recognised() {
        let sessions = sessions("one secret");
        let cookie = value(&sessions, &sessions.start(source(), NOW, None));
        for at in 0..cookie.len() {
            for other in ["A", "b", "-", "."] {
                let mut changed = cookie.clone();
                changed.replace_range(at..=at, other);
                // The last letter of base64 has spare bits, which the decoder insists on being zero.
                if changed != cookie {
                    assert_eq!(sessions.recognise(&changed, NOW), Err(Refusal::BadCredential), "{at} {other}");
                }
            }
        }
        let payload = URL_SAFE_NO_PAD.encode(r#"{"id":"x","source":{"jwt":{"who":"eve","role":"admin"}}}"#);
        let endless = format!("v1.{}.x", "A".repeat(100_000));
        for text in ["", ".", "v1..", &payload, &format!("v1.{payload}."), &format!("v1.{payload}"), &endless] {
            assert_eq!(sessions.recognise(text, NOW), Err(Refusal::BadCredential));
        }
    }

    #[test]
    fn a_session_ends_when_it_idles_when_it_is_old_and_with_its_token() {
        let sessions = sessions("one secret");
        let session = sessions.start(source(), NOW, None);
        let cookie = value(&sessions, &session);
        assert!(sessions.recognise(&cookie, NOW + 599).is_ok());
        assert_eq!(sessions.recognise(&cookie, NOW + 600), Err(Refusal::Expired));

        let renewed = |given| value(&sessions, &Session { given, ..session.clone() });
        assert!(sessions.recognise(&renewed(NOW + 3_590), NOW + 3_599).is_ok());
        assert_eq!(sessions.recognise(&renewed(NOW + 3_590), NOW + 3_600), Err(Refusal::Expired));
        assert_eq!(sessions.renew(&session, NOW + 59), None);
        assert!(sessions.renew(&session, NOW + 60).is_some());

        let short = sessions.start(source(), NOW, Some(NOW + 30));
        assert_eq!(sessions.recognise(&value(&sessions, &short), NOW + 30), Err(Refusal::Expired));
    }

    #[test]
    fn whoever_signed_out_is_out_and_memory_of_that_is_bounded() {
        let sessions = sessions("one secret");
        let session = sessions.start(source(), NOW, None);
        sessions.end(&session, NOW);
        assert_eq!(sessions.recognise(&value(&sessions, &session), NOW), Err(Refusal::Expired));
        for _ in 0..MOST_ENDED + 10 {
            sessions.end(&sessions.start(source(), NOW, None), NOW + 1);
        }
        assert_eq!(sessions.ended.lock().len(), MOST_ENDED);
    }

    #[test]
    fn the_csrf_token_belongs_to_its_session() {
        let sessions = sessions("one secret");
        let (one, other) = (sessions.start(source(), NOW, None), sessions.start(source(), NOW, None));
        let token = sessions.csrf(&one);
        assert!(sessions.is_csrf(&one, &token));
        assert!(!sessions.is_csrf(&other, &token));
        for wrong in ["", "x", &token[1..], &format!("{token}A")] {
            assert!(!sessions.is_csrf(&one, wrong), "{wrong}");
        }
    }

    #[test]
    fn cookies_are_strict() {
        let sessions = sessions("one secret");
        let session = sessions.start(source(), NOW, None);
        let cookie = sessions.cookie(&session);
        assert!(cookie.starts_with("__Host-strangler=v1."), "{cookie}");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"), "{cookie}");
        assert!(!cookie.contains("Domain"));
    }
}
