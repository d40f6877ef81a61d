//! A client that means harm does its worst from one address, while another measures. Nothing here is judged by the clock:
//! what the process counts as held, its connections, and that customers, probes and operators are answered.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::future::join_all;
use serde_json::{Value as Json, json};
use testkit::fleet::Replica;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::fleet::{Fleet, metric, reads, storefront};
use crate::erp::article;
use crate::rig::until;

const CONNECTIONS: u64 = 120;
const BODIES: u64 = 4_000_000;
const MEMORY: u64 = 16_000_000;
const REQUEST: u64 = 4_000_000;
const PLANS: u64 = 2_000_000;

const ADJUST: &str = "mutation($s: ID!) { adjustStock(sku: $s, location: \"BER1\", delta: -1) { onHand } }";
const LOOK: &str = "query($s: ID!) { stockLevel(sku: $s, location: \"BER1\") { onHand } }";
const MANY: &str = "query($s: [ID!]!) { products(skus: $s) { sku name description unit unitPrice weight } }";
const UPSERT: &str = "mutation($i: ProductInput!) { upsertProduct(input: $i) { sku } }";

/// A connection from the attacker's address.
async fn connect(graphql: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.2:0".parse().unwrap())?;
    socket.connect(graphql).await
}

fn head(length: usize, more: &str) -> String {
    format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n"
    )
}

/// One request on a connection of its own; how it was answered does not matter.
async fn send(graphql: SocketAddr, body: &Json, more: &str) {
    let body = body.to_string();
    let Ok(mut stream) = connect(graphql).await else { return };
    let request = head(body.len(), &format!("{more}connection: close\r\n")) + &body;
    if stream.write_all(request.as_bytes()).await.is_ok() {
        let _ = stream.read_to_end(&mut Vec::new()).await.is_ok();
    }
}

/// A document of few bytes that stands for many selections; each is another one.
fn bomb(number: usize) -> String {
    let mut query = format!("query Q{number} {{ product(sku: \"{number}\") {{ ...F0 }} }} ");
    for level in 0..6 {
        let next = level + 1;
        let _ = write!(query, "fragment F{level} on Product {{ ");
        for place in 0..4 {
            let _ = write!(query, "a{place}: stockLevels {{ product {{ ...F{next} }} }} ");
        }
        query += "} ";
    }
    query + "fragment F6 on Product { sku }"
}

/// Every known bomb, over and over, until told to stop.
async fn attack(graphql: SocketAddr, stop: Arc<AtomicBool>, rounds: Arc<AtomicU64>) {
    let skus: Vec<_> = (0..490).map(|n| format!("X{n}")).collect();
    let dear = json!({ "query": MANY, "variables": { "s": skus } });
    let digits = "7".repeat(900_000);
    let fields = ["name", "description", "unit", "unitPrice", "weight", "active", "soldUntil"];
    for round in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let selection: String =
            (0..fields.len()).filter(|bit| round & (1 << bit) != 0).map(|bit| format!("{} ", fields[bit])).collect();
        let columns = json!({ "query": format!("{{ product(sku: \"Y{round}\") {{ sku {selection} }} }}") });
        let product = json!({ "sku": "Z", "name": "z", "unitPrice": digits });
        let decimal = json!({ "query": UPSERT, "variables": { "i": product } });
        let refused = json!({ "query": ADJUST, "variables": { "s": format!("N{round}") } });
        let token = format!("x-strangler-version: {}\r\n", uuid::Uuid::now_v7());
        let (stands_for_much, batch) = (json!({ "query": bomb(round) }), json!(vec![&dear; 10]));
        tokio::join!(
            send(graphql, &stands_for_much, ""),
            send(graphql, &batch, ""),
            send(graphql, &dear, ""),
            send(graphql, &decimal, ""),
            send(graphql, &columns, &token),
            send(graphql, &refused, ""),
        );
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

/// Holds every connection it can get: some silent, some with a body that does not go on.
async fn hold(graphql: SocketAddr) -> Vec<TcpStream> {
    let body = "x".repeat(400_000);
    let open = (0..CONNECTIONS * 2).map(async |number| {
        let mut stream = connect(graphql).await.ok()?;
        if number % 3 == 0 {
            let _ = stream.write_all((head(900_000, "") + &body).as_bytes()).await.is_ok();
        }
        Some(stream)
    });
    join_all(open).await.into_iter().flatten().collect()
}

/// What the replica holds is within what it may.
async fn is_within(replica: &Replica) {
    for (name, most) in [
        ("strangler_body_bytes ", BODIES),
        ("strangler_request_bytes ", MEMORY),
        ("strangler_plan_cache_bytes ", PLANS),
        ("strangler_http_connections ", CONNECTIONS),
    ] {
        let held = metric(replica, name).await.unwrap_or_default();
        assert!(held <= most as f64, "{name} {held}, at most {most}");
    }
}

async fn sent_away(replica: &Replica, budget: &str) -> f64 {
    let line = format!("strangler_overloaded_total{{budget=\"{budget}\",reason=\"address\"}}");
    metric(replica, &line).await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_means_harm_costs_no_more_than_its_share() {
    // GIVEN a replica at 100 %, and small budgets
    let mut fleet = Fleet::new().await;
    fleet.set(&["--stage", "shift", "--reads", "100"]).await;
    fleet.site.environment = [
        ("CONNECTIONS", CONNECTIONS),
        ("BODY_BUDGET_BYTES", BODIES),
        ("MEMORY_BUDGET_BYTES", MEMORY),
        ("REQUEST_BYTES", REQUEST),
        ("PLAN_CACHE_BYTES", PLANS),
    ]
    .map(|(key, value)| (format!("STRANGLER__GATEWAY__{key}"), value.to_string()))
    .to_vec();
    let replica = fleet.site.start("one").await;
    let graphql: SocketAddr = replica.graphql["http://".len()..].trim_end_matches("/graphql").parse().unwrap();
    // WHEN somebody sends every known bomb, and holds every connection and body that he can get
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut attackers = JoinSet::new();
    for _ in 0..4 {
        attackers.spawn(attack(graphql, Arc::clone(&stop), Arc::clone(&rounds)));
    }
    until("the attack is under way", async || rounds.load(Ordering::Relaxed) > 4).await;
    let held = hold(graphql).await;
    // THEN customers are served, probes are answered, and nothing is held beyond the budgets
    let customer = storefront(&replica);
    for round in 0_i64..20 {
        let sku = json!({ "s": article(1) });
        let written = customer.ask(ADJUST, &sku).await.unwrap();
        assert_eq!((written.code(), &written.data["adjustStock"]["onHand"]), (None, &json!(99 - round)));
        let read = customer.ask(LOOK, &sku).await.unwrap();
        assert_eq!(read.data["stockLevel"]["onHand"], json!(99 - round), "{:?}", read.errors);
        assert_eq!(replica.get("/health/ready").await.unwrap().0, 200);
        is_within(&replica).await;
    }
    assert!(sent_away(&replica, "connections").await > 0.0);
    // AND a rollback reaches it
    fleet.site.must_run(&["groups", "rollback", "inventory", "--reason", "an attack"]).await;
    assert!(reads(&replica).await.abs() < 1e-9);
    stop.store(true, Ordering::Relaxed);
    drop(held);
    while let Some(ended) = attackers.join_next().await {
        ended.unwrap();
    }
    // AND when it is over nothing is held
    until("nothing is held", async || {
        let held =
            [metric(&replica, "strangler_body_bytes ").await, metric(&replica, "strangler_request_bytes ").await];
        held.iter().flatten().sum::<f64>() == 0.0
    })
    .await;
}
