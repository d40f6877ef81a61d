//! From an entry of the audit to a signed message, as the Standard Webhooks convention has it: `webhook-id`,
//! `webhook-timestamp`, and `webhook-signature: v1,<base64>` over `id.timestamp.body`. Pure.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use model::Instant;
use model::control::{AuditEntry, Event};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use thiserror::Error;

/// What the convention puts before a secret that is written in base64.
const PREFIX: &str = "whsec_";
/// The convention's least; guessing is hopeless from there on.
const LEAST: usize = 24;

/// A key that receivers know too.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Why a text is no secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSecret {
    /// It says that it is base64 and is not.
    #[error("begins with `whsec_`, and what follows is not base64")]
    NotBase64,
    /// It could be guessed.
    #[error("must have at least 24 bytes; try `openssl rand -base64 32`, with `whsec_` before it")]
    Short,
}

impl Secret {
    /// Reads `whsec_` and base64, or takes the text itself as the key.
    ///
    /// # Errors
    /// [`InvalidSecret`].
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let key = match text.strip_prefix(PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| InvalidSecret::NotBase64)?,
            None => text.as_bytes().to_vec(),
        };
        if key.len() < LEAST { Err(InvalidSecret::Short) } else { Ok(Self(key)) }
    }

    fn sign(&self, signed: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(signed.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Names the entry, whenever it is sent: receivers drop what they have had.
    pub(super) id: String,
    /// When it is sent, in seconds since 1970.
    pub(super) timestamp: String,
    /// `v1,` and base64.
    pub(super) signature: String,
    /// JSON.
    pub(super) body: String,
}

impl Message {
    /// The message of `entry`, sent at `now`.
    pub(super) fn of(entry: &AuditEntry, secret: &Secret, now: Instant) -> Self {
        let id = format!("strangler-audit-{}", entry.place);
        let timestamp = now.to_utc().timestamp().to_string();
        let detail: Json = serde_json::from_str(&entry.detail).unwrap_or(Json::Null);
        let body = json!({
            "type": Event::of(entry),
            "timestamp": entry.at,
            "data": {
                "place": entry.place,
                "action": entry.action,
                "group": entry.group,
                "who": entry.author.who,
                "origin": entry.author.origin,
                "reason": entry.author.reason,
                "rollout": entry.rollout,
                "summary": entry.summary(),
                "detail": detail,
                "hash": entry.hash,
            },
        })
        .to_string();
        let signature = secret.sign(&format!("{id}.{timestamp}.{body}"));
        Self { id, timestamp, signature, body }
    }
}

#[cfg(test)]
mod tests {
    use model::control::{Action, Author, Deed};

    use super::*;

    #[test]
    fn the_signature_is_the_one_of_the_convention() {
        // The example of the Standard Webhooks libraries.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        assert_eq!(secret.sign(signed), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_refused_and_none_is_shown() {
        assert_eq!(Secret::parse("short"), Err(InvalidSecret::Short));
        assert_eq!(Secret::parse("whsec_c2hvcnQ="), Err(InvalidSecret::Short));
        assert_eq!(Secret::parse("whsec_no base64"), Err(InvalidSecret::NotBase64));
        let secret = Secret::parse("a secret that nobody should see").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn a_message_says_in_one_line_what_was_done() {
        let author = Author { who: "ada".into(), origin: "desk".into(), reason: None };
        let detail = json!({ "what": "case in name of Query.product", "until": "2026-12-31", "owner": "shop" });
        let deed = Deed { action: Action::Excused, group: None, author, rollout: None, detail };
        let at = Instant::parse("2026-01-31T08:00:00Z").unwrap();
        let secret = Secret::parse("a secret that nobody should see").unwrap();
        let message = Message::of(&AuditEntry::following(None, &deed, at), &secret, at);
        let body: Json = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body["data"]["summary"], "excused case in name of Query.product until 2026-12-31, owner shop");
    }
}
