//! Asks a server for a flag, by OpenFeature's remote evaluation protocol (OFREP) over HTTP.

use std::time::Duration;

use axum::http::{Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use open_feature::{EvaluationError, EvaluationErrorCode};
use serde_json::Value as Json;

use super::provider::failed;
use net::outgoing::{Connector, connector};

/// Limit of one question.
const WITHIN: Duration = Duration::from_secs(2);
/// An answer is a few hundred bytes.
const ANSWER_BYTES: usize = 65_536;

/// A server of flags.
pub(super) struct Server {
    client: Client<Connector, Full<Bytes>>,
    base: String,
}

impl Server {
    pub(super) fn new(base: &Uri) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(connector(WITHIN));
        Self { client, base: base.to_string().trim_end_matches('/').to_owned() }
    }

    /// The value of the flag `key`.
    pub(super) async fn value(&self, key: &str) -> Result<Json, EvaluationError> {
        let general = |text: &str| failed(EvaluationErrorCode::General("the server of flags".to_owned()), text);
        let request = Request::post(format!("{}/ofrep/v1/evaluate/flags/{}", self.base, in_path(key)))
            .header("content-type", "application/json")
            .body(Full::from(r#"{"context":{}}"#))
            .map_err(|_| general("has no address that can be used"))?;
        let asked = async {
            let answer = self.client.request(request).await.map_err(|_| general("could not be reached"))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
            Ok((status, body.map_err(|_| general("did not finish its answer"))?.to_bytes()))
        };
        let late = |_| general("gave no answer in time");
        let (status, body) = tokio::time::timeout(WITHIN, asked).await.map_err(late)??;
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(failed(EvaluationErrorCode::FlagNotFound, "is not known there")),
            status => return Err(general(&format!("answered with status {}", status.as_u16()))),
        }
        let answer: Json = serde_json::from_slice(&body).map_err(|_| general("did not answer with JSON"))?;
        let missing = || failed(EvaluationErrorCode::ParseError, "has no value in the server's answer");
        answer.get("value").cloned().ok_or_else(missing)
    }
}

/// A key as one segment of a path.
fn in_path(key: &str) -> String {
    let written = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    key.bytes().map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_segment_of_a_path() {
        assert_eq!(in_path("strangler.in-v_1.reads"), "strangler.in-v_1.reads");
        assert_eq!(in_path("a/b ?ü"), "a%2Fb%20%3F%C3%BC");
    }
}
