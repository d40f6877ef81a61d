//! The port, filled: takes a connection, does the call within its limit, gives the connection back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::fence::{Fence, Move, Stand, Standing, Traces};
use model::history::KeyHistory;
use model::saga::{Begun, Leased, OpenSagas, SagaCounts};
use model::sql::{NamedSql, Params};
use model::store::{Backlog, Bare, Forget, Inspection, Keyed, Strays, Unsettled};
use model::write::{Claim, IdempotencyKey};
use model::{
    Applied, Bookkeeping, Change, Command, Contract, EntityKey, EntityName, EntityType, FieldSet, GroupName,
    Incarnation, Instant, Record, Recorded, Rehearsal, SagaId, SagaLog, SagaRow, SagaStatus, Scan, Side, States, Store,
    StoreError, WriteId, Written,
};

use super::session::{Pools, Use};
use super::settings::Settings;
use super::snapshot::PostgresSnapshot;
use super::table::Table;
use super::{
    apply_seen, bookkeeping, carry, execute, fence, history, inspect, ledger, read, retention, sagas, shapes, waiting,
};
use crate::columns::ColumnSets;
use crate::gate::Gate;
use crate::known::Known;
use crate::{Lane, Lanes};

/// Takes a connection, does the work within the call's limit, gives the connection back.
macro_rules! call {
    ($store:ident, $purpose:expr, $within:ident, |$session:ident| $work:expr) => {{
        let $session = $store.pools.session($store.lane, $purpose, $within).await?;
        let result = $session.limited(Box::pin($work)).await;
        $session.finish(result)
    }};
}

/// The same for reads, which cannot lose against another transaction. One that meets a statement whose table was altered
/// is asked once more, on a connection that prepares it anew: the side has an answer. So again while somebody goes on altering.
macro_rules! look {
    ($store:ident, $within:ident, |$session:ident| $work:expr) => {{
        let deadline = tokio::time::Instant::now() + $within;
        loop {
            let (seen, within) =
                ($store.pools.altered(), deadline.saturating_duration_since(tokio::time::Instant::now()));
            let result = async { call!($store, crate::postgres::session::Use::Read, within, |$session| $work) }.await;
            let is_altered = $store.pools.altered() != seen;
            match result {
                Err(StoreError::Conflict { .. }) if is_altered && tokio::time::Instant::now() < deadline => {}
                result => break result.map_err(|error| error.of_read($within)),
            }
        }
    }};
}

mod lives;
mod own_keys;
mod scan;
mod server;
mod shape_log;
mod tries;

/// A PostgreSQL database behind the port. Cheap to clone; clones and lanes share their pools.
#[derive(Clone)]
pub struct PostgresStore {
    side: Side,
    lane: Lane,
    contract: Arc<Contract>,
    known: Arc<Known>,
    columns: Arc<ColumnSets>,
    pools: Arc<Pools>,
}

impl PostgresStore {
    /// A store on the client's lane. The server need not be up: connections are made when needed.
    ///
    /// # Errors
    /// `Misfit` when the address cannot be read.
    pub fn connect(side: Side, contract: Arc<Contract>, settings: &Settings) -> Result<Self, StoreError> {
        let pools = Arc::new(Pools::new(side, settings)?);
        let (lane, known) = (Lane::Client, Known::new(Arc::clone(&contract)));
        Ok(Self { side, lane, contract, known, columns: Arc::default(), pools })
    }

    /// The same store on connections that are kept for `lane`.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> Self {
        Self { lane, ..self.clone() }
    }

    #[cfg(test)]
    pub(super) fn pools(&self) -> &Pools {
        &self.pools
    }

    /// The same store as every lane sees it.
    pub fn lanes(&self) -> Lanes {
        Lanes::of(|lane| Arc::new(self.lane(lane)))
    }
}

impl PostgresStore {
    async fn apply_call(
        &self,
        changes: &[Change],
        over: bool,
        gate: Gate,
        within: Duration,
    ) -> Result<Vec<Applied>, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        call!(self, Use::Write, within, |session| {
            let apply = shapes::Apply { session: &session, contract, side, over, gate, known: &self.known };
            async move { apply.run(changes).await }
        })
    }
}

#[async_trait]
impl SagaLog for PostgresStore {
    async fn begin_saga(&self, saga: &SagaRow, lease: Duration, within: Duration) -> Result<Begun, StoreError> {
        call!(self, Use::Write, within, |session| sagas::begin(&session, self.side, saga, lease))
    }

    async fn save_saga(&self, saga: &SagaRow, pause: Duration, within: Duration) -> Result<bool, StoreError> {
        call!(self, Use::Write, within, |session| sagas::save(&session, saga, pause))
    }

    async fn lease_sagas(&self, lease: Duration, limit: usize, within: Duration) -> Result<Leased, StoreError> {
        call!(self, Use::Write, within, |session| sagas::lease(&session, self.side, lease, limit))
    }

    async fn copy_saga(&self, saga: &SagaRow, within: Duration) -> Result<(), StoreError> {
        call!(self, Use::Write, within, |session| sagas::copy(&session, self.side, saga))
    }

    async fn saga_copies(
        &self,
        since: Instant,
        after: Option<&SagaId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<SagaRow>, StoreError> {
        look!(self, within, |session| sagas::copies(&session, self.side, since, after, limit))
    }

    async fn restore_saga(&self, saga: &SagaRow, within: Duration) -> Result<bool, StoreError> {
        call!(self, Use::Write, within, |session| sagas::restore(&session, saga))
    }

    async fn saga(&self, id: &SagaId, within: Duration) -> Result<Option<SagaRow>, StoreError> {
        look!(self, within, |session| sagas::find(&session, self.side, id))
    }

    async fn sagas(
        &self,
        status: Option<SagaStatus>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<SagaRow>, StoreError> {
        look!(self, within, |session| sagas::list(&session, self.side, status, limit))
    }

    async fn open_sagas(&self, within: Duration) -> Result<OpenSagas, StoreError> {
        look!(self, within, |session| sagas::open(&session, self.side))
    }

    async fn count_sagas(&self, within: Duration) -> Result<SagaCounts, StoreError> {
        look!(self, within, |session| sagas::counts(&session, self.side))
    }

    async fn forget_sagas(&self, retention: Duration, limit: usize, within: Duration) -> Result<u64, StoreError> {
        call!(self, Use::Write, within, |session| sagas::forget(&session, retention, limit))
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn side(&self) -> Side {
        self.side
    }

    fn system(&self) -> &'static str {
        "postgresql"
    }

    async fn fetch(
        &self,
        entity: &EntityType,
        keys: &[EntityKey],
        fields: FieldSet,
        within: Duration,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let table = Table::new(entity, self.side);
        read::require_batch(self.side, Some(entity), keys)?;
        let fields = self.columns.rounded(entity, fields);
        look!(self, within, |session| read::fetch(&session, table, keys, fields))
    }

    async fn list(
        &self,
        entity: &EntityType,
        query: &NamedSql,
        params: &Params,
        fields: FieldSet,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let table = Table::new(entity, self.side);
        let fields = self.columns.rounded(entity, fields);
        look!(self, within, |session| read::list(&session, table, query, params, fields))
    }

    async fn execute(&self, command: &Command, within: Duration) -> Result<Written, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        call!(self, Use::Write, within, |session| execute::execute(&session, contract, side, command))
    }

    async fn execute_seeing(&self, command: &Command, within: Duration) -> Result<(Written, States), StoreError> {
        let (contract, side) = (&self.contract, self.side);
        call!(self, Use::Write, within, |session| execute::execute_seeing(&session, contract, side, command))
    }

    async fn rehearse(&self, command: &Command, within: Duration) -> Result<Rehearsal, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        call!(self, Use::Write, within, |session| execute::rehearse(&session, contract, side, command, within))
    }

    async fn claim(&self, write: WriteId, within: Duration) -> Result<Claim, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        call!(self, Use::Write, within, |session| ledger::claim(&session, contract, side, write))
    }

    async fn apply(&self, changes: &[Change], within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.apply_call(changes, false, Gate::Secondary(self.pools.source().read()), within).await
    }

    async fn apply_over(&self, changes: &[Change], within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.apply_call(changes, true, Gate::Secondary(self.pools.source().read()), within).await
    }

    async fn carry(&self, changes: &[Change], within: Duration) -> Result<Option<WriteId>, StoreError> {
        let (contract, side, source) = (&self.contract, self.side, self.pools.source().read());
        call!(self, Use::Write, within, |session| carry::carry(&session, contract, side, changes, source))
    }

    async fn keep(&self, writes: &[Bare], within: Duration) -> Result<Vec<Applied>, StoreError> {
        let gate = Gate::Secondary(self.pools.source().read());
        call!(self, Use::Write, within, |session| carry::keep(&session, self.side, writes, gate))
    }

    async fn recorded(&self, keys: &[EntityKey], within: Duration) -> Result<Vec<Option<Recorded>>, StoreError> {
        look!(self, within, |session| carry::recorded(&session, self.side, keys))
    }

    async fn as_left(
        &self,
        entity: &EntityType,
        key: &EntityKey,
        within: Duration,
    ) -> Result<Option<bool>, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| apply_seen::as_left(&session, table, key))
    }

    async fn settle(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        call!(self, Use::Write, within, |session| ledger::settle(&session, writes))
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
        let (contract, side) = (&self.contract, self.side);
        let due = ledger::Due { group, stand, older_than, lease, limit };
        call!(self, Use::Write, within, |session| ledger::lease_unsettled(&session, contract, side, &self.known, &due))
    }

    async fn unsettled_keys(
        &self,
        group: &GroupName,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<(EntityKey, WriteId)>, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        look!(self, within, |session| ledger::unsettled_keys(&session, contract, side, group, limit))
    }

    async fn backlog(&self, group: &GroupName, within: Duration) -> Result<Backlog, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        look!(self, within, |session| waiting::backlog(&session, contract, side, group))
    }

    async fn left_behind(
        &self,
        group: &GroupName,
        after: Option<WriteId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Unsettled>, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        look!(self, within, |session| waiting::left_behind(&session, contract, side, group, after, limit))
    }

    async fn strays(&self, within: Duration) -> Result<Vec<Strays>, StoreError> {
        look!(self, within, |session| waiting::strays(&session, &self.contract, self.side))
    }

    async fn standing(&self, writes: &[WriteId], within: Duration) -> Result<Vec<WriteId>, StoreError> {
        look!(self, within, |session| ledger::standing(&session, self.side, writes))
    }

    async fn past_states(
        &self,
        _entity: &EntityType,
        key: &EntityKey,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        look!(self, within, |session| ledger::past_states(&session, contract, side, key, limit))
    }

    async fn history(&self, key: &EntityKey, limit: usize, within: Duration) -> Result<KeyHistory, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        look!(self, within, |session| history::of_key(&session, contract, side, key, limit))
    }

    async fn rough_count(&self, entity: &EntityType, within: Duration) -> Result<u64, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| read::rough_count(&session, table))
    }

    async fn snapshot(&self, within: Duration) -> Result<Arc<dyn Scan>, StoreError> {
        let session = self.pools.session(self.lane, Use::Read, within).await?;
        Ok(Arc::new(PostgresSnapshot::begin(self.side, session).await?))
    }

    async fn keyed(&self, key: &IdempotencyKey, within: Duration) -> Result<Option<Keyed>, StoreError> {
        look!(self, within, |session| retention::keyed(&session, self.side, key))
    }

    async fn forget(&self, old: &Forget, within: Duration) -> Result<u64, StoreError> {
        call!(self, Use::Write, within, |session| retention::forget(&session, self.side, old))
    }

    async fn incarnation(&self, within: Duration) -> Result<Incarnation, StoreError> {
        look!(self, within, |session| bookkeeping::incarnation(&session, self.side))
    }

    async fn prepare(&self, groups: &[GroupName], within: Duration) -> Result<(), StoreError> {
        call!(self, Use::Write, within, |session| bookkeeping::prepare(&session, self.side, groups))
    }

    async fn bookkeeping(&self, within: Duration) -> Result<Bookkeeping, StoreError> {
        look!(self, within, |session| bookkeeping::found(&session))
    }

    fn bookkeeping_ddl(&self, found: Option<&Bookkeeping>, groups: &[GroupName]) -> String {
        bookkeeping::ddl(found, groups)
    }

    async fn fence(&self, group: &GroupName, within: Duration) -> Result<Standing, StoreError> {
        look!(self, within, |session| fence::look(&session, self.side, group))
    }

    async fn traces(&self, group: &GroupName, within: Duration) -> Result<Traces, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        look!(self, within, |session| fence::traces(&session, contract, side, group))
    }

    async fn fences(&self, within: Duration) -> Result<Vec<(GroupName, Fence)>, StoreError> {
        look!(self, within, |session| fence::all(&session, self.side))
    }

    async fn move_fence(&self, group: &GroupName, step: &Move, within: Duration) -> Result<Fence, StoreError> {
        call!(self, Use::Write, within, |session| fence::shift(&session, self.side, group, step, within))
    }

    async fn inspect(&self, entities: &[EntityName], within: Duration) -> Result<Inspection, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        look!(self, within, |session| inspect::inspect(&session, contract, side, entities))
    }
}
