//! The inventory that we ship, in real databases: both sides' tables, and a small ERP.

use std::path::PathBuf;
use std::sync::Arc;

use adapters::oracle::OracleStore;
use adapters::postgres::{PostgresStore, Settings};
use contract::Loaded;
use data_plane::breaker::{Breaker, BreakerSettings};
use data_plane::catchup::baseline;
use data_plane::write::apply::Door;
use model::{PerSide, Side, Store};
use strangler::demo::audit::Audit;
use strangler::demo::seed;
use strangler::demo::traffic::{Expected, Patch, Shelf};
use testkit::postgres::Database;
use tokio_postgres::Client;

use crate::rig::{Ground, WITHIN};

/// Articles in the small ERP.
pub(crate) const ARTICLES: usize = 40;
/// Where every article is kept, with 100 on hand.
pub(crate) const LOCATIONS: [&str; 2] = ["BER1", "HAM1"];

/// What the ERP holds: odd prices, local times on both sides of a clock change, '' and null, orphans.
const SMALL_ERP: &str = "
INSERT INTO ITMHDR (ITMNO, ITMDSC, ITMTXT, UNITCD, UPRICE, WGTKG, ACTFLG, VLDTO, CHGDT)
SELECT 'ITM-' || lpad(n::text, 3, '0'), 'Article ' || n || CASE WHEN n % 7 = 0 THEN ' äöü' ELSE '' END,
       CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'text ' || n END,
       (ARRAY['EA','KG','MT','LT'])[1 + n % 4], trim_scale(n * 125 / 100.0), CASE WHEN n % 5 > 0 THEN n / 8.0 END,
       CASE WHEN n % 6 = 0 THEN 'N' ELSE 'Y' END,
       CASE WHEN n % 4 = 0 THEN timestamp '2031-07-01 18:00:00' ELSE timestamp '9999-12-31' END,
       timestamp '2024-03-30 12:00:00' + make_interval(days => n)
FROM generate_series(1, 40) AS n;
INSERT INTO STKBAL (ITMNO, LOCCD, QTYOH, QTYRSV, QTYMIN, BLKFLG, CHGDT)
SELECT 'ITM-' || lpad(n::text, 3, '0'), location, 100, n % 10, CASE WHEN n % 2 = 0 THEN 5 END,
       CASE WHEN n % 9 = 0 THEN 'Y' ELSE 'N' END, timestamp '2024-10-26 12:00:00.123456' + make_interval(days => n)
FROM generate_series(1, 42) AS n, unnest(ARRAY['BER1', 'HAM1']) AS location;
INSERT INTO MOVLOG (MOVID, ITMNO, LOCCD, MOVTYP, MOVQTY, BOOKDT, RSNTXT, USRID)
SELECT 'M' || lpad(n::text, 6, '0'), 'ITM-' || lpad((1 + n % 42)::text, 3, '0'), 'BER1', (ARRAY['R','I','T','C'])[1 + n % 4],
       CASE WHEN n % 4 = 1 THEN -n ELSE n END, timestamp '2020-01-01 08:00:00' + make_interval(days => n / 3),
       CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'order' END, CASE WHEN n % 3 = 2 THEN 'ASCHMIDT' END
FROM generate_series(1, 200) AS n;";

/// Both databases, and the stores before them.
pub(crate) struct Erp {
    pub(crate) databases: PerSide<Database>,
    pub(crate) loaded: Loaded,
    pub(crate) stores: PerSide<Arc<dyn Store>>,
}

impl Erp {
    /// A filled ERP and an empty modern side, in the shared server.
    pub(crate) async fn new() -> Self {
        let databases = PerSide { legacy: Database::fresh("erp").await, modern: Database::fresh("shop").await };
        Self::of(databases).await
    }

    /// The same, with the ERP behind the Oracle adapter and the stand-in for Oracle's client library.
    pub(crate) async fn on_oracle() -> Self {
        let mut erp = Self::new().await;
        let settings = testkit::oracle::settings_over(&erp.databases.legacy);
        let store = OracleStore::connect(Side::Legacy, Arc::clone(&erp.loaded.contract), &settings).unwrap();
        erp.stores.legacy = Arc::new(store);
        erp
    }

    /// The same in databases that are there.
    pub(crate) async fn of(databases: PerSide<Database>) -> Self {
        Self::under(databases, include_str!("../../../../schema.graphql")).await
    }

    /// The same under another contract.
    pub(crate) async fn under(databases: PerSide<Database>, contract: &str) -> Self {
        connect(&databases.legacy).await.batch_execute(&format!("{}{SMALL_ERP}", seed::ERP_TABLES)).await.unwrap();
        connect(&databases.modern).await.batch_execute(seed::MODERN_TABLES).await.unwrap();
        let loaded = contract::load(contract, "schema.graphql").unwrap_or_else(|errors| panic!("{errors}"));
        let store = |side: Side, database: &Database| {
            let settings = Settings::new(database.url());
            let store = PostgresStore::connect(side, Arc::clone(&loaded.contract), &settings).unwrap();
            Arc::new(store) as Arc<dyn Store>
        };
        let stores =
            PerSide { legacy: store(Side::Legacy, &databases.legacy), modern: store(Side::Modern, &databases.modern) };
        Self { databases, loaded, stores }
    }

    /// A ground for replicas in this process, with bookkeeping, at stage `dual-write`.
    pub(crate) async fn ground(&self) -> Ground {
        let ground = Ground::new(self.loaded.clone(), self.stores.clone());
        ground.prepare().await;
        ground
    }

    /// Copies what stands at rest. Both sides must be prepared.
    pub(crate) async fn copy(&self) {
        let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
        let door = Door::both(&self.loaded.contract, &self.stores, breaker, WITHIN, None).modern;
        for entity in self.loaded.contract.entities.values() {
            let copied = baseline::copy(&self.stores.legacy, &door, entity, 1, WITHIN, |_| {}).await.unwrap();
            assert_eq!((copied.refused, copied.not_taken), (0, 0), "{}", entity.name);
        }
    }

    /// Waits until every write is on both sides, then looks every acknowledged one up and compares the
    /// sides row by row.
    pub(crate) async fn audit(&self, expected: &Expected) {
        let group = self.loaded.contract.groups().remove(0);
        crate::rig::until("every write is settled", async || {
            // A session that was broken while it was idle says so once.
            self.stores.legacy.backlog(&group, WITHIN).await.is_ok_and(|backlog| backlog.writes == 0)
        })
        .await;
        let today = chrono::Utc::now().date_naive();
        let audit = Audit { stores: &self.stores, contract: &self.loaded.contract, today };
        assert_eq!(audit.lost_writes(expected).await.unwrap(), 0, "acknowledged writes are lost");
        assert_eq!(audit.differing_rows().await.unwrap(), 0, "the sides differ");
    }

    /// One number per table of a side: equal numbers mean equal rows. Our bookkeeping is not asked.
    pub(crate) async fn checksums(&self, side: Side) -> Vec<i64> {
        let client = connect(self.databases.get(side)).await;
        let tables = match side {
            Side::Legacy => ["ITMHDR", "STKBAL", "MOVLOG"],
            Side::Modern => ["product", "stock_level", "stock_movement"],
        };
        let mut sums = Vec::new();
        for table in tables {
            let sql =
                format!("SELECT coalesce(sum(hashtextextended(t::text, 0) % 1000000007), 0)::bigint FROM {table} t");
            sums.push(client.query_one(&sql, &[]).await.unwrap().get(0));
        }
        sums
    }

    /// The sum of what is on hand of an article.
    pub(crate) async fn on_hand(&self, side: Side, sku: &str) -> i64 {
        let client = connect(self.databases.get(side)).await;
        let sql = match side {
            Side::Legacy => "SELECT sum(QTYOH)::bigint FROM STKBAL WHERE ITMNO = $1",
            Side::Modern => "SELECT sum(on_hand)::bigint FROM stock_level WHERE sku = $1",
        };
        client.query_one(sql, &[&sku]).await.unwrap().get(0)
    }
}

/// The name of an article, from 1.
pub(crate) fn article(number: usize) -> String {
    format!("ITM-{number:03}")
}

/// Patches for `workers` that share nothing but the window.
pub(crate) fn patches(workers: usize) -> Vec<Patch> {
    let shelves = |sku: usize| LOCATIONS.map(|location| Shelf { sku: article(sku), location: location.to_owned() });
    let window: Arc<[Shelf]> = (ARTICLES - 4..=ARTICLES).flat_map(shelves).collect();
    let own = |worker: usize| (0..3).flat_map(|n| shelves(1 + worker * 3 + n)).collect();
    (0..workers).map(|worker| Patch { own: own(worker), window: Arc::clone(&window) }).collect()
}

/// A connection of the test's own.
pub(crate) async fn connect(database: &Database) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The contract that we ship.
pub(crate) fn contract_file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema.graphql"))
}
