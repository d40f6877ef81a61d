//! A real PostgreSQL that lets its users in over TLS only, with certificates made for it.
//!
//! `postgres` comes in from this machine without TLS: it is the test's own hand. The others are
//! - `shop`, with the password `secret` kept as SCRAM;
//! - `carded`, the same with a client certificate of an authority that the server trusts as well;
//! - `trusted`, without a password.

use adapters::local_server::LocalServer;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::postgres::own_server;

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub chain: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When nothing can be signed.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("it is signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for hosts.
    pub fn certificate(&self, hosts: &[&str]) -> Certificate {
        self.certificate_with(hosts, |_| {})
    }

    /// The same, with something odd about it.
    ///
    /// # Panics
    /// When nothing can be signed.
    pub fn certificate_with(&self, hosts: &[&str], odd: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let (params, key) = request(hosts, odd);
        let chain = params.signed_by(&key, &self.issuer).expect("it is signed").pem();
        Certificate { chain, key: key.serialize_pem() }
    }
}

/// A certificate that nobody has signed but itself, and that is an authority's: as `openssl req -x509` makes them.
///
/// # Panics
/// When nothing can be signed.
pub fn self_signed(hosts: &[&str], odd: impl FnOnce(&mut CertificateParams)) -> Certificate {
    let (params, key) = request(hosts, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        odd(params);
    });
    Certificate { chain: params.self_signed(&key).expect("it is signed").pem(), key: key.serialize_pem() }
}

/// Ran out long ago.
pub fn expired(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
}

fn request(hosts: &[&str], odd: impl FnOnce(&mut CertificateParams)) -> (CertificateParams, KeyPair) {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("names of hosts");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    odd(&mut params);
    (params, KeyPair::generate().expect("a key"))
}

/// How users are let in.
const HBA: &str = "host all postgres 127.0.0.1/32 trust
hostssl all shop 127.0.0.1/32 scram-sha-256
hostssl all carded 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl all trusted 127.0.0.1/32 trust";

/// A server that shows `certificate`, and trusts the certificates of `clients`.
///
/// # Panics
/// When there is none to be had, or it cannot be set up.
pub async fn server(certificate: &Certificate, clients: &Authority) -> LocalServer {
    let server = own_server().await;
    let roles = "CREATE ROLE shop LOGIN SUPERUSER PASSWORD 'secret'; CREATE ROLE carded LOGIN PASSWORD 'secret'; \
                 CREATE ROLE trusted LOGIN; CREATE DATABASE shop TEMPLATE template0";
    for statement in roles.split("; ") {
        server.run("postgres", statement).await.expect("a role");
    }
    write(&server, "clients.pem", &clients.pem).await;
    write(&server, "pg_hba.conf", HBA).await;
    for setting in
        ["ssl = on", "ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.key'", "ssl_ca_file = 'clients.pem'"]
    {
        server.run("postgres", &format!("ALTER SYSTEM SET {setting}")).await.expect("a setting");
    }
    show(&server, certificate).await;
    server
}

/// From now on the server shows another certificate. Its connections break.
///
/// # Panics
/// When it does not come back.
pub async fn show(server: &LocalServer, certificate: &Certificate) {
    write(server, "server.pem", &certificate.chain).await;
    write(server, "server.key", &certificate.key).await;
    server.restart().await.expect("it comes back");
}

/// Writes a file of the server's own, which nobody else may read.
async fn write(server: &LocalServer, name: &str, text: &str) {
    let script = format!(
        "COPY (SELECT unnest(string_to_array($file${text}$file$, E'\\n'))) TO PROGRAM 'umask 077; cat > {name}; chmod 600 {name}'"
    );
    server.run("postgres", &script).await.expect("a file of the server");
}

/// How `role` reaches the server by the name `localhost`, with `words` on TLS.
pub fn url(server: &LocalServer, role: &str, words: &str) -> String {
    format!("postgres://{role}:secret@localhost:{}/shop?hostaddr=127.0.0.1&{words}", server.port())
}
