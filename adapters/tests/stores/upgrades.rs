//! Our own tables of every earlier release are brought up to this one, by `init` or by a DBA, and what is missing is named.

use std::sync::Arc;
use testkit::begin::Begin as _;

use adapters::oracle::OracleStore;
use adapters::postgres::{PostgresStore, Settings};
use model::{Fence, Role, Side, Store};
use testkit::contract::{Subject, WITHIN, set_level};
use testkit::inventory;
use testkit::oracle::ErpDatabase;
use testkit::postgres::Database;

use super::postgres::connect;

const FIRST_POSTGRES: &str = include_str!("upgrades/first-postgres.sql");
const FIRST_ORACLE: &str = include_str!("upgrades/first-oracle.sql");
/// A group that the first release had open.
const FENCE: &str = "INSERT INTO strangler_fence (grp, epoch, state) VALUES ('inventory', 4, 'open')";

/// A database as an earlier release left it: tables in a form, one fence, no steps.
async fn postgres(tables: &str) -> (PostgresStore, Database) {
    let database = Database::fresh("upgrade").await;
    let client = connect(&database).await;
    client.batch_execute(inventory::ddl(Side::Legacy)).await.unwrap();
    client.batch_execute(tables).await.unwrap();
    let settings = Settings::new(database.url());
    (PostgresStore::connect(Side::Legacy, inventory::contract(), &settings).unwrap(), database)
}

/// Statements of a file, for a client that takes one at a time.
fn statements(text: &str) -> Vec<String> {
    let plain: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    plain.join("\n").split(';').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

fn run(database: &ErpDatabase, text: &str) {
    let statements = statements(text);
    database.run(&statements.iter().map(String::as_str).collect::<Vec<_>>());
}

fn oracle(tables: &str) -> impl Future<Output = (OracleStore, ErpDatabase)> {
    let tables = tables.to_owned();
    async move {
        let database = ErpDatabase::fresh("upgrade").await;
        database.run(&inventory::oracle_ddl(Side::Legacy));
        run(&database, &tables);
        let store = OracleStore::connect(Side::Legacy, inventory::contract(), &database.settings()).unwrap();
        (store, database)
    }
}

async fn problems(store: &Subject) -> Vec<String> {
    let names: Vec<_> = inventory::contract().entities.keys().cloned().collect();
    store.inspect(&names, WITHIN).await.unwrap().problems
}

/// What holds of tables that an earlier release made, whatever the engine.
async fn is_brought_up_to_this_release(store: Subject) {
    let before = store.bookkeeping(WITHIN).await.unwrap();
    let problem = before.problem("legacy").expect("an older release's tables are not what this one needs");
    assert!(problems(&store).await.contains(&problem), "the doctor names it");

    for _ in 0..2 {
        store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
        let after = store.bookkeeping(WITHIN).await.unwrap();
        assert_eq!((after.problem("legacy"), after.step), (None, after.needs));
        assert_eq!(problems(&store).await, Vec::<String>::new());
    }
    let fence = store.fence(&inventory::group(), WITHIN).await.unwrap().fence;
    assert_eq!(fence.epoch.0, 4, "what stood in the tables stays");
}

#[tokio::test]
async fn tables_of_the_first_releases_are_brought_up_to_this_one_on_postgresql() {
    let (store, database) = postgres(FIRST_POSTGRES).await;
    connect(&database).await.batch_execute(FENCE).await.unwrap();
    is_brought_up_to_this_release(Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_the_first_releases_are_brought_up_to_this_one_on_an_oracle() {
    let (store, database) = oracle(FIRST_ORACLE).await;
    database.run(&[FENCE]);
    is_brought_up_to_this_release(Arc::new(store)).await;
}

#[tokio::test]
async fn tables_from_before_sagas_and_numbers_of_rows_are_brought_up_to_this_release() {
    let (store, database) = postgres(FIRST_POSTGRES).await;
    let client = connect(&database).await;
    let back = "DROP TABLE strangler_saga; DROP TABLE strangler_id_map; ALTER TABLE strangler_version DROP COLUMN stands, \
                DROP COLUMN shape, DROP COLUMN stood";
    client.batch_execute(&format!("{back}; {FENCE}")).await.unwrap();
    let problem = store.bookkeeping(WITHIN).await.unwrap().problem("legacy").unwrap();
    for name in ["strangler_saga", "strangler_id_map", "strangler_version.stands"] {
        assert!(problem.contains(name), "{problem}");
    }
    is_brought_up_to_this_release(Arc::new(store)).await;
}

/// A DBA runs what is printed, from nothing and from an older release; afterwards nothing is missing and writes go.
#[tokio::test]
async fn a_dba_can_bring_the_tables_up_from_what_is_printed_on_postgresql() {
    for tables in ["", FIRST_POSTGRES] {
        let (store, database) = postgres(tables).await;
        let found = store.bookkeeping(WITHIN).await.unwrap();
        let ddl = store.bookkeeping_ddl(Some(&found), &[inventory::group()]);
        assert_eq!(ddl.contains("CREATE TABLE IF NOT EXISTS strangler_ledger ("), tables.is_empty(), "{ddl}");
        connect(&database).await.batch_execute(&ddl).await.unwrap();
        let store: Subject = Arc::new(store);
        assert_eq!(problems(&store).await, Vec::<String>::new());
        // What is printed makes fences, and opens none.
        assert_eq!(store.fence(&inventory::group(), WITHIN).await.unwrap().fence, Fence::BORN);
        store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
        set_level(&store, "A", "BER", 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dba_can_bring_the_tables_up_from_what_is_printed_on_an_oracle() {
    let (store, database) = oracle(FIRST_ORACLE).await;
    let found = store.bookkeeping(WITHIN).await.unwrap();
    let ddl = store.bookkeeping_ddl(Some(&found), &[inventory::group()]);
    assert!(!ddl.contains("CREATE TABLE strangler_ledger ("), "{ddl}");
    run(&database, &ddl);
    let store: Subject = Arc::new(store);
    assert_eq!(problems(&store).await, Vec::<String>::new());
    store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
    set_level(&store, "A", "BER", 10).await;
}

#[tokio::test]
async fn what_the_files_say_is_what_a_server_makes_of_them() {
    let (store, database) = postgres("").await;
    store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
    let client = connect(&database).await;
    // Each column that the server has is looked for: without it the bookkeeping has a problem that names it.
    let columns = "SELECT c.relname::text, a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
                   WHERE c.relkind = 'r' AND c.relname LIKE 'strangler%' AND a.attnum > 0 AND NOT a.attisdropped";
    for row in client.query(columns, &[]).await.unwrap() {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        let away = format!("ALTER TABLE {table} RENAME COLUMN {column} TO was_{column}");
        client.batch_execute(&away).await.unwrap();
        if table != "strangler_bookkeeping" {
            let problem = store.bookkeeping(WITHIN).await.unwrap().problem("legacy").unwrap_or_default();
            assert!(problem.contains(&format!("{table}.{column} is missing")), "{table}.{column}: {problem}");
        }
        client.batch_execute(&format!("ALTER TABLE {table} RENAME COLUMN was_{column} TO {column}")).await.unwrap();
    }
}

#[tokio::test]
async fn a_newer_release_beside_us_works_or_is_named_and_nothing_is_made() {
    let (store, database) = postgres("").await;
    store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
    let client = connect(&database).await;
    client.batch_execute("INSERT INTO strangler_bookkeeping (step, works_from) VALUES (1000, 1)").await.unwrap();
    assert_eq!(store.bookkeeping(WITHIN).await.unwrap().problem("legacy"), None);
    store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();

    client.batch_execute("INSERT INTO strangler_bookkeeping (step, works_from) VALUES (1001, 1001)").await.unwrap();
    let problem = store.bookkeeping(WITHIN).await.unwrap().problem("legacy").unwrap();
    assert!(problem.contains("run the newer release"), "{problem}");
    let refused = store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap_err();
    assert!(refused.to_string().contains("run the newer release"), "{refused}");
}

#[tokio::test]
async fn a_login_that_may_make_nothing_prepares_where_nothing_is_missing() {
    let (store, database) = postgres("").await;
    store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
    let client = connect(&database).await;
    let role = format!("may_not_make_{}", database.name());
    let rights = format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; \
         REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    );
    client.batch_execute(&rights).await.unwrap();
    let url =
        format!("{}{}options=-c%20role%3D{role}", database.url(), if database.url().contains('?') { "&" } else { "?" });
    let mut settings = Settings::new(database.url());
    settings.url = url;
    let poor = PostgresStore::connect(Side::Legacy, inventory::contract(), &settings).unwrap();
    poor.prepare(&[inventory::group()], WITHIN).await.unwrap();
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}
