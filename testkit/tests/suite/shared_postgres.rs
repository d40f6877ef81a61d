//! The server that test processes share.

use testkit::postgres::Database;
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn every_fresh_database_is_empty_and_goes_with_its_value() {
    let (one, other) = (Database::fresh("one").await, Database::fresh("one").await);
    let client = connect(&one.url()).await;
    client.batch_execute("CREATE TABLE seen ()").await.unwrap();
    connect(&other.url()).await.batch_execute("CREATE TABLE seen ()").await.unwrap();

    let name = one.name().to_owned();
    drop(one);

    let query = "SELECT count(*) FROM pg_database WHERE datname = $1";
    let left: i64 = connect(&other.url()).await.query_one(query, &[&name]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_server_decodes_logically_in_utc_and_utf8_sorted_by_byte() {
    let database = Database::fresh("settings").await;
    let client = connect(&database.url()).await;
    for (setting, wanted) in [
        ("wal_level", "logical"),
        ("synchronous_commit", "on"),
        ("fsync", "off"),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", "127.0.0.1"),
    ] {
        let found: String = client.query_one("SELECT current_setting($1)", &[&setting]).await.unwrap().get(0);
        assert_eq!(found, wanted, "{setting}");
    }
    let query = "SELECT datcollate FROM pg_database WHERE datname = current_database()";
    let collation: String = client.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(collation, "C");
}

// Many processes come at once under nextest; in one process, threads with a runtime each must agree too.
#[test]
fn threads_with_runtimes_of_their_own_share_one_server() {
    let in_a_thread = || {
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let port = |url: String| url.split([':', '/']).nth_back(1).unwrap().to_owned();
            runtime.block_on(async { port(Database::fresh("thread").await.url()) })
        })
    };
    let threads = [in_a_thread(), in_a_thread(), in_a_thread()];
    let ports: std::collections::BTreeSet<String> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(ports.len(), 1, "{ports:?}");
}
