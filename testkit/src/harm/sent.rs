//! Requests, one after the other on each connection: what they cost, and not how they are sent.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Bomb, Target};

/// A list of keys with all that a product has.
const MANY: &str = "query($s: [ID!]!) { products(skus: $s) { sku name description unit unitPrice weight active } }";
const ADJUST: &str = "mutation($s: ID!) { adjustStock(sku: $s, location: \"BER1\", delta: -1) { onHand } }";
const UPSERT: &str = "mutation($i: ProductInput!) { upsertProduct(input: $i) { sku } }";

/// Sends `bomb` again and again.
pub(super) async fn send(bomb: Bomb, target: Target, thrown: Arc<AtomicUsize>) {
    loop {
        let round = thrown.fetch_add(1, Ordering::Relaxed);
        if bomb == Bomb::Pipelines {
            pipeline(&target).await;
            continue;
        }
        for (body, headers) in requests(bomb, round, &target) {
            once(&target, &body, &headers).await;
        }
        // An attacker who is sent away at once comes again at once; but the machine is this test's, too.
        tokio::task::yield_now().await;
    }
}

/// One request on a connection of its own.
async fn once(target: &Target, body: &str, headers: &str) {
    let Ok(mut stream) = target.connect().await else { return };
    let request = head(body.len(), &format!("{headers}connection: close\r\n")) + body;
    if stream.write_all(request.as_bytes()).await.is_ok() {
        let _ = stream.read_to_end(&mut Vec::new()).await.is_ok();
    }
}

/// Many requests at once, and all of their answers.
async fn pipeline(target: &Target) {
    let Ok(mut stream) = target.connect().await else { return };
    let body = json!({ "query": "{ product(sku: \"P\") { name } }" }).to_string();
    let mut all = (head(body.len(), "") + &body).repeat(99);
    all += &(head(body.len(), "connection: close\r\n") + &body);
    let (mut answers, mut requests) = stream.split();
    let read = async { answers.read_to_end(&mut Vec::new()).await.is_ok() };
    let _ = tokio::join!(read, async { requests.write_all(all.as_bytes()).await.is_ok() });
}

/// The head of a request.
pub(super) fn head(length: usize, more: &str) -> String {
    format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n"
    )
}

/// A list of keys that costs nearly as much as one request may.
fn dear(round: usize) -> Json {
    let skus: Vec<_> = (0..490).map(|n| format!("X{round}-{n}")).collect();
    json!({ "query": MANY, "variables": { "s": skus } })
}

fn requests(bomb: Bomb, round: usize, target: &Target) -> Vec<(String, String)> {
    let plain = |body: Json| vec![(body.to_string(), String::new())];
    let mutation = |query: &str, variables: Json| json!({ "query": query, "variables": variables });
    match bomb {
        Bomb::Deep => vec![
            (json!({ "query": deep(7, round) }).to_string(), String::new()),
            (json!({ "query": deep(90, round) }).to_string(), String::new()),
            (
                format!(
                    "{{\"query\":\"{{ a }}\",\"variables\":{{\"a\":{}1{}}}}}",
                    "[".repeat(5_000),
                    "]".repeat(5_000)
                ),
                String::new(),
            ),
        ],
        Bomb::Wide => vec![
            (json!({ "query": wide(50, 1, round) }).to_string(), String::new()),
            (json!({ "query": wide(1, 1_200, round) }).to_string(), String::new()),
        ],
        Bomb::Fragments => plain(json!({ "query": fragments(round) })),
        Bomb::Batches => plain(json!(vec![dear(round); 10])),
        Bomb::HugeBodies => vec![
            (format!("{{\"query\":\"{{ a }}\",\"variables\":{{\"a\":[{}1]}}}}", "1,".repeat(500_000)), String::new()),
            ("x".repeat(3_000_000), String::new()),
        ],
        Bomb::HugeAnswers => vec![(target.huge.to_string(), String::new())],
        Bomb::Digits => {
            let product = json!({ "sku": "Z", "name": "z", "unitPrice": "7".repeat(900_000) });
            plain(mutation(UPSERT, json!({ "i": product })))
        }
        Bomb::Columns => {
            let fields = ["name", "description", "unit", "unitPrice", "weight", "active", "soldUntil", "updatedAt"];
            let asked: String = (0..fields.len())
                .filter(|bit| round & (1 << bit) != 0)
                .map(|bit| format!("{} ", fields[bit]))
                .collect();
            plain(json!({ "query": format!("{{ product(sku: \"Y{round}\") {{ sku {asked} }} }}") }))
        }
        Bomb::IdempotencyKeys => {
            let key = format!("idempotency-key: harm-{round}\r\n");
            vec![(mutation(ADJUST, json!({ "s": format!("N{round}") })).to_string(), key)]
        }
        Bomb::Tokens => {
            let tokens: Vec<_> = (0..20).map(|_| uuid::Uuid::now_v7().to_string()).collect();
            let token = format!("x-strangler-version: {}\r\n", tokens.join(","));
            vec![(json!({ "query": "{ product(sku: \"T\") { name } }" }).to_string(), token)]
        }
        Bomb::RefusedOrders => plain(json!({ "query": "mutation { placeOrder(quantity: 0) { id } }" })),
        Bomb::FreshKeys => {
            let id = uuid::Uuid::now_v7();
            let order = format!("mutation {{ setOrder(input: {{ id: \"{id}\", quantity: -1 }}) {{ id }} }}");
            plain(json!({ "query": order }))
        }
        Bomb::Sagas => {
            let saga = "mutation($i: ID!) { replaceOrder(id: $i, quantity: 1) { id } }";
            plain(mutation(saga, json!({ "i": "s".repeat(900_000) })))
        }
        Bomb::Pipelines
        | Bomb::Connections
        | Bomb::SlowBodies
        | Bomb::SilentSockets
        | Bomb::UnfinishedMessages
        | Bomb::UnfinishedHeads
        | Bomb::UnreadAnswers
        | Bomb::UnreadSockets
        | Bomb::Drips
        | Bomb::EmptyFragments => Vec::new(),
    }
}

/// A product of its stock levels of their product, and so on.
fn deep(levels: usize, round: usize) -> String {
    let open = "stockLevels { product { ".repeat(levels);
    format!("query D{round} {{ product(sku: \"ITM-001\") {{ {open} name {} }} }}", "} } ".repeat(levels))
}

fn wide(roots: usize, names: usize, round: usize) -> String {
    let mut query = format!("query W{round} {{ ");
    for root in 0..roots {
        let _ = write!(query, "r{root}: product(sku: \"W{root}\") {{ sku ");
        for name in 0..names {
            let _ = write!(query, "n{name}: name ");
        }
        query += "} ";
    }
    query + "}"
}

/// A document of few bytes that stands for 4⁶ selections.
fn fragments(round: usize) -> String {
    let mut query = format!("query Q{round} {{ product(sku: \"{round}\") {{ ...F0 }} }} ");
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

/// Everything of every article, each many times over: as much as a request may cost.
pub(super) fn huge(articles: &[String]) -> String {
    let again: String = (0..20).map(|n| format!("n{n}: name d{n}: description ")).collect();
    let query = format!("query($s: [ID!]!) {{ products(skus: $s) {{ sku {again} }} }}");
    let skus: Vec<_> = articles.iter().cycle().take(450).collect();
    json!({ "query": query, "variables": { "s": skus } }).to_string()
}
