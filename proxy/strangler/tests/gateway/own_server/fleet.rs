//! A fleet over the small ERP, ready to serve.

use model::PerSide;
use serde_json::Value as Json;
use strangler::demo::storefront::Storefront;
use testkit::fleet::{Replica, Site};
use testkit::postgres::Database;

use crate::erp::{Erp, contract_file};

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_strangler");

/// Both databases, and where replicas get their configuration.
pub(super) struct Fleet {
    pub(super) erp: Erp,
    pub(super) site: Site,
}

impl Fleet {
    /// Both sides in the shared server, prepared by `strangler init`, at stage `dual-write`, copied.
    pub(super) async fn new() -> Self {
        let databases = PerSide { legacy: Database::fresh("erp").await, modern: Database::fresh("shop").await };
        Self::of(databases, None).await
    }

    /// The same in given databases; the control store in `control`, else in modern.
    pub(super) async fn of(databases: PerSide<Database>, control: Option<&Database>) -> Self {
        let erp = Erp::of(databases).await;
        let (legacy, modern) = (erp.databases.legacy.url(), erp.databases.modern.url());
        let mut site = Site::new(BINARY, legacy, modern, contract_file());
        if let Some(control) = control {
            site.control = control.url();
        }
        site.must_run(&["init"]).await;
        let fleet = Self { erp, site };
        fleet.set(&["--stage", "dual-write"]).await;
        fleet.erp.copy().await;
        fleet
    }

    /// `strangler groups set`, as JSON.
    pub(super) async fn set(&self, what: &[&str]) -> Json {
        let arguments =
            ["--json", "groups", "set", "inventory", "--past-gates", "--reason", "a test", "--who", "tester"];
        let text = self.site.must_run(&[arguments.as_slice(), what].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// A customer of one replica.
pub(super) fn storefront(replica: &Replica) -> Storefront {
    Storefront::new(replica.graphql.clone())
}

/// The value of a metric line, such as `strangler_reads_modern_ratio{group="inventory"}`.
pub(super) async fn metric(replica: &Replica, line: &str) -> Option<f64> {
    let (_, text) = replica.get("/metrics").await.unwrap();
    let rest = text.lines().find_map(|known| known.strip_prefix(line))?;
    rest.trim().parse().ok()
}

/// Share of keys that modern answers on this replica.
pub(super) async fn reads(replica: &Replica) -> f64 {
    metric(replica, "strangler_reads_modern_ratio{group=\"inventory\"}").await.unwrap()
}
