//! A client of the menagerie: one request at a time, and what its answer means.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than a replica takes for any answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client knows after a mutation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// It stands, as this says.
    Stands(Json),
    /// It stands, and cannot be shown.
    StandsUnshown(String),
    /// Nothing was written.
    Refused(String),
    /// It may stand or not.
    Unknown(String),
}

/// Sends `document` to `address`; data and errors.
pub(super) async fn ask(address: &str, document: &str) -> Result<Json, String> {
    let asked = tokio::time::timeout(PATIENCE, post(address, document)).await;
    match asked {
        Ok(Ok(body)) => serde_json::from_str(&body).map_err(|error| format!("{error}: {body}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// What came of a mutation whose field is called `field`.
pub(super) async fn mutate(address: &str, document: &str, field: &str) -> Answer {
    let answer = match ask(address, document).await {
        Ok(answer) => answer,
        Err(error) => return Answer::Unknown(error),
    };
    match answer["errors"][0]["extensions"]["code"].as_str() {
        None => Answer::Stands(answer["data"][field].clone()),
        Some(code @ ("NULL_VALUE" | "UNREPRESENTABLE_VALUE")) => Answer::StandsUnshown(code.to_owned()),
        Some(code @ "OUTCOME_UNKNOWN") => Answer::Unknown(code.to_owned()),
        Some(code) => Answer::Refused(code.to_owned()),
    }
}

async fn post(address: &str, document: &str) -> std::io::Result<String> {
    let place = address.trim_start_matches("http://");
    let (host, _) = place.split_once('/').unwrap_or((place, ""));
    let body = json!({ "query": document }).to_string();
    let mut stream = TcpStream::connect(host).await?;
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
