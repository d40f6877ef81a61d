//! Reading at large: what baseline copies, reconcile and reports are made of.
//!
//! A store answers as of now, each call at a moment of its own. A snapshot of it ([`crate::Store::snapshot`])
//! answers every call as of one moment, and holds no lock that a writer would wait for.

use std::time::Duration;

use async_trait::async_trait;

use crate::checksum::{Chunk, ChunkSum};
use crate::contract::EntityType;
use crate::record::{EntityKey, Record};
use crate::store::StoreError;

/// A store, or a snapshot of one.
///
/// Every call keeps its time limit as those of [`crate::Store`] do. A snapshot may besides answer
/// [`StoreError::SnapshotLost`], and may be over after any error.
#[async_trait]
pub trait Scan: Send + Sync {
    /// Reads up to `limit` whole records of `entity` in key order, after `after`. For baseline copies.
    /// Order is the store's own, the same in every call.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn scan(
        &self,
        entity: &EntityType,
        after: Option<&EntityKey>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError>;

    /// The sums of the parts of `chunk` (see [`crate::checksum`]), computed inside the store by one statement
    /// and so of one moment. Parts without records are left out; in the order of their prefixes. A chunk that
    /// cannot be taken apart further has one part: itself.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn sums(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        within: Duration,
    ) -> Result<Vec<(Chunk, ChunkSum)>, StoreError>;

    /// Reads up to `limit` whole records of `chunk`, in any order.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn members(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError>;
}
