//! Tells the metrics how often a database server had no connection for us.

use std::sync::Arc;
use std::time::Duration;

use adapters::postgres::PostgresStore;
use adapters::postgres::control::PostgresControl;
use metrics::counter;
use model::{PerSide, Side};
use tokio_util::sync::CancellationToken;

use crate::app::Backends;
use telemetry::CONNECTIONS_REFUSED_TOTAL;

/// How often they are looked at.
const PACE: Duration = Duration::from_secs(1);

/// The servers that are a PostgreSQL.
#[derive(Clone)]
pub(crate) struct Servers {
    sides: PerSide<Option<PostgresStore>>,
    control: Arc<PostgresControl>,
}

impl Servers {
    /// Those of a replica.
    pub(crate) fn of(backends: &Backends) -> Self {
        Self { sides: backends.postgres.clone(), control: Arc::clone(&backends.control_server) }
    }

    fn tell(&self) {
        for side in Side::BOTH {
            if let Some(store) = self.sides.get(side) {
                counter!(CONNECTIONS_REFUSED_TOTAL, "database" => side.as_str()).absolute(store.refused_connections());
            }
        }
        counter!(CONNECTIONS_REFUSED_TOTAL, "database" => "control").absolute(self.control.refused_connections());
    }
}

/// Looks at them until `stop`.
pub(crate) async fn watch(servers: Servers, stop: CancellationToken) {
    let mut pace = tokio::time::interval(PACE);
    while stop.run_until_cancelled(pace.tick()).await.is_some() {
        servers.tell();
    }
}
