//! The admin API over a WebSocket, for live figures.
//!
//! Promise: what a socket rests on is asked anew for every operation, and every second while it is open. A token that was
//! revoked, has ended or has another role now acts as it would over a new connection; where it is gone, the socket is
//! closed with 4401.

use std::sync::Arc;

use async_graphql::futures_util::stream::BoxStream;
use async_graphql::http::ALL_WEBSOCKET_PROTOCOLS;
use async_graphql::{Data, ErrorExtensions, Executor, Request, Response as Answer};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::Extension;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::extract::{State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};

use super::Admin;
use super::api::{named, origin};
use super::auth::Standing;
use super::schema::AdminSchema;
use server::Peer;
use server::wire::{self, Wire};

/// Most bytes of one message.
const LARGEST_MESSAGE: usize = 1 << 16;
/// Answers that wait for a slow client.
const WAITING: usize = 16;
/// Who came is nobody any more. As 401 is for a request.
const SIGNED_OUT: u16 = 4_401;

pub(super) async fn listen(
    State(admin): State<Admin>,
    Extension(standing): Extension<Standing>,
    peer: Option<Extension<Peer>>,
    wire: Option<Extension<Arc<Wire>>>,
    headers: HeaderMap,
    protocol: GraphQLProtocol,
    upgrade: WebSocketUpgrade,
) -> Response {
    let mut data = Data::default();
    data.insert(origin(peer));
    let asks = Asks { schema: admin.api.clone(), standing, headers: Arc::new(headers) };
    let wire = wire.map(|Extension(wire)| wire);
    if wire.as_ref().is_some_and(|wire| wire.becomes_socket().is_err()) {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many sockets are open; try again later").into_response();
    }
    let upgrade =
        upgrade.max_message_size(LARGEST_MESSAGE).read_buffer_size(wire::PIECE).write_buffer_size(wire::PIECE);
    upgrade.protocols(ALL_WEBSOCKET_PROTOCOLS).on_upgrade(move |socket| serve(socket, wire, asks, data, protocol))
}

/// Serves a socket until it is closed, or what it rests on has ended.
async fn serve(socket: WebSocket, wire: Option<Arc<Wire>>, asks: Asks, data: Data, protocol: GraphQLProtocol) {
    let standing = asks.standing.clone();
    let (mut sink, stream) = socket.split();
    let stream = stream.inspect(move |_| wire.iter().for_each(|wire| wire.message()));
    let (answers, mut waiting) = mpsc::channel(WAITING);
    let serving = GraphQLWebSocket::new_with_pair(answers, stream, asks, protocol).with_data(data).serve();
    let outgoing = &mut sink;
    let sending = async move {
        while let Some(message) = waiting.next().await {
            if outgoing.send(message).await.is_err() {
                return;
            }
        }
    };
    let exchange = async move {
        tokio::pin!(sending);
        tokio::select! {
            // What was answered last is sent all the same.
            () = serving => sending.await,
            () = &mut sending => {}
        }
    };
    let gone = tokio::select! {
        gone = standing.ended() => gone,
        () = exchange => return,
    };
    tracing::info!("an open socket of the admin API is closed: {}", gone.why());
    let frame = CloseFrame { code: SIGNED_OUT, reason: gone.why().into() };
    // Best effort: who does not read it is cut off all the same.
    let _ = sink.send(Message::Close(Some(frame))).await;
}

/// Answers what comes over a socket, each time as whoever it is then.
#[derive(Clone)]
struct Asks {
    schema: AdminSchema,
    standing: Standing,
    headers: Arc<HeaderMap>,
}

impl Asks {
    /// The request as whoever asks now; or what they are told instead.
    async fn admitted(&self, request: Request) -> Result<Request, Box<Answer>> {
        match self.standing.now().await {
            Ok(identity) => Ok(request.data(named(identity, &self.headers))),
            Err(gone) => {
                let code = gone.code();
                let error = async_graphql::Error::new(gone.why()).extend_with(|_, more| more.set("code", code));
                Err(Box::new(Answer::from_errors(vec![error.into_server_error(async_graphql::Pos::default())])))
            }
        }
    }
}

impl Executor for Asks {
    async fn execute(&self, request: Request) -> Answer {
        match self.admitted(request).await {
            Ok(request) => self.schema.execute(request).await,
            Err(refused) => *refused,
        }
    }

    fn execute_stream(&self, request: Request, session: Option<Arc<Data>>) -> BoxStream<'static, Answer> {
        let asks = self.clone();
        let answers = async move {
            match asks.admitted(request).await {
                Ok(request) => Executor::execute_stream(&asks.schema, request, session),
                Err(refused) => futures::stream::once(async { *refused }).boxed(),
            }
        };
        futures::stream::once(answers).flatten().boxed()
    }
}
