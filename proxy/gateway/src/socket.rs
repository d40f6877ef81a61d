//! Queries and mutations over a WebSocket, in async-graphql's protocol (graphql-transport-ws).
//!
//! There are no subscriptions; asking for one is an error and not a hang.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::http::ALL_WEBSOCKET_PROTOCOLS;
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::extract::{FromRequestParts, Request, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap, UPGRADE};
use axum::response::{IntoResponse, Response};

use futures::StreamExt as _;
use tokio::time::sleep;

use super::answer::{Answer, GraphqlError};
use super::executor::Session;
use super::negotiate::Media;
use super::{Gateway, http};
use server::wire::{self, Wire};

/// Longest message of a socket. One that has not come to its end is held by the socket, of which there may be many.
const LONGEST_MESSAGE: usize = 128 * 1024;

/// Time to send what the last operation answered, when the server drains.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Whether the client asks for a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Turns the connection into a session.
pub(crate) async fn upgrade(gateway: Arc<Gateway>, request: Request) -> Response {
    let seen = match http::seen(request.headers()) {
        Ok(seen) => seen,
        Err(refused) => return refuse(&refused),
    };
    let stick = http::stick(&gateway, request.headers());
    let (mut parts, _body) = request.into_parts();
    let client = http::client(&gateway, &parts);
    // A socket has left the server's own count of connections.
    let Ok(place) = gateway.places.hold(client, 1).inspect_err(|no_room| telemetry::no_room("sockets", *no_room))
    else {
        return refuse(&too_many());
    };
    let protocol = match GraphQLProtocol::from_request_parts(&mut parts, &()).await {
        Ok(protocol) => protocol,
        Err(status) => return status.into_response(),
    };
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(refused) => return refused.into_response(),
    };
    // Counted from here on: what it holds, and that the server's drain waits for it.
    let wire = parts.extensions.remove::<Arc<Wire>>();
    if let Some(Err(no_room)) = wire.as_ref().map(|wire| wire.becomes_socket()) {
        telemetry::no_room("sockets", no_room);
        return refuse(&too_many());
    }
    let most = gateway.config.body_bytes.min(LONGEST_MESSAGE);
    let idle = gateway.config.header_timeout;
    let session = Session::new(Arc::clone(&gateway), client, stick, seen);
    let token = gateway.sockets.token();
    let upgrade = upgrade.max_message_size(most).max_frame_size(most);
    // Small: what a client does not take in waits here, uncounted, before its socket is asked for no more.
    let upgrade = upgrade.read_buffer_size(wire::PIECE).write_buffer_size(wire::PIECE);
    upgrade.protocols(ALL_WEBSOCKET_PROTOCOLS).on_upgrade(move |stream| async move {
        let _counted = (token, place);
        let (sink, stream) = stream.split();
        let stream = stream.inspect(move |_| wire.iter().for_each(|wire| wire.message()));
        let socket = GraphQLWebSocket::new_with_pair(sink, stream, session.clone(), protocol).keepalive_timeout(idle);
        let drained = async {
            gateway.draining.cancelled().await;
            session.finish().await;
            sleep(LAST_WORDS).await;
        };
        tokio::select! {
            () = socket.serve() => {}
            () = drained => {}
        }
    })
}

fn too_many() -> Answer {
    let error = GraphqlError::new("TOO_MANY_CONNECTIONS", "too many sockets are open; try again later");
    Answer::refused_with(StatusCode::SERVICE_UNAVAILABLE, error)
}

fn refuse(answer: &Answer) -> Response {
    let mut body = Vec::new();
    answer.write(&mut body);
    let media = [(CONTENT_TYPE, Media::Json.content_type())];
    (Media::Json.status(answer), media, body).into_response()
}
