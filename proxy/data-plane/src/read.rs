//! The read road: who answers, batched look-ups, fallback and breakers; and, apart, the shadow.

pub mod batch;
mod letters;
pub mod offer;
pub mod seen;
pub mod serve;
pub mod shadow;
pub mod turns;
