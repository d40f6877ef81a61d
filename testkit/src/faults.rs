//! A store that fails on demand, around any other.
//!
//! ```no_run
//! # use testkit::faults::{Call, Fault, FaultyStore};
//! # fn test(store: std::sync::Arc<dyn model::Store>) {
//! let store = FaultyStore::new(store);
//! store.on(Call::Apply, 2, Fault::FailAfter); // the second apply stands, and nobody is told
//! store.always(Call::Fetch, Fault::Hang);     // no fetch is answered until `heal`
//! # }
//! ```

mod kinds;
mod lives;
mod own_keys;
mod poison;
mod sagas;
mod scan;
mod shapes;
mod tries;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::fence::{Fence, Move, Stand, Standing, Traces};
use model::history::KeyHistory;
use model::sql::{NamedSql, Params};
use model::store::{Backlog, Bare, Forget, Inspection, Keyed, Strays, Unsettled};
use model::write::{Claim, IdempotencyKey};
use model::{
    Applied, Bookkeeping, Change, Command, EntityKey, EntityName, EntityType, FieldSet, GroupName, Incarnation, Record,
    Recorded, Rehearsal, Scan, Side, States, Store, StoreError, WriteId, Written,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use kinds::{Call, Fault};

/// How long after its limit a late call is done.
const LATE: Duration = Duration::from_millis(100);

/// Wraps a store; without faults it is that store. Clones share faults and counters.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Arc<Mutex<Plan>>,
    crash: Arc<Notify>,
}

#[derive(Default)]
struct Plan {
    at: HashMap<(Call, usize), Fault>,
    always: HashMap<Call, Fault>,
    down: bool,
    wrong_sums: bool,
    poison: HashSet<EntityKey>,
    calls: HashMap<Call, usize>,
}

impl FaultyStore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, plan: Arc::default(), crash: Arc::default() }
    }

    /// How often a method was called so far.
    pub fn calls(&self, call: Call) -> usize {
        self.plan.lock().calls.get(&call).copied().unwrap_or_default()
    }

    /// The `nth` call from now on (1 is the next) goes wrong, once.
    pub fn on(&self, call: Call, nth: usize, fault: Fault) {
        let mut plan = self.plan.lock();
        let place = plan.calls.get(&call).copied().unwrap_or_default() + nth;
        plan.at.insert((call, place), fault);
    }

    /// Every call of a method goes wrong until [`Self::heal`].
    pub fn always(&self, call: Call, fault: Fault) {
        self.plan.lock().always.insert(call, fault);
    }

    /// Every method is [`Fault::Down`], or up again; single faults stay planned.
    pub fn down(&self, down: bool) {
        self.plan.lock().down = down;
    }

    /// Forgets every planned fault. Counters stay.
    pub fn heal(&self) {
        let mut plan = self.plan.lock();
        plan.at.clear();
        plan.always.clear();
        (plan.down, plan.wrong_sums) = (false, false);
        plan.poison.clear();
    }

    /// Waits for the next call that meets a planned crash. Its caller is to be dropped then, with all of its tasks.
    pub async fn crashed(&self) {
        self.crash.notified().await;
    }

    fn next(&self, call: Call) -> Option<Fault> {
        let mut plan = self.plan.lock();
        let count = plan.calls.entry(call).or_default();
        *count += 1;
        let count = *count;
        if plan.down {
            return Some(Fault::Down);
        }
        let once = plan.at.remove(&(call, count));
        once.or_else(|| plan.always.get(&call).copied())
    }

    /// The fault of an execute that comes now; one that is late is on its way already.
    fn next_execute(&self, command: &Command, within: Duration) -> Option<Fault> {
        let fault = self.next(Call::Execute);
        if fault == Some(Fault::Late) {
            let (inner, command) = (Arc::clone(&self.inner), command.clone());
            tokio::spawn(async move {
                tokio::time::sleep(within + LATE).await;
                // It may be refused by then; nobody hears it.
                let _ = inner.execute(&command, within).await;
            });
        }
        fault
    }

    async fn run<T, F>(&self, call: Call, within: Duration, inner: impl Fn() -> F + Send) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send,
        T: Send,
    {
        self.run_with(self.next(call), within, inner).await
    }

    async fn run_with<T, F>(
        &self,
        fault: Option<Fault>,
        within: Duration,
        inner: impl Fn() -> F + Send,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send,
        T: Send,
    {
        let side = self.inner.side();
        let no_answer = StoreError::NoAnswer { side, limit: within };
        match fault {
            None => inner().await,
            Some(Fault::Reject) => Err(StoreError::Conflict { side, source: "a planned fault".into() }),
            Some(Fault::Down) => Err(StoreError::Unreachable { side, source: "a planned fault".into() }),
            Some(Fault::DiskFull) => Err(StoreError::Unwritable { side, source: "a planned fault".into() }),
            Some(Fault::Lost) => Err(StoreError::SnapshotLost { side, source: None }),
            Some(Fault::FailAfter) => {
                inner().await?;
                Err(no_answer)
            }
            Some(Fault::Hang | Fault::Late) => {
                tokio::time::sleep(within).await;
                Err(no_answer)
            }
            Some(Fault::Panic) => panic!("a planned fault"),
            Some(Fault::Twice) => {
                inner().await?;
                inner().await
            }
            Some(Fault::CrashBefore) => {
                self.crash.notify_one();
                std::future::pending().await
            }
            Some(Fault::CrashAfter) => {
                // What the call says does not matter: nobody is left to hear it.
                let _ = inner().await;
                self.crash.notify_one();
                std::future::pending().await
            }
            Some(Fault::Latency(time)) => {
                if time >= within {
                    tokio::time::sleep(within).await;
                    return Err(no_answer);
                }
                tokio::time::sleep(time).await;
                inner().await
            }
        }
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn side(&self) -> Side {
        self.inner.side()
    }

    fn system(&self) -> &'static str {
        self.inner.system()
    }

    async fn fetch(
        &self,
        entity: &EntityType,
        keys: &[EntityKey],
        fields: FieldSet,
        within: Duration,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.run(Call::Fetch, within, || async {
            self.poisoned(keys)?;
            self.inner.fetch(entity, keys, fields, within).await
        })
        .await
    }

    async fn list(
        &self,
        entity: &EntityType,
        query: &NamedSql,
        params: &Params,
        fields: FieldSet,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        self.run(Call::List, within, || self.inner.list(entity, query, params, fields, within)).await
    }

    async fn execute(&self, command: &Command, within: Duration) -> Result<Written, StoreError> {
        let fault = self.next_execute(command, within);
        self.run_with(fault, within, || self.inner.execute(command, within)).await
    }

    async fn execute_seeing(&self, command: &Command, within: Duration) -> Result<(Written, States), StoreError> {
        let fault = self.next_execute(command, within);
        self.run_with(fault, within, || self.inner.execute_seeing(command, within)).await
    }

    async fn rehearse(&self, command: &Command, within: Duration) -> Result<Rehearsal, StoreError> {
        self.run(Call::Rehearse, within, || self.inner.rehearse(command, within)).await
    }

    async fn claim(&self, write: WriteId, within: Duration) -> Result<Claim, StoreError> {
        self.run(Call::Claim, within, || self.inner.claim(write, within)).await
    }

    async fn apply(&self, changes: &[Change], within: Duration) -> Result<Vec<Applied>, StoreError> {
        let fault = self.next(Call::Apply);
        if fault == Some(Fault::Late) {
            let (inner, changes) = (Arc::clone(&self.inner), changes.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(within + LATE).await;
                // It may be stale by then; nobody hears it.
                let _ = inner.apply(&changes, within).await;
            });
        }
        self.run_with(fault, within, || self.inner.apply(changes, within)).await
    }

    async fn apply_over(&self, changes: &[Change], within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.run(Call::ApplyOver, within, || self.inner.apply_over(changes, within)).await
    }

    async fn carry(&self, changes: &[Change], within: Duration) -> Result<Option<WriteId>, StoreError> {
        self.run(Call::Carry, within, || self.inner.carry(changes, within)).await
    }

    async fn keep(&self, writes: &[Bare], within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.run(Call::Keep, within, || self.inner.keep(writes, within)).await
    }

    async fn recorded(&self, keys: &[EntityKey], within: Duration) -> Result<Vec<Option<Recorded>>, StoreError> {
        self.run(Call::Recorded, within, || self.inner.recorded(keys, within)).await
    }

    async fn as_left(
        &self,
        entity: &EntityType,
        key: &EntityKey,
        within: Duration,
    ) -> Result<Option<bool>, StoreError> {
        self.run(Call::AsLeft, within, || self.inner.as_left(entity, key, within)).await
    }

    async fn settle(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        self.run(Call::Settle, within, || self.inner.settle(writes, within)).await
    }

    async fn lease_unsettled(
        &self,
        group: &GroupName,
        stand: Stand,
        older_than: Duration,
        lease: Duration,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Unsettled>, StoreError> {
        let inner = || self.inner.lease_unsettled(group, stand, older_than, lease, limit, within);
        self.run(Call::LeaseUnsettled, within, inner).await
    }

    async fn unsettled_keys(
        &self,
        group: &GroupName,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<(EntityKey, WriteId)>, StoreError> {
        let inner = || self.inner.unsettled_keys(group, limit, within);
        self.run(Call::UnsettledKeys, within, inner).await
    }

    async fn backlog(&self, group: &GroupName, within: Duration) -> Result<Backlog, StoreError> {
        self.run(Call::Backlog, within, || self.inner.backlog(group, within)).await
    }

    async fn left_behind(
        &self,
        group: &GroupName,
        after: Option<WriteId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Unsettled>, StoreError> {
        self.run(Call::LeftBehind, within, || self.inner.left_behind(group, after, limit, within)).await
    }

    async fn strays(&self, within: Duration) -> Result<Vec<Strays>, StoreError> {
        self.run(Call::Strays, within, || self.inner.strays(within)).await
    }

    async fn standing(&self, writes: &[WriteId], within: Duration) -> Result<Vec<WriteId>, StoreError> {
        self.run(Call::Standing, within, || self.inner.standing(writes, within)).await
    }

    async fn past_states(
        &self,
        entity: &EntityType,
        key: &EntityKey,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let inner = || self.inner.past_states(entity, key, limit, within);
        self.run(Call::PastStates, within, inner).await
    }

    async fn history(&self, key: &EntityKey, limit: usize, within: Duration) -> Result<KeyHistory, StoreError> {
        self.run(Call::PastStates, within, || self.inner.history(key, limit, within)).await
    }

    async fn rough_count(&self, entity: &EntityType, within: Duration) -> Result<u64, StoreError> {
        self.run(Call::RoughCount, within, || self.inner.rough_count(entity, within)).await
    }

    async fn snapshot(&self, within: Duration) -> Result<Arc<dyn Scan>, StoreError> {
        let inner = self.run(Call::Snapshot, within, || self.inner.snapshot(within)).await?;
        Ok(Arc::new(scan::FaultySnapshot { store: self.clone(), inner }))
    }

    async fn keyed(&self, key: &IdempotencyKey, within: Duration) -> Result<Option<Keyed>, StoreError> {
        self.run(Call::Keyed, within, || self.inner.keyed(key, within)).await
    }

    async fn forget(&self, old: &Forget, within: Duration) -> Result<u64, StoreError> {
        self.run(Call::Forget, within, || self.inner.forget(old, within)).await
    }

    async fn incarnation(&self, within: Duration) -> Result<Incarnation, StoreError> {
        self.run(Call::Incarnation, within, || self.inner.incarnation(within)).await
    }

    async fn prepare(&self, groups: &[GroupName], within: Duration) -> Result<(), StoreError> {
        self.run(Call::Prepare, within, || self.inner.prepare(groups, within)).await
    }

    async fn bookkeeping(&self, within: Duration) -> Result<Bookkeeping, StoreError> {
        self.run(Call::Inspect, within, || self.inner.bookkeeping(within)).await
    }

    fn bookkeeping_ddl(&self, found: Option<&Bookkeeping>, groups: &[GroupName]) -> String {
        self.inner.bookkeeping_ddl(found, groups)
    }

    async fn fence(&self, group: &GroupName, within: Duration) -> Result<Standing, StoreError> {
        self.run(Call::LookAtFence, within, || self.inner.fence(group, within)).await
    }

    async fn traces(&self, group: &GroupName, within: Duration) -> Result<Traces, StoreError> {
        self.run(Call::Traces, within, || self.inner.traces(group, within)).await
    }

    async fn fences(&self, within: Duration) -> Result<Vec<(GroupName, Fence)>, StoreError> {
        self.run(Call::Fences, within, || self.inner.fences(within)).await
    }

    async fn move_fence(&self, group: &GroupName, step: &Move, within: Duration) -> Result<Fence, StoreError> {
        self.run(Call::MoveFence, within, || self.inner.move_fence(group, step, within)).await
    }

    async fn inspect(&self, entities: &[EntityName], within: Duration) -> Result<Inspection, StoreError> {
        self.run(Call::Inspect, within, || self.inner.inspect(entities, within)).await
    }
}

#[cfg(test)]
mod tests;
