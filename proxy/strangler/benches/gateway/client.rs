//! A client that costs little: the cores it burns are those of what it measures. One connection, requests
//! built by hand, of the answer only what tells success from failure.

use std::sync::Arc;

use rand::RngExt;
use testkit::fleet::Replica;
use testkit::load::Worker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::{Bench, Shelf};

/// One keep-alive connection to the gateway.
struct Wire {
    stream: TcpStream,
    host: String,
    sent: Vec<u8>,
    got: Vec<u8>,
}

impl Wire {
    async fn open(url: &str) -> Self {
        let host = url.trim_start_matches("http://").trim_end_matches("/graphql").to_owned();
        let stream = TcpStream::connect(&host).await.expect("the replica listens");
        stream.set_nodelay(true).expect("a fresh connection takes options");
        Self { stream, host, sent: Vec::with_capacity(1024), got: Vec::with_capacity(4096) }
    }

    /// Sends one request and takes its answer in.
    async fn ask(&mut self, body: &str) {
        self.sent.clear();
        let (host, length) = (&self.host, body.len());
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        self.sent.extend_from_slice(head.as_bytes());
        self.sent.extend_from_slice(body.as_bytes());
        self.stream.write_all(&self.sent).await.expect("the replica reads");
        self.got.clear();
        loop {
            let count = self.stream.read_buf(&mut self.got).await.expect("the replica answers");
            assert!(count > 0, "the replica hung up");
            if is_complete(&self.got) {
                break;
            }
        }
        let good = self.got.starts_with(b"HTTP/1.1 200") && find(&self.got, b"\"errors\"").is_none();
        assert!(good, "refused: {}", String::from_utf8_lossy(&self.got));
    }
}

/// Whether head and body are all there.
fn is_complete(answer: &[u8]) -> bool {
    let Some(head) = find(answer, b"\r\n\r\n") else { return false };
    let name = b"content-length: ";
    let length = find(&answer[..head], name).map(|place| &answer[place + name.len()..head]);
    let digits = length.into_iter().flatten().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    answer.len() >= head + 4 + length
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Looks stock levels up through the gateway.
pub(crate) struct GatewayRead {
    wire: Wire,
    shelves: Arc<Vec<Shelf>>,
}

impl GatewayRead {
    pub(crate) async fn new(bench: &Bench) -> Self {
        Self { wire: Wire::open(&bench.replica.graphql).await, shelves: Arc::clone(&bench.shelves) }
    }
}

impl Worker for GatewayRead {
    async fn once(&mut self) {
        let shelf = &self.shelves[rand::rng().random_range(0..self.shelves.len())];
        let (sku, location) = (&shelf.sku, &shelf.location);
        let body = format!(
            r#"{{"query":"query($s:ID!,$l:ID!){{stockLevel(sku:$s,location:$l){{sku location onHand reserved}}}}","variables":{{"s":"{sku}","l":"{location}"}}}}"#
        );
        self.wire.ask(&body).await;
    }
}

/// Upserts products through the gateway.
pub(crate) struct GatewayWrite {
    wire: Wire,
    skus: Arc<Vec<String>>,
}

impl GatewayWrite {
    pub(crate) async fn new(bench: &Bench) -> Self {
        Self::at(&bench.replica, bench).await
    }

    /// At another replica of the same site.
    pub(crate) async fn at(replica: &Replica, bench: &Bench) -> Self {
        Self { wire: Wire::open(&replica.graphql).await, skus: Arc::clone(&bench.skus) }
    }
}

impl Worker for GatewayWrite {
    async fn once(&mut self) {
        let sku = &self.skus[rand::rng().random_range(0..self.skus.len())];
        let cents = rand::rng().random_range(100..100_000);
        let body = format!(
            r#"{{"query":"mutation($i:ProductInput!){{upsertProduct(input:$i){{sku unitPrice}}}}","variables":{{"i":{{"sku":"{sku}","name":"Hex bolt M8, brass","description":"Supplier part 4711","unit":"EACH","unitPrice":"{}.{:02}","weight":"0.125","active":true,"soldUntil":null}}}}}}"#,
            cents / 100,
            cents % 100
        );
        self.wire.ask(&body).await;
    }
}
