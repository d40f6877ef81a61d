//! What is open already ends with what it rests on.

use std::num::NonZeroUsize;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_util::sync::DropGuard;

use super::*;
use net::budget::{Budget, Share};
use net::client::TrustedProxies;
use server::{Limits, Port};

const ORDER: &str = "mutation { withdraw(id: \"00\", reason: \"a try\") { id } }";

struct Socket(WebSocketStream<TcpStream>);

/// The desk's port, listening; and its file of tokens, followed.
async fn listening(desk: &Desk) -> (SocketAddr, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let limits = Limits {
        connections: NonZeroUsize::MIN.saturating_add(63),
        address_share: Share::new(1.0).unwrap(),
        trusted_proxies: TrustedProxies::default(),
        buffers: Budget::endless(),
        header_timeout: Duration::from_secs(20),
        drain: Duration::from_millis(10),
        gauge: None,
    };
    let (router, stopped) = (desk.router.clone(), stop.clone());
    tokio::spawn(async move {
        server::serve(Port { listener, tls: None }, router, &limits, stopped.cancelled()).await;
    });
    tokio::spawn(desk.auth.clone().follow(stop.clone()));
    (address, stop.drop_guard())
}

impl Socket {
    async fn open(address: SocketAddr, header: (&'static str, String)) -> Self {
        let mut request = format!("ws://{address}/api/graphql").into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        headers.insert("origin", format!("http://{address}").parse().unwrap());
        headers.insert(header.0, header.1.parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        let mut socket = Self(socket);
        socket.send(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.next().await.unwrap(), json!({ "type": "connection_ack" }));
        socket
    }

    async fn with_token(address: SocketAddr, token: &str) -> Self {
        Self::open(address, ("authorization", format!("Bearer {token}"))).await
    }

    async fn send(&mut self, message: Json) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message; the code with which it was closed, where it was.
    async fn next(&mut self) -> Result<Json, u16> {
        loop {
            match tokio::time::timeout(Duration::from_secs(10), self.0.next()).await.unwrap() {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(frame)))) => return Err(frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(0),
            }
        }
    }

    /// The code of the error that answers an order.
    async fn order(&mut self) -> Json {
        self.send(json!({ "id": "1", "type": "subscribe", "payload": { "query": ORDER } })).await;
        loop {
            let next = self.next().await.unwrap();
            if next["id"] == "1" && next["type"] == "next" {
                return next["payload"]["errors"][0]["extensions"]["code"].clone();
            }
        }
    }

    async fn subscribe(&mut self) {
        let query = "subscription { groups(everyMillis: 500) { name } }";
        self.send(json!({ "id": "live", "type": "subscribe", "payload": { "query": query } })).await;
        // What ended before may still be on its way.
        while self.next().await.unwrap()["id"] != "live" {}
    }

    /// The code with which the socket is closed, whatever comes before.
    async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_left_its_file_ends_what_it_had_open() {
    let desk = Desk::new();
    let (address, _stop) = listening(&desk).await;
    let mut ada = Socket::with_token(address, &desk.operator).await;
    let mut idle = Socket::with_token(address, &desk.operator).await;
    let mut vic = Socket::with_token(address, &desk.viewer).await;
    ada.subscribe().await;
    assert_eq!(ada.order().await, "UNKNOWN_PROPOSAL", "an operator may withdraw");
    // WHEN ada's token is revoked
    desk.write(&desk.lines[..1]);
    // THEN both of her sockets are closed, the live figures and the silent one
    assert_eq!((ada.closed().await, idle.closed().await), (4_401, 4_401));
    // and the other one goes on.
    assert_eq!(vic.order().await, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_was_lowered_holds_for_the_next_order_on_an_open_socket() {
    let desk = Desk::new();
    let (address, _stop) = listening(&desk).await;
    let mut ada = Socket::with_token(address, &desk.operator).await;
    assert_eq!(ada.order().await, "UNKNOWN_PROPOSAL");
    desk.write(&[desk.lines[0].clone(), desk.lines[1].replace("operator", "viewer")]);
    let lowered = async {
        while ada.order().await != "FORBIDDEN" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), lowered).await.unwrap();
    ada.subscribe().await;
}

#[tokio::test]
async fn a_socket_ends_with_the_last_day_of_its_token_and_with_its_session() {
    let over = token::make(rand::random(), "eve", Role::Operator, Some(clock().to_utc().date_naive())).unwrap();
    let desk = Desk::new();
    desk.write(&[desk.lines.clone(), vec![over.line.clone()]].concat());
    let (address, _stop) = listening(&desk).await;
    let known = async {
        while desk.send(get("/api/v1/me").token(&over.token)).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), known).await.unwrap();
    let mut eve = Socket::with_token(address, &over.token).await;
    let form = [("token", desk.operator.as_str())];
    let signed_in = desk.send(post("/login").header("origin", "http://localhost:9090").form(&form)).await;
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    let mut ada = Socket::open(address, ("cookie", cookie)).await;
    assert_eq!((eve.order().await, ada.order().await), ("UNKNOWN_PROPOSAL".into(), "UNKNOWN_PROPOSAL".into()));
    // WHEN the day is over, and ada's browser has long been silent
    later(86_400);
    assert_eq!((eve.closed().await, ada.closed().await), (4_401, 4_401));
}
