//! A storefront's view: GraphQL over HTTP, nothing else. Drives the demo, the tests and the benches.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value as Json, json};
use thiserror::Error;

/// The header in which a mutation returns its version token.
pub const VERSION_HEADER: &str = "x-strangler-version";

/// A client of one GraphQL endpoint. Cheap to clone; connections are shared.
#[derive(Debug, Clone)]
pub struct Storefront {
    http: Client<HttpConnector, Full<Bytes>>,
    url: String,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `data`, null when there is none.
    pub data: Json,
    /// `errors`, empty when there are none.
    pub errors: Vec<Json>,
    /// The version token, if the answer had one.
    pub token: Option<String>,
}

/// There was no GraphQL answer.
#[derive(Debug, Error)]
pub enum StorefrontError {
    /// No connection, or it broke.
    #[error("no answer from {url}")]
    NoAnswer {
        /// Who was asked.
        url: String,
        /// What the client library said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer that is not JSON.
    #[error("{url} answered {status} with something that is not JSON")]
    NotJson {
        /// Who was asked.
        url: String,
        /// HTTP status.
        status: u16,
    },
}

impl Storefront {
    /// A client of `url`, such as `http://127.0.0.1:8080/graphql`.
    pub fn new(url: impl Into<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Self { http, url: url.into() }
    }

    /// Sends one operation.
    ///
    /// # Errors
    /// [`StorefrontError`] when no GraphQL answer came; GraphQL errors are in the reply.
    pub async fn ask(&self, query: &str, variables: &Json) -> Result<Reply, StorefrontError> {
        self.ask_with(query, variables, &[]).await
    }

    /// Sends one operation with headers.
    ///
    /// # Errors
    /// As [`Storefront::ask`].
    pub async fn ask_with(
        &self,
        query: &str,
        variables: &Json,
        headers: &[(&str, &str)],
    ) -> Result<Reply, StorefrontError> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let mut request = Request::post(&self.url).header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| self.no_answer(error))?;
        let response = self.http.request(request).await.map_err(|error| self.no_answer(error))?;
        let status = response.status().as_u16();
        let token = response.headers().get(VERSION_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = response.into_body().collect().await.map_err(|error| self.no_answer(error))?.to_bytes();
        let not_json = |_| StorefrontError::NotJson { url: self.url.clone(), status };
        let mut json: Json = serde_json::from_slice(&body).map_err(not_json)?;
        let errors = match json["errors"].take() {
            Json::Array(errors) => errors,
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => Vec::new(),
        };
        Ok(Reply { status, data: json["data"].take(), errors, token })
    }

    fn no_answer(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorefrontError {
        StorefrontError::NoAnswer { url: self.url.clone(), source: error.into() }
    }
}

impl Reply {
    /// The code of the first error.
    pub fn code(&self) -> Option<&str> {
        self.errors.first()?["extensions"]["code"].as_str()
    }
}
