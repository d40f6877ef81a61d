//! Connections to others, over TLS where the address says `https`.

use std::path::Path;
use std::time::Duration;

use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};

use super::{certificates, provider};

/// Speaks to others; plain HTTP where the address says `http`.
pub type Connector = HttpsConnector<HttpConnector>;

/// A connector that trusts the authorities in `ca_file`; without one, those of this machine.
///
/// # Errors
/// What is wrong with the authorities, as the rest of a sentence that begins with their place.
pub fn connector(ca_file: Option<&Path>, within: Duration) -> Result<Connector, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot be used: {error}"))?;
    let builder = match ca_file {
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| format!("has a certificate that cannot be used: {error}"))?;
            }
            builder.with_root_certificates(roots)
        }
        // A container may have none: plain HTTP must work all the same, and https then says whom it does not trust.
        None => builder
            .clone()
            .with_native_roots()
            .unwrap_or_else(|_| builder.with_root_certificates(RootCertStore::empty())),
    };
    let mut plain = HttpConnector::new();
    plain.set_connect_timeout(Some(within));
    plain.enforce_http(false);
    let config = builder.with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(plain))
}
