//! Serves the admin port: TLS, who comes, and limits against slow and numerous clients.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use model::Instant;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::auth::Auth;
use super::{Admin, router};
use crate::app::StartError;
use crate::config::AdminSettings;
use crate::serving::{self, Limits, Port};
use crate::tls::Tls;

/// Connections at once: operators, probes and Prometheus are few. What is beyond are strangers, who are cut off soon.
const CONNECTIONS: usize = 1_024;
/// How long a connection may take to send the head of its next request, idle time included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long requests under way may take after shutdown has begun. They are short.
const DRAIN: Duration = Duration::from_secs(3);

/// What stands before the admin port: its certificate, and who may use it.
pub struct Door {
    tls: Option<Tls>,
    auth: Auth,
}

impl Door {
    /// Reads the files that `settings` name. Listens to nothing yet.
    ///
    /// # Errors
    /// [`StartError::Tls`] or [`StartError::Auth`], naming the key.
    pub fn open(settings: &AdminSettings, clock: fn() -> Instant) -> Result<Self, StartError> {
        let tls = settings.tls.clone().map(Tls::open).transpose()?;
        Ok(Self { tls, auth: Auth::open(settings.auth.as_ref(), clock)? })
    }

    /// How others reach the port at `listening`.
    pub fn address(&self, listening: SocketAddr) -> String {
        if self.tls.is_some() { format!("https://{listening}") } else { listening.to_string() }
    }

    /// Serves until `stop`, then finishes what was begun.
    pub async fn serve(self, admin: Admin, listener: TcpListener, stop: CancellationToken) {
        let limits = Limits {
            connections: NonZeroUsize::new(CONNECTIONS).expect("a literal above zero"),
            header_timeout: HEADER_TIMEOUT,
            drain: DRAIN,
            gauge: None,
        };
        let router = self.auth.protect(router(admin));
        let certificate = self.tls.clone();
        let follow = async {
            if let Some(certificate) = certificate {
                certificate.follow(stop.clone()).await;
            }
        };
        let port = Port { listener, tls: self.tls };
        let serving = serving::serve(port, router, &limits, stop.cancelled());
        tokio::join!(serving, follow, self.auth.follow(stop.clone()));
    }
}
