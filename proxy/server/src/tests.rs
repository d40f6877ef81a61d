use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use net::budget::{Budget, Share};
use net::client::TrustedProxies;
use net::tls::client::connector;
use net::tls::{Tls, TlsFiles};

use super::{Limits, Port};

const WITHIN: Duration = Duration::from_secs(5);

/// An authority, and a folder with its certificate for this machine.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), own.pem()).unwrap();
        let authority = Self { issuer: Issuer::new(params, key), folder };
        authority.sign_into(authority.folder.path());
        authority
    }

    /// Writes a certificate for this machine, and its key.
    fn sign_into(&self, folder: &Path) {
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { cert_file: self.file("cert.pem"), key_file: self.file("key.pem"), section: "admin.tls" }
    }
}

/// Serves `tls` until `stop`; where.
async fn serve(tls: Tls, stop: &CancellationToken) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = NonZeroUsize::new(100).unwrap();
    let limits = Limits {
        connections,
        address_share: Share::new(1.0).unwrap(),
        trusted_proxies: TrustedProxies::default(),
        header_timeout: WITHIN,
        drain: WITHIN,
        gauge: None,
        buffers: Budget::endless(),
    };
    let router = Router::new().route("/", get(|| async { "well met" }));
    let stop = stop.clone();
    tokio::spawn(async move {
        let port = Port { listener, tls: Some(tls) };
        super::serve(port, router, &limits, stop.cancelled()).await;
    });
    address
}

async fn ask(address: impl std::fmt::Display, ca: Option<&Path>) -> Result<String, String> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector(ca, WITHIN).unwrap());
    let uri: Uri = format!("https://{address}/").parse().unwrap();
    let answer = client.get(uri).await.map_err(|error| format!("{:?}", std::error::Error::source(&error)))?;
    let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_is_served_and_no_other() {
    let (authority, other, stop) = (Authority::new(), Authority::new(), CancellationToken::new());
    let address = serve(Tls::open(authority.files()).unwrap(), &stop).await;
    // Whoever connects and says nothing holds nobody up.
    let _silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(address, Some(&authority.file("ca.pem"))).await.unwrap(), "well met");
    assert_eq!(
        ask(format!("localhost:{}", address.port()), Some(&authority.file("ca.pem"))).await.unwrap(),
        "well met"
    );
    assert!(ask(address, Some(&other.file("ca.pem"))).await.unwrap_err().contains("InvalidCertificate"));
    assert!(ask(address, None).await.is_err());
    stop.cancel();
}

#[tokio::test]
async fn http_2_is_agreed_on_with_clients_that_speak_it() {
    let (authority, stop) = (Authority::new(), CancellationToken::new());
    let address = serve(Tls::open(authority.files()).unwrap(), &stop).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.file("ca.pem")).unwrap()).unwrap();
    let config =
        ClientConfig::builder_with_provider(net::tls::provider()).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    stop.cancel();
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart_and_a_broken_one_is_not() {
    let (old, new, stop) = (Authority::new(), Authority::new(), CancellationToken::new());
    let tls = Tls::open(old.files()).unwrap();
    tokio::spawn(tls.clone().follow(stop.clone()));
    let address = serve(tls, &stop).await;
    assert!(ask(address, Some(&old.file("ca.pem"))).await.is_ok());

    // WHEN only half of it is there yet
    std::fs::write(old.file("cert.pem"), std::fs::read(new.file("cert.pem")).unwrap()).unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    // THEN the old one stays
    assert!(ask(address, Some(&old.file("ca.pem"))).await.is_ok());

    // WHEN its key comes too
    std::fs::write(old.file("key.pem"), std::fs::read(new.file("key.pem")).unwrap()).unwrap();
    // THEN it is in force soon
    let taken = async {
        while ask(address, Some(&new.file("ca.pem"))).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(WITHIN, taken).await.unwrap();
    stop.cancel();
}

#[test]
fn files_that_cannot_be_used_name_their_key() {
    let (authority, other) = (Authority::new(), Authority::new());
    let garbage = authority.file("garbage.pem");
    std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nthis is none\n-----END CERTIFICATE-----\n").unwrap();
    let of = |change: &dyn Fn(&mut TlsFiles)| {
        let mut files = authority.files();
        change(&mut files);
        Tls::open(files).err().unwrap().to_string()
    };
    let missing = of(&|files| files.cert_file = "/does/not/exist".into());
    assert!(
        missing.contains("`admin.tls.cert_file`: /does/not/exist cannot be read: there is no such file"),
        "{missing}"
    );
    let no_key = of(&|files| files.key_file = files.cert_file.clone());
    assert!(no_key.contains("`admin.tls.key_file`") && no_key.contains("has no private key"), "{no_key}");
    let no_certificate = of(&|files| files.cert_file = files.key_file.clone());
    assert!(no_certificate.contains("`admin.tls.cert_file`") && no_certificate.contains("has no certificate"));
    assert!(of(&|files| files.cert_file = garbage.clone()).contains("`admin.tls.cert_file`"));
    let foreign = of(&|files| files.key_file = other.file("key.pem"));
    assert!(
        foreign.contains("`admin.tls.key_file`") && foreign.contains("does not go with the certificate"),
        "{foreign}"
    );
}
