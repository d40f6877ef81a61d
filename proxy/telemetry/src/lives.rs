//! What is measured of the lives of sides.

use std::time::Duration;

use metrics::gauge;
use model::{Incarnation, Side};

use super::{LOG_INCARNATION, SIDE_MARK_AGE_SECONDS, SIDE_SUSPENDED};

/// The life of a side's log.
pub fn incarnation(side: Side, incarnation: Incarnation) {
    gauge!(LOG_INCARNATION, "side" => side.as_str()).set(f64::from(incarnation.0));
}

/// Whether a side takes no writes of ours since it is not the database that we knew.
pub fn suspended(side: Side, suspended: bool) {
    gauge!(SIDE_SUSPENDED, "side" => side.as_str()).set(f64::from(u8::from(suspended)));
}

/// How old the newest mark of a side's life is.
pub fn mark_age(side: Side, age: Duration) {
    gauge!(SIDE_MARK_AGE_SECONDS, "side" => side.as_str()).set(age.as_secs_f64());
}
