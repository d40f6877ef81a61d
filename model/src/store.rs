//! The port to a system of record. One contract suite (`testkit::contract`) holds for every store.

mod error;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::bookkeeping::Bookkeeping;
use crate::change::{Applied, Change, Incarnation, Recorded, WriteId};
use crate::contract::{EntityType, FieldSet};
use crate::fence::{Fence, Move, Stand, Standing, Traces};
use crate::history::KeyHistory;
use crate::life::Lives;
use crate::name::{EntityName, GroupName};
use crate::own_key::OwnKeys;
use crate::record::{EntityKey, Record};
use crate::saga::{OpenSagas, SagaLog};
use crate::scan::Scan;
use crate::shape::ShapeLog;
use crate::side::Side;
use crate::sql::{NamedSql, Params};
use crate::trial::Tries;
use crate::write::{Claim, Command, Fingerprint, IdempotencyKey, Rehearsal, States, Written};

pub use error::{DriverError, StoreError};
pub use waiting::{Backlog, Bare, Strays, Unsettled};

/// Largest count of keys or changes in one call.
pub const MAX_BATCH: usize = 1_000;

/// What a store looks like beside what the contract says. Made by [`Store::inspect`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The server's own name and version.
    pub server: String,
    /// What else the server and its client library say of themselves, by name.
    pub facts: Vec<(&'static str, String)>,
    /// What is good to know and breaks no promise, one sentence each.
    pub notices: Vec<String>,
    /// What is missing, does not fit or makes a promise untrue, one sentence each, naming table and column and what to
    /// do.
    pub problems: Vec<String>,
}

/// What [`Store::forget`] may delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    /// Rows that are older.
    pub retention: Duration,
    /// At most so many.
    pub limit: usize,
    /// But for what these have left.
    pub sagas: OpenSagas,
}

/// What stands in a ledger under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// The write that used the key first.
    pub write: WriteId,
    /// What it was asked for.
    pub fingerprint: Fingerprint,
}

/// A system of record on one side.
///
/// Every call takes its time limit and keeps it: after `within` it returns
/// [`StoreError::NoAnswer`] (or `Unreachable` when nothing was sent), whatever the server does.
/// Dropping a future of a store never leaves an open transaction on a connection that is used again.
#[async_trait]
pub trait Store: Scan + SagaLog + OwnKeys + Lives + ShapeLog + Tries {
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
    /// writes one unsettled ledger row per change and records its version; then commits. A write that changed nothing
    /// leaves one row all the same, unsettled where it has an idempotency key: a repeat must find it on either side.
    /// Behind a fence that is alone every row is born settled: nobody keeps another side equal. The statement that
    /// writes the rows reads that from the fence itself.
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
    /// newer than what this side recorded for the key; older ones are left, and say which write stands in their place.
    /// One slot per change, in order. One transaction: all or nothing.
    ///
    /// The ledger rows of a write are carried along when each of its changes stands here now, or did before: what was
    /// overtaken is carried by [`Self::carry`], once that is proven.
    ///
    /// Proves that the fence of each change's group is not open here, under the fence's lock, and that this side
    /// remembers no later life of the other side than this process has read there ([`Lives::brings_from`]): else
    /// [`Applied::Barred`]. The incarnation of the change itself may be any: what was written before a raise is brought
    /// after it all the same.
    /// A row that is not what was written, after it was, or that cannot be seen, is undone with its write.
    ///
    /// Where a row is not as our last write left it ([`crate::foreign`]), nothing of the change's write is applied or
    /// recorded: [`Applied::Foreign`] in its slot, [`Applied::Held`] in those of the write's other changes. Changes of
    /// other writes go on. A row that is already what the change would leave is no conflict.
    ///
    /// Only whole states of the registered shape are applied ([`crate::shape`]): [`Applied::NotWhole`] and
    /// [`Applied::NotKnown`] say what is not, and nothing of its write is. A state that is not whole is stale only
    /// beneath a whole one, and then its ledger row is carried along.
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

    /// As secondary: carries the ledger rows of one write along, each of whose changes is there or proven to be
    /// overtaken, so that a repeat of it is known here. Harmless to repeat. Gives the write that has its idempotency
    /// key here, if that is another one: then nothing was carried.
    ///
    /// # Errors
    /// As `apply`; `Fenced` where an apply would be barred.
    async fn carry(&self, changes: &[Change], within: Duration) -> Result<Option<WriteId>, StoreError>;

    /// As secondary: keeps the ledger rows of writes that changed nothing (at most [`MAX_BATCH`]), settled, so that a
    /// repeat of one is known here. Harmless to repeat. One answer per write, in order: [`Applied::There`], its row is
    /// here now; [`Applied::KeyTaken`], another write has its idempotency key; [`Applied::Barred`], as for `apply`. What
    /// is answered for one keeps no other back.
    ///
    /// # Errors
    /// As `apply`.
    async fn keep(&self, writes: &[Bare], within: Duration) -> Result<Vec<Applied>, StoreError>;

    /// What the version rows of `keys` (at most [`MAX_BATCH`], of any types) say here, one slot per key, in order.
    /// `None`: nothing was ever recorded for it.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn recorded(&self, keys: &[EntityKey], within: Duration) -> Result<Vec<Option<Recorded>>, StoreError>;

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

    /// As primary: takes up to `limit` unsettled writes of the types of `group` that are due and older than
    /// `older_than`, oldest first, and leases them: no other caller is given them until `lease` is
    /// over. Never waits for rows that another caller holds (`SKIP LOCKED`). What stands in the future, since the
    /// side's clock was put back, is due too. Left to others: writes with a change of a type whose registered shape this
    /// contract does not know, or of a shape that it does not know ([`ShapeLog::left_to_newer`] has them).
    ///
    /// Only while the group's fence on this side is `stand` (open for the relay, frozen for a drain; alone: nothing is given), which is looked at
    /// in the same statement; and only what was written since this side has had the authority. What it holds from
    /// before is left behind ([`Store::left_behind`]). Whose a row is says its type, whatever its group was called when
    /// it was written.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`.
    async fn lease_unsettled(
        &self,
        group: &GroupName,
        stand: Stand,
        older_than: Duration,
        lease: Duration,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Unsettled>, StoreError>;

    /// The keys of `group`'s types with an unsettled write in this ledger, left behind or not, at most `limit`, oldest
    /// first; also of types and states that this contract cannot read. A write that changed nothing has none.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn unsettled_keys(
        &self,
        group: &GroupName,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<(EntityKey, WriteId)>, StoreError>;

    /// How much of `group`'s types is unsettled in this ledger.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn backlog(&self, group: &GroupName, within: Duration) -> Result<Backlog, StoreError>;

    /// At most `limit` unsettled writes of `group`'s types that are left behind in this ledger, by id, beyond `after`:
    /// all of them while this side does not have the authority, else those from before the other side had it. Whole
    /// writes. Leases nothing.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`; `Misfit` when a row cannot be read.
    async fn left_behind(
        &self,
        group: &GroupName,
        after: Option<WriteId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Unsettled>, StoreError>;

    /// Unsettled writes whose type no group of the contract has, and writes without change of a group that it does not
    /// have: nobody brings them to the other side. By the group and the type that they were written under.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn strays(&self, within: Duration) -> Result<Vec<Strays>, StoreError>;

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

    /// About how many records of `entity` there are: by the store's own statistics where these are of the last day,
    /// so that asking costs nothing on a large table, else by counting them. Never a guess: a count that does not end
    /// in time has no answer.
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

    /// What stands in this side's ledger under `key`. `None`: nothing does, or it is forgotten.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn keyed(&self, key: &IdempotencyKey, within: Duration) -> Result<Option<Keyed>, StoreError>;

    /// Deletes settled ledger rows as [`Forget`] says; how many. Whole writes of sagas that are open are spared.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`.
    async fn forget(&self, old: &Forget, within: Duration) -> Result<u64, StoreError>;

    /// The life of the log that this side writes now.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn incarnation(&self, within: Duration) -> Result<Incarnation, StoreError>;

    /// Makes the bookkeeping tables (ledger, versions, fence), or brings those of any earlier release up to this one;
    /// and, for each of `groups` that has no fence yet, makes one: [`Fence::BORN`], closed, whatever this side is. What
    /// opens it is decided by who has looked at both sides ([`crate::fence::beginning`]). Changes no row that exists, and
    /// makes nothing where nothing is missing.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit` when a right is missing, or when the tables are of a newer release that this
    /// one cannot work beside.
    async fn prepare(&self, groups: &[GroupName], within: Duration) -> Result<(), StoreError>;

    /// What there is of the bookkeeping, compared with what this release needs. Needs no right but to look.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn bookkeeping(&self, within: Duration) -> Result<Bookkeeping, StoreError>;

    /// The statements that [`Store::prepare`] would run on a database of which `found` is true, for a DBA to read and
    /// to run in its place. `None`: of which nothing is known, all of them.
    fn bookkeeping_ddl(&self, found: Option<&Bookkeeping>, groups: &[GroupName]) -> String;

    /// The fence of `group`, and for how long it has stood so.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`; `Misfit` when the group has none.
    async fn fence(&self, group: &GroupName, within: Duration) -> Result<Standing, StoreError>;

    /// What this side remembers of `group`'s types.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn traces(&self, group: &GroupName, within: Duration) -> Result<Traces, StoreError>;

    /// Every fence that there is here, also of groups that the contract does not have.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn fences(&self, within: Duration) -> Result<Vec<(GroupName, Fence)>, StoreError>;

    /// Moves the fence of `group`, if it is what the move says. Holds the group's lock alone meanwhile: writers in
    /// flight are waited for, and either committed before or fail. How it stands afterwards, moved or not.
    ///
    /// # Errors
    /// `Unwritable` when it would take writes then and this side is suspended; `Conflict` when a writer in flight did not end within the limit, and `Unreachable`, `Misfit`: nothing was moved.
    /// `NoAnswer`: it may have been; look at [`Store::fence`].
    async fn move_fence(&self, group: &GroupName, step: &Move, within: Duration) -> Result<Fence, StoreError>;

    /// Looks at tables, columns, types, rights and bookkeeping, and says what does not fit `entities`.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn inspect(&self, entities: &[EntityName], within: Duration) -> Result<Inspection, StoreError>;
}
