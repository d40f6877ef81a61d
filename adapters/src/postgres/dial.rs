//! Opens connections to a server, protected as its address says. Whatever of ours talks to a PostgreSQL is opened here,
//! and so is what cancels it: a server that demands TLS demands it of those, too.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, InvalidAddress, TlsWords};
use super::connections::NoRoom;
use super::tls::{Encryption, Mode, Plan};
use super::tls_trouble;

/// The driver's half of a connection.
pub(super) type Wire = tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum NoConnection {
    /// It is not protected as it must be, or the server wants it otherwise.
    #[error("{problem}")]
    Protection {
        /// What is wrong, and what to do.
        problem: String,
        /// What the driver said, if it came to that. Not the source: it says less than the sentence above.
        said: Option<tokio_postgres::Error>,
    },
    /// What the driver says.
    #[error("{0}")]
    Driver(#[source] tokio_postgres::Error),
}

impl NoConnection {
    /// The server's SQLSTATE.
    pub(super) fn state(&self) -> Option<&str> {
        match self {
            Self::Protection { said, .. } => said.as_ref(),
            Self::Driver(error) => Some(error),
        }
        .and_then(tokio_postgres::Error::code)
        .map(tokio_postgres::error::SqlState::code)
    }
}

impl NoRoom for NoConnection {
    fn is_no_room(&self) -> bool {
        self.state() == Some("53300")
    }
}

/// Opens connections to one server.
#[derive(Clone)]
pub(super) struct Dialer {
    config: Config,
    encryption: Arc<Encryption>,
}

/// A connection that was opened.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) wire: Wire,
    pub(super) canceller: Canceller,
}

/// Breaks off what runs on a connection, on the same way that the connection took.
#[derive(Clone)]
pub(super) struct Canceller {
    token: CancelToken,
    tls: MakeRustlsConnect,
}

impl Canceller {
    /// Asks the server to stop. Whether it does is not told.
    pub(super) async fn cancel(self, within: Duration) {
        let _ = tokio::time::timeout(within, self.token.cancel_query(self.tls)).await;
    }
}

impl Dialer {
    /// Reads the address; `whose` server it is, for the log.
    pub(super) fn new(url: &str, words: &TlsWords, whose: &'static str) -> Result<Self, InvalidAddress> {
        let Address { config, plan } = Address::parse(url, words)?;
        Ok(Self { config, encryption: Arc::new(Encryption::new(plan, whose)) })
    }

    /// The same server, with other settings of the session.
    pub(super) fn with(&self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.config.clone();
        change(&mut config);
        Self { config, encryption: Arc::clone(&self.encryption) }
    }

    /// What the address says of the server's options.
    pub(super) fn options(&self) -> &str {
        self.config.get_options().unwrap_or_default()
    }

    pub(super) fn plan(&self) -> &Plan {
        self.encryption.plan()
    }

    /// Opens a connection.
    pub(super) async fn open(&self) -> Result<Opened, NoConnection> {
        let opened = Box::pin(self.try_to_open()).await;
        match &opened {
            Ok(_) => self.encryption.log(None),
            Err(NoConnection::Protection { problem, .. }) => self.encryption.log(Some(problem)),
            // Says nothing of how it would be protected.
            Err(NoConnection::Driver(_)) => {}
        }
        opened
    }

    async fn try_to_open(&self) -> Result<Opened, NoConnection> {
        let tls = self.encryption.connector().await;
        let tls = tls.map_err(|problem| NoConnection::Protection { problem, said: None })?;
        let mut plain = self.config.get_ssl_mode() == SslMode::Disable;
        let mut opened = self.config.connect(tls.clone()).await;
        if let Err(error) = &opened
            && self.plan().mode == Mode::Prefer
            && tls_trouble::may_do_without(error)
        {
            let without = self.with(|config| {
                config.ssl_mode(SslMode::Disable);
            });
            let again = without.config.connect(tls.clone()).await;
            // A server that refuses both says the more about the first.
            if again.is_ok() {
                (opened, plain) = (again, true);
            }
        }
        match opened {
            Ok((client, wire)) => {
                let canceller = Canceller { token: client.cancel_token(), tls };
                Ok(Opened { client, wire, canceller })
            }
            Err(error) => Err(match tls_trouble::of(&error, self.plan(), plain) {
                Some(problem) => NoConnection::Protection { problem, said: Some(error) },
                None => NoConnection::Driver(error),
            }),
        }
    }
}
