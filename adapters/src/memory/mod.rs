//! A system of record in memory: the honest twin of the others, for fast tests of what stands on the port.
//!
//! It keeps every promise of `model::Store`, with one lock in place of transactions. It has no SQL:
//! teach it what a statement or query of the contract does ([`MemoryStore::teach`]), or it answers `Misfit`.
//!
//! Not here: faults. Wrap any store in `testkit::faults::FaultyStore`.

mod apply;
mod checksum;
pub mod control;
mod execute;
mod ledger;
mod life;
mod own_keys;
mod sagas;
mod scan;
mod shapes;
mod store;
mod tries;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use life::Copy;
use model::shape::Remembered;
use model::sql::{NamedSql, Params};
use model::{
    Change, Contract, EntityKey, Epoch, Fence, GroupName, OwnNumber, Record, Recorded, SagaId, SagaRow, Side,
    StoreError, Version, WriteId,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::source::Source;

/// All records, in key order.
pub type Rows = BTreeMap<EntityKey, Record>;

/// What a statement does: changes records and says how many it touched.
type Statement = Arc<dyn Fn(&mut Rows, &Params) -> Result<u64, StoreError> + Send + Sync>;
/// What a list query finds.
type Query = Arc<dyn Fn(&Rows, &Params) -> Vec<Record> + Send + Sync>;

/// A store in memory. Cheap to clone; clones share their records.
#[derive(Clone)]
pub struct MemoryStore {
    side: Side,
    contract: Arc<Contract>,
    shared: Arc<Mutex<State>>,
    source: Arc<Source>,
}

#[derive(Default, Clone)]
struct State {
    rows: Rows,
    versions: HashMap<EntityKey, Recorded>,
    /// The number of each row as it stood after our last write of it.
    left: HashMap<EntityKey, i64>,
    ledger: BTreeMap<WriteId, Entry>,
    fences: BTreeMap<GroupName, KeptFence>,
    statements: HashMap<NamedSql, Statement>,
    queries: HashMap<NamedSql, Query>,
    /// The ID map, and how many numbers the ERP's sequence gave.
    numbers: BTreeMap<EntityKey, OwnNumber>,
    sequence: u64,
    /// The place in the log: rises with every write.
    position: u64,
    prepared: bool,
    sagas: BTreeMap<SagaId, sagas::Kept>,
    saga_copies: BTreeMap<SagaId, (model::Instant, SagaRow)>,
    life: life::Kept,
    shapes: Vec<Remembered>,
}

/// A fence as it is kept.
#[derive(Debug, Clone, Copy)]
struct KeptFence {
    fence: Fence,
    moved: Instant,
    /// Under which epoch this side last took the authority over from the other one; 0: never.
    since: Epoch,
}

/// A write in the ledger.
#[derive(Clone)]
struct Entry {
    group: Option<GroupName>,
    changes: Vec<Change>,
    /// Where in the primary's log it stands.
    version: Version,
    /// Known from the client even when the write changed nothing.
    idempotency: Option<(model::IdempotencyKey, model::Fingerprint)>,
    standing: Standing,
    /// It was settled, until the other side was found to have lost it.
    settled_once: bool,
    attempts: u32,
    next_attempt_at: Instant,
    created_at: Instant,
    /// The same on the wall clock, for people.
    written_at: model::Instant,
    /// Order of creation, since many are made at one instant.
    sequence: u64,
}

impl Entry {
    /// One that is made now, the `sequence`th of its ledger; without changes and key.
    fn new(group: Option<GroupName>, version: Version, standing: Standing, sequence: u64) -> Self {
        Self {
            group,
            changes: Vec::new(),
            version,
            idempotency: None,
            standing,
            settled_once: false,
            attempts: 0,
            next_attempt_at: Instant::now(),
            created_at: Instant::now(),
            written_at: wall_clock(),
            sequence,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Unsettled,
    Settled,
    Abandoned,
}

/// The wall clock.
fn wall_clock() -> model::Instant {
    model::Instant::new(chrono::Utc::now())
}

impl MemoryStore {
    /// An empty store without bookkeeping: call `prepare` before anything is written.
    pub fn new(side: Side, contract: Arc<Contract>) -> Self {
        Self { side, contract, shared: Arc::default(), source: Arc::default() }
    }

    /// The same database as another process has it.
    #[must_use]
    pub fn of_another_process(&self) -> Self {
        Self { source: Arc::default(), ..self.clone() }
    }

    /// Says what a statement of the contract does. It returns how many records it touched.
    pub fn teach(
        &self,
        sql: NamedSql,
        run: impl Fn(&mut Rows, &Params) -> Result<u64, StoreError> + Send + Sync + 'static,
    ) {
        self.shared.lock().statements.insert(sql, Arc::new(run));
    }

    /// Says what a list query of the contract finds: whole records, in its order.
    pub fn teach_list(&self, sql: NamedSql, find: impl Fn(&Rows, &Params) -> Vec<Record> + Send + Sync + 'static) {
        self.shared.lock().queries.insert(sql, Arc::new(find));
    }

    /// Changes records behind the proxy's back, as the ERP's own programs do.
    pub fn meddle(&self, change: impl FnOnce(&mut Rows)) {
        change(&mut self.shared.lock().rows);
    }

    /// A copy of all records.
    pub fn rows(&self) -> Rows {
        self.shared.lock().rows.clone()
    }

    fn misfit(&self, problem: impl Into<String>) -> StoreError {
        StoreError::Misfit { side: self.side, problem: problem.into(), source: None }
    }

    fn refused(&self, refusal: model::contract::Refusal) -> StoreError {
        StoreError::Refused { side: self.side, refusal, source: None }
    }
}
