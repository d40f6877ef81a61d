//! The public keys of an identity provider (a JWKS), from a file or over HTTPS.
//!
//! Kept in memory: while the provider is down, its tokens go on being good here. A key that is not known makes us
//! ask again, but not more often than every ten seconds, whoever sends what.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::AuthError;
use super::super::refusal::Refusal;
use crate::settings::KeySource;
use net::tls::client::{Connector, connector};
use net::watched;

/// How long the provider may take.
const WITHIN: Duration = Duration::from_secs(3);
/// Pause between two looks for keys that came or went.
const EVERY: Duration = Duration::from_secs(300);
/// Shortest pause between two questions, for a key that is not known.
const NOT_BEFORE: Duration = Duration::from_secs(10);
/// More than any set of keys.
const LARGEST: usize = 256 * 1_024;

/// A key, and what it is for.
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The keys that are known.
pub(super) struct Keys {
    source: Source,
    known: ArcSwap<Vec<Key>>,
}

enum Source {
    File(PathBuf),
    Url {
        url: Uri,
        client: Box<Client<Connector, Empty<Bytes>>>,
        /// When it was asked last.
        asked: Mutex<Option<Instant>>,
    },
}

impl Keys {
    /// Reads the file. An address is asked later: a replica must start while the provider is down.
    pub(super) fn open(source: KeySource) -> Result<Self, AuthError> {
        let (source, known) = match source {
            KeySource::File(file) => {
                let known = load(&file).map_err(|reason| AuthError { key: "admin.jwt.jwks_file", reason })?;
                (Source::File(file), known)
            }
            KeySource::Url { url, ca_file } => {
                let wrong = |reason| {
                    let file = ca_file.as_deref().unwrap_or(Path::new(""));
                    AuthError { key: "admin.jwt.ca_file", reason: format!("{} {reason}", file.display()) }
                };
                let connector = connector(ca_file.as_deref(), WITHIN).map_err(wrong)?;
                let client = Box::new(Client::builder(TokioExecutor::new()).build(connector));
                (Source::Url { url, client, asked: Mutex::new(None) }, Vec::new())
            }
        };
        Ok(Self { source, known: ArcSwap::from_pointee(known) })
    }

    /// The keys that a token with this header may be signed by.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Vec<DecodingKey>, Refusal> {
        let found = self.known_for(id, algorithm);
        if !found.is_empty() {
            return Ok(found);
        }
        let asked = self.ask(NOT_BEFORE).await;
        let found = self.known_for(id, algorithm);
        match asked {
            _ if !found.is_empty() => Ok(found),
            Err(reason) if self.known.load().is_empty() => Err(Refusal::Unavailable(reason)),
            Ok(()) | Err(_) => Err(Refusal::BadCredential),
        }
    }

    fn known_for(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let known = self.known.load();
        let fits = |key: &&Key| key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id);
        known.iter().filter(fits).map(|key| key.key.clone()).collect()
    }

    /// Asks the provider, unless it was asked within `pause`.
    async fn ask(&self, pause: Duration) -> Result<(), String> {
        let Source::Url { url, client, asked } = &self.source else { return Ok(()) };
        let mut asked = asked.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < pause) {
            return Err("asked a moment ago".to_owned());
        }
        *asked = Some(Instant::now());
        let fetched = tokio::time::timeout(WITHIN, fetch(client, url)).await;
        match fetched.unwrap_or_else(|_| Err(format!("no answer within {} s", WITHIN.as_secs()))) {
            Ok(keys) => {
                self.known.store(Arc::new(keys));
                Ok(())
            }
            Err(reason) => {
                tracing::warn!(%url, reason, "the identity provider's keys could not be fetched from {url}: {reason}");
                Err(reason)
            }
        }
    }

    /// Looks for new keys until `stop`.
    pub(super) async fn follow(&self, stop: CancellationToken) {
        match &self.source {
            Source::File(file) => {
                watched::watch(vec![file.clone()], stop, || match load(file) {
                    Ok(keys) => self.known.store(Arc::new(keys)),
                    Err(reason) => tracing::error!("`admin.jwt.jwks_file`: {reason}; the keys known before stay good"),
                })
                .await;
            }
            Source::Url { .. } => loop {
                let pause = if self.ask(NOT_BEFORE).await.is_ok() { EVERY } else { NOT_BEFORE };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            },
        }
    }
}

async fn fetch(client: &Client<Connector, Empty<Bytes>>, url: &Uri) -> Result<Vec<Key>, String> {
    let request = Request::get(url.clone()).header("accept", "application/json").body(Empty::new());
    let request = request.map_err(|_| "its address cannot be asked".to_owned())?;
    let answer = client.request(request).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("it could not be reached: {}", cause.unwrap_or_else(|| error.to_string()))
    })?;
    if !answer.status().is_success() {
        return Err(format!("it answered with status {}", answer.status().as_u16()));
    }
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    read(&body.map_err(|_| "its answer broke off, or was too large".to_owned())?.to_bytes())
}

fn load(file: &Path) -> Result<Vec<Key>, String> {
    let about = file.display();
    let text = watched::read(file).map_err(|error| format!("{about} cannot be read: {}", net::watched::why(&error)))?;
    read(&text).map_err(|reason| format!("{about}: {reason}"))
}

/// The keys of a set that can verify signatures; others are passed over.
fn read(text: &[u8]) -> Result<Vec<Key>, String> {
    let set: JwkSet = serde_json::from_slice(text).map_err(|_| "it is no JWKS".to_owned())?;
    let keys: Vec<_> = set.keys.iter().filter_map(key).collect();
    if keys.is_empty() { Err("it has no key that could verify a signature".to_owned()) } else { Ok(keys) }
}

fn key(jwk: &Jwk) -> Option<Key> {
    if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
        return None;
    }
    let mut algorithms = algorithms(&jwk.algorithm);
    // A key that says its algorithm is good for that one only.
    if let Some(only) = jwk.common.key_algorithm {
        algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
    }
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| !algorithms.is_empty())?;
    Some(Key { id: jwk.common.key_id.clone(), algorithms, key })
}

fn algorithms(key: &AlgorithmParameters) -> Vec<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match key {
        AlgorithmParameters::RSA(_) => vec![RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => vec![ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => vec![ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![EdDSA],
        // Shared keys above all: whoever can read them could sign.
        _ => Vec::new(),
    }
}
