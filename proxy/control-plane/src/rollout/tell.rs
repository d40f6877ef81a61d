//! Speaks to admin ports: tells a rollback to replicas directly, and asks the admin API for the command line.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use model::GroupName;
use rustls::CertificateError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::rollout::RollbackOrder;
use crate::rollout::fleet::Fleet;
use net::tls::client::{Connector, connector};

/// How long one replica may take.
const WITHIN: Duration = Duration::from_secs(2);
/// How long a connection may take: a dead machine must not hold up the others' report.
const CONNECT: Duration = Duration::from_millis(700);
/// More than any answer: a report as a page is the largest.
const LARGEST_ANSWER: usize = 1 << 24;
/// Holds the operator's token.
const TOKEN_VARIABLE: &str = "STRANGLER_TOKEN";

/// What a replica answered.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Told {
    /// Whether it will survive a restart of the replica.
    pub saved: bool,
}

/// Speaks to admin ports, with the operator's token if there is one.
pub struct Teller {
    client: Client<Connector, Full<Bytes>>,
    authorization: Option<HeaderValue>,
    /// What could not be used. Said, but no reason not to try: there is another road.
    pub problems: Vec<String>,
}

impl Teller {
    /// From the configuration of the fleet; `token_file` comes before its own, and the variable before both.
    pub fn new(fleet: &Fleet, token_file: Option<&Path>) -> Self {
        let mut problems = Vec::new();
        let connector = connector(fleet.ca_file.as_deref(), CONNECT).or_else(|why| {
            let file = fleet.ca_file.as_deref().unwrap_or(Path::new("")).display();
            problems.push(format!("`fleet.ca_file`: {file} {why}"));
            connector(None, CONNECT)
        });
        // Without a file of ours nothing is left that could be wrong.
        let connector = connector.expect("the authorities of this machine, or none");
        let file = token_file.or(fleet.token_file.as_deref());
        let token = token(std::env::var(TOKEN_VARIABLE).ok(), file).unwrap_or_else(|why| {
            problems.push(why);
            None
        });
        let authorization = token.and_then(|token| {
            let value = HeaderValue::try_from(format!("Bearer {token}"));
            let mut value =
                value.map_err(|_| problems.push("the token is no text that can be sent".to_owned())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self { client: Client::builder(TokioExecutor::new()).build(connector), authorization, problems }
    }

    /// Rolls `group` back on the replica at `address`; else says why not.
    pub async fn roll_back(&self, address: &str, group: &GroupName, order: &RollbackOrder) -> Result<Told, String> {
        self.send(address, &format!("/api/v1/groups/{group}/rollback"), order, WITHIN).await
    }

    /// Posts `body` as JSON to `path` of the admin port at `address`; what it answers, else why not.
    pub async fn send<T: DeserializeOwned>(
        &self,
        address: &str,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<T, String> {
        match tokio::time::timeout(within, self.post(address, path, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("gave no answer within {} s", within.as_secs())),
        }
    }

    async fn post<T: DeserializeOwned>(&self, address: &str, path: &str, body: &impl Serialize) -> Result<T, String> {
        let wrong = || "is not an address: give host:port or https://host:port".to_owned();
        let (scheme, authority) = address.split_once("://").unwrap_or(("http", address));
        let uri = Uri::builder().scheme(scheme).authority(authority.trim_end_matches('/'));
        let uri = uri.path_and_query(path).build().map_err(|_| wrong())?;
        let body = serde_json::to_vec(body).map_err(|_| "the order could not be written".to_owned())?;
        let mut request = Request::post(uri).header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|_| wrong())?;
        let response = self.client.request(request).await.map_err(|error| unreached(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        let body = body.map_err(|_| "broke off its answer".to_owned())?.to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| "answered, but not as a replica does".to_owned());
        }
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = answer["message"].as_str().unwrap_or("without a reason");
        let hint = match (status, &self.authorization) {
            (StatusCode::UNAUTHORIZED, None) => "; give a token by STRANGLER_TOKEN or --token-file",
            _ => "",
        };
        Err(format!("refused with status {}: {message}{hint}", status.as_u16()))
    }
}

/// Why a replica was not reached: not trusted is another thing than not there.
fn unreached(error: &(dyn Error + 'static)) -> String {
    match distrust(error) {
        Some(why) => format!("has a certificate that is not trusted ({why}): set `fleet.ca_file` to its authority"),
        None => "could not be reached".to_owned(),
    }
}

/// What is wrong with a certificate, wherever in the error it stands.
fn distrust<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
        return Some(why);
    }
    // What an error of the system carries is no source of it.
    let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let within = carried.map(|carried| carried as &(dyn Error + 'static)).or_else(|| error.source());
    within.and_then(distrust)
}

/// The operator's token: of the variable, else of the file.
fn token(variable: Option<String>, file: Option<&Path>) -> Result<Option<String>, String> {
    let text = match (variable, file) {
        (Some(token), _) => token,
        (None, Some(file)) => std::fs::read_to_string(file).map_err(|error| {
            format!("the token file {} cannot be read: {}", file.display(), net::watched::why(&error))
        })?,
        (None, None) => return Ok(None),
    };
    Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty()))
}

/// `1 replica`, `3 replicas`.
pub fn replicas(count: usize) -> String {
    if count == 1 { "1 replica".to_owned() } else { format!("{count} replicas") }
}
