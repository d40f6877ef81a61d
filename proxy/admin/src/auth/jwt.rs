//! Tokens of an identity provider: JWTs, by the keys that it publishes.
//!
//! `jsonwebtoken` reads them and checks signature, issuer, audience and times. Our part: which algorithms (those
//! with a public key, so that nobody signs with what everybody knows), which key, and what the claims allow.

mod keys;
mod provider;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value as Json};
use tokio_util::sync::CancellationToken;

use super::guard::Good;
use super::refusal::Refusal;
use super::session::Source;
use super::{AuthError, Identity, Role, Via};
use crate::settings::JwtSettings;
use keys::Keys;

/// More than any token of a person has.
const LONGEST: usize = 16 * 1_024;
/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 30;
/// The longest name of a person.
const LONGEST_NAME: usize = 200;

/// The identity provider.
pub(super) struct Jwt {
    settings: JwtSettings,
    keys: Keys,
}

impl Jwt {
    pub(super) fn open(settings: &JwtSettings) -> Result<Self, AuthError> {
        provider::install();
        Ok(Self { keys: Keys::open(settings.keys.clone())?, settings: settings.clone() })
    }

    /// Whether `token` has the form of a JWT.
    pub(super) fn looks_like_one(token: &str) -> bool {
        token.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    pub(super) async fn follow(&self, stop: CancellationToken) {
        self.keys.follow(stop).await;
    }

    /// Whose token it is.
    pub(super) async fn check(&self, token: &str) -> Result<Good, Refusal> {
        let header = Some(token).filter(|token| token.len() <= LONGEST).and_then(|token| decode_header(token).ok());
        let header = header.ok_or(Refusal::BadCredential)?;
        // What must be understood and isn't, must not pass (RFC 7515, 4.1.11).
        if header.crit.is_some() || !is_asymmetric(header.alg) {
            return Err(Refusal::BadCredential);
        }
        let keys = self.keys.find(header.kid.as_deref(), header.alg).await?;
        let rules = self.rules(header.alg);
        let mut refused = Refusal::BadCredential;
        for key in keys {
            match decode::<Map<String, Json>>(token, &key, &rules) {
                Ok(good) => return self.allowed(&good.claims),
                Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => refused = Refusal::Expired,
                Err(_) => {}
            }
        }
        Err(refused)
    }

    fn rules(&self, algorithm: Algorithm) -> Validation {
        let mut rules = Validation::new(algorithm);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        rules.set_issuer(&[&self.settings.issuer]);
        rules.set_audience(&[&self.settings.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules
    }

    /// What good claims allow.
    fn allowed(&self, claims: &Map<String, Json>) -> Result<Good, Refusal> {
        let who = claim(claims, &self.settings.who_claim).and_then(Json::as_str).map(str::trim);
        let who = who.filter(|who| !who.is_empty() && who.len() <= LONGEST_NAME && !who.chars().any(char::is_control));
        let who = who.ok_or(Refusal::BadCredential)?.to_owned();
        let values = match claim(claims, &self.settings.role_claim) {
            Some(Json::String(one)) => vec![one.as_str()],
            Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        };
        let role = values.into_iter().filter_map(|value| self.settings.roles.get(value)).max();
        let role = *role.ok_or(Refusal::Role { needs: Role::Viewer })?;
        let until = claims.get("exp").and_then(Json::as_f64);
        #[expect(clippy::cast_possible_truncation, reason = "saturates, which is a late end")]
        let until = until.map(|until| until as i64);
        let source = Source::Jwt { who: who.clone(), role };
        Ok(Good { identity: Identity { who, role, via: Via::Jwt }, source, until })
    }
}

/// Algorithms with a public key. Never one with a shared key: it would be the published one.
fn is_asymmetric(algorithm: Algorithm) -> bool {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA].contains(&algorithm)
}

/// A claim by its whole name, which may be an address with dots; else along the dots.
fn claim<'a>(claims: &'a Map<String, Json>, name: &str) -> Option<&'a Json> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let mut parts = name.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |within, part| within.get(part))
}

#[cfg(test)]
pub(super) mod tests;
