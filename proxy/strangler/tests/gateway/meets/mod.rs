//! A contract meets databases that are not as it thinks: wrong SQL, values that nobody can read, rules between rows, odd
//! names, letters that an encoding does not have. Two real databases and a replica.

mod encodings;
mod names;
mod order;
mod trials;
mod unreadable;

use std::sync::Arc;

use adapters::oracle::OracleStore;
use adapters::postgres::{PostgresStore, Settings};
use contract::Loaded;
use model::{PerSide, Side, Store};
use serde_json::Value as Json;
use testkit::postgres::Database;

use crate::erp::connect;
use crate::rig::{Ground, Pace, Replica};

/// Two databases under a contract.
struct Met {
    databases: PerSide<Database>,
    loaded: Loaded,
    stores: PerSide<Arc<dyn Store>>,
}

impl Met {
    /// With these tables; legacy is a PostgreSQL.
    async fn new(contract: &str, tables: PerSide<&str>) -> Self {
        Self::made(contract, tables, "").await
    }

    /// The same, where `how` follows the name of legacy's database in `CREATE DATABASE`.
    async fn made(contract: &str, tables: PerSide<&str>, how: &str) -> Self {
        let databases = PerSide { legacy: Database::made("erp", how).await, modern: Database::fresh("shop").await };
        for side in Side::BOTH {
            let client = connect(databases.get(side)).await;
            client
                .batch_execute("SELECT set_config('client_encoding', current_setting('server_encoding'), false)")
                .await
                .unwrap();
            client.batch_execute(tables.get(side)).await.unwrap();
        }
        let loaded = contract::load(contract, "schema.graphql").unwrap_or_else(|errors| panic!("{errors}"));
        let store = |side: Side| {
            let settings = Settings::new(databases.get(side).url());
            let store = PostgresStore::connect(side, Arc::clone(&loaded.contract), &settings).unwrap();
            Arc::new(store) as Arc<dyn Store>
        };
        let stores = PerSide { legacy: store(Side::Legacy), modern: store(Side::Modern) };
        Self { databases, loaded, stores }
    }

    /// The same, with `side` behind the Oracle adapter and the stand-in for Oracle's client library.
    fn on_oracle(mut self, side: Side) -> Self {
        let settings = testkit::oracle::settings_over(self.databases.get(side));
        let store = OracleStore::connect(side, Arc::clone(&self.loaded.contract), &settings).unwrap();
        *self.stores.get_mut(side) = Arc::new(store);
        self
    }

    /// Both sides with bookkeeping, at stage `dual-write`, and one replica.
    async fn serve(&self) -> (Ground, Replica) {
        let ground = Ground::new(self.loaded.clone(), self.stores.clone());
        ground.prepare().await;
        let replica = Replica::ready(&ground, &Pace::default()).await;
        (ground, replica)
    }

    async fn run(&self, side: Side, sql: &str) {
        connect(self.databases.get(side)).await.batch_execute(sql).await.unwrap();
    }

    /// What a query of one column says, row by row.
    async fn told(&self, side: Side, sql: &str) -> Vec<String> {
        let rows = connect(self.databases.get(side)).await.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect()
    }
}

/// The answer's data, where there are no errors.
async fn done(replica: &Replica, query: &str) -> Json {
    let mut reply = replica.ask(query).await;
    assert_eq!(reply.body.get("errors"), None, "{query}: {}", reply.text);
    reply.body["data"].take()
}
