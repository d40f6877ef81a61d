//! How the sides answer.

use metrics::{counter, gauge};
use model::{Side, StoreError};

use super::{BREAKER_OPEN, ROUTE_BREAKER_OPEN, SIDE_ERRORS_TOTAL};

/// A side erred.
pub fn side_error(side: Side, error: &StoreError) {
    counter!(SIDE_ERRORS_TOTAL, "side" => side.as_str(), "kind" => error.kind()).increment(1);
}

/// A side's breaker opened or closed.
pub fn breaker(side: Side, open: bool) {
    gauge!(BREAKER_OPEN, "side" => side.as_str()).set(if open { 1.0 } else { 0.0 });
}

/// One route's breaker opened or closed; `route` is a word of the contract.
pub fn route_breaker(side: Side, route: &str, open: bool) {
    gauge!(ROUTE_BREAKER_OPEN, "side" => side.as_str(), "route" => route.to_owned()).set(if open { 1.0 } else { 0.0 });
}
