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

use tokio::time::sleep;

use super::answer::{Answer, GraphqlError};
use super::executor::Session;
use super::negotiate::Media;
use super::{Gateway, http};

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
        let error = GraphqlError::new("TOO_MANY_CONNECTIONS", "too many sockets are open; try again later");
        return refuse(&Answer::refused_with(StatusCode::SERVICE_UNAVAILABLE, error));
    };
    let protocol = match GraphQLProtocol::from_request_parts(&mut parts, &()).await {
        Ok(protocol) => protocol,
        Err(status) => return status.into_response(),
    };
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(refused) => return refused.into_response(),
    };
    let most = gateway.config.body_bytes.min(LONGEST_MESSAGE);
    let idle = gateway.config.header_timeout;
    let session = Session::new(Arc::clone(&gateway), client, stick, seen);
    // Counted from here on: the server's drain waits for it.
    let token = gateway.sockets.token();
    upgrade.max_message_size(most).max_frame_size(most).protocols(ALL_WEBSOCKET_PROTOCOLS).on_upgrade(
        move |stream| async move {
            let _counted = (token, place);
            let socket = GraphQLWebSocket::new(stream, session.clone(), protocol).keepalive_timeout(idle);
            let drained = async {
                gateway.draining.cancelled().await;
                session.finish().await;
                sleep(LAST_WORDS).await;
            };
            tokio::select! {
                () = socket.serve() => {}
                () = drained => {}
            }
        },
    )
}

fn refuse(answer: &Answer) -> Response {
    let mut body = Vec::new();
    answer.write(&mut body);
    let media = [(CONTENT_TYPE, Media::Json.content_type())];
    (Media::Json.status(answer), media, body).into_response()
}
