//! What is measured: two databases with the demo's data on both, and a replica in stage `dual-write`.

use std::sync::Arc;
use std::time::Duration;

use adapters::Lane;
use adapters::local_server::{Durability, LocalServer, Options};
use data_plane::breaker::{Breaker, BreakerSettings};
use data_plane::catchup::baseline;
use data_plane::write::apply::Door;
use model::Side;
use serde_json::Value as Json;
use strangler::app::Backends;
use strangler::config::Config;
use strangler::demo::seed;
use testkit::fleet::{Replica, Site};

use crate::settings::Settings;

const WITHIN: Duration = Duration::from_secs(30);
const GROUP: &str = "inventory";

/// A place where an item is kept.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    pub(crate) sku: String,
    pub(crate) location: String,
}

/// Everything that runs.
pub(crate) struct Bench {
    /// The ERP's server.
    pub(crate) legacy: LocalServer,
    /// The new store's server.
    pub(crate) modern: LocalServer,
    /// The replica.
    pub(crate) replica: Replica,
    /// What is looked up.
    pub(crate) shelves: Arc<Vec<Shelf>>,
    /// What is written.
    pub(crate) skus: Arc<Vec<String>>,
    /// As many others, for writers that do not come through the gateway: to it they would be foreign.
    pub(crate) skus_past_us: Arc<Vec<String>>,
    site: Site,
}

impl Bench {
    /// Brings everything up.
    pub(crate) async fn build(settings: &Settings) -> Self {
        let durability = if settings.durable { Durability::MachineCrash } else { Durability::ProcessCrash };
        let server = || LocalServer::start(Options { durability, ..Options::default() });
        let (legacy, modern) = futures::try_join!(server(), server()).expect("two PostgreSQL servers start");
        legacy.create_database("erp").await.expect("the server is up");
        modern.create_database("shop").await.expect("the server is up");
        let script = format!("{};{};ANALYZE", seed::ERP_TABLES, seed::erp_seed_sql(1, seed::ITEMS));
        legacy.run("erp", &script).await.expect("the seed fits its tables");
        modern.run("shop", seed::MODERN_TABLES).await.expect("the tables are new");

        let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema.graphql");
        let site = Site::new(env!("CARGO_BIN_EXE_strangler"), legacy.url("erp"), modern.url("shop"), contract);
        site.must_run(&["init"]).await;
        copy(&site).await;
        modern.run("shop", "ANALYZE").await.expect("the server is up");
        let replica = site.start("bench").await;
        let kept = "SELECT ITMNO, LOCCD FROM STKBAL JOIN ITMHDR USING (ITMNO) ORDER BY 1, 2";
        let kept = legacy.run("erp", kept).await.expect("the tables are there");
        let text = |cell: &Option<String>| cell.as_deref().unwrap_or_default().trim_end().to_owned();
        let shelves: Vec<_> = kept.iter().map(|row| Shelf { sku: text(&row[0]), location: text(&row[1]) }).collect();
        let mut skus: Vec<_> = shelves.iter().map(|shelf| shelf.sku.clone()).collect();
        skus.dedup();
        let past_us = skus.split_off(skus.len() / 2);
        let (skus, skus_past_us) = (Arc::new(skus), Arc::new(past_us));
        let bench = Self { legacy, modern, replica, shelves: Arc::new(shelves), skus, skus_past_us, site };
        bench.set(&["--stage", "dual-write"]).await;
        bench
    }

    /// Where clients connect.
    pub(crate) fn graphql(&self) -> std::net::SocketAddr {
        let address = self.replica.graphql.trim_start_matches("http://").trim_end_matches("/graphql");
        address.parse().expect("an address of this machine")
    }

    /// Changes the policy as an operator does, and returns when the replica works under it.
    pub(crate) async fn set(&self, what: &[&str]) {
        let command = [&["groups", "set", GROUP, "--reason", "bench", "--who", "bench"], what].concat();
        self.site.must_run(&command).await;
    }

    /// One more replica of the same site.
    pub(crate) async fn another(&self, name: &str) -> Replica {
        self.site.start(name).await
    }

    /// Hands the group over as an operator does; for how long writes waited.
    pub(crate) async fn hand_over(&self, to: Side) -> Duration {
        let order = ["--json", "groups", "handover", GROUP, "--reason", "bench", "--who", "bench", "--to", to.as_str()];
        let told: Json = serde_json::from_str(&self.site.must_run(&order).await).expect("--json prints JSON");
        Duration::from_secs_f64(told["pauseMillis"].as_f64().expect("it changed hands") / 1e3)
    }

    /// Ends everything.
    pub(crate) async fn end(mut self) {
        self.replica.terminate().await;
        let ended = futures::join!(self.legacy.stop(), self.modern.stop());
        ended.0.and(ended.1).expect("the servers are ours to stop");
    }
}

/// Copies the ERP to the new store, as `strangler demo` does.
async fn copy(site: &Site) {
    let config = Config::load(&site.config("copy", 1, 1)).expect("the site's configuration is good");
    let backends = Backends::open(&config).expect("the shipped contract is good");
    let stores = backends.lane(Lane::Scan);
    let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
    let door = Door::both(&backends.loaded.contract, &stores, breaker, WITHIN, None).modern;
    for entity in backends.loaded.contract.entities.values() {
        let copied = baseline::copy(stores.get(Side::Legacy), &door, entity, 1, WITHIN, |_| {}).await;
        assert_eq!(copied.expect("both servers are up").not_taken, 0);
    }
}
