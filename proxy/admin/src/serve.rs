//! Serves the admin port: TLS, who comes, and limits against slow and numerous clients.
//!
//! On a thread of its own, where health, metrics, replica state and rollbacks are answered: they need no database, and no
//! client of the GraphQL port can keep that thread busy. What asks databases is done by the workers that own the
//! connections to them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use model::Instant;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::auth::{Auth, AuthError};
use super::settings::AdminSettings;
use super::{Admin, router};
use net::budget::{Budget, Share};
use net::client::TrustedProxies;
use net::tls::{Tls, TlsError};
use server::{Limits, Port};

/// Connections at once: operators, probes and Prometheus are few. What is beyond are strangers, who are cut off soon.
const CONNECTIONS: usize = 1_024;
/// The part of them that one address may have.
const ADDRESS_SHARE: f64 = 0.25;
/// Bytes that unfinished heads and messages may hold.
const BUFFERS: u64 = 16 * 1024 * 1024;
/// How long a connection may take to send the head of its next request, idle time included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long requests under way may take after shutdown has begun. They are short.
const DRAIN: Duration = Duration::from_secs(3);

/// Why the admin port cannot be opened.
#[derive(Debug, Error)]
pub enum CannotOpen {
    /// Its certificate cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// What signing in rests on cannot be used.
    #[error("{0}")]
    Auth(#[from] AuthError),
}

/// What stands before the admin port: its certificate, and who may use it.
pub struct Door {
    tls: Option<Tls>,
    auth: Auth,
}

impl Door {
    /// Reads the files that `settings` name. Listens to nothing yet.
    ///
    /// # Errors
    /// [`CannotOpen`], naming the key.
    pub fn open(settings: &AdminSettings, clock: fn() -> Instant) -> Result<Self, CannotOpen> {
        let tls = settings.tls.clone().map(Tls::open).transpose()?;
        Ok(Self { tls, auth: Auth::open(settings.auth.as_ref(), clock)? })
    }

    /// How others reach the port at `listening`.
    pub fn address(&self, listening: SocketAddr) -> String {
        if self.tls.is_some() { format!("https://{listening}") } else { listening.to_string() }
    }

    /// Serves until `stop`, then finishes what was begun. `workers` own the connections to databases.
    pub async fn serve(self, admin: Admin, listener: std::net::TcpListener, workers: Handle, stop: CancellationToken) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "the admin port cannot be served"),
        };
        let share = Share::new(ADDRESS_SHARE).expect("a literal between 0 and 1");
        let limits = Limits {
            connections: NonZeroUsize::new(CONNECTIONS).expect("a literal above zero"),
            address_share: share,
            trusted_proxies: TrustedProxies::default(),
            buffers: Budget::new(BUFFERS, share.of(BUFFERS, 0), |_| {}),
            header_timeout: HEADER_TIMEOUT,
            drain: DRAIN,
            gauge: None,
        };
        let router = self.auth.protect(by(workers, router(admin)));
        let certificate = self.tls.clone();
        let follow = async {
            if let Some(certificate) = certificate {
                certificate.follow(stop.clone()).await;
            }
        };
        let port = Port { listener, tls: self.tls };
        let serving = server::serve(port, router, &limits, stop.cancelled());
        tokio::join!(serving, follow, self.auth.follow(stop.clone()));
    }
}

/// Whether a path is answered without a database.
fn stands_alone(path: &str) -> bool {
    ["/health/", "/api/v1/"].iter().any(|first| path.starts_with(first)) || path == "/metrics"
}

/// `router`, whose answers that need a database are made by `workers`.
fn by(workers: Handle, router: Router) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| {
        let workers = workers.clone();
        async move {
            if stands_alone(request.uri().path()) {
                return next.run(request).await;
            }
            let answered = AbortOnDropHandle::new(workers.spawn(next.run(request))).await;
            answered.unwrap_or_else(|error| {
                tracing::error!(%error, "an answer of the admin port panicked");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            })
        }
    }))
}
