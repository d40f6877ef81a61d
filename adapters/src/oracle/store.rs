//! The port, filled: says what to ask, has a session of the right track ask it, and reads the answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::checksum::{Chunk, ChunkSum};
use model::fence::{Fence, Move, Standing};
use model::history::KeyHistory;
use model::sql::{NamedSql, Params};
use model::store::{Backlog, Inspection, Unsettled};
use model::write::Claim;
use model::{
    Applied, Change, Command, Contract, EntityKey, EntityName, EntityType, FieldSet, GroupName, Incarnation, Record,
    Rehearsal, Role, Scan, Side, States, Store, StoreError, Unnumbered, WriteId, Written,
};
use oracle::Row;
use tokio::time::Instant;

use super::lanes::{Lanes as Tracks, TrackFigures};
use super::read::{Lookup, Question};
use super::session::Session;
use super::settings::{Settings, Track};
use super::snapshot::OracleSnapshot;
use super::table::Table;
use super::{apply, bookkeeping, checksum, connect, execute, fence, history, inspect, ledger, own_keys, read, stands};
use crate::id_map::Numbers;
use crate::{Lane, Lanes};

/// An Oracle database behind the port. Cheap to clone; clones and lanes share their sessions.
#[derive(Clone)]
pub struct OracleStore {
    side: Side,
    lane: Lane,
    contract: Arc<Contract>,
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
        Ok(Self { side, lane: Lane::Client, contract, tracks: Arc::new(Tracks::new(side, settings)) })
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
    async fn numbers_of(
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

    async fn ask(&self, question: Question, within: Duration) -> Result<Vec<Row>, StoreError> {
        self.reading(within, move |session, _, _| question.ask(session)).await
    }

    async fn records(&self, table: Table<'_>, question: Question, within: Duration) -> Result<Vec<Record>, StoreError> {
        let fields = table.entity.all_fields();
        let rows = self.ask(question, within).await?;
        rows.iter().map(|row| table.record(fields, row)).collect()
    }

    pub(super) async fn scan_as_of(
        &self,
        entity: &EntityType,
        after: Option<&EntityKey>,
        limit: usize,
        as_of: Option<u64>,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let began = Instant::now();
        let numbers = self.numbers_of(entity, after.map_or(&[], std::slice::from_ref), within).await?;
        let table = Table::new(entity, self.side).with(&numbers);
        let within = within.saturating_sub(began.elapsed());
        self.records(table, read::scan(table, after, limit, as_of)?, within).await
    }

    pub(super) async fn sums_as_of(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        as_of: Option<u64>,
        within: Duration,
    ) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
        let rows = self.ask(checksum::sums(Table::new(entity, self.side), chunk, as_of), within).await?;
        checksum::read_sums(self.side, &rows)
    }

    pub(super) async fn members_as_of(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        limit: usize,
        as_of: Option<u64>,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let table = Table::new(entity, self.side);
        self.records(table, checksum::members(table, chunk, limit, as_of), within).await
    }
}

#[async_trait]
impl Scan for OracleStore {
    async fn scan(
        &self,
        entity: &EntityType,
        after: Option<&EntityKey>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        self.scan_as_of(entity, after, limit, None, within).await
    }

    async fn sums(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        within: Duration,
    ) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
        self.sums_as_of(entity, chunk, None, within).await
    }

    async fn members(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        self.members_as_of(entity, chunk, limit, None, within).await
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
        let fields = fields.union(entity.key_fields());
        let rows = self.ask(read::list(table, query, params, fields)?, within).await?;
        rows.iter().map(|row| table.record(fields, row)).collect()
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
        let changes = changes.to_vec();
        self.writing(within, move |session, contract, side| apply::apply(session, contract, side, &changes, false))
            .await
    }

    async fn apply_over(&self, changes: &[Change], within: Duration) -> Result<Vec<Applied>, StoreError> {
        let changes = changes.to_vec();
        self.writing(within, move |session, contract, side| apply::apply(session, contract, side, &changes, true)).await
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
        groups: &[GroupName],
        older_than: Duration,
        lease: Duration,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Unsettled>, StoreError> {
        let due = ledger::Due { groups: groups.to_vec(), older_than, lease, limit };
        self.writing(within, move |session, contract, side| ledger::lease_unsettled(session, contract, side, &due))
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
        self.reading(within, move |session, _, _| ledger::backlog(session, &group)).await
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

    async fn forget(&self, retention: Duration, limit: usize, within: Duration) -> Result<u64, StoreError> {
        self.writing(within, move |session, _, _| ledger::forget(session, retention, limit)).await
    }

    async fn incarnation(&self, within: Duration) -> Result<Incarnation, StoreError> {
        self.reading(within, |session, _, _| bookkeeping::incarnation(session)).await
    }

    async fn prepare(&self, groups: &[GroupName], role: Role, within: Duration) -> Result<(), StoreError> {
        let groups = groups.to_vec();
        self.writing(within, move |session, _, _| bookkeeping::prepare(session, &groups, role)).await
    }

    fn bookkeeping_ddl(&self, groups: &[GroupName], role: Role) -> String {
        bookkeeping::ddl(groups, role)
    }

    async fn fence(&self, group: &GroupName, within: Duration) -> Result<Standing, StoreError> {
        let group = group.clone();
        self.reading(within, move |session, _, side| fence::look(session, side, &group)).await
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
