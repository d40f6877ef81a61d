//! What only the Oracle adapter has: threads, lost answers, hanging servers.

use std::sync::Arc;

use adapters::oracle::OracleStore;
use model::Side;
use testkit::contract::Subject;
use testkit::oracle::ErpDatabase;

/// A store of an empty inventory in a database of its own.
pub(super) struct Fixture {
    pub(super) database: ErpDatabase,
    pub(super) store: OracleStore,
}

impl Fixture {
    pub(super) async fn new(side: Side) -> Self {
        let database = ErpDatabase::fresh("erp").await;
        let store = database.inventory(side).await;
        Self { database, store }
    }

    pub(super) fn subject(&self) -> Subject {
        Arc::new(self.store.clone())
    }
}
