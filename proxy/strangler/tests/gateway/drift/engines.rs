//! The same on real engines: PostgreSQL on both sides under writes, and an Oracle (or its stand-in) as the ERP.

use adapters::oracle::OracleStore;
use adapters::postgres::{self, PostgresStore};
use testkit::oracle::ErpDatabase;
use testkit::postgres::Database;

use super::*;
use crate::erp::connect;

async fn shop() -> (Database, Arc<dyn Store>) {
    let database = Database::fresh("shop").await;
    connect(&database).await.batch_execute(inventory::ddl(Side::Modern)).await.unwrap();
    let settings = postgres::Settings::new(database.url());
    let store = PostgresStore::connect(Side::Modern, inventory::contract(), &settings).unwrap();
    (database, Arc::new(store))
}

/// Gives both sides the same rows; those of modern count as copied.
async fn fill(site: &Site, rows: usize) {
    let entity = levels();
    for n in 0..rows {
        let record = level(&sku(n), "BER", 100);
        let command = Command {
            write: WriteId(Uuid::now_v7()),
            group: inventory::group(),
            epoch: Epoch(1),
            work: Work::Set(record),
            touches: vec![level_key(&sku(n), "BER")],
            must_fit: &Side::BOTH,
            must_exist: Vec::new(),
            idempotency: None,
        };
        site.stores.legacy.execute(&command, WITHIN).await.unwrap();
        site.stores.legacy.settle(&[command.write], WITHIN).await.unwrap();
    }
    baseline::copy(&site.stores().legacy, &site.doors.modern, &entity, 1, WITHIN, |_| {}).await.unwrap();
}

/// One missing row, one too many, one wrong.
async fn plant(shop: &Database) {
    let sql = "DELETE FROM stock_levels WHERE sku = 'SKU-00001'; \
               INSERT INTO stock_levels VALUES ('EXTRA', 'BER', 1, NULL); \
               UPDATE stock_levels SET on_hand = 7 WHERE sku = 'SKU-00002'";
    connect(shop).await.batch_execute(sql).await.unwrap();
}

async fn found_and_levelled(site: &Site, shop: &Database) {
    assert_eq!(site.reconcile().await.findings.drift, 0);
    plant(shop).await;
    let found = site.reconcile().await;
    let expected = [(None, Cause::MissingRow, 1), (None, Cause::ExtraRow, 1), (Some("onHand"), Cause::ForeignWrite, 1)];
    assert_eq!(kinds(&found), expected, "{:?}", found.findings);
    let keys: Vec<_> = found.listed.iter().map(|row| row.key.clone()).collect();
    assert_eq!(site.repair(&keys).await, RepairCount { repaired: 3, ..RepairCount::default() });
    assert_eq!(site.reconcile().await.findings.drift, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_between_two_postgresqls_is_found_and_levelled_while_clients_write() {
    let erp = Database::fresh("erp").await;
    connect(&erp).await.batch_execute(inventory::ddl(Side::Legacy)).await.unwrap();
    let settings = postgres::Settings::new(erp.url());
    let legacy: Arc<dyn Store> =
        Arc::new(PostgresStore::connect(Side::Legacy, inventory::contract(), &settings).unwrap());
    let (shop, modern) = shop().await;
    let site = Arc::new(Site::over(PerSide { legacy, modern }).await);
    fill(&site, 120).await;
    let stop = CancellationToken::new();
    let writing = (0..3).map(|writer: usize| {
        let (site, stop) = (Arc::clone(&site), stop.clone());
        tokio::spawn(async move {
            let mut written = 0;
            while !stop.is_cancelled() {
                site.adjust(&sku(20 + (writer * 31 + written) % 90), 1).await;
                written += 1;
            }
            written
        })
    });
    let writing: Vec<_> = writing.collect();
    found_and_levelled(&site, &shop).await;
    stop.cancel();
    let mut written = 0;
    for writer in writing {
        written += writer.await.unwrap();
    }
    assert!(written > 0);
    assert_eq!(site.reconcile().await.findings.drift, 0);
    assert_eq!(site.backlog().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_between_an_oracle_and_a_postgresql_is_found_and_levelled() {
    let erp = ErpDatabase::fresh("erp").await;
    erp.run(&inventory::oracle_ddl(Side::Legacy));
    let legacy: Arc<dyn Store> =
        Arc::new(OracleStore::connect(Side::Legacy, inventory::contract(), &erp.settings()).unwrap());
    let (shop, modern) = shop().await;
    let site = Site::over(PerSide { legacy, modern }).await;
    fill(&site, 30).await;
    found_and_levelled(&site, &shop).await;
    assert_eq!(site.backlog().await, 0);
}
