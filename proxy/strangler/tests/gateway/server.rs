//! A gateway on a real socket: draining, and clients that are slow or many.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use gateway::GatewayConfig;
use net::budget::Share;
use net::client::TrustedProxies;
use serde_json::json;
use server::Port;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::fake::{World, world_with};

/// A gateway that listens.
pub(crate) struct Listening {
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

pub(crate) async fn listening(change: impl FnOnce(&mut GatewayConfig)) -> Listening {
    let world = world_with(change);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, asked) = oneshot::channel();
    let router: Router = gateway::router(world.gateway.clone());
    let gateway = world.gateway.clone();
    let served = tokio::spawn(async move {
        let asked = async {
            let _ = asked.await;
        };
        gateway::serve(Port::plain(listener), router, gateway, asked).await;
    });
    Listening { world, address, shutdown, served }
}

impl Listening {
    pub(crate) fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// As SIGTERM does; returns when the server has ended.
    pub(crate) async fn shut_down(self) {
        self.shutdown.send(()).unwrap();
        timeout(Duration::from_secs(10), self.served).await.unwrap().unwrap();
    }
}

fn request(query: &str) -> String {
    let body = json!({ "query": query }).to_string();
    let length = body.len();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.unwrap();
        assert_ne!(length, 0, "closed after: {answer}");
        answer.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    answer
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(timeout(Duration::from_secs(5), stream.read(&mut [0; 1])).await, Ok(Ok(0) | Err(_)))
}

async fn until_called(server: &Listening) {
    while server.world.roads.calls.lock().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way_and_closes_what_is_idle() {
    // GIVEN a slow request under way, and a connection that is kept alive and idle
    let server = listening(|_| {}).await;
    let mut idle = server.connect().await;
    idle.write_all(request("{ __typename }").as_bytes()).await.unwrap();
    read_answer(&mut idle).await;
    server.world.delay("Query.item", Duration::from_millis(200));
    let mut slow = server.connect().await;
    slow.write_all(request("{ item(id: 1) { id } }").as_bytes()).await.unwrap();
    until_called(&server).await;
    // WHEN the process is told to end
    let address = server.address;
    let ended = tokio::spawn(server.shut_down());
    // THEN the slow one is answered and told that the connection ends, the idle one is closed
    assert!(is_closed(&mut idle).await);
    let answer = read_answer(&mut slow).await;
    assert!(answer.ends_with(r#"{"data":{"item":{"id":"1"}}}"#), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(is_closed(&mut slow).await);
    ended.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_drain_that_takes_too_long_is_given_up() {
    let server = listening(|config| config.drain = Duration::from_millis(50)).await;
    server.world.delay("Query.item", Duration::from_secs(3_600));
    let mut slow = server.connect().await;
    slow.write_all(request("{ item(id: 1) { id } }").as_bytes()).await.unwrap();
    until_called(&server).await;
    server.shut_down().await;
}

#[tokio::test]
async fn a_mutation_goes_on_when_its_client_goes_away() {
    let server = listening(|_| {}).await;
    server.world.delay("Mutation.drop", Duration::from_millis(50));
    let mut client = server.connect().await;
    client.write_all(request("mutation { a: drop(id: 1) b: drop(id: 2) }").as_bytes()).await.unwrap();
    until_called(&server).await;
    drop(client);
    let roads = server.world.roads.clone();
    // The drain waits for mutations without a client.
    server.shut_down().await;
    assert_eq!(roads.calls.lock().len(), 2);
}

#[tokio::test]
async fn a_client_that_does_not_send_its_head_is_cut_off() {
    let server = listening(|config| config.header_timeout = Duration::from_millis(100)).await;
    // Nothing at all, what may become HTTP/2, and HTTP/1 that does not go on.
    for head in ["", "PRI * HT", "POST /graphql HTTP/1.1\r\nhost:"] {
        let mut client = server.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        assert!(is_closed(&mut client).await, "{head}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let server = listening(|config| config.connections = 1.try_into().unwrap()).await;
    let mut first = server.connect().await;
    first.write_all(request("{ __typename }").as_bytes()).await.unwrap();
    read_answer(&mut first).await;
    let mut second = server.connect().await;
    second.write_all(request("{ __typename }").as_bytes()).await.unwrap();
    assert!(timeout(Duration::from_millis(100), second.read(&mut [0; 1])).await.is_err());
    drop(first);
    assert!(read_answer(&mut second).await.contains("Query"));
}

async fn connect_from(address: &str, server: &Listening) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(server.address).await.unwrap()
}

async fn answers(stream: &mut TcpStream) -> bool {
    stream.write_all(request("{ __typename }").as_bytes()).await.is_ok()
        && matches!(stream.read(&mut [0; 4096]).await, Ok(1..))
}

#[tokio::test]
async fn one_address_cannot_hold_every_connection_of_a_port() {
    let half = |config: &mut GatewayConfig| {
        config.connections = 4.try_into().unwrap();
        config.address_share = Share::new(0.5).unwrap();
    };
    let server = listening(half).await;
    let mut held = [server.connect().await, server.connect().await];
    for stream in &mut held {
        assert!(answers(stream).await);
    }
    // What it opens beyond its share is closed, and another address is served.
    assert!(is_closed(&mut server.connect().await).await);
    assert!(answers(&mut connect_from("127.0.0.2", &server).await).await);
    // What it gives back it may have again.
    drop(held);
    while !answers(&mut server.connect().await).await {}
    // A proxy of ours brings many clients.
    let server = listening(|config| {
        half(config);
        config.trusted_proxies = TrustedProxies::new(vec!["127.0.0.1/32".parse().unwrap()]);
    })
    .await;
    let mut held = [server.connect().await, server.connect().await, server.connect().await];
    for stream in &mut held {
        assert!(answers(stream).await);
    }
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_though_its_client_goes_on_to_speak_http_2() {
    let server = listening(|config| config.header_timeout = Duration::from_millis(100)).await;
    let mut client = server.connect().await;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    client.write_all(&settings).await.unwrap();
    while let Ok(1..) = client.read(&mut [0; 1024]).await {}
}

#[tokio::test]
async fn an_answer_that_its_client_does_not_take_is_given_up() {
    let server = listening(|config| {
        config.header_timeout = Duration::from_millis(200);
        (config.request_bytes, config.memory_budget) = (1 << 28, (1 << 28).try_into().unwrap());
    })
    .await;
    server.world.roads.set("Owner", 0, "name", "x".repeat(32 << 20).as_str());
    let mut client = server.connect().await;
    client.write_all(request("{ item(id: 1) { owner { name } } }").as_bytes()).await.unwrap();
    // It is held while the client might still take it, and not for ever.
    while server.world.gateway.held().1 < 32 << 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while server.world.gateway.held().1 > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
