//! graphql-transport-ws.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::server::{Listening, listening};

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn connect(server: &Listening) -> Self {
        let url = format!("ws://{}/graphql", server.address);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        headers.insert("x-customer-id", "C-1".parse().unwrap());
        let (socket, _) = tokio_tungstenite::client_async(request, server.connect().await).await.unwrap();
        let mut client = Self(socket);
        client.send(json!({"type": "connection_init"})).await;
        assert_eq!(client.next().await, json!({"type": "connection_ack"}));
        client
    }

    async fn send(&mut self, message: Json) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Json {
        let message = timeout(Duration::from_secs(5), self.0.next()).await.unwrap();
        serde_json::from_str(message.unwrap().unwrap().to_text().unwrap()).unwrap()
    }

    /// The payload that answers a query.
    async fn ask(&mut self, query: &str) -> Json {
        self.ask_for(json!({"query": query})).await
    }

    async fn ask_for(&mut self, payload: Json) -> Json {
        self.send(json!({"id": "1", "type": "subscribe", "payload": payload})).await;
        let next = self.next().await;
        assert_eq!(next["type"], "next", "{next}");
        assert_eq!(self.next().await, json!({"id": "1", "type": "complete"}));
        next["payload"].clone()
    }
}

#[tokio::test]
async fn queries_and_mutations_are_answered_and_the_session_remembers_its_writes() {
    let server = listening(|_| {}).await;
    let mut client = Client::connect(&server).await;
    let answer = client.ask("{ z: item(id: 1) { name id } }").await;
    assert_eq!(answer, json!({"data": {"z": {"name": "item 1", "id": "1"}}}));
    let answer = client.ask("mutation { drop(id: 1) }").await;
    assert_eq!(answer["data"], json!({"drop": true}));
    assert_eq!(answer["extensions"]["version"].as_str().unwrap().len(), 36);
    client.ask("{ item(id: 1) { id } }").await;
    let contexts = server.world.roads.contexts.lock().clone();
    assert_eq!(contexts, [r#"Some("C-1")|None|0"#, r#"Some("C-1")|None|0"#, r#"Some("C-1")|None|1"#]);
}

#[tokio::test]
async fn errors_and_subscriptions_are_answered_and_not_a_hang() {
    let server = listening(|_| {}).await;
    let mut client = Client::connect(&server).await;
    let answer = client.ask("subscription { item(id: 1) { id } }").await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
    let answer = client.ask("{ must(id: 9) { id } }").await;
    assert_eq!(answer["errors"][0]["path"], json!(["must"]));
    assert_eq!(answer["data"], json!(null));
}

/// Who sends a key means to be safe when it repeats: it is never written without.
#[tokio::test]
async fn an_idempotency_key_that_is_no_string_is_refused_and_nothing_runs() {
    let server = listening(|_| {}).await;
    let mut client = Client::connect(&server).await;
    let query = "mutation { drop(id: 1) }";
    for key in [json!(42), json!(true), json!({"key": "K"}), json!(["K"])] {
        let answer = client.ask_for(json!({"query": query, "extensions": {"idempotencyKey": key}})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_IDEMPOTENCY_KEY", "{answer}");
    }
    assert!(server.world.roads.calls.lock().is_empty());
    let answer = client.ask_for(json!({"query": query, "extensions": {"idempotencyKey": "K-1"}})).await;
    assert_eq!(answer["data"], json!({"drop": true}));
    let contexts = server.world.roads.contexts.lock().clone();
    assert!(contexts.last().unwrap().contains("K-1"), "{contexts:?}");
}

#[tokio::test]
async fn an_operation_under_way_is_answered_before_a_drain_closes_the_socket() {
    let server = listening(|_| {}).await;
    server.world.delay("Query.item", Duration::from_millis(100));
    let mut client = Client::connect(&server).await;
    client.send(json!({"id": "7", "type": "subscribe", "payload": {"query": "{ item(id: 1) { id } }"}})).await;
    while server.world.roads.calls.lock().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let ended = tokio::spawn(server.shut_down());
    assert_eq!(client.next().await["payload"]["data"]["item"]["id"], "1");
    ended.await.unwrap();
}

#[tokio::test]
async fn too_many_operations_at_once_are_refused() {
    let server = listening(|config| config.socket_operations = 2.try_into().unwrap()).await;
    server.world.delay("Query.item", Duration::from_millis(100));
    let mut client = Client::connect(&server).await;
    for id in ["a", "b", "c"] {
        let query = "{ item(id: 1) { id } }";
        client.send(json!({"id": id, "type": "subscribe", "payload": {"query": query}})).await;
    }
    let first = client.next().await;
    assert_eq!(first["id"], "c");
    assert_eq!(first["payload"]["errors"][0]["extensions"]["code"], "TOO_MANY_OPERATIONS");
}
