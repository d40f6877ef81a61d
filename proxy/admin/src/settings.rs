//! Where the admin port is, and who may use it: what the configuration says, checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use super::auth::Role;
use net::tls::TlsFiles;

/// The admin port.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Who may use it; `None`: everybody on this machine, and nobody else can reach it.
    pub auth: Option<AuthSettings>,
}

/// Who may use the admin port.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// The file of token hashes.
    pub tokens_file: Option<PathBuf>,
    /// Tokens of an identity provider.
    pub jwt: Option<JwtSettings>,
    /// Whether `/metrics` asks for a token like everything else.
    pub metrics_need_token: bool,
    /// Sessions of browsers.
    pub sessions: SessionSettings,
}

/// Sessions of browsers.
#[derive(Clone)]
pub struct SessionSettings {
    /// Signs the cookies, the same on every replica. `None`: each replica makes one up, and a browser must stay
    /// with its replica.
    pub secret: Option<Vec<u8>>,
    /// A session that was not used for so long has ended.
    pub idle: Duration,
    /// Every session has ended after so long.
    pub longest: Duration,
    /// Whether browsers may send the cookie over TLS only.
    pub secure: bool,
}

impl std::fmt::Debug for SessionSettings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { secret, idle, longest, secure } = self;
        let secret = secret.as_ref().map(|_| "(a secret)");
        write!(out, "sessions of {idle:?} idle, {longest:?} at most, secure {secure}, signed with {secret:?}")
    }
}

/// Tokens of an identity provider (OpenID Connect).
#[derive(Debug, Clone)]
pub struct JwtSettings {
    /// `iss` must be this.
    pub issuer: String,
    /// `aud` must hold this.
    pub audience: String,
    /// Where the provider's public keys are.
    pub keys: KeySource,
    /// The claim that names a person.
    pub who_claim: String,
    /// The claim that holds roles or groups; `a.b` looks into objects.
    pub role_claim: String,
    /// What a value of that claim allows.
    pub roles: BTreeMap<String, Role>,
}

/// Where a provider's public keys (a JWKS) are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// An address, asked again from time to time and for a key that is not known.
    Url {
        /// The address.
        url: Uri,
        /// Who signed its certificate; `None`: an authority that this machine trusts.
        ca_file: Option<PathBuf>,
    },
}
