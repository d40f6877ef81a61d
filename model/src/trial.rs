//! The port by which a side tries what the contract would run there, without running it.

use std::time::Duration;

use async_trait::async_trait;

use crate::contract::Wrong;
use crate::store::StoreError;

/// Tries statements.
#[async_trait]
pub trait Tries: Send + Sync {
    /// Has the side parse every statement of the contract ([`crate::contract::trials`]), find what it names, look whether
    /// we may do so, and compare the types of its parameters with the contract's, as far as the engine tells. Nothing
    /// is run. What it would not run, in the order of the contract; what could not be tried is wrong, too.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`: nothing is known.
    async fn wrong_statements(&self, within: Duration) -> Result<Vec<Wrong>, StoreError>;

    /// Whether the side's encoding has every letter of `text`, as far as is known without asking it.
    fn has_letters(&self, _text: &str) -> bool {
        true
    }
}
