//! What any Oracle must do, real or played: nothing here needs faults. Nextest's profile `oracle` runs this, the contract
//! suite and `both` on the server that `ORACLE_TEST_URL` names.

use std::sync::Arc;
use std::time::Duration;

use adapters::oracle::{OracleStore, Settings};
use model::{Role, Side, Store, StoreError};
use testkit::contract::{Subject, WITHIN, entity};
use testkit::inventory::{self, level_key};
use testkit::oracle::ErpDatabase;

/// A store of an empty inventory in a database of its own.
pub(super) struct Fixture {
    // Goes first: an account with sessions cannot be dropped.
    pub(super) store: OracleStore,
    pub(super) database: ErpDatabase,
}

impl Fixture {
    pub(super) async fn new(side: Side) -> Self {
        let database = ErpDatabase::fresh("erp").await;
        let store = database.inventory(side).await;
        Self { database, store }
    }

    /// Another store on the same database.
    pub(super) fn with(&self, change: impl FnOnce(&mut Settings)) -> OracleStore {
        let mut settings = self.database.settings();
        change(&mut settings);
        OracleStore::connect(Side::Legacy, inventory::contract(), &settings).unwrap()
    }

    pub(super) fn subject(&self) -> Subject {
        Arc::new(self.store.clone())
    }
}

pub(super) async fn level(store: &OracleStore, within: Duration) -> Result<(), StoreError> {
    let key = level_key("A", "BER");
    let entity = entity(&key);
    store.fetch(&entity, &[key], entity.all_fields(), within).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_or_refuses_us_is_told_apart() {
    let fixture = Fixture::new(Side::Legacy).await;
    let nobody = fixture.with(|settings| settings.connect = "127.0.0.1:1/erp".into());
    assert!(matches!(level(&nobody, WITHIN).await, Err(StoreError::Unreachable { .. })));
    let nowhere = fixture.with(|settings| settings.connect = "erp".into());
    let misfit = level(&nowhere, WITHIN).await.unwrap_err();
    assert!(misfit.to_string().contains("names no service"), "{misfit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dba_can_make_the_bookkeeping_from_what_is_printed() {
    let database = ErpDatabase::fresh("erp").await;
    database.run(&inventory::oracle_ddl(Side::Legacy));
    let store = OracleStore::connect(Side::Legacy, inventory::contract(), &database.settings()).unwrap();
    let ddl = store.bookkeeping_ddl(&[inventory::group()], Role::Primary);
    insta::assert_snapshot!(ddl);
    let plain: String = ddl.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n");
    let statements: Vec<_> = plain.split(';').map(str::trim).filter(|statement| !statement.is_empty()).collect();
    database.run(&statements);
    let names: Vec<_> = inventory::contract().entities.keys().cloned().collect();
    assert_eq!(store.inspect(&names, WITHIN).await.unwrap().problems, Vec::<String>::new());
}
