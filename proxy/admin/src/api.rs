//! The admin API over HTTP: `POST /api/graphql`. What comes over a WebSocket at the same place is in `socket`.

use async_graphql_axum::{GraphQLRequest, GraphQLResponse};
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;

use super::Admin;
use super::auth::{Identity, Via};
use super::schema::Origin;
use server::Peer;

/// Who a script on this machine says it is, where nobody is asked who they are.
const WHO_HEADER: &str = "x-strangler-who";

/// Where a request comes from, for the record.
pub(super) fn origin(peer: Option<Extension<Peer>>) -> Origin {
    Origin(peer.map_or_else(|| "this machine".to_owned(), |Extension(Peer(address))| address.ip().to_string()))
}

/// Whoever signed in is who they are; on loopback a name may be given.
pub(super) fn named(identity: Identity, headers: &HeaderMap) -> Identity {
    let given = headers.get(WHO_HEADER).and_then(|value| value.to_str().ok()).map(str::trim);
    match (identity.via, given) {
        (Via::Loopback, Some(who)) if !who.is_empty() => Identity { who: who.to_owned(), ..identity },
        (Via::Loopback | Via::Token | Via::Session | Via::Jwt, _) => identity,
    }
}

pub(super) async fn ask(
    State(admin): State<Admin>,
    Extension(identity): Extension<Identity>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    request: GraphQLRequest,
) -> GraphQLResponse {
    let request = request.into_inner().data(named(identity, &headers)).data(origin(peer));
    admin.api.execute(request).await.into()
}
