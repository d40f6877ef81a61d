//! Types whose key the ERP makes itself, on every pair of stores.

use std::sync::Arc;

use adapters::oracle::OracleStore;
use adapters::postgres::{PostgresStore, Settings};
use model::own_key::derived_key;
use model::{OwnNumber, Role, Side};
use testkit::contract::own_keys::World;
use testkit::contract::{Subject, WITHIN};
use testkit::oracle::ErpDatabase;
use testkit::postgres::Database;
use testkit::{inventory, orders};

use super::postgres::connect;

async fn prepared(store: Subject) -> Subject {
    store.prepare(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
    store
}

async fn postgres(side: Side) -> (Subject, Arc<Database>) {
    let database = Database::fresh("orders").await;
    connect(&database).await.batch_execute(orders::ddl(side)).await.unwrap();
    let store = PostgresStore::connect(side, orders::contract(), &Settings::new(database.url())).unwrap();
    (prepared(Arc::new(store)).await, Arc::new(database))
}

mod memory {
    use super::*;

    async fn make() -> (World, ()) {
        let legacy = orders::in_memory(Side::Legacy);
        let erp = legacy.clone();
        let foreign = Box::new(move |number: u64, quantity: i64| {
            let key = derived_key(&"Order".into(), OwnNumber::new(number).unwrap());
            erp.meddle(|rows| drop(rows.insert(key.clone(), orders::row(&key, &number.to_string(), quantity.into()))));
            Box::pin(async {}) as _
        });
        let (legacy, modern) =
            (prepared(Arc::new(legacy)).await, prepared(Arc::new(orders::in_memory(Side::Modern))).await);
        (World { legacy, modern, foreign }, ())
    }

    testkit::own_keys_contract!(make);
}

mod postgres_twice {
    use super::*;

    async fn make() -> (World, [Arc<Database>; 2]) {
        let ((legacy, erp), (modern, shop)) = (postgres(Side::Legacy).await, postgres(Side::Modern).await);
        let database = Arc::clone(&erp);
        let foreign = Box::new(move |number: u64, quantity: i64| {
            let database = Arc::clone(&database);
            Box::pin(async move {
                let text = format!("INSERT INTO ORDHDR (ORDNO, ORDQTY) VALUES ({number}, {quantity})");
                connect(&database).await.batch_execute(&text).await.unwrap();
            }) as _
        });
        (World { legacy, modern, foreign }, [erp, shop])
    }

    testkit::own_keys_contract!(make);
}

mod oracle_and_postgres {
    use super::*;

    async fn make() -> (World, (Arc<ErpDatabase>, Arc<Database>)) {
        let erp = Arc::new(ErpDatabase::fresh("orders").await);
        erp.run(&orders::oracle_ddl());
        let store = OracleStore::connect(Side::Legacy, orders::contract(), &erp.settings()).unwrap();
        let (legacy, (modern, shop)) = (prepared(Arc::new(store)).await, postgres(Side::Modern).await);
        let database = Arc::clone(&erp);
        let foreign = Box::new(move |number: u64, quantity: i64| {
            database.run(&[&format!("INSERT INTO ORDHDR (ORDNO, ORDQTY) VALUES ({number}, {quantity})")]);
            Box::pin(async {}) as _
        });
        (World { legacy, modern, foreign }, (erp, shop))
    }

    testkit::own_keys_contract!(make);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_is_missing_is_named_before_anything_is_written() {
    let (store, database) = postgres(Side::Legacy).await;
    connect(&database).await.batch_execute("DROP SEQUENCE ORDSEQ").await.unwrap();
    let problems = store.inspect(&["Order".into()], WITHIN).await.unwrap().problems;
    assert_eq!(problems, ["the sequence ORDSEQ is missing: correct @ownKey of Order"]);

    let erp = ErpDatabase::fresh("orders").await;
    erp.run(&[orders::oracle_ddl()[1]]);
    let store = OracleStore::connect(Side::Legacy, orders::contract(), &erp.settings()).unwrap();
    let store = prepared(Arc::new(store)).await;
    let problems = store.inspect(&["Order".into()], WITHIN).await.unwrap().problems;
    let wanted = "the sequence ORDSEQ is missing, or the right to SELECT on it: grant it, or correct @ownKey of Order";
    assert_eq!(problems, [wanted]);
}
