//! Connections to others: receivers of webhooks, the collector of traces.
//!
//! The one place that knows how they are reached, and so which addresses can be used.

use std::time::Duration;

use axum::http::Uri;

/// Makes the connections.
pub use crate::tls::client::Connector;

/// How an address may begin.
const SCHEMES: [&str; 2] = ["https", "http"];

/// A connector that gives up on a connection after `within`.
pub fn connector(within: Duration) -> Connector {
    crate::tls::client::connector(None, within).expect("the authorities of this machine need no file of ours")
}

/// Whether `url` can be reached from here at all.
///
/// # Errors
/// Why not, as the rest of a sentence that begins with its place.
pub fn can_reach(url: &Uri, example: &str) -> Result<(), String> {
    let known = url.scheme_str().is_some_and(|scheme| SCHEMES.contains(&scheme));
    let named = url.authority().is_some_and(|authority| !authority.host().is_empty());
    if known && named { Ok(()) } else { Err(format!("must be an address such as {}://{example}", SCHEMES[0])) }
}
