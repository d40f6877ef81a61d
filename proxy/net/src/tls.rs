//! TLS by rustls: a port's certificate, read again when its files change, and connections to others.
//!
//! A new certificate is taken for the next connection, without a restart. Files that cannot be used (half
//! written, a key of another certificate) leave the old one in force, and are logged.
//! Not here: who may do what (`admin/auth`); certificates of clients are not asked for.

pub mod client;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::watched;

/// Where a port's certificate is, and how the configuration calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that lead to its authority, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// The section, for messages: `gateway.tls` or `admin.tls`.
    pub section: &'static str,
}

/// A file of certificates or keys cannot be used.
#[derive(Debug, Error)]
#[error("`{key}`: {file} {reason}")]
pub struct TlsError {
    /// The key that names the file.
    pub key: String,
    /// The file.
    pub file: String,
    /// What is wrong.
    pub reason: String,
}

/// The certificate of a port.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    config: Arc<ArcSwap<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], naming the key of the file.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let config = Arc::new(ArcSwap::from(load(&files)?));
        Ok(Self { files, config })
    }

    /// Agrees on TLS with a client, under the certificate that is in force now.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config.load_full()).accept(stream).await
    }

    /// Takes a new certificate whenever the files change, until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        let files = vec![self.files.cert_file.clone(), self.files.key_file.clone()];
        let section = self.files.section;
        watched::watch(files, stop, || match load(&self.files) {
            Ok(config) => {
                self.config.store(config);
                tracing::info!("the certificate of `{section}` was read and is in force");
            }
            Err(error) => tracing::error!(%error, "{error}; the certificate known before stays in force"),
        })
        .await;
    }
}

fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |key: &str, file: &Path, reason: String| TlsError {
        key: format!("{}.{key}", files.section),
        file: file.display().to_string(),
        reason,
    };
    let chain = certificates(&files.cert_file).map_err(|reason| wrong("cert_file", &files.cert_file, reason))?;
    let key = private_key(&files.key_file).map_err(|reason| wrong("key_file", &files.key_file, reason))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("cert_file", &files.cert_file, format!("cannot be served: {error}")))?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let about = files.cert_file.display();
            wrong("key_file", &files.key_file, format!("does not go with the certificate in {about}"))
        }
        error => wrong("cert_file", &files.cert_file, format!("cannot be served with its key: {error}")),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The cryptography of every connection. Named each time: nothing depends on what a process installed first.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificates of a PEM file; else what is wrong with it.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = watched::read(file).map_err(|error| format!("cannot be read: {}", crate::watched::why(&error)))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let read = read.map_err(|error| format!("is not PEM: {error}"))?;
    if read.is_empty() { Err("has no certificate: give a PEM file".to_owned()) } else { Ok(read) }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = watched::read(file).map_err(|error| format!("cannot be read: {}", crate::watched::why(&error)))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| "has no private key: give a PEM file".to_owned())
}
