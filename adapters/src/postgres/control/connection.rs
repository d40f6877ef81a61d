//! Connections of the control store: a small pool, a time limit for every call, and what a driver's
//! error means here.
//!
//! Promise: a connection goes back to the pool only when the call on it came to an end; one that was
//! left in the middle is closed.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Pool, PoolError, RecycleError, RecycleResult};
use deadpool_postgres::{ClientWrapper, Runtime};
use model::control::ControlError;
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::ControlSettings;
use super::listener::Listener;
use crate::postgres::connections::{Connections, Held, NoneHad};
use crate::postgres::dial::{Dialer, NoConnection, Opened};
use crate::postgres::room::{Room, Server};
use crate::postgres::tls::Mode;

/// Whose server it is, for the log.
const WHOSE: &str = "the control database";

/// Opens connections and knows the limit of every call.
pub(super) struct Door {
    connections: Connections<Dial>,
    server: Arc<Server>,
    dialer: Dialer,
    listener: Listener,
    limit: Duration,
}

/// Opens connections of the pool.
struct Dial(Dialer);

impl Manager for Dial {
    type Type = ClientWrapper;
    type Error = NoConnection;

    async fn create(&self) -> Result<ClientWrapper, NoConnection> {
        let Opened { client, wire, .. } = self.0.open().await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = wire.await {
                tracing::debug!(%error, "a connection to the control database broke");
            }
        });
        Ok(ClientWrapper::new(client, driver))
    }

    async fn recycle(&self, client: &mut ClientWrapper, _: &Metrics) -> RecycleResult<NoConnection> {
        if client.is_closed() { Err(RecycleError::message("the connection is closed")) } else { Ok(()) }
    }
}

impl Door {
    pub(super) fn new(settings: &ControlSettings) -> Result<Self, ControlError> {
        let misfit = |problem: String| ControlError::Misfit { problem, source: None };
        let dialer = Dialer::new(&settings.url, &settings.tls, WHOSE);
        let dialer = dialer.map_err(|error| misfit(error.of_its_owner()))?;
        // A call that we gave up must not go on holding locks on the server.
        let options = dialer.options().to_owned();
        let limit = settings.limit.as_millis();
        let dialer = dialer.with(|config| {
            config.application_name("strangler-control");
            config.connect_timeout(settings.connect_timeout.min(settings.limit));
            config.keepalives_idle(Duration::from_secs(15));
            config.options(format!(
                "{options} -c statement_timeout={limit} -c idle_in_transaction_session_timeout=60000 -c client_min_messages=warning \
                 -c default_transaction_isolation=read\\ committed"
            ));
        });
        let size = settings.connections.get();
        let pool = Pool::builder(Dial(dialer.clone()))
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| misfit(format!("its pool could not be made: {error}")))?;
        let server = Server::new(WHOSE);
        let connections = Connections::new(pool, Room::new(Arc::clone(&server), size));
        let listener = Listener::new(dialer.clone(), Arc::clone(&server), settings.limit);
        Ok(Self { connections, server, dialer, listener, limit: settings.limit })
    }

    /// The connection that hears of news.
    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// The limit of every call.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// How many connections the server has refused for want of room.
    pub(super) fn refused(&self) -> u64 {
        self.server.refused()
    }

    /// How connections are protected.
    pub(super) fn mode(&self) -> Mode {
        self.dialer.plan().mode
    }

    /// Takes a connection, within the limit.
    pub(super) async fn open(&self) -> Result<Guard, ControlError> {
        let taken = self.connections.take(Instant::now() + self.limit, || self.listener.let_go()).await;
        let held = taken.map_err(|none| match none {
            NoneHad::InTime => {
                ControlError::Unreachable { source: "no connection of its pool was free in time".into() }
            }
            NoneHad::Pool(error) => connecting(error),
        })?;
        Ok(Guard { held: Some(held), limit: self.limit })
    }
}

/// A connection held for one call.
pub(super) struct Guard {
    held: Option<Held<Dial>>,
    limit: Duration,
}

impl Guard {
    /// The connection.
    pub(super) fn client(&mut self) -> &mut ClientWrapper {
        self.held.as_mut().expect("taken out only when the guard ends").get_mut()
    }

    /// Gives the connection back when the call on it came to an end, and says what came of it.
    pub(super) fn finish<T>(mut self, result: Result<Result<T, Broken>, Elapsed>) -> Result<T, ControlError> {
        let limit = self.limit;
        match result {
            Err(_) => Err(ControlError::NoAnswer { limit }),
            Ok(Err(Broken::Driver(error))) => {
                // The server answered, so the connection is whole; a transaction on it was undone when dropped.
                if error.as_db_error().is_some() {
                    self.held = None;
                }
                Err(classify(limit, error))
            }
            Ok(Err(Broken::Control(error))) => {
                self.held = None;
                Err(error)
            }
            Ok(Ok(done)) => {
                self.held = None;
                Ok(done)
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            drop(held.take_out());
        }
    }
}

/// What ends a call early: the driver's error, or what we found out ourselves.
pub(super) enum Broken {
    Driver(tokio_postgres::Error),
    Control(ControlError),
}

impl Broken {
    /// Something stands in the store that cannot be understood.
    pub(super) fn garbled(problem: impl Into<String>) -> Self {
        Self::Control(ControlError::Misfit { problem: problem.into(), source: None })
    }
}

impl From<tokio_postgres::Error> for Broken {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(error)
    }
}

fn connecting(error: PoolError<NoConnection>) -> ControlError {
    if let PoolError::Backend(backend) = &error
        && let Some(state) = backend.state()
        && matches!(state.get(..2), Some("28" | "3D"))
    {
        let problem = match backend {
            NoConnection::Protection { problem, .. } => problem.clone(),
            NoConnection::Driver(_) => {
                "the login is refused or the database does not exist: check its address".to_owned()
            }
        };
        return ControlError::Misfit { problem, source: Some(error.into()) };
    }
    ControlError::Unreachable { source: error.into() }
}

/// What an error after something was sent means. The only place that reads SQLSTATEs of the control store.
fn classify(limit: Duration, error: tokio_postgres::Error) -> ControlError {
    let Some(state) = error.code().map(|state| state.code().to_owned()) else {
        return ControlError::NoAnswer { limit };
    };
    let misfit = |problem: String, error| ControlError::Misfit { problem, source: Some(Box::new(error)) };
    match (state.get(..2).unwrap_or(""), state.as_str()) {
        // Gave way, was cut off or was told to stop: the same call may succeed.
        ("08" | "40" | "57", _) | (_, "55P03") => ControlError::NoAnswer { limit },
        ("53" | "58", _) | (_, "25006") => ControlError::Unreachable { source: Box::new(error) },
        (_, "42P01" | "42703") => misfit("its tables are missing, run `strangler init`".to_owned(), error),
        (_, "42501") => misfit("a right is missing on its tables or schema, grant it".to_owned(), error),
        _ => misfit(format!("the server answered with SQLSTATE {state}"), error),
    }
}
