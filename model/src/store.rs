//! The port to a system of record. One contract suite (`testkit::contract`) holds for every store.

mod error;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::change::{Applied, Change, Incarnation, WriteId};
use crate::contract::{EntityType, FieldSet};
use crate::fence::{Fence, Move, Standing};
use crate::history::KeyHistory;
use crate::name::{EntityName, GroupName};
use crate::own_key::OwnKeys;
use crate::record::{EntityKey, Record};
use crate::saga::SagaLog;
use crate::scan::Scan;
use crate::side::{Role, Side};
use crate::sql::{NamedSql, Params};
use crate::write::{Claim, Command, Rehearsal, States, Written};

pub use error::{DriverError, StoreError};

/// Largest count of keys or changes in one call.
pub const MAX_BATCH: usize = 1_000;

/// A write that stands on the primary and is not known to stand on the secondary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// Its changes, by ordinal. Never empty.
    pub changes: Vec<Change>,
    /// How often the relay has tried.
    pub attempts: u32,
}

/// What a store looks like beside what the contract says. Made by [`Store::inspect`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The server's own name and version.
    pub server: String,
    /// What else the server and its client library say of themselves, by name.
    pub facts: Vec<(&'static str, String)>,
    /// What is missing or does not fit, one sentence each, naming table and column and what to do.
    pub problems: Vec<String>,
}

/// How much waits to be settled for a group, seen from the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Unsettled writes.
    pub writes: u64,
    /// Age of the oldest by the store's own clock; zero when there is none.
    pub oldest: Duration,
}

/// A system of record on one side.
///
/// Every call takes its time limit and keeps it: after `within` it returns
/// [`StoreError::NoAnswer`] (or `Unreachable` when nothing was sent), whatever the server does.
/// Dropping a future of a store never leaves an open transaction on a connection that is used again.
#[async_trait]
pub trait Store: Scan + SagaLog + OwnKeys {
    /// Which side this is.
    fn side(&self) -> Side;

    /// What kind of database it is, in OpenTelemetry's words for `db.system`.
    fn system(&self) -> &'static str {
        "other_sql"
    }

    /// Reads `keys` (at most [`MAX_BATCH`], all of `entity`, repeats allowed) in one round trip. The
    /// answer has one slot per key, in the order of `keys`; `None` means "no such record", never
    /// "could not look". Records hold `fields` and the key fields.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`. Never a partial answer.
    async fn fetch(
        &self,
        entity: &EntityType,
        keys: &[EntityKey],
        fields: FieldSet,
        within: Duration,
    ) -> Result<Vec<Option<Record>>, StoreError>;

    /// Runs a list query of this side. Records hold `fields` and the key fields, in the query's order.
    ///
    /// # Errors
    /// As `fetch`; `Refused` when a parameter does not fit the query's types.
    async fn list(
        &self,
        entity: &EntityType,
        query: &NamedSql,
        params: &Params,
        fields: FieldSet,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError>;

    /// As primary: runs `command` in one transaction that proves the fence, locks and changes the
    /// rows, takes the log's position under the locks, reads the post-image of every touched entity,
    /// writes one unsettled ledger row per change and records its version; then commits.
    ///
    /// # Errors
    /// `Refused`, `KeyReused`, `Fenced`, `Conflict`, `Unreachable`, `Unwritable`, `Misfit`: nothing was written.
    /// `NoAnswer`: it may stand; ask [`Store::claim`].
    async fn execute(&self, command: &Command, within: Duration) -> Result<Written, StoreError>;

    /// As `execute`, and says how every touched entity stood before the work, read under the same locks; empty for
    /// [`Written::Before`]. Costs a little more than `execute`.
    ///
    /// # Errors
    /// As `execute`.
    async fn execute_seeing(&self, command: &Command, within: Duration) -> Result<(Written, States), StoreError>;

    /// As secondary: runs `command` in a transaction of its own, under the locks of its keys, says how the touched
    /// entities stood before and would stand after, and **always rolls back**: rows, ledger and versions are as they
    /// were. Proves no fence, heeds no idempotency key, and waits for nobody's lock longer than a part of the limit.
    /// What no transaction undoes is not undone here either: numbers drawn from a sequence, mails of a trigger.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`, `Misfit`; `Refused` when a key fits no row of this side. What the side
    /// refuses of the work itself is no error but [`Rehearsed::Refused`](crate::Rehearsed).
    async fn rehearse(&self, command: &Command, within: Duration) -> Result<Rehearsal, StoreError>;

    /// As primary: settles the outcome of a write that may be still in flight, by inserting its id as
    /// *abandoned* into the ledger. Waits for the first attempt, within the limit.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`: still unknown, ask again.
    async fn claim(&self, write: WriteId, within: Duration) -> Result<Claim, StoreError>;

    /// As secondary: applies `changes` (at most [`MAX_BATCH`], at most one per key) where they are
    /// newer than what this side recorded for the key, with their ledger rows; older ones are left.
    /// One slot per change, in order. One transaction: all or nothing.
    ///
    /// Where a row is not as our last write left it ([`crate::foreign`]), nothing of the change's write is applied or
    /// recorded: [`Applied::Foreign`] in its slot, [`Applied::Held`] in those of the write's other changes. Changes of
    /// other writes go on. A row that is already what the change would leave is no conflict.
    ///
    /// # Errors
    /// `Unreachable`, `Unwritable`, `Conflict`, `Refused`, `Misfit`: nothing was written. After `NoAnswer` the
    /// changes may stand or not: apply them again, it is harmless.
    async fn apply(&self, changes: &[Change], within: Duration) -> Result<Vec<Applied>, StoreError>;

    /// As [`Self::apply`], and over what somebody else has made of a row: [`Applied::Over`] in its slot, with exactly
    /// what was overwritten. For repair, and for groups whose primary wins.
    ///
    /// # Errors
    /// As `apply`.
    async fn apply_over(&self, changes: &[Change], within: Duration) -> Result<Vec<Applied>, StoreError>;

    /// Whether the row of `key` stands as our last write of it left it, here as primary or as secondary. `None`: not
    /// known, since there was none.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn as_left(&self, entity: &EntityType, key: &EntityKey, within: Duration)
    -> Result<Option<bool>, StoreError>;

    /// As primary: marks writes as settled. Unknown or settled ones are left. Harmless to repeat.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`.
    async fn settle(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError>;

    /// As primary: takes up to `limit` unsettled writes of `groups` that are due and older than
    /// `older_than`, oldest first, and leases them: no other caller is given them until `lease` is
    /// over. Never waits for rows that another caller holds (`SKIP LOCKED`). What stands in the future, since the
    /// side's clock was put back, is due too.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`.
    async fn lease_unsettled(
        &self,
        groups: &[GroupName],
        older_than: Duration,
        lease: Duration,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Unsettled>, StoreError>;

    /// As primary: the keys of `group` with an unsettled write, at most `limit`.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn unsettled_keys(
        &self,
        group: &GroupName,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<(EntityKey, WriteId)>, StoreError>;

    /// As primary: how much is unsettled in `group`.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn backlog(&self, group: &GroupName, within: Duration) -> Result<Backlog, StoreError>;

    /// Which of `writes` stand in this side's ledger (not abandoned).
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn standing(&self, writes: &[WriteId], within: Duration) -> Result<Vec<WriteId>, StoreError>;

    /// Older states of `key` in this side's ledger, newest first, at most `limit`; `None` is a deletion.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn past_states(
        &self,
        entity: &EntityType,
        key: &EntityKey,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Option<Record>>, StoreError>;

    /// What this side remembers of `key`: at most `limit` states of its ledger, newest first, with their versions,
    /// writes and times, and the version recorded for it.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn history(&self, key: &EntityKey, limit: usize, within: Duration) -> Result<KeyHistory, StoreError>;

    /// About how many records of `entity` there are: by the store's own statistics where it keeps any,
    /// so that asking costs nothing on a large table.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn rough_count(&self, entity: &EntityType, within: Duration) -> Result<u64, StoreError>;

    /// A view of this store as it stands at one moment between the call and its answer. Costs the server
    /// something for as long as it is kept: drop it when done.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit` when a right is missing.
    async fn snapshot(&self, within: Duration) -> Result<Arc<dyn Scan>, StoreError>;

    /// Deletes settled ledger rows that are older than `retention`, at most `limit`; how many.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`.
    async fn forget(&self, retention: Duration, limit: usize, within: Duration) -> Result<u64, StoreError>;

    /// The life of the log that this side writes now.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn incarnation(&self, within: Duration) -> Result<Incarnation, StoreError>;

    /// Makes the bookkeeping tables (ledger, versions, fence) and, for each of `groups` that has no
    /// fence yet, sets it: open under epoch 1 when `role` is primary, else closed. Changes nothing
    /// that exists.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit` when a right is missing.
    async fn prepare(&self, groups: &[GroupName], role: Role, within: Duration) -> Result<(), StoreError>;

    /// The statements that [`Store::prepare`] would run, for a DBA to read and to run in its place.
    fn bookkeeping_ddl(&self, groups: &[GroupName], role: Role) -> String;

    /// The fence of `group`, and for how long it has stood so.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`; `Misfit` when the group has none.
    async fn fence(&self, group: &GroupName, within: Duration) -> Result<Standing, StoreError>;

    /// Moves the fence of `group`, if it is what the move says. Holds the group's lock alone meanwhile: writers in
    /// flight are waited for, and either committed before or fail. How it stands afterwards, moved or not.
    ///
    /// # Errors
    /// `Conflict` when a writer in flight did not end within the limit, and `Unreachable`, `Misfit`: nothing was moved.
    /// `NoAnswer`: it may have been; look at [`Store::fence`].
    async fn move_fence(&self, group: &GroupName, step: &Move, within: Duration) -> Result<Fence, StoreError>;

    /// Looks at tables, columns, types, rights and bookkeeping, and says what does not fit `entities`.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn inspect(&self, entities: &[EntityName], within: Duration) -> Result<Inspection, StoreError>;
}
