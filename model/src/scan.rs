//! Reading at large: what baseline copies, reconcile and reports are made of.
//!
//! A store answers as of now, each call at a moment of its own. A snapshot of it ([`crate::Store::snapshot`])
//! answers every call as of one moment, and holds no lock that a writer would wait for.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::checksum::{Chunk, ChunkSum};
use crate::contract::{EntityType, names};
use crate::record::{EntityKey, Record};
use crate::side::Side;
use crate::store::StoreError;

/// Rows of a type that no look-up by key can find: a part of their key is null, or it is a number that no key can be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyless {
    /// How many there are.
    pub rows: u64,
    /// Some of them, by what their key's columns hold, as text. They name nothing that could be asked for.
    pub some: Vec<EntityKey>,
}

/// A column of a type's table that no field carries and that the contract does not ignore: what it holds stays behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name.
    pub column: String,
    /// Its type, as the catalogue has it.
    pub column_type: String,
    /// Rows of the table.
    pub rows: u64,
    /// Rows in which it is not null.
    pub filled: u64,
}

impl std::fmt::Display for LeftOut {
    /// `RSNTXT varchar(80), filled in 17 of 20 rows`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { column, column_type, rows, filled } = self;
        write!(f, "{column} {column_type}, filled in {filled} of {rows} rows")
    }
}

impl LeftOut {
    /// Whether `column` of a table is neither a field's column on `side` nor ignored.
    pub fn is_left_out(entity: &EntityType, side: Side, column: &str) -> bool {
        let carried = entity.fields.iter().any(|field| names(&field.home.get(side).column, column));
        !carried && entity.ignored.iter().all(|ignored| !names(&ignored.column, column))
    }
}

/// A store, or a snapshot of one. Rows of [`Keyless`] are left out of every answer but that of [`Scan::keyless`]: so no
/// walk ends at them, and whoever compares or copies must ask for them.
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

    /// Counts the rows that no look-up by key can find, and names up to `limit`.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn keyless(&self, entity: &EntityType, limit: usize, within: Duration) -> Result<Keyless, StoreError>;

    /// The columns of the table that are left out, in its order, with how many rows have something in them. Read as of
    /// now, also from a snapshot.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn left_out(&self, entity: &EntityType, within: Duration) -> Result<Vec<LeftOut>, StoreError>;

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
