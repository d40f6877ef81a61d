//! Replicas that are killed in the middle of sagas, under load: the others finish or undo what they have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::Side;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use testkit::fleet::{Replica, free_port};
use tokio_util::sync::CancellationToken;

use super::{Fleet, Order};
use crate::rig::until;

/// Others take up what a dead replica left after three times the first.
const CONFIG: &str = "[sagas]\nstep_timeout_ms = 500\nlongest_pause_ms = 1000\n";
const CUSTOMERS: usize = 6;
const SKUS: [&str; 4] = ["A", "B", "C", "D"];

/// What a saga waits for when its replica is killed: a lock in the ERP, or nothing in particular.
const MOMENTS: [Option<&str>; 8] = [
    // In the first step, or in the compensation of it.
    Some("stk"),
    // Between the first step and the second.
    Some("ordhdr"),
    // Between the second and the third; those that weigh too much are undone next.
    Some("parcel"),
    // A saga that begins, or whose step stands and is not noted.
    Some("strangler_saga"),
    // Within any step: its write is not in the ledger yet.
    Some("strangler_ledger"),
    None,
    None,
    None,
];

/// How many sagas were taken from the log by somebody: the revision rises with each outcome, and with that.
const TAKEN_UP: &str = "SELECT count(*) FROM strangler_saga WHERE revision > 1 + \
    (SELECT sum((step->>'attempts')::int) FROM jsonb_array_elements(document::jsonb->'steps') AS step)";

/// An order, and how its customer was told that it ended.
type Told = (Order, Result<i64, String>);

/// Customers, and how their orders ended.
struct Customers {
    stop: CancellationToken,
    told: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Vec<Told>>>,
}

impl Customers {
    /// They order until they are stopped, each at any replica, and ask again until they are told how it ended.
    fn come(addresses: &[String], seed: u64) -> Self {
        let (stop, told) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let buy = |customer: usize| {
            let (stop, told, addresses) = (stop.clone(), Arc::clone(&told), addresses.to_vec());
            let mut random = StdRng::seed_from_u64(seed * 100 + customer as u64);
            tokio::spawn(async move {
                let mut ended = Vec::new();
                while !stop.is_cancelled() {
                    let id = format!("O-{customer}-{}", ended.len());
                    let sku = SKUS[random.random_range(0..SKUS.len())];
                    let order = Order { id, sku, quantity: random.random_range(1..=9) };
                    let outcome = loop {
                        match order.place_at(&addresses[random.random_range(0..addresses.len())]).await {
                            // The connection broke, a side did not answer, or the saga goes on: the key tells later.
                            None => {}
                            Some(Err(code)) if PASSING.contains(&code.as_str()) => {}
                            Some(outcome) => break outcome,
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    };
                    told.fetch_add(1, Ordering::Relaxed);
                    ended.push((order, outcome));
                }
                ended
            })
        };
        let tasks = (0..CUSTOMERS).map(buy).collect();
        Self { stop, told, tasks }
    }

    /// Waits until so many more were told.
    async fn go_on(&self, more: usize) {
        let wanted = self.told.load(Ordering::Relaxed) + more;
        until("customers are told how their orders ended", async || self.told.load(Ordering::Relaxed) >= wanted).await;
    }

    async fn go(self) -> Vec<Told> {
        self.stop.cancel();
        futures::future::join_all(self.tasks).await.into_iter().flat_map(Result::unwrap).collect()
    }
}

/// Codes after which a customer asks again.
const PASSING: [&str; 4] = ["SAGA_UNDER_WAY", "OUTCOME_UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED"];

/// What must become of an order of so many.
fn expected(quantity: i64) -> Result<i64, String> {
    match quantity {
        ..=5 => Ok(quantity),
        6..=8 => Err("TOO_HEAVY".to_owned()),
        9.. => Err("TOO_MANY".to_owned()),
    }
}

/// Every saga is wholly done or wholly undone on `side`, as its customer was told.
async fn check_books(fleet: &Fleet, side: Side, told: &[Told]) {
    let (stock, orders, parcels) = match side {
        Side::Legacy => (
            "SELECT trim(SKU), FREE::bigint, RSV::bigint FROM STK ORDER BY 1",
            "SELECT trim(ORDID) FROM ORDHDR ORDER BY 1",
            "SELECT trim(ORDID) FROM PARCEL ORDER BY 1",
        ),
        Side::Modern => (
            "SELECT sku, free::bigint, reserved::bigint FROM stock ORDER BY 1",
            "SELECT id FROM orders ORDER BY 1",
            "SELECT order_id FROM parcel ORDER BY 1",
        ),
    };
    let client = fleet.connect(side).await;
    let done: Vec<&Order> = told.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(order, _)| order).collect();
    let mut ids: Vec<&str> = done.iter().map(|order| order.id.as_str()).collect();
    ids.sort_unstable();
    for sql in [orders, parcels] {
        let rows = client.query(sql, &[]).await.unwrap();
        let mut found: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        found.sort_unstable();
        assert_eq!(found, ids, "{side}: {sql}");
    }
    for row in client.query(stock, &[]).await.unwrap() {
        let (sku, free, reserved): (&str, i64, i64) = (row.get(0), row.get(1), row.get(2));
        let sold: i64 = done.iter().filter(|order| order.sku == sku).map(|order| order.quantity).sum();
        assert_eq!((free, reserved), (100_000 - sold, sold), "{side}: article {sku}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sagas_of_replicas_that_are_killed_under_load_are_finished_or_undone_by_others() {
    let seed = std::env::var("STRANGLER_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(5);
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    // GIVEN three replicas, and customers whose orders are done, or undone after one step or two
    let fleet = Fleet::new(CONFIG).await;
    let names = ["one", "two", "three"];
    let mut ports = Vec::new();
    let mut replicas: Vec<Replica> = Vec::new();
    for name in names {
        ports.push((free_port().await, free_port().await));
        let (graphql, admin) = *ports.last().unwrap();
        replicas.push(fleet.site.start_on(name, graphql, admin).await);
    }
    let addresses: Vec<String> = replicas.iter().map(|replica| replica.graphql.clone()).collect();
    let customers = Customers::come(&addresses, seed);
    customers.go_on(30).await;
    // WHEN one replica after the other is killed, each at another moment of its sagas
    for (round, moment) in MOMENTS.iter().enumerate() {
        let place = round % replicas.len();
        let obstacle = fleet.connect(Side::Legacy).await;
        match moment {
            Some(table) => {
                obstacle.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE")).await.unwrap();
                fleet.waits_for(table).await;
                // Whoever comes now comes to the obstacle too, on each replica.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            None => tokio::time::sleep(Duration::from_millis(random.random_range(1..300))).await,
        }
        replicas[place].kill();
        if moment.is_some() {
            obstacle.batch_execute("COMMIT").await.unwrap();
        }
        // Customers are served by the others meanwhile, and get to know how the dead one's sagas end.
        customers.go_on(20).await;
        let (graphql, admin) = ports[place];
        replicas[place] = fleet.site.start_on(names[place], graphql, admin).await;
    }
    let told = customers.go().await;
    let taken_up = fleet.count(Side::Legacy, TAKEN_UP).await;
    println!("{} sagas, {taken_up} of them taken up when their replica had died", told.len());
    assert!(taken_up > 0, "nobody died in the middle of a saga");
    // THEN every customer was told what had to come of the order, and is told it again
    for (order, outcome) in &told {
        assert_eq!(*outcome, expected(order.quantity), "{order:?}");
    }
    for (order, outcome) in told.iter().rev().take(60) {
        assert_eq!(order.place(&replicas[0]).await.as_ref(), Some(outcome), "{order:?} again");
    }
    // and every saga is wholly done or wholly undone, on both sides, and nothing else was begun
    let done = told.iter().filter(|(_, outcome)| outcome.is_ok()).count();
    for (status, count) in [("done", done), ("undone", told.len() - done)] {
        let sql = format!("SELECT count(*) FROM strangler_saga WHERE status = '{status}'");
        assert_eq!(fleet.count(Side::Legacy, &sql).await, count as i64, "{status}");
    }
    assert_eq!(fleet.count(Side::Legacy, "SELECT count(*) FROM strangler_saga").await, told.len() as i64);
    until("every write is settled", async || {
        fleet.count(Side::Legacy, "SELECT count(*) FROM strangler_ledger WHERE state = 'unsettled'").await == 0
    })
    .await;
    for side in Side::BOTH {
        check_books(&fleet, side, &told).await;
    }
}
