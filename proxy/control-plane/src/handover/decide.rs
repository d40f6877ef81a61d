//! Whether a handover may take its last step: asked when everything was brought over, before a fence is opened.
//!
//! Fences alone do not know of a rollback: it moves no fence. So the authority goes to modern only when a rollout that
//! was published for it, by compare-and-swap, says so; a rollback that was published before makes that fail.

use async_trait::async_trait;
use model::{Epoch, Holder};
use thiserror::Error;

use super::coordinate::Step;
use super::drain::Left;

/// What is about to be opened.
#[derive(Debug, Clone, Copy)]
pub struct Proposed<'a> {
    /// Who gets the authority, under which epoch.
    pub holder: Holder,
    /// The epoch under which it was held until now.
    pub was: Epoch,
    /// What was done so far.
    pub steps: &'a [Step],
    /// What is left behind.
    pub left: &'a Left,
}

/// Why the authority may not go there now.
#[derive(Debug, Error)]
pub enum Undecided {
    /// Somebody was faster: it never may.
    #[error("{0}")]
    Overtaken(String),
    /// Nobody could be asked: it may be asked again.
    #[error("{0}")]
    Unknown(String),
}

/// Decides, for all who may want something else.
#[async_trait]
pub trait Decide: Send + Sync {
    /// Publishes that the authority goes where `proposed` says; how, in words. Asked again for the same, it says the same.
    ///
    /// # Errors
    /// [`Undecided`]; after `Unknown` it may be published or not.
    async fn decide(&self, proposed: &Proposed<'_>) -> Result<String, Undecided>;
}
