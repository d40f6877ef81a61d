//! TLS to a server, by rustls: what an `sslmode` proves, from which files.
//!
//! Files are looked at again before each new connection: a new certificate is used from then on, without a restart. What
//! cannot be used (half written, a key of another certificate) leaves what was read before in force, and is logged once.
//! The machine's own list of authorities is read once.
//!
//! Not here: which words say so (`address`), what a failure means (`tls_trouble`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Larger than any file of certificates.
const LARGEST: u64 = 8 << 20;

/// How a connection is protected; each protects more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No TLS.
    Disable,
    /// TLS if the server speaks it.
    Prefer,
    /// TLS with whoever answers.
    Require,
    /// With whoever has a certificate of a trusted authority.
    VerifyCa,
    /// And whose certificate names the host of the address.
    VerifyFull,
}

impl Mode {
    /// As it is written in an address.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Whom we trust to sign a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    /// Those of this machine.
    System,
    /// Those in this file.
    File(PathBuf),
}

/// Our own certificate, for servers that ask for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// How connections to a server are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) mode: Mode,
    /// `None`: nobody is asked who the server is.
    pub(super) roots: Option<Roots>,
    pub(super) identity: Option<Identity>,
    /// Whether TLS begins at once, without asking for it.
    pub(super) direct: bool,
}

/// Makes connectors after a plan.
pub(super) struct Encryption {
    plan: Plan,
    /// Whose server it is, for the log.
    whose: &'static str,
    known: Mutex<Known>,
}

/// The files as they were read, and what became of them.
#[derive(Default)]
struct Known {
    files: Option<Files>,
    connector: Option<MakeRustlsConnect>,
    logged: Option<String>,
}

/// What the files of a plan hold, in the order of [`Plan::files`]; or why one cannot be read.
type Files = Vec<Result<Vec<u8>, String>>;

impl Encryption {
    pub(super) fn new(plan: Plan, whose: &'static str) -> Self {
        Self { plan, whose, known: Mutex::default() }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A connector after the files as they are now.
    ///
    /// # Errors
    /// What is wrong with them and what to do, when none was ever good.
    pub(super) async fn connector(&self) -> Result<MakeRustlsConnect, String> {
        if self.plan.files().is_empty()
            && let Some(connector) = &self.known.lock().connector
        {
            return Ok(connector.clone());
        }
        let plan = self.plan.clone();
        let files = tokio::task::spawn_blocking(move || plan.read()).await.map_err(|error| error.to_string())?;
        if let Known { files: Some(before), connector: Some(connector), .. } = &*self.known.lock()
            && *before == files
        {
            return Ok(connector.clone());
        }
        let (plan, given) = (self.plan.clone(), files.clone());
        let made =
            tokio::task::spawn_blocking(move || plan.connector(&given)).await.map_err(|error| error.to_string())?;
        let mut known = self.known.lock();
        known.files = Some(files);
        match (made, known.connector.clone()) {
            (Ok(connector), before) => {
                if before.is_some() {
                    tracing::info!("{}: the certificates were read again; new connections use them", self.whose);
                }
                known.connector = Some(connector.clone());
                Ok(connector)
            }
            (Err(problem), Some(before)) => {
                tracing::error!("{}: {problem}; what was read before stays in force", self.whose);
                Ok(before)
            }
            (Err(problem), None) => Err(problem),
        }
    }

    /// Says in the log why there is no connection, once until there is one again or the reason is another.
    pub(super) fn log(&self, problem: Option<&str>) {
        let mut known = self.known.lock();
        if let Some(problem) = problem.filter(|problem| known.logged.as_deref() != Some(problem)) {
            tracing::error!("{} cannot be used: {problem}", self.whose);
        }
        known.logged = problem.map(str::to_owned);
    }
}

impl Plan {
    /// The files and what an address calls them.
    fn files(&self) -> Vec<(&'static str, &Path)> {
        let mut files = Vec::new();
        if let Some(Roots::File(file)) = &self.roots {
            files.push(("sslrootcert", file.as_path()));
        }
        if let Some(Identity { cert, key }) = &self.identity {
            files.extend([("sslcert", cert.as_path()), ("sslkey", key.as_path())]);
        }
        files
    }

    fn read(&self) -> Files {
        self.files().into_iter().map(|(word, file)| read(file).map_err(|why| told(word, file, &why))).collect()
    }

    fn connector(&self, files: &Files) -> Result<MakeRustlsConnect, String> {
        let mut files = self.files().into_iter().zip(files).map(|((word, file), content)| {
            content.as_ref().map(|content| (word, file, content.as_slice())).map_err(Clone::clone)
        });
        let mut next = || files.next().expect("each file of a plan was read");
        let provider = Arc::new(ring::default_provider());
        let trusted = match &self.roots {
            None => None,
            Some(Roots::System) => Some(of_this_machine()?),
            Some(Roots::File(_)) => {
                let (word, file, content) = next()?;
                Some(certificates(content).map_err(|why| told(word, file, &why))?)
            }
        };
        let verifier = Verifier::new(&provider, self.mode, trusted)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be spoken: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (word, file, content) = next()?;
                let chain = certificates(content).map_err(|why| told(word, file, &why))?;
                let (word, file, content) = next()?;
                let key = private_key(content).map_err(|why| told(word, file, &why))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                    Error::InconsistentKeys(_) => {
                        format!("`sslkey`: {} is not the key of {}", file.display(), identity.cert.display())
                    }
                    error => format!("`sslcert`: {} cannot be used: {error}", identity.cert.display()),
                })?
            }
        };
        if self.direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(MakeRustlsConnect::new(config))
    }
}

fn told(word: &str, file: &Path, why: &str) -> String {
    format!("`{word}`: {} {why}", file.display())
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let read = std::fs::metadata(file).and_then(|found| match found.len() {
        0..=LARGEST => std::fs::read(file),
        _ => Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than any file of its kind")),
    });
    read.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "cannot be read: there is no such file".to_owned(),
        kind => format!("cannot be read: {kind}"),
    })
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let read = read.map_err(|error| format!("is not PEM: {error}"))?;
    if read.is_empty() { Err("has no certificate: give a PEM file".to_owned()) } else { Ok(read) }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let says = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
    if says(b"BEGIN ENCRYPTED PRIVATE KEY") || says(b"Proc-Type: 4,ENCRYPTED") {
        let why = "is encrypted, and nobody is there to type its password: write it without one (openssl pkey -in OLD -out \
                   NEW), readable for strangler alone";
        return Err(why.to_owned());
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|_| "has no private key: give a PEM file".to_owned())
}

fn of_this_machine() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        let why = "this machine has no list of authorities: install one (apt install ca-certificates), or name the \
                   server's authority in `sslrootcert`";
        return Err(why.to_owned());
    }
    Ok(found)
}

/// Looks at a server's certificate as far as the mode asks for.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    trusted: Option<Trusted>,
    names: bool,
}

#[derive(Debug)]
struct Trusted {
    roots: RootCertStore,
    /// The same as they were given: a server's own certificate may be among them.
    given: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(
        provider: &Arc<CryptoProvider>,
        mode: Mode,
        trusted: Option<Vec<CertificateDer<'static>>>,
    ) -> Result<Self, String> {
        let trusted = trusted.map(|given| {
            let mut roots = RootCertStore::empty();
            let (good, _) = roots.add_parsable_certificates(given.iter().cloned());
            if good == 0 {
                Err("`sslrootcert` holds no certificate that can be used".to_owned())
            } else {
                Ok(Trusted { roots, given })
            }
        });
        Ok(Self { provider: Arc::clone(provider), trusted: trusted.transpose()?, names: mode == Mode::VerifyFull })
    }
}

impl Trusted {
    fn verify(
        &self,
        cert: (&CertificateDer<'_>, &ParsedCertificate<'_>),
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        provider: &CryptoProvider,
    ) -> Result<(), Error> {
        let algorithms = provider.signature_verification_algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(cert.1, &self.roots, intermediates, now, algorithms) {
            // A server that signs its own certificate often makes it an authority's. Where that very certificate is
            // trusted nothing else can be asked of it; that it is of today was looked at before this.
            Err(error) if is_authority(&error) && self.given.iter().any(|given| given == cert.0) => Ok(()),
            verified => verified,
        }
    }
}

/// Whether a certificate was refused for being an authority's.
fn is_authority(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Other(other)) if other.to_string() == "CaUsedAsEndEntity")
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(trusted) = &self.trusted {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            trusted.verify((end_entity, &parsed), intermediates, now, &self.provider)?;
            if self.names {
                verify_server_name(&parsed, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    // Whatever the mode: channel binding rests on the server having the key of the certificate it shows.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
