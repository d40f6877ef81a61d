//! Connections of the control store: a small pool, a time limit for every call, and what a driver's
//! error means here.
//!
//! Promise: a connection goes back to the pool only when the call on it came to an end; one that was
//! left in the middle is closed.

use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use model::control::ControlError;
use tokio::time::error::Elapsed;
use tokio_postgres::{Config, NoTls};

use super::ControlSettings;

/// Opens connections and knows the limit of every call.
pub(super) struct Door {
    pool: Pool,
    config: Config,
    limit: Duration,
}

impl Door {
    pub(super) fn new(settings: &ControlSettings) -> Result<Self, ControlError> {
        let misfit = |problem: &str, source| ControlError::Misfit { problem: problem.to_owned(), source: Some(source) };
        let mut config: Config =
            settings.url.parse().map_err(|error| misfit("its address is not a PostgreSQL address", Box::new(error)))?;
        config.application_name("strangler-control");
        config.connect_timeout(settings.connect_timeout.min(settings.limit));
        config.keepalives_idle(Duration::from_secs(15));
        // A call that we gave up must not go on holding locks on the server.
        let options = config.get_options().unwrap_or_default().to_owned();
        let limit = settings.limit.as_millis();
        config.options(format!(
            "{options} -c statement_timeout={limit} -c idle_in_transaction_session_timeout=60000 -c client_min_messages=warning \
             -c default_transaction_isolation=read\\ committed"
        ));
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(config.clone(), NoTls, manager))
            .max_size(settings.connections.get())
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| misfit("its pool could not be made", Box::new(error)))?;
        Ok(Self { pool, config, limit: settings.limit })
    }

    /// How connections are made, for the one that listens.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The limit of every call.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Takes a connection, within the limit.
    pub(super) async fn open(&self) -> Result<Guard, ControlError> {
        let within = Some(self.limit);
        let timeouts = Timeouts { wait: within, create: within, recycle: within };
        let object = tokio::time::timeout(self.limit, self.pool.timeout_get(&timeouts))
            .await
            .map_err(|elapsed| ControlError::Unreachable { source: elapsed.into() })?
            .map_err(connecting)?;
        Ok(Guard { object: Some(object), limit: self.limit })
    }
}

/// A connection held for one call.
pub(super) struct Guard {
    object: Option<Object>,
    limit: Duration,
}

impl Guard {
    /// The connection.
    pub(super) fn client(&mut self) -> &mut ClientWrapper {
        self.object.as_mut().expect("taken out only when the guard ends")
    }

    /// Gives the connection back when the call on it came to an end, and says what came of it.
    pub(super) fn finish<T>(mut self, result: Result<Result<T, Broken>, Elapsed>) -> Result<T, ControlError> {
        let limit = self.limit;
        match result {
            Err(_) => Err(ControlError::NoAnswer { limit }),
            Ok(Err(Broken::Driver(error))) => {
                // The server answered, so the connection is whole; a transaction on it was undone when dropped.
                if error.as_db_error().is_some() {
                    self.object = None;
                }
                Err(classify(limit, error))
            }
            Ok(Err(Broken::Control(error))) => {
                self.object = None;
                Err(error)
            }
            Ok(Ok(done)) => {
                self.object = None;
                Ok(done)
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
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

fn connecting(error: PoolError) -> ControlError {
    if let PoolError::Backend(backend) = &error
        && let Some(state) = backend.code()
        && matches!(state.code().get(..2), Some("28" | "3D"))
    {
        let problem = "the login is refused or the database does not exist: check its address".to_owned();
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
