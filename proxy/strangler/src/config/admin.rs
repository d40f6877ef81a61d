//! The admin port: where it is, and who may use it.
//!
//! Without a way to sign in it listens on loopback only, where everybody is an admin: whoever can log in to
//! the machine can read its configuration anyway.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use super::check::{Checked, address, secret};
use super::raw::{RawAdmin, RawJwt, RawTls};
use super::{InvalidConfig, Origins};
use admin::auth::Role;
use admin::settings::{AdminSettings, AuthSettings, JwtSettings, KeySource, SessionSettings};
use net::tls::TlsFiles;

pub(super) fn check(raw: RawAdmin, origins: &Origins<'_>) -> Checked<AdminSettings> {
    let listen = address(&raw.listen, "admin.listen", origins)?;
    let tls = tls(raw.tls.clone(), "admin.tls", ["admin.tls.cert_file", "admin.tls.key_file"], origins)?;
    let auth = auth(raw, tls.is_some(), origins)?;
    if !listen.ip().is_loopback() && auth.is_none() {
        return Err(origins.rule(
            "admin.listen",
            "would let everybody on the network roll back. Listen on 127.0.0.1, or say who may: set \
             `admin.tokens_file` (an empty file lets nobody in, and leaves health and metrics) or `admin.jwt`",
        ));
    }
    Ok(AdminSettings { listen, tls, auth })
}

fn auth(raw: RawAdmin, tls: bool, origins: &Origins<'_>) -> Checked<Option<AuthSettings>> {
    let sessions = sessions(&raw, tls, origins)?;
    let jwt = raw.jwt.map(|jwt| self::jwt(jwt, origins)).transpose()?;
    if raw.tokens_file.is_none() && jwt.is_none() {
        if raw.metrics_need_token {
            return Err(origins.rule("admin.metrics_need_token", "needs `admin.tokens_file` or `admin.jwt`"));
        }
        return Ok(None);
    }
    let tokens_file = raw.tokens_file.map(PathBuf::from);
    Ok(Some(AuthSettings { tokens_file, jwt, metrics_need_token: raw.metrics_need_token, sessions }))
}

fn sessions(raw: &RawAdmin, tls: bool, origins: &Origins<'_>) -> Checked<SessionSettings> {
    let (value, file) = (raw.session_secret.clone(), raw.session_secret_file.clone());
    let secret = secret(value, file, "admin.session_secret", "admin.session_secret_file", origins)?;
    if secret.as_ref().is_some_and(|secret| secret.len() < 32) {
        return Err(origins.rule("admin.session_secret", "must have at least 32 characters"));
    }
    if !(1..=24 * 60).contains(&raw.session_idle_minutes) {
        return Err(origins.rule("admin.session_idle_minutes", "must be from 1 to 1440 (a day)"));
    }
    if !(1..=24 * 7).contains(&raw.session_hours) {
        return Err(origins.rule("admin.session_hours", "must be from 1 to 168 (a week)"));
    }
    Ok(SessionSettings {
        secret: secret.map(String::into_bytes),
        idle: Duration::from_secs(raw.session_idle_minutes * 60),
        longest: Duration::from_secs(raw.session_hours * 3_600),
        // Without TLS here, something in front may have it: then the operator says so.
        secure: raw.secure_cookies.unwrap_or(tls),
    })
}

fn jwt(raw: RawJwt, origins: &Origins<'_>) -> Checked<JwtSettings> {
    let missing = |key| move || origins.rule(key, "is missing: tokens of another issuer or for others would pass");
    let keys = match (raw.jwks_file, raw.jwks_url) {
        (Some(file), None) => KeySource::File(file.into()),
        (None, Some(url)) => {
            KeySource::Url { url: key_address(&url, origins)?, ca_file: raw.ca_file.map(PathBuf::from) }
        }
        (Some(_), Some(_)) => return Err(origins.rule("admin.jwt.jwks_url", "and `jwks_file` cannot both be given")),
        (None, None) => {
            return Err(origins.rule("admin.jwt.jwks_url", "is missing: give the address of the provider's keys"));
        }
    };
    // Ascending: a value that stands in two lists allows the more.
    let lists = [(Role::Viewer, raw.viewers), (Role::Operator, raw.operators), (Role::Admin, raw.admins)];
    let roles: BTreeMap<_, _> =
        lists.into_iter().flat_map(|(role, values)| values.into_iter().map(move |value| (value, role))).collect();
    if roles.is_empty() {
        return Err(origins.rule(
            "admin.jwt.viewers",
            "and `operators` and `admins` are empty: nobody could do anything; list values of the role claim",
        ));
    }
    Ok(JwtSettings {
        issuer: raw.issuer.ok_or_else(missing("admin.jwt.issuer"))?,
        audience: raw.audience.ok_or_else(missing("admin.jwt.audience"))?,
        keys,
        who_claim: raw.who_claim,
        role_claim: raw.role_claim,
        roles,
    })
}

fn key_address(text: &str, origins: &Origins<'_>) -> Checked<Uri> {
    let bad = || origins.rule("admin.jwt.jwks_url", "must be an address such as https://login.example/keys");
    let url: Uri = text.parse().map_err(|_| bad())?;
    let host = url.host().ok_or_else(bad)?.trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme_str() {
        Some("https") => Ok(url),
        // Whoever can change the keys on their way can sign any token.
        Some("http") if is_local => Ok(url),
        Some("http") => Err(origins.rule("admin.jwt.jwks_url", "must begin with https:// (http:// only on loopback)")),
        _ => Err(bad()),
    }
}

/// A certificate: both files, or none.
pub(super) fn tls(
    raw: RawTls,
    section: &'static str,
    [cert_key, key_key]: [&'static str; 2],
    origins: &Origins<'_>,
) -> Checked<Option<TlsFiles>> {
    let missing = |key| -> InvalidConfig { origins.rule(key, "is missing: TLS needs the certificate and its key") };
    match (raw.cert_file, raw.key_file) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(missing(key_key)),
        (None, Some(_)) => Err(missing(cert_key)),
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert_file: cert.into(), key_file: key.into(), section })),
    }
}
