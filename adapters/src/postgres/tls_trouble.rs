//! Why there is no protected connection, in words that say what to do.
//!
//! The driver hands on what TLS says, and what a server that wants it otherwise says. Texts of servers come in the
//! language of the server, so they are not read: SQLSTATEs and what we know of the connection must do.

use std::error::Error as _;

use rustls::{AlertDescription, CertificateError, Error};
use tokio_postgres::error::SqlState;

use super::tls::{Mode, Plan, Roots};

/// What is wrong with TLS, if that is what a connection failed for. `plain`: no TLS was spoken on it.
pub(super) fn of(error: &tokio_postgres::Error, plan: &Plan, plain: bool) -> Option<String> {
    if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) {
        return Some(refused(plan, plain).to_owned());
    }
    if let Some(tls) = tls(error) {
        return Some(of_tls(tls, plan));
    }
    // What the driver itself says has no type of its own.
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    if said == "server does not support TLS" {
        return Some(format!(
            "the server speaks no TLS, and sslmode={} asks for it: turn ssl on there, or say sslmode=disable where nobody else \
             can be on the way",
            plan.mode.as_str()
        ));
    }
    if said == "server did not use channel binding" {
        return Some(
            "channel_binding=require, and the server cannot bind the login to TLS: it needs TLS, a password kept as \
             scram-sha-256, scram-sha-256 in pg_hba.conf, and a certificate signed with RSA or ECDSA"
                .to_owned(),
        );
    }
    if said == "no hostname provided for TLS handshake" {
        return Some(
            "the address has no host's name that a certificate could name: give host beside hostaddr".to_owned(),
        );
    }
    None
}

/// Whether another try without TLS may help: what libpq does for `sslmode=prefer`.
pub(super) fn may_do_without(error: &tokio_postgres::Error) -> bool {
    tls(error).is_some() || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

/// What TLS said, wherever the driver put it.
fn tls(error: &tokio_postgres::Error) -> Option<&Error> {
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(tls) = source.downcast_ref() {
            return Some(tls);
        }
        // What an IO error carries is not its source.
        let carried = source.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(tls) = carried.and_then(|carried| carried.downcast_ref()) {
            return Some(tls);
        }
        next = source.source();
    }
    None
}

fn refused(plan: &Plan, plain: bool) -> &'static str {
    match (plain, &plan.identity) {
        // Both were tried.
        _ if plan.mode == Mode::Prefer => {
            "the server lets this login in by no entry of its pg_hba.conf, with TLS or without: look at user, database and \
             that file; if it demands a client certificate give sslcert and sslkey"
        }
        (true, _) => {
            "the server lets this login in by no entry of its pg_hba.conf without TLS: if it demands TLS say \
             sslmode=verify-full and name its authority in sslrootcert; else look at user, database and that file"
        }
        (false, None) => {
            "the server lets this login in by no entry of its pg_hba.conf: if it demands a client certificate give sslcert \
             and sslkey; else look at user, database and that file"
        }
        (false, Some(_)) => {
            "the server lets this login in by no entry of its pg_hba.conf: is the certificate in sslcert of an authority that \
             it trusts, and does it name this user? Else look at user, database and that file"
        }
    }
}

fn of_tls(error: &Error, plan: &Plan) -> String {
    match error {
        Error::InvalidCertificate(problem) => of_certificate(problem, plan),
        Error::AlertReceived(alert) => of_alert(*alert, plan),
        Error::PeerIncompatible(_) => {
            "the server speaks no version of TLS that we do: 1.2 or 1.3 is needed there".to_owned()
        }
        other => format!("TLS with the server failed: {other}"),
    }
}

fn of_certificate(problem: &CertificateError, plan: &Plan) -> String {
    match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match &plan.roots {
            Some(Roots::File(file)) => format!(
                "the server's certificate is not of an authority in {}: is it the right server? If so give its authority's \
                 certificate in sslrootcert",
                file.display()
            ),
            Some(Roots::System) | None => "the server's certificate is of no authority that this machine trusts: is it the \
                                           right server? If so give its authority's certificate in sslrootcert"
                .to_owned(),
        },
        CertificateError::NotValidForName => not_for("this host", &[]),
        CertificateError::NotValidForNameContext { expected, presented } => not_for(&expected.to_str(), presented),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired: renew it there (or mend the clock here)".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: look at the clocks, here and where it was issued".to_owned()
        }
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "the server's certificate is one of an authority: issue one for the server, or give this very certificate in \
             sslrootcert"
                .to_owned()
        }
        CertificateError::Other(other) if other.to_string() == "UnsupportedCertVersion" => {
            "the server's certificate is of the format's first version, which has no names of hosts: issue one of version 3 \
             with a subjectAltName"
                .to_owned()
        }
        other => format!("the server's certificate cannot be used: {other}"),
    }
}

fn not_for(host: &str, names: &[String]) -> String {
    if names.is_empty() {
        return format!(
            "the server's certificate names no host (a common name alone counts no more), and the address says {host}: issue \
             one with a subjectAltName, or say sslmode=verify-ca, where the authority signs for your servers alone"
        );
    }
    // As TLS writes them, `DnsName("db.example")`: the name alone is what people know.
    let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
    format!(
        "the server's certificate is for {}, and the address says {host}: is it the right server? If so use that name in the \
         address, or issue the certificate for this one",
        names.iter().map(bare).collect::<Vec<_>>().join(", ")
    )
}

fn of_alert(alert: AlertDescription, plan: &Plan) -> String {
    match (alert, &plan.identity) {
        (AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity, _) => {
            "the server speaks no version of TLS that we do: 1.2 or 1.3 is needed there".to_owned()
        }
        (AlertDescription::CertificateRequired, None) => {
            "the server demands a client certificate: give sslcert and sslkey".to_owned()
        }
        (alert, Some(identity)) => format!(
            "the server refused the certificate in {} ({alert:?}): is it of an authority that the server trusts \
             (ssl_ca_file), and not expired?",
            identity.cert.display()
        ),
        (alert, None) => format!("the server refused TLS ({alert:?}): its log says why"),
    }
}

/// How a connection is protected, for people.
pub(super) fn shown(mode: Mode, encrypted: Option<&str>) -> String {
    match (encrypted, mode) {
        (None, mode) => format!("not encrypted (sslmode={})", mode.as_str()),
        (Some(version), Mode::Disable | Mode::Prefer | Mode::Require) => {
            format!("{version}, nobody proves who answers (sslmode={})", mode.as_str())
        }
        (Some(version), Mode::VerifyCa) => {
            format!("{version} with a server of a trusted authority (sslmode=verify-ca)")
        }
        (Some(version), Mode::VerifyFull) => format!("{version} with the host of the address (sslmode=verify-full)"),
    }
}
