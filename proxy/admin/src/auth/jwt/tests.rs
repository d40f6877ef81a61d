use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, crypto};
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::settings::KeySource;

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// A key of the provider.
pub(in crate::auth) enum Signer {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
}

impl Signer {
    pub(in crate::auth) fn ed() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn ec() -> Self {
        let (random, way) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(way, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(way, key.as_ref(), &random).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed(_) => "EdDSA",
            Self::Ec(_) => "ES256",
        }
    }

    fn public(&self) -> &[u8] {
        match self {
            Self::Ed(key) => key.public_key().as_ref(),
            Self::Ec(key) => key.public_key().as_ref(),
        }
    }

    pub(in crate::auth) fn jwk(&self, id: &str) -> Json {
        match self {
            Self::Ed(_) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(self.public()), "kid": id, "use": "sig" })
            }
            Self::Ec(_) => {
                let (x, y) = self.public()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y), "kid": id, "alg": "ES256" })
            }
        }
    }

    fn sign(&self, header: &Json, claims: &Json) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let signature = match self {
            Self::Ed(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
            Self::Ec(key) => key.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{message}.{}", encoded(signature))
    }

    pub(in crate::auth) fn token(&self, id: &str, claims: &Json) -> String {
        self.sign(&json!({ "alg": self.algorithm(), "kid": id }), claims)
    }
}

fn claims() -> Json {
    json!({ "iss": "https://login.example", "aud": "strangler", "sub": "ada", "exp": now() + 600, "roles": ["ops"] })
}

/// The usual claims, with `changes`; null takes one away.
pub(in crate::auth) fn claims_with(changes: &Json) -> Json {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// A provider on loopback: what it answers, and how often it was asked.
#[derive(Clone, Default)]
struct Provider {
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    fn publish(&self, keys: &[Json]) {
        *self.answer.lock() = (200, json!({ "keys": keys }).to_string());
    }

    fn break_down(&self) {
        *self.answer.lock() = (503, String::new());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn start(&self) -> Jwt {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap()).parse().unwrap();
        let this = self.clone();
        let answer = move || async move {
            this.asked.fetch_add(1, Ordering::SeqCst);
            let (status, text) = this.answer.lock().clone();
            (StatusCode::from_u16(status).unwrap(), text)
        };
        let router = Router::new().route("/keys", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        jwt(KeySource::Url { url, ca_file: None })
    }
}

fn jwt(keys: KeySource) -> Jwt {
    Jwt::open(&settings(keys)).unwrap()
}

pub(in crate::auth) fn settings(keys: KeySource) -> JwtSettings {
    let roles = [("look", Role::Viewer), ("ops", Role::Operator), ("https://x/lead", Role::Admin)];
    let roles: BTreeMap<_, _> = roles.into_iter().map(|(value, role)| (value.to_owned(), role)).collect();
    JwtSettings {
        issuer: "https://login.example".into(),
        audience: "strangler".into(),
        keys,
        who_claim: "sub".into(),
        role_claim: "roles".into(),
        roles,
    }
}

/// A provider with one key of each kind, `ed` and `ec`.
async fn provider() -> (Jwt, Signer, Signer, Provider) {
    let (ed, ec, provider) = (Signer::ed(), Signer::ec(), Provider::default());
    let encryption = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "use": "enc", "kid": "enc" });
    let future = json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AQAB", "kid": "new" });
    provider.publish(&[encryption, future, ed.jwk("ed"), ec.jwk("ec")]);
    (provider.start().await, ed, ec, provider)
}

async fn refusal(jwt: &Jwt, token: &str) -> Refusal {
    jwt.check(token).await.map(|good| good.identity).expect_err("this must not pass")
}

#[tokio::test]
async fn whoever_the_provider_vouches_for_comes_in_with_the_highest_of_their_roles() {
    let (jwt, ed, ec, _provider) = provider().await;
    let good = jwt.check(&ed.token("ed", &claims())).await.ok().unwrap();
    assert_eq!(good.identity, Identity { who: "ada".into(), role: Role::Operator, via: Via::Jwt });
    assert_eq!(good.until, claims()["exp"].as_i64());
    let cases = [
        (json!({ "roles": "look" }), Role::Viewer),
        (json!({ "roles": ["look", "https://x/lead", "unknown", 7] }), Role::Admin),
        (json!({ "aud": ["other", "strangler"] }), Role::Operator),
        (json!({ "nbf": now() - 5, "iat": now() }), Role::Operator),
    ];
    for (changes, role) in cases {
        let good = jwt.check(&ec.token("ec", &claims_with(&changes))).await.ok();
        assert_eq!(good.map(|good| good.identity.role), Some(role), "{changes}");
    }
    // Without a key's name every key of that kind may be the one.
    let unnamed = ec.sign(&json!({ "alg": "ES256" }), &claims());
    assert!(jwt.check(&unnamed).await.is_ok());
}

#[tokio::test]
async fn claims_that_are_not_for_us_or_not_now_are_refused() {
    let (jwt, ed, _ec, _provider) = provider().await;
    let bad = Refusal::BadCredential;
    let cases = [
        (json!({ "iss": "https://evil.example" }), bad.clone()),
        (json!({ "iss": null }), bad.clone()),
        (json!({ "aud": "other" }), bad.clone()),
        (json!({ "aud": null }), bad.clone()),
        (json!({ "exp": null }), bad.clone()),
        (json!({ "exp": "tomorrow" }), bad.clone()),
        (json!({ "exp": now() - 60 }), Refusal::Expired),
        (json!({ "nbf": now() + 60 }), bad.clone()),
        (json!({ "sub": null }), bad.clone()),
        (json!({ "sub": "" }), bad.clone()),
        (json!({ "sub": "ada\nadmin" }), bad.clone()),
        (json!({ "sub": 7 }), bad),
        (json!({ "roles": null }), Refusal::Role { needs: Role::Viewer }),
        (json!({ "roles": ["unknown"] }), Refusal::Role { needs: Role::Viewer }),
        (json!({ "roles": { "ops": true } }), Refusal::Role { needs: Role::Viewer }),
    ];
    for (changes, expected) in cases {
        assert_eq!(refusal(&jwt, &ed.token("ed", &claims_with(&changes))).await, expected, "{changes}");
    }
}

#[tokio::test]
async fn nobody_signs_with_what_everybody_knows() {
    let (jwt, ed, ec, provider) = provider().await;
    let shared = json!({ "kty": "oct", "k": encoded("shared"), "kid": "shared", "alg": "HS256" });
    provider.publish(&[shared, ed.jwk("ed"), ec.jwk("ec")]);
    assert!(jwt.check(&ed.token("ed", &claims())).await.is_ok());
    let with_hmac = |key: &[u8], header: Json| {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims().to_string()));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        format!("{message}.{}", encoded(ring::hmac::sign(&key, message.as_bytes())))
    };
    let hs256 = |id: &str| json!({ "alg": "HS256", "kid": id });
    let unsigned = |alg: &str| {
        format!("{}.{}.", encoded(json!({ "alg": alg, "kid": "ed" }).to_string()), encoded(claims().to_string()))
    };
    let good = ed.token("ed", &claims());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let admin = encoded(claims_with(&json!({ "roles": ["https://x/lead"] })).to_string());
    let own = Signer::ed();
    let tokens = [
        with_hmac(ed.public(), hs256("ed")),
        with_hmac(ec.public(), hs256("ec")),
        with_hmac(ed.jwk("ed").to_string().as_bytes(), hs256("ed")),
        with_hmac(b"shared", hs256("shared")),
        with_hmac(b"", hs256("ed")),
        unsigned("none"),
        unsigned("None"),
        unsigned("EdDSA"),
        // Another's payload, another's signature, another kind of key.
        format!("{}.{admin}.{signature}", head.split('.').next().unwrap()),
        format!("{head}.{}", ec.token("ec", &claims()).rsplit_once('.').unwrap().1),
        ed.sign(&json!({ "alg": "ES256", "kid": "ed" }), &claims()),
        ed.sign(&json!({ "alg": "EdDSA", "kid": "ec" }), &claims()),
        ec.token("ed", &claims()),
        // A key that the token brings along, and what must be understood.
        own.sign(&json!({ "alg": "EdDSA", "jwk": own.jwk("ed") }), &claims()),
        own.sign(&json!({ "alg": "EdDSA", "kid": "ed", "jku": "https://evil.example" }), &claims()),
        ed.sign(&json!({ "alg": "EdDSA", "kid": "ed", "crit": ["exp"] }), &claims()),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{}.{}.", "A".repeat(LONGEST), "B"),
    ];
    for token in tokens {
        assert_eq!(refusal(&jwt, &token).await, Refusal::BadCredential, "{token}");
    }
}

#[tokio::test]
async fn a_new_key_is_asked_for_but_not_more_often_than_every_ten_seconds() {
    let (jwt, ed, _ec, provider) = provider().await;
    assert!(jwt.check(&ed.token("ed", &claims())).await.is_ok());
    let new = Signer::ed();
    provider.publish(&[ed.jwk("ed"), new.jwk("new")]);
    for _ in 0..20 {
        assert_eq!(refusal(&jwt, &new.token("new", &claims())).await, Refusal::BadCredential);
    }
    assert_eq!(provider.asked(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    assert!(jwt.check(&new.token("new", &claims())).await.is_ok());
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn known_keys_are_good_while_the_provider_is_down_and_without_any_that_is_said() {
    let (jwt, ed, _ec, provider) = provider().await;
    assert!(jwt.check(&ed.token("ed", &claims())).await.is_ok());
    provider.break_down();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    assert_eq!(refusal(&jwt, &ed.token("other", &claims())).await, Refusal::BadCredential);
    assert!(jwt.check(&ed.token("ed", &claims())).await.is_ok());

    let broken = Provider::default();
    broken.break_down();
    let jwt = broken.start().await;
    assert!(matches!(refusal(&jwt, &ed.token("ed", &claims())).await, Refusal::Unavailable(_)));
}

#[tokio::test]
async fn keys_may_come_from_a_file_that_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let (old, new) = (Signer::ed(), Signer::ed());
    std::fs::write(&file, json!({ "keys": [old.jwk("old")] }).to_string()).unwrap();
    let jwt = Arc::new(jwt(KeySource::File(file.clone())));
    let stop = CancellationToken::new();
    let following = {
        let (jwt, stop) = (Arc::clone(&jwt), stop.clone());
        async move { jwt.follow(stop).await }
    };
    tokio::spawn(following);
    assert!(jwt.check(&old.token("old", &claims())).await.is_ok());
    std::fs::write(&file, json!({ "keys": [new.jwk("new")] }).to_string()).unwrap();
    let taken = async {
        while jwt.check(&new.token("new", &claims())).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), taken).await.unwrap();
    assert_eq!(refusal(&jwt, &old.token("old", &claims())).await, Refusal::BadCredential);
    stop.cancel();
}

#[test]
fn the_signatures_of_rfc_7515_are_verified() {
    provider::install();
    let modulus = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let message = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let key = DecodingKey::from_rsa_components(modulus, "AQAB").unwrap();
    let verify = |message: &str, algorithm| crypto::verify(signature, message.as_bytes(), &key, algorithm).unwrap();
    assert!(verify(message, Algorithm::RS256));
    assert!(!verify(&message[1..], Algorithm::RS256));
    assert!(!verify(message, Algorithm::RS512) && !verify(message, Algorithm::PS256));
    // A shared key, and a key of another kind, do not even get as far.
    assert!(crypto::verify(signature, message.as_bytes(), &key, Algorithm::HS256).is_err());
    assert!(crypto::verify(signature, message.as_bytes(), &key, Algorithm::EdDSA).is_err());
}

#[test]
fn a_claim_is_found_by_its_whole_name_or_along_its_dots() {
    let claims = json!({ "https://a.b/roles": 1, "realm_access": { "roles": 2 }, "a": "text" });
    let find = |name| claim(claims.as_object().unwrap(), name).and_then(Json::as_i64);
    assert_eq!(find("https://a.b/roles"), Some(1));
    assert_eq!(find("realm_access.roles"), Some(2));
    assert_eq!((find("realm_access.none"), find("a.b"), find("")), (None, None, None));
}
