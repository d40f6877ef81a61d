//! Servers with fewer connections than our pools would open.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapters::Lane;
use adapters::local_server::LocalServer;
use adapters::postgres::control::{ControlSettings, PostgresControl};
use adapters::postgres::{PostgresStore, Settings, TlsWords};
use futures::future::join_all;
use model::control::ControlStore;
use model::scan::Scan as _;
use model::{Role, Side, Store};
use testkit::begin::Begin as _;
use testkit::contract::{self, Subject, WITHIN};
use testkit::inventory;
use testkit::postgres::own_server_for;

/// A server with a database of the role `shop`, which is no superuser.
async fn server(max_connections: u16) -> LocalServer {
    let server = own_server_for(max_connections).await;
    for statement in ["CREATE ROLE shop LOGIN", "CREATE DATABASE shop OWNER shop TEMPLATE template0"] {
        server.run("postgres", statement).await.unwrap();
    }
    server
}

fn url(server: &LocalServer) -> String {
    server.url("shop").replace("postgres@", "shop@")
}

fn store(server: &LocalServer) -> PostgresStore {
    PostgresStore::connect(Side::Modern, inventory::contract(), &Settings::new(url(server))).unwrap()
}

/// Makes the inventory, with a level of A in Berlin.
async fn stocked(server: &LocalServer) {
    let (client, connection) = tokio_postgres::connect(&url(server), tokio_postgres::NoTls).await.unwrap();
    let driving = tokio::spawn(connection);
    client.batch_execute(inventory::ddl(Side::Modern)).await.unwrap();
    drop(client);
    driving.await.unwrap().unwrap();
    let store: Subject = Arc::new(store(server));
    store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
    contract::set_level(&store, "A", "BER", 0).await;
}

async fn sessions(server: &LocalServer) -> usize {
    let rows =
        server.run("postgres", "SELECT count(*)::text FROM pg_stat_activity WHERE usename = 'shop'").await.unwrap();
    rows[0][0].as_ref().unwrap().parse().unwrap()
}

/// Reads and writes of clients, many at once; all must come to a good end.
async fn clients(store: &PostgresStore, count: usize) {
    let subject: Subject = Arc::new(store.clone());
    let reads = (0..count).map(|_| async { contract::on_hand(&subject, "A", "BER").await.unwrap() });
    let writes = (0..count / 4).map(|_| async {
        // Many write one row: who gives way tries again.
        let mut tries = 0;
        while let Err(error) = subject.execute(&contract::adjust(&subject, "A", "BER", 1), WITHIN).await {
            tries += 1;
            assert!(tries < 50 && !error.is_outage(), "{error:?}");
        }
    });
    tokio::join!(join_all(reads), join_all(writes));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_share_a_server_with_too_few_connections_and_answer_all() {
    // GIVEN 17 connections for two replicas that would open 26 each
    let server = server(20).await;
    stocked(&server).await;
    let replicas = [store(&server), store(&server)];
    // WHEN both have far more to do at once than there are connections, on every lane
    let every_lane = |store: &PostgresStore| {
        let lanes = [Lane::Shadow, Lane::Scan, Lane::Admin].map(|lane| store.lane(lane));
        async move {
            let entity = contract::entity(&inventory::level_key("A", "BER"));
            let scans = lanes.iter().flat_map(|lane| (0..20).map(move |_| lane));
            let scans = scans.map(|lane| lane.scan(&entity, None, 10, WITHIN));
            assert!(join_all(scans).await.into_iter().all(|scanned| scanned.is_ok_and(|rows| !rows.is_empty())));
        }
    };
    let work = replicas.iter().map(|store| async { tokio::join!(clients(store, 200), every_lane(store)) });
    join_all(work).await;
    // THEN all was answered, though the server has refused some
    assert!(replicas.iter().any(|store| store.refused_connections() > 0));
    let subject: Subject = Arc::new(replicas[0].clone());
    assert_eq!(contract::on_hand(&subject, "A", "BER").await, Some(100), "each write stands once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_grows_again_when_the_limit_of_its_role_is_raised() {
    let server = server(40).await;
    stocked(&server).await;
    server.run("postgres", "ALTER ROLE shop CONNECTION LIMIT 3").await.unwrap();
    let store = store(&server);
    clients(&store, 60).await;
    assert!(sessions(&server).await <= 3);
    // WHEN the limit is raised under load
    server.run("postgres", "ALTER ROLE shop CONNECTION LIMIT 12").await.unwrap();
    let enough = AtomicBool::new(false);
    let load = async {
        while !enough.load(Ordering::Relaxed) {
            clients(&store, 60).await;
        }
    };
    let watch = async {
        for _ in 0..300 {
            if sessions(&server).await > 6 {
                enough.store(true, Ordering::Relaxed);
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        enough.store(true, Ordering::Relaxed);
        false
    };
    let (_, grown) = tokio::join!(load, watch);
    assert!(grown, "it stays small");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_without_connections_is_given_one_of_another_lane() {
    let server = server(40).await;
    stocked(&server).await;
    server.run("postgres", "ALTER ROLE shop CONNECTION LIMIT 3").await.unwrap();
    let store = store(&server);
    let (subject, stop): (Subject, _) = (Arc::new(store.clone()), AtomicBool::new(false));
    // GIVEN clients whose reads keep every connection busy
    let busy = async {
        while !stop.load(Ordering::Relaxed) {
            join_all((0..20).map(|_| contract::on_hand(&subject, "A", "BER"))).await;
        }
    };
    let admin = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // THEN a step of the relay's lane is done all the same
        let backlog = store.lane(Lane::Admin).backlog(&inventory::group(), Duration::from_secs(5)).await;
        stop.store(true, Ordering::Relaxed);
        backlog
    };
    let (_, backlog) = tokio::join!(busy, admin);
    assert!(backlog.is_ok(), "{backlog:?}");
}

fn control(server: &LocalServer) -> PostgresControl {
    let settings = ControlSettings {
        url: url(server),
        tls: TlsWords::default(),
        connections: NonZeroUsize::new(4).unwrap(),
        connect_timeout: Duration::from_secs(2),
        limit: Duration::from_secs(5),
    };
    PostgresControl::new(&settings).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_store_with_one_connection_goes_on_and_lets_a_command_in() {
    let server = server(40).await;
    let store = control(&server);
    store.prepare().await.unwrap();
    drop(store);
    server.run("postgres", "ALTER ROLE shop CONNECTION LIMIT 1").await.unwrap();
    let (store, command) = (control(&server), control(&server));
    let stop = AtomicBool::new(false);
    // GIVEN a replica that waits for news, and asks and asks; the one connection may be the one that listens
    let replica = async {
        while !stop.load(Ordering::Relaxed) {
            store.wait_for_change(None, Duration::from_millis(400)).await.unwrap();
            let asked = join_all((0..6).map(|_| store.newest())).await;
            assert!(asked.iter().all(Result::is_ok), "{asked:?}");
        }
    };
    let operator = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // THEN a command comes in
        let mut came_in = false;
        for _ in 0..4 {
            came_in = came_in || command.newest().await.is_ok();
        }
        // And when it has ended, the replica goes on.
        drop(command);
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.store(true, Ordering::Relaxed);
        came_in
    };
    let (_, came_in) = tokio::join!(replica, operator);
    assert!(came_in, "a command never comes in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_how_many_connections_it_has_for_a_role() {
    let server = server(20).await;
    let look = store(&server).server(WITHIN).await.unwrap().unwrap();
    assert_eq!((look.room, look.of_role, look.of_database, look.local), (17, None, None, true));
    server.run("postgres", "ALTER ROLE shop CONNECTION LIMIT 9").await.unwrap();
    server.run("postgres", "ALTER DATABASE shop CONNECTION LIMIT 11").await.unwrap();
    let again = store(&server).server(WITHIN).await.unwrap().unwrap();
    assert_eq!((again.of_role, again.of_database), (Some(9), Some(11)));
    assert_eq!(again.server, look.server);
    let control = control(&server).server().await.unwrap().unwrap();
    assert_eq!((control.server, control.database), (look.server, "shop".to_owned()));
}
