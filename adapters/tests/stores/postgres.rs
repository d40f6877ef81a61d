//! What only a real server can show.

use std::sync::Arc;

use adapters::postgres::{PostgresStore, Settings};
use model::{Role, Side, Store};
use testkit::contract::{Subject, WITHIN};
use testkit::inventory;
use testkit::postgres::Database;

/// A store of an empty inventory in a database of its own.
pub(super) struct Fixture {
    pub(super) database: Database,
    pub(super) store: PostgresStore,
}

impl Fixture {
    pub(super) async fn new(side: Side) -> Self {
        Self::in_database(Database::fresh("stores").await, side).await
    }

    async fn in_database(database: Database, side: Side) -> Self {
        let settings = Settings::new(database.url());
        let store = PostgresStore::connect(side, inventory::contract(), &settings).unwrap();
        let client = connect(&database).await;
        client.batch_execute(inventory::ddl(side)).await.unwrap();
        store.prepare(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
        Self { database, store }
    }

    pub(super) fn subject(&self) -> Subject {
        Arc::new(self.store.clone())
    }
}

/// A connection of the test's own, past the store.
async fn connect(database: &Database) -> tokio_postgres::Client {
    let connected = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await;
    let (client, connection) = connected.unwrap();
    tokio::spawn(connection);
    client
}
