//! Sends one message and says how it went.

use std::time::Duration;

use axum::http::{Request, Uri};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use thiserror::Error;

use super::message::Message;
use net::outgoing::{Connector, connector};

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum NotTaken {
    /// No answer in time.
    #[error("gave no answer within {0:?}")]
    TimedOut(Duration),
    /// No connection, or it broke.
    #[error("could not be reached")]
    Unreachable,
    /// It answered, and not with 2xx. Redirects are not followed: the signature is meant for one receiver.
    #[error("answered with status {0}")]
    Refused(u16),
}

impl NotTaken {
    /// The outcome in metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::TimedOut(_) => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Refused(_) => "refused",
        }
    }
}

/// Reaches one receiver.
pub(super) struct Postman {
    client: Client<Connector, Full<Bytes>>,
    url: Uri,
    within: Duration,
}

impl Postman {
    pub(super) fn new(url: Uri, within: Duration) -> Self {
        // Messages are rare: a kept connection would be closed by the other end when it is needed.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector(within));
        Self { client, url, within }
    }

    /// Sends `message`; it was taken when the status is 2xx.
    pub(super) async fn send(&self, message: Message) -> Result<(), NotTaken> {
        let request = Request::post(self.url.clone())
            .header("content-type", "application/json")
            .header("user-agent", concat!("strangler/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.timestamp)
            .header("webhook-signature", message.signature)
            .body(Full::from(message.body))
            .map_err(|_| NotTaken::Unreachable)?;
        // The status says it all: a body, however long, is not read.
        match tokio::time::timeout(self.within, self.client.request(request)).await {
            Err(_) => Err(NotTaken::TimedOut(self.within)),
            Ok(Err(_)) => Err(NotTaken::Unreachable),
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => Err(NotTaken::Refused(answer.status().as_u16())),
        }
    }
}
