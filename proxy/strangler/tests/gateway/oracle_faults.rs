//! Every step of a write on an Oracle meets every fault that a session can have: the client is told the truth, and
//! once it was told that it is done, the write stands once on both sides.
//!
//! The stores, the driver and its threads are real; the stand-in for Oracle's client library makes the faults. The
//! same table with faults around any store, and paused time, is `fault_table`.
//!
//! Time is real as well. That no write is lost, halved or done twice is held in every attempt; that the client does
//! not notice a fault, or is asked to try again, is a promise while there is time left, so on a machine that had none
//! the case is tried anew.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use adapters::oracle::{OracleStore, Settings};
use adapters::postgres::{self, PostgresStore};
use data_plane::catchup::relay::RelaySettings;
use model::{PerSide, Side, Stage, Store};
use serde_json::json;
use testkit::oracle::{plan_faults, settings_over};
use testkit::postgres::Database;

use crate::erp::connect;
use crate::rig::{Ground, Pace, Replica, until};

/// A step of a write, by what is sent, and who waits for it.
const STEPS: [(&str, &str, Waits); 9] = [
    ("take locks", "exec:DBMS_LOCK", Waits::Client),
    ("known key?", "exec:idempotency_key = ", Waits::Client),
    ("work", "exec:UPDATE SHELF", Waits::Client),
    ("read back", "exec:FOR UPDATE WAIT", Waits::Client),
    ("prove fence", "exec:IS NULL AND l.log = ", Waits::Client),
    ("ledger", "exec:INSERT INTO strangler_ledger", Waits::Client),
    ("commit", "commit", Waits::Client),
    ("settle", "exec:SET state = ", Waits::Nobody),
    ("relay: lease", "exec:SKIP LOCKED", Waits::Nobody),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Client,
    Nobody,
}

const FAULTS: [&str; 6] = ["ora-00060", "ora-04068", "lost-ack", "kill", "hang", "latency=150ms"];

/// How often a case is tried until the machine had time for it.
const ATTEMPTS: usize = 4;

/// Codes that invite to try again.
const PASSING: [&str; 3] = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN"];

const MOVE: &str = "mutation($from: ID!, $to: ID!) { move(from: $from, to: $to, quantity: 10) { onHand } }";

struct Site {
    databases: PerSide<Database>,
    erp: Settings,
    ground: Ground,
}

impl Site {
    async fn new() -> Self {
        let databases = PerSide { legacy: Database::fresh("erp").await, modern: Database::fresh("shop").await };
        let table = |name: &str, columns: &str| {
            let count = STEPS.len() * FAULTS.len() * ATTEMPTS;
            format!(
                "CREATE TABLE {name} {columns}; INSERT INTO {name} SELECT p || n, 100 \
                 FROM generate_series(1, {count}) n, unnest(ARRAY['A', 'B']) p"
            )
        };
        let legacy = table("SHELF", "(ID char(8) PRIMARY KEY, QTY numeric NOT NULL, NOTE varchar(40))");
        let modern = table("shelf", "(id varchar(8) PRIMARY KEY, on_hand integer NOT NULL, note varchar(40))");
        connect(&databases.legacy).await.batch_execute(&legacy).await.unwrap();
        connect(&databases.modern).await.batch_execute(&modern).await.unwrap();
        let loaded = contract::load(include_str!("shelves.graphql"), "shelves.graphql").unwrap();
        let erp = settings_over(&databases.legacy);
        let contract = &loaded.contract;
        let legacy: Arc<dyn Store> = Arc::new(OracleStore::connect(Side::Legacy, Arc::clone(contract), &erp).unwrap());
        let shop = postgres::Settings::new(databases.modern.url());
        let modern: Arc<dyn Store> =
            Arc::new(PostgresStore::connect(Side::Modern, Arc::clone(contract), &shop).unwrap());
        let ground = Ground::new(loaded, PerSide { legacy, modern });
        ground.prepare().await;
        ground.set(Stage::Shift, 100.0, 0.0);
        Self { databases, erp, ground }
    }

    /// What both shelves of a case hold on a side.
    async fn on_hand(&self, side: Side, number: usize) -> [i64; 2] {
        let sql = match side {
            Side::Legacy => "SELECT QTY::bigint FROM SHELF WHERE ID IN ($1, $2) ORDER BY ID",
            Side::Modern => "SELECT on_hand::bigint FROM shelf WHERE id IN ($1, $2) ORDER BY id",
        };
        let (a, b) = (format!("A{number}"), format!("B{number}"));
        let rows = connect(self.databases.get(side)).await.query(sql, &[&a, &b]).await.unwrap();
        [rows[0].get(0), rows[1].get(0)]
    }
}

/// What the client was told, each time.
async fn transfer(replica: &Replica, number: usize) -> String {
    let shelves = json!({ "from": format!("A{number}"), "to": format!("B{number}") });
    let key = number.to_string();
    let reply = replica.ask_with(MOVE, &shelves, &[("idempotency-key", &key)]).await;
    if reply.body["errors"].is_null() { "done".to_owned() } else { reply.code().to_owned() }
}

/// One write that meets a fault at a step, on shelves of its own, until it is done. What the client was told first.
async fn attempt(site: &Site, replica: &Replica, planned: &str, number: usize) -> String {
    plan_faults(&site.erp, &format!("{planned}:1"));
    let mut told = vec![transfer(replica, number).await];
    match told[0].as_str() {
        "done" => assert_eq!(site.on_hand(Side::Legacy, number).await, [90, 110], "{planned}"),
        // It may still be under way.
        "OUTCOME_UNKNOWN" => {}
        code => {
            assert!(PASSING.contains(&code), "{planned}: {code}");
            assert_eq!(site.on_hand(Side::Legacy, number).await, [100, 100], "{planned}: {code}");
        }
    }
    plan_faults(&site.erp, "");
    while told.last().is_some_and(|last| last != "done") {
        assert!(told.len() < 8 && told.iter().all(|code| PASSING.contains(&code.as_str())), "{planned}: {told:?}");
        told.push(transfer(replica, number).await);
    }
    // A repeat after it is done changes nothing.
    assert_eq!(transfer(replica, number).await, "done", "{planned}");
    until("both sides have it once", async || {
        let both = [site.on_hand(Side::Legacy, number).await, site.on_hand(Side::Modern, number).await];
        both == [[90, 110], [90, 110]]
    })
    .await;
    told.swap_remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_a_write_on_an_oracle_survives_every_fault() {
    let site = Site::new().await;
    let relay = RelaySettings { older_than: Duration::from_millis(300), ..RelaySettings::default() };
    let pace = Pace { relay: Some(relay), deadline: Duration::from_millis(1_500), ..Pace::default() };
    let replica = Replica::ready(&site.ground, &pace).await;
    let mut table = format!("{:<14} {:<14} the client is told\n", "step", "fault");
    let mut numbers = 1..;
    for ((step, sent, waits), fault) in STEPS.iter().flat_map(|step| FAULTS.iter().map(move |fault| (step, fault))) {
        // Only what never answers may be noticed, where the client waits for it.
        let noticed = *fault == "hang" && *waits == Waits::Client;
        let mut left = ATTEMPTS;
        let first = loop {
            let number = numbers.next().expect("numbers do not end");
            let first = attempt(&site, &replica, &format!("{sent}:{fault}"), number).await;
            left -= 1;
            if noticed || first == "done" || left == 0 {
                break first;
            }
        };
        // Which of the codes it is says only where the time was over.
        let told = if first == "done" { "done" } else { "to try again, then done" };
        let _ = writeln!(table, "{step:<14} {fault:<14} {told}");
    }
    site.ground.settled().await;
    insta::assert_snapshot!(table);
}
