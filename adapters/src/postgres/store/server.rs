//! What is asked of a server and not of the rows in it: no part of the port.

use std::time::Duration;

use model::StoreError;

use super::PostgresStore;
use crate::postgres::server::{self, ServerLook};

impl PostgresStore {
    /// What the server has room for, and how our connections to it are protected; `None`: it does not tell.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    pub async fn server(&self, within: Duration) -> Result<Option<ServerLook>, StoreError> {
        let mode = self.pools.mode();
        look!(self, within, |session| async {
            server::look(session.client(), mode).await.map_err(|error| session.error(error))
        })
    }

    /// How many connections the server has refused for want of room.
    pub fn refused_connections(&self) -> u64 {
        self.pools.refused()
    }
}
