//! Tells a rollback to replicas directly, over their admin ports.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use model::GroupName;

use crate::admin::RollbackOrder;

/// How long one replica may take.
const WITHIN: Duration = Duration::from_secs(2);
/// How long a connection may take: a dead machine must not hold up the others' report.
const CONNECT: Duration = Duration::from_millis(700);
/// More than any answer.
const LARGEST_ANSWER: usize = 1 << 20;

/// What a replica answered.
#[derive(Debug, Clone, serde::Deserialize)]
pub(super) struct Told {
    /// Whether it will survive a restart of the replica.
    pub(super) saved: bool,
}

/// Rolls `group` back on the replica at `address`; else says why not.
pub(super) async fn roll_back(address: &str, group: &GroupName, order: &RollbackOrder) -> Result<Told, String> {
    match tokio::time::timeout(WITHIN, post(address, group, order)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("gave no answer within {} s", WITHIN.as_secs())),
    }
}

async fn post(address: &str, group: &GroupName, order: &RollbackOrder) -> Result<Told, String> {
    let uri = Uri::builder().scheme("http").authority(address);
    let uri = uri.path_and_query(format!("/api/v1/groups/{group}/rollback")).build();
    let uri = uri.map_err(|_| "is not an address: give host:port".to_owned())?;
    let body = serde_json::to_vec(order).map_err(|_| "the order could not be written".to_owned())?;
    let request =
        Request::post(uri).header(header::CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)));
    let request = request.map_err(|_| "is not an address: give host:port".to_owned())?;
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let response = client.request(request).await.map_err(|_| "could not be reached".to_owned())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
    let body = body.map_err(|_| "broke off its answer".to_owned())?.to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|_| "answered, but not as a replica does".to_owned());
    }
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = answer["message"].as_str().unwrap_or("without a reason");
    Err(format!("refused with status {}: {message}", status.as_u16()))
}

/// `1 replica`, `3 replicas`.
pub(super) fn replicas(count: usize) -> String {
    if count == 1 { "1 replica".to_owned() } else { format!("{count} replicas") }
}
