//! Sagas: mutations in steps over several groups, each of which is undone when a later one is refused.
//!
//! `decide` says what comes next, `act` does one step or undoes it, `drive` goes on until nothing is left to do or
//! a side does not answer, `doubt` is for what a restore has left unclear, `copies` for what another side is to remember,
//! `plan` knows whether the contract still says what a saga began with, `road` is what a client's request takes, `resume` takes up what others have left.
//!
//! Promise: a saga that has begun ends as done, undone or stuck, through any crash of any replica and any outage of
//! the sides of its steps; a step that stands is part of a done saga, or is undone, or is named in a stuck one.
//!
//! Not here: isolation. What a step has written can be seen before the saga has ended.

mod act;
mod copies;
pub mod decide;
pub mod doubt;
mod drive;
pub mod operate;
pub mod plan;
pub mod resume;
pub mod road;
pub mod state;

use std::time::Duration;

pub use copies::Copied;
pub use road::SagaRoad;

/// Limits and pace of sagas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SagaSettings {
    /// How long one attempt of a step may take.
    pub step_within: Duration,
    /// For how long nobody else takes a saga that a replica works on. Longer than `step_within`, or replicas
    /// do each other's work twice, which is harmless and wasteful.
    pub lease: Duration,
    /// How long a saga may go forward, from its beginning: a step that gets no answer later is given up, and the
    /// saga is undone. Longer than a database takes to fail over, or sagas are undone for nothing.
    pub limit: Duration,
    /// How often a compensation may be refused before the saga is stuck; and, after `limit`, how often a side may
    /// leave it, or the closing of a step, without an answer.
    pub undo_attempts: u32,
    /// First pause after a failed attempt; doubles up to `longest_pause`.
    pub pause: Duration,
    /// Longest pause between two attempts.
    pub longest_pause: Duration,
    /// Pause between two looks for sagas that nobody works on.
    pub interval: Duration,
    /// How long sagas that have ended are remembered.
    pub retention: Duration,
}

impl Default for SagaSettings {
    fn default() -> Self {
        Self {
            step_within: Duration::from_secs(5),
            lease: Duration::from_secs(15),
            limit: Duration::from_secs(600),
            undo_attempts: 8,
            pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            interval: Duration::from_millis(500),
            retention: Duration::from_secs(7 * 86_400),
        }
    }
}

impl SagaSettings {
    /// How long to wait after so many failed attempts in a row.
    pub fn pause_after(&self, attempts: u32) -> Duration {
        let doubled = 2u32.saturating_pow(attempts.saturating_sub(1).min(16));
        self.pause.saturating_mul(doubled).min(self.longest_pause)
    }
}
