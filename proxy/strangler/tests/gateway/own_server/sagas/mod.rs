//! Sagas through real processes over real databases.

mod commands;
mod killed;

use std::path::Path;

use model::{PerSide, Side};
use serde_json::{Value as Json, json};
use strangler::demo::storefront::Storefront;
use testkit::fleet::{Replica, Site};
use testkit::postgres::Database;
use tokio_postgres::Client;

use super::fleet::BINARY;
use crate::erp::connect;
use crate::rig::until;
use crate::sagas::shop;

/// Both databases of the shop, and where replicas get their configuration.
pub(super) struct Fleet {
    pub(super) databases: PerSide<Database>,
    pub(super) site: Site,
}

impl Fleet {
    /// A shop with plenty of four articles, at stage `dual-write`; `more`: lines for the configuration.
    pub(super) async fn new(more: &str) -> Self {
        let databases = shop::Shop::databases().await;
        let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/sagas/shop.graphql");
        let mut site = Site::new(BINARY, databases.legacy.url(), databases.modern.url(), contract);
        more.clone_into(&mut site.more);
        site.must_run(&["init"]).await;
        for group in ["stock", "orders", "parcels"] {
            site.must_run(&["groups", "set", group, "--stage", "dual-write", "--reason", "a test", "--who", "tester"])
                .await;
        }
        let fleet = Self { databases, site };
        for (side, table) in [(Side::Legacy, "STK"), (Side::Modern, "stock")] {
            let stock = format!(
                "DELETE FROM {table}; INSERT INTO {table} SELECT a, 100000, 0 FROM unnest(ARRAY['A','B','C','D']) a"
            );
            fleet.connect(side).await.batch_execute(&stock).await.unwrap();
        }
        fleet
    }

    pub(super) async fn connect(&self, side: Side) -> Client {
        connect(self.databases.get(side)).await
    }

    pub(super) async fn run(&self, side: Side, sql: &str) {
        self.connect(side).await.batch_execute(sql).await.unwrap();
    }

    /// One number out of a side's database.
    pub(super) async fn count(&self, side: Side, sql: &str) -> i64 {
        self.connect(side).await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until a statement over `table` waits in the ERP for somebody's lock.
    pub(super) async fn waits_for(&self, table: &str) {
        let watcher = self.connect(Side::Legacy).await;
        // Who only tries the contract's statements gives up sooner.
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = to_regclass($1) \
                       AND waitstart < clock_timestamp() - interval '400 milliseconds'";
        until(&format!("somebody waits for {table}"), async || {
            watcher.query_one(waiting, &[&table]).await.unwrap().get::<_, i64>(0) > 0
        })
        .await;
    }
}

/// An order of a customer.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) id: String,
    pub(super) sku: &'static str,
    pub(super) quantity: i64,
}

impl Order {
    /// Orders at `replica`, under a key of the order's own: the quantity of the order, or the code of the refusal.
    /// `None`: no answer.
    pub(super) async fn place(&self, replica: &Replica) -> Option<Result<i64, String>> {
        self.place_at(&replica.graphql).await
    }

    /// The same at an address.
    pub(super) async fn place_at(&self, url: &str) -> Option<Result<i64, String>> {
        let query =
            "mutation($id: ID!, $sku: ID!, $n: Int!) { placeOrder(id: $id, sku: $sku, quantity: $n) { quantity } }";
        let given = json!({ "id": self.id, "sku": self.sku, "n": self.quantity });
        let client = Storefront::new(url);
        let reply = client.ask_with(query, &given, &[("idempotency-key", &self.id)]).await.ok()?;
        Some(match reply.data["placeOrder"]["quantity"].as_i64() {
            Some(quantity) => Ok(quantity),
            None => Err(reply.code().unwrap_or("no code").to_owned()),
        })
    }
}

/// What `strangler --json …` printed.
pub(super) fn json_of(output: &std::process::Output) -> Json {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
