//! The same work without us: one prepared statement per request, through deadpool-postgres, with as many
//! connections as there are clients.

use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rand::RngExt;
use testkit::load::Worker;
use tokio_postgres::NoTls;

use crate::site::{Bench, Shelf};

const LOOK: &str = "SELECT ITMNO, LOCCD, QTYOH, QTYRSV FROM STKBAL WHERE ITMNO = $1 AND LOCCD = $2";

const PUT_LEGACY: &str = "\
INSERT INTO ITMHDR (ITMNO, ITMDSC, ITMTXT, UNITCD, UPRICE, WGTKG, ACTFLG, VLDTO, CHGDT)
VALUES ($1, $2, $3, $4, $5::int4 / 100.0, 0.125, $6, '9999-12-31', localtimestamp)
ON CONFLICT (ITMNO) DO UPDATE SET ITMDSC = EXCLUDED.ITMDSC, ITMTXT = EXCLUDED.ITMTXT, UNITCD = EXCLUDED.UNITCD,
UPRICE = EXCLUDED.UPRICE, WGTKG = EXCLUDED.WGTKG, ACTFLG = EXCLUDED.ACTFLG, VLDTO = EXCLUDED.VLDTO,
CHGDT = EXCLUDED.CHGDT";

const PUT_MODERN: &str = "\
INSERT INTO product (sku, name, description, unit, unit_price, weight_kg, active, sold_until, updated_at)
VALUES ($1, $2, $3, $4, $5::int4 / 100.0, 0.125, $6, NULL, now())
ON CONFLICT (sku) DO UPDATE SET name = EXCLUDED.name, description = EXCLUDED.description, unit = EXCLUDED.unit,
unit_price = EXCLUDED.unit_price, weight_kg = EXCLUDED.weight_kg, active = EXCLUDED.active,
sold_until = EXCLUDED.sold_until, updated_at = EXCLUDED.updated_at";

/// A pool with a connection for each client.
pub(crate) fn pool(url: &str, clients: usize) -> Pool {
    let config = url.parse().expect("a local server's address is good");
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let pool = Pool::builder(Manager::from_config(config, NoTls, manager)).max_size(clients).runtime(Runtime::Tokio1);
    pool.build().expect("no hooks, no time-outs: nothing to refuse")
}

/// Looks stock levels up on legacy.
pub(crate) struct DirectRead {
    pool: Pool,
    shelves: Arc<Vec<Shelf>>,
}

impl DirectRead {
    pub(crate) fn new(pool: Pool, bench: &Bench) -> Self {
        Self { pool, shelves: Arc::clone(&bench.shelves) }
    }
}

impl Worker for DirectRead {
    async fn once(&mut self) {
        let shelf = &self.shelves[rand::rng().random_range(0..self.shelves.len())];
        let client = self.pool.get().await.expect("a connection for each client");
        let statement = client.prepare_cached(LOOK).await.expect("the table is there");
        let row = client.query_one(&statement, &[&shelf.sku, &shelf.location]).await.expect("the row is there");
        assert_eq!(row.get::<_, &str>(0).trim_end(), shelf.sku);
    }
}

/// Upserts products on legacy, and then on modern.
pub(crate) struct DirectWrite {
    legacy: Pool,
    modern: Pool,
    skus: Arc<Vec<String>>,
}

impl DirectWrite {
    pub(crate) fn new(legacy: Pool, modern: Pool, bench: &Bench) -> Self {
        Self { legacy, modern, skus: Arc::clone(&bench.skus_past_us) }
    }
}

impl Worker for DirectWrite {
    async fn once(&mut self) {
        let sku = &self.skus[rand::rng().random_range(0..self.skus.len())];
        let cents = rand::rng().random_range(100..100_000_i32);
        let (name, description) = ("Hex bolt M8, brass", "Supplier part 4711");
        let client = self.legacy.get().await.expect("a connection for each client");
        let statement = client.prepare_cached(PUT_LEGACY).await.expect("the table is there");
        client.execute(&statement, &[sku, &name, &description, &"EA", &cents, &"Y"]).await.expect("it fits");
        drop(client);
        let client = self.modern.get().await.expect("a connection for each client");
        let statement = client.prepare_cached(PUT_MODERN).await.expect("the table is there");
        client.execute(&statement, &[sku, &name, &description, &"EACH", &cents, &true]).await.expect("it fits");
    }
}
