//! Types whose key the ERP makes itself, on every pair of stores.

use std::sync::Arc;
use testkit::begin::Begin as _;

use adapters::oracle::OracleStore;
use adapters::postgres::{PostgresStore, Settings};
use model::own_key::{Reach, derived_key, trouble};
use model::{OwnNumber, PerSide, Role, Side, Unnumbered};
use testkit::contract::own_keys::World;
use testkit::contract::{Subject, WITHIN};
use testkit::oracle::ErpDatabase;
use testkit::postgres::Database;
use testkit::{inventory, orders};

use super::postgres::connect;

async fn prepared(store: Subject) -> Subject {
    store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
    store
}

pub(super) async fn oracle(erp: &ErpDatabase) -> Subject {
    let store = OracleStore::connect(Side::Legacy, orders::contract(), &erp.settings()).unwrap();
    prepared(Arc::new(store)).await
}

pub(super) async fn postgres(side: Side) -> (Subject, Arc<Database>) {
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
        let (legacy, (modern, shop)) = (oracle(&erp).await, postgres(Side::Modern).await);
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
    let store = oracle(&erp).await;
    let problems = store.inspect(&["Order".into()], WITHIN).await.unwrap().problems;
    let wanted = "the sequence ORDSEQ is missing, or the right to SELECT on it: grant it, or correct @ownKey of Order";
    assert_eq!(problems, [wanted]);
}

#[tokio::test]
async fn a_sequence_that_runs_downwards_or_lies_behind_gives_nobody_elses_number() {
    // GIVEN a sequence that gives -5, and a row of the ERP's with the number 5
    let (store, database) = postgres(Side::Legacy).await;
    let (modern, shop) = postgres(Side::Modern).await;
    let client = connect(&database).await;
    let down =
        "ALTER SEQUENCE ORDSEQ MINVALUE -10000 INCREMENT BY -1 RESTART WITH -5; INSERT INTO ORDHDR VALUES (5, 1)";
    client.batch_execute(down).await.unwrap();
    let order = orders::order();

    // THEN a new order is refused, is not the row with 5, and the sequence is named
    let refused = store.numbers(&order, &[orders::key("new")], Unnumbered::Number, WITHIN).await.unwrap_err();
    assert!(refused.to_string().contains("below 1"), "{refused}");
    let reach = async || PerSide {
        legacy: store.reach(&order, WITHIN).await.unwrap(),
        modern: modern.reach(&order, WITHIN).await.unwrap(),
    };
    assert!(trouble("ORDSEQ", &reach().await).unwrap().contains("downwards"));

    // WHEN it runs upwards, and lies behind what modern has after a restore of legacy
    let up = "ALTER SEQUENCE ORDSEQ INCREMENT BY 1 MINVALUE 1 RESTART WITH 6";
    client.batch_execute(up).await.unwrap();
    assert_eq!(trouble("ORDSEQ", &reach().await), None);
    connect(&shop).await.batch_execute("INSERT INTO orders (id, order_no, quantity) VALUES ('x', 6, 1)").await.unwrap();
    let said = trouble("ORDSEQ", &reach().await).unwrap();
    assert!(said.contains("modern has numbers up to 6"), "{said}");
}

#[tokio::test]
async fn a_sequence_near_its_end_is_named_on_either_engine() {
    let order = orders::order();
    let erp = ErpDatabase::fresh("orders").await;
    erp.run(&["CREATE SEQUENCE ORDSEQ START WITH 1 MAXVALUE 99999", orders::oracle_ddl()[1]]);
    let (of_oracle, (of_postgres, database)) = (oracle(&erp).await, postgres(Side::Legacy).await);
    connect(&database).await.batch_execute("ALTER SEQUENCE ORDSEQ MAXVALUE 99999 RESTART WITH 1").await.unwrap();
    for store in [&of_oracle, &of_postgres] {
        store.numbers(&order, &[orders::key("first")], Unnumbered::Number, WITHIN).await.unwrap();
        let legacy = store.reach(&order, WITHIN).await.unwrap();
        let said = trouble("ORDSEQ", &PerSide { legacy, modern: Reach::default() }).unwrap();
        assert!(said.contains("more numbers") && said.contains("raise its MAXVALUE"), "{said}");
    }
    // One with room enough is not.
    let erp = ErpDatabase::fresh("orders").await;
    erp.run(&orders::oracle_ddl());
    let legacy = oracle(&erp).await.reach(&order, WITHIN).await.unwrap();
    assert!(legacy.sequence.is_some_and(|at| at.left.is_some_and(|left| left > 1_000_000)), "{legacy:?}");
    assert_eq!(trouble("ORDSEQ", &PerSide { legacy, modern: Reach::default() }), None);
}
