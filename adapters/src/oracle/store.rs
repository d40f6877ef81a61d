//! The port, filled: says what to ask, has a session of the right track ask it, and reads the answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::fence::{Fence, Move, Stand, Standing, Traces};
use model::history::KeyHistory;
use model::sql::{NamedSql, Params};
use model::store::{Backlog, Bare, Forget, Inspection, Keyed, Strays, Unsettled};
use model::write::{Claim, IdempotencyKey};
use model::{
    Applied, Bookkeeping, Change, Command, Contract, EntityKey, EntityName, EntityType, FieldSet, GroupName,
    Incarnation, Record, Recorded, Rehearsal, Scan, Side, States, Store, StoreError, Unnumbered, WriteId, Written,
};
use oracle::Row;
use tokio::time::Instant;

use super::lanes::{Lanes as Tracks, TrackFigures};
use super::letters::Letters;
use super::life::Expected;
use super::read::{Lookup, Question};
use super::session::Session;
use super::settings::{Settings, Track};
use super::snapshot::OracleSnapshot;
use super::table::Table;
use super::{
    bookkeeping, carry, connect, execute, fence, history, inspect, ledger, own_keys, read, retention, stands, waiting,
};
use crate::columns::ColumnSets;
use crate::gate::Gate;
use crate::id_map::Numbers;
use crate::known::Known;
use crate::source::Source;
use crate::{Lane, Lanes};

/// An Oracle database behind the port. Cheap to clone; clones and lanes share their sessions.
#[derive(Clone)]
pub struct OracleStore {
    pub(super) side: Side,
    lane: Lane,
    contract: Arc<Contract>,
    pub(super) known: Arc<Known>,
    columns: Arc<ColumnSets>,
    tracks: Arc<Tracks>,
}

impl OracleStore {
    /// A store on the client's lane. The server need not be up: sessions are made when needed. The client library
    /// is looked for at once.
    ///
    /// # Errors
    /// `Misfit` when the client library is not there, or is not the one that this process uses already.
    pub fn connect(side: Side, contract: Arc<Contract>, settings: &Settings) -> Result<Self, StoreError> {
        connect::use_client(side, settings)?;
        let known = Known::new(Arc::clone(&contract));
        let (columns, tracks) = (Arc::default(), Arc::new(Tracks::new(side, settings)));
        Ok(Self { side, lane: Lane::Client, contract, known, columns, tracks })
    }

    /// What new sessions are compared with.
    pub(super) fn expected(&self) -> &Expected {
        &self.tracks.expected
    }

    /// Which letters its database has.
    pub(super) fn letters(&self) -> &Letters {
        &self.tracks.letters
    }

    /// As which incarnation this process knows the other side.
    pub(super) fn source(&self) -> &Source {
        &self.tracks.source
    }

    /// The same store on sessions that are kept for `lane`.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> Self {
        Self { lane, ..self.clone() }
    }

    /// The same store as every lane sees it.
    pub fn lanes(&self) -> Lanes {
        Lanes::of(|lane| Arc::new(self.lane(lane)))
    }

    /// How each track is doing.
    pub fn figures(&self) -> Vec<(Track, TrackFigures)> {
        self.tracks.figures()
    }

    pub(super) async fn writing<T: Send + 'static>(
        &self,
        within: Duration,
        work: impl FnOnce(&mut Session, &Contract, Side) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (contract, side) = (Arc::clone(&self.contract), self.side);
        let track = Track::of(self.lane, true);
        self.tracks.call(track, within, move |session| work(session, &contract, side)).await
    }

    /// The same for reads, which cannot lose against another transaction.
    pub(super) async fn reading<T: Send + 'static>(
        &self,
        within: Duration,
        work: impl FnOnce(&mut Session, &Contract, Side) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (contract, side) = (Arc::clone(&self.contract), self.side);
        let track = Track::of(self.lane, false);
        let result = self.tracks.call(track, within, move |session| work(session, &contract, side)).await;
        result.map_err(|error| error.of_read(within))
    }

    /// The numbers of `keys`, where this side has keys of its own.
    pub(super) async fn numbers_of(
        &self,
        entity: &EntityType,
        keys: &[EntityKey],
        within: Duration,
    ) -> Result<Numbers, StoreError> {
        if entity.own_key(self.side).is_none() || keys.is_empty() {
            return Ok(Numbers::new());
        }
        let (entity, keys) = (entity.clone(), keys.to_vec());
        self.reading(within, move |session, _, side| {
            own_keys::of_type(session, Table::new(&entity, side), &keys, Unnumbered::Leave)
        })
        .await
    }

    pub(super) async fn ask(&self, question: Question, within: Duration) -> Result<Vec<Row>, StoreError> {
        self.reading(within, move |session, _, _| question.ask(session)).await
    }

    pub(super) async fn records(
        &self,
        table: Table<'_>,
        question: Question,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let fields = table.entity.all_fields();
        let rows = self.ask(question, within).await?;
        Ok(rows.iter().map(|row| table.record(fields, row)).collect())
    }
}

#[async_trait]
impl Store for OracleStore {
    fn side(&self) -> Side {
        self.side
    }

    fn system(&self) -> &'static str {
        "oracle"
    }

    async fn fetch(
        &self,
        entity: &EntityType,
        keys: &[EntityKey],
        fields: FieldSet,
        within: Duration,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        read::require_batch(self.side, Some(entity), keys)?;
        let began = Instant::now();
        let numbers = self.numbers_of(entity, keys, within).await?;
        let within = within.saturating_sub(began.elapsed());
        let fields = self.columns.rounded(entity, fields);
        let (lookup, question) = Lookup::new(Table::new(entity, self.side).with(&numbers), keys, fields);
        match question {
            None => Ok(vec![None; keys.len()]),
            Some(question) => lookup.answers(&self.ask(question, within).await?),
        }
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
        let rows = self.ask(read::list(table, query, params, fields)?, within).await?;
        Ok(rows.iter().map(|row| table.record(fields, row)).collect())
    }

    async fn execute(&self, command: &Command, within: Duration) -> Result<Written, StoreError> {
        let command = command.clone();
        self.writing(within, move |session, contract, side| execute::execute(session, contract, side, &command)).await
    }

    async fn execute_seeing(&self, command: &Command, within: Duration) -> Result<(Written, States), StoreError> {
        let command = command.clone();
        self.writing(within, move |session, contract, side| execute::execute_seeing(session, contract, side, &command))
            .await
    }

    async fn rehearse(&self, command: &Command, within: Duration) -> Result<Rehearsal, StoreError> {
        let command = command.clone();
        self.writing(within, move |session, contract, side| execute::rehearse(session, contract, side, &command)).await
    }

    async fn claim(&self, write: WriteId, within: Duration) -> Result<Claim, StoreError> {
        self.writing(within, move |session, contract, side| ledger::claim(session, contract, side, write)).await
    }

    async fn apply(&self, changes: &[Change], within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.apply_call(changes, false, Gate::Secondary(self.source().read()), within).await
    }

    async fn apply_over(&self, changes: &[Change], within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.apply_call(changes, true, Gate::Secondary(self.source().read()), within).await
    }

    async fn carry(&self, changes: &[Change], within: Duration) -> Result<Option<WriteId>, StoreError> {
        let (changes, source) = (changes.to_vec(), self.source().read());
        let carry = move |session: &mut Session, contract: &Contract, side| {
            carry::carry_proven(session, contract, side, &changes, source)
        };
        self.writing(within, carry).await
    }

    async fn keep(&self, writes: &[Bare], within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.keep_call(writes, Gate::Secondary(self.source().read()), within).await
    }

    async fn recorded(&self, keys: &[EntityKey], within: Duration) -> Result<Vec<Option<Recorded>>, StoreError> {
        let keys = keys.to_vec();
        self.reading(within, move |session, _, side| carry::recorded(session, side, &keys)).await
    }

    async fn as_left(
        &self,
        entity: &EntityType,
        key: &EntityKey,
        within: Duration,
    ) -> Result<Option<bool>, StoreError> {
        let (entity, key) = (entity.clone(), key.clone());
        self.reading(within, move |session, _, side| stands::as_left(session, &entity, side, &key)).await
    }

    async fn settle(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        let writes = writes.to_vec();
        self.writing(within, move |session, _, _| ledger::settle(session, &writes)).await
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
        let due = ledger::Due { group: group.clone(), stand, older_than, lease, limit };
        let known = Arc::clone(&self.known);
        self.writing(within, move |session, contract, side| {
            ledger::lease_unsettled(session, contract, side, &known, &due)
        })
        .await
    }

    async fn unsettled_keys(
        &self,
        group: &GroupName,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<(EntityKey, WriteId)>, StoreError> {
        let group = group.clone();
        self.reading(within, move |session, contract, side| {
            ledger::unsettled_keys(session, contract, side, &group, limit)
        })
        .await
    }

    async fn backlog(&self, group: &GroupName, within: Duration) -> Result<Backlog, StoreError> {
        let group = group.clone();
        self.reading(within, move |session, contract, side| waiting::backlog(session, contract, side, &group)).await
    }

    async fn left_behind(
        &self,
        group: &GroupName,
        after: Option<WriteId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Unsettled>, StoreError> {
        let group = group.clone();
        self.reading(within, move |session, contract, side| {
            waiting::left_behind(session, contract, side, &group, after, limit)
        })
        .await
    }

    async fn strays(&self, within: Duration) -> Result<Vec<Strays>, StoreError> {
        self.reading(within, |session, contract, _| waiting::strays(session, contract)).await
    }

    async fn standing(&self, writes: &[WriteId], within: Duration) -> Result<Vec<WriteId>, StoreError> {
        let writes = writes.to_vec();
        self.reading(within, move |session, _, _| ledger::standing(session, &writes)).await
    }

    async fn past_states(
        &self,
        _entity: &EntityType,
        key: &EntityKey,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let key = key.clone();
        self.reading(within, move |session, contract, side| ledger::past_states(session, contract, side, &key, limit))
            .await
    }

    async fn history(&self, key: &EntityKey, limit: usize, within: Duration) -> Result<KeyHistory, StoreError> {
        let key = key.clone();
        self.reading(within, move |session, contract, side| history::of_key(session, contract, side, &key, limit)).await
    }

    async fn rough_count(&self, entity: &EntityType, within: Duration) -> Result<u64, StoreError> {
        let table = entity.table.get(self.side).clone();
        self.reading(within, move |session, _, _| read::rough_count(session, &table)).await
    }

    async fn snapshot(&self, within: Duration) -> Result<Arc<dyn Scan>, StoreError> {
        let scn = self.reading(within, |session, _, _| bookkeeping::position(session)).await?;
        Ok(Arc::new(OracleSnapshot { store: self.clone(), scn }))
    }

    async fn keyed(&self, key: &IdempotencyKey, within: Duration) -> Result<Option<Keyed>, StoreError> {
        let key = key.clone();
        self.reading(within, move |session, _, side| retention::keyed(session, side, &key)).await
    }

    async fn forget(&self, old: &Forget, within: Duration) -> Result<u64, StoreError> {
        let old = old.clone();
        self.writing(within, move |session, _, _| retention::forget(session, &old)).await
    }

    async fn incarnation(&self, within: Duration) -> Result<Incarnation, StoreError> {
        self.reading(within, |session, _, _| bookkeeping::incarnation(session)).await
    }

    async fn prepare(&self, groups: &[GroupName], within: Duration) -> Result<(), StoreError> {
        let groups = groups.to_vec();
        self.writing(within, move |session, _, _| bookkeeping::prepare(session, &groups)).await
    }

    async fn bookkeeping(&self, within: Duration) -> Result<Bookkeeping, StoreError> {
        self.reading(within, |session, _, _| bookkeeping::found(session)).await
    }

    fn bookkeeping_ddl(&self, found: Option<&Bookkeeping>, groups: &[GroupName]) -> String {
        bookkeeping::ddl(found, groups)
    }

    async fn fence(&self, group: &GroupName, within: Duration) -> Result<Standing, StoreError> {
        let group = group.clone();
        self.reading(within, move |session, _, side| fence::look(session, side, &group)).await
    }

    async fn traces(&self, group: &GroupName, within: Duration) -> Result<Traces, StoreError> {
        let group = group.clone();
        self.reading(within, move |session, contract, side| fence::traces(session, contract, side, &group)).await
    }

    async fn fences(&self, within: Duration) -> Result<Vec<(GroupName, Fence)>, StoreError> {
        self.reading(within, |session, _, side| fence::all(session, side)).await
    }

    async fn move_fence(&self, group: &GroupName, step: &Move, within: Duration) -> Result<Fence, StoreError> {
        let (group, step) = (group.clone(), *step);
        self.writing(within, move |session, _, side| fence::shift(session, side, &group, &step)).await
    }

    async fn inspect(&self, entities: &[EntityName], within: Duration) -> Result<Inspection, StoreError> {
        let entities = entities.to_vec();
        self.reading(within, move |session, contract, side| inspect::inspect(session, contract, side, &entities)).await
    }
}
