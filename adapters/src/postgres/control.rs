//! The control store on PostgreSQL: rollouts, replicas and evidence in tables named `strangler_*`.
//!
//! Has a small pool of its own, so that its calls never wait for those of a side in the same database,
//! nor the other way round. Every call keeps the limit that the store was made with.
//!
//! Not here: what is published and why (`proxy::rollout`), what is summed up (`proxy::evidence`).

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use async_trait::async_trait;
use model::control::{
    AcceptedExcuse, Author, BatchId, ControlError, ControlStore, EvidenceFilter, ExcuseId, ExcuseRecord, ExcuseStore,
    Figures, FiguresStore, Heard, LifeStore, OverrideId, Publication, Replica, RolloutRecord, Span, Sums, Trend,
    TrendStore,
};
use model::life::Memory;
use model::{Bookkeeping, GroupName, Instant as Time, ReplicaId, RolloutVersion, Side};
use tokio::time::Instant;
use uuid::Uuid;

use super::address::TlsWords;
use super::migrate;
use super::server::{self, ServerLook};
use crate::steps::Step;

mod audit;
mod connection;
mod evidence;
mod excuses;
mod explained;
mod figures;
mod listener;
mod lives;
mod orders;
mod proposals;
mod reconciliation;
mod rollouts;
mod trend;
mod webhooks;

use connection::Door;

/// Runs a function on a connection of the pool, within the limit.
macro_rules! call {
    ($self:ident, $function:path $(, $argument:expr)*) => {{
        let mut guard = $self.door.open().await?;
        let work = $function(guard.client() $(, $argument)*);
        let result = tokio::time::timeout($self.door.limit(), work).await;
        guard.finish(result)
    }};
}
use call;

/// The steps in which the tables came about.
const STEPS: [Step; 5] = [
    Step { number: 1, works_from: 0, text: include_str!("control/1.sql") },
    Step { number: 2, works_from: 0, text: include_str!("control/2.sql") },
    Step { number: 3, works_from: 0, text: include_str!("control/3.sql") },
    Step { number: 4, works_from: 0, text: include_str!("control/4.sql") },
    Step { number: 5, works_from: 0, text: include_str!("control/5.sql") },
];

/// Where the steps that were run are recorded.
const RECORD: &str = "strangler_control_bookkeeping";

/// How to reach the control database.
#[derive(Clone)]
pub struct ControlSettings {
    /// `postgres://user:password@host:port/database`, or libpq's `key=value` form.
    pub url: String,
    /// What is said of TLS beside the address.
    pub tls: TlsWords,
    /// Connections; one more listens for changes.
    pub connections: NonZeroUsize,
    /// Longest time to make one connection.
    pub connect_timeout: Duration,
    /// Longest time of one call, the connection included.
    pub limit: Duration,
}

impl fmt::Debug for ControlSettings {
    /// Without the address: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlSettings")
            .field("connections", &self.connections)
            .field("connect_timeout", &self.connect_timeout)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// The control store on PostgreSQL.
pub struct PostgresControl {
    door: Door,
}

impl PostgresControl {
    /// Takes the settings; no connection is made before it is needed.
    ///
    /// # Errors
    /// `Misfit` when the address is not one.
    pub fn new(settings: &ControlSettings) -> Result<Self, ControlError> {
        let door = Door::new(settings)?;
        Ok(Self { door })
    }

    /// What the server has room for, and how our connections to it are protected; `None`: it does not tell.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    pub async fn server(&self) -> Result<Option<ServerLook>, ControlError> {
        let mode = self.door.mode();
        let mut guard = self.door.open().await?;
        let looked = async { Ok(server::look(guard.client(), mode).await?) };
        let looked = tokio::time::timeout(self.door.limit(), looked).await;
        guard.finish(looked)
    }

    /// How many connections the server has refused for want of room.
    pub fn refused_connections(&self) -> u64 {
        self.door.refused()
    }
}

#[async_trait]
impl ControlStore for PostgresControl {
    async fn prepare(&self) -> Result<(), ControlError> {
        call!(self, prepare)
    }

    async fn bookkeeping(&self) -> Result<Bookkeeping, ControlError> {
        call!(self, found)
    }

    fn ddl(&self, found: Option<&Bookkeeping>) -> String {
        migrate::ddl(&STEPS, RECORD, found)
    }

    async fn newest(&self) -> Result<Option<RolloutRecord>, ControlError> {
        call!(self, rollouts::newest)
    }

    async fn publish(&self, publication: &Publication) -> Result<RolloutRecord, ControlError> {
        call!(self, rollouts::publish, publication)
    }

    async fn history(&self, group: Option<&GroupName>, limit: usize) -> Result<Vec<RolloutRecord>, ControlError> {
        call!(self, rollouts::history, group, limit)
    }

    async fn published(&self, overrides: &[OverrideId]) -> Result<Vec<OverrideId>, ControlError> {
        call!(self, rollouts::published, overrides)
    }

    async fn wait_for_change(&self, known: Option<RolloutVersion>, within: Duration) -> Result<bool, ControlError> {
        let deadline = Instant::now() + within;
        loop {
            // The ear is there before we look, so nothing falls between looking and listening.
            let mut ear = self.door.listener().ear().await;
            let newest = call!(self, rollouts::newest_version)?;
            if newest != known {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            ear.listen(left).await;
        }
    }

    async fn heartbeat(&self, replica: &Replica) -> Result<Heard, ControlError> {
        call!(self, rollouts::heartbeat, replica)
    }

    async fn succeed(&self, replica: &ReplicaId, former: Uuid) -> Result<bool, ControlError> {
        call!(self, rollouts::succeed, replica, former)
    }

    async fn retire(&self, replica: &ReplicaId) -> Result<(), ControlError> {
        call!(self, rollouts::retire, replica)
    }

    async fn replicas(&self, within: Duration) -> Result<Vec<Replica>, ControlError> {
        call!(self, rollouts::replicas, within)
    }

    async fn add_evidence(&self, batch: BatchId, evidence: &Sums) -> Result<(), ControlError> {
        call!(self, evidence::add, batch, evidence)
    }

    async fn evidence(&self, filter: &EvidenceFilter) -> Result<Sums, ControlError> {
        call!(self, evidence::read, filter)
    }

    async fn forget(&self, retention: Duration) -> Result<(), ControlError> {
        call!(self, evidence::forget, retention)?;
        call!(self, figures::forget, retention)
    }
}

#[async_trait]
impl FiguresStore for PostgresControl {
    async fn add_figures(&self, batch: BatchId, added: &Figures) -> Result<(), ControlError> {
        call!(self, figures::add, batch, added)
    }

    async fn figures(&self, group: Option<&GroupName>, since: Time) -> Result<Figures, ControlError> {
        call!(self, figures::read, group, since)
    }
}

#[async_trait]
impl LifeStore for PostgresControl {
    async fn remember(&self, of: Side, memory: Memory) -> Result<(), ControlError> {
        call!(self, lives::remember, of, memory)
    }

    async fn remembered(&self, of: Side) -> Result<Option<Memory>, ControlError> {
        call!(self, lives::remembered, of)
    }
}

#[async_trait]
impl ExcuseStore for PostgresControl {
    async fn excuse(&self, excuse: &AcceptedExcuse) -> Result<(), ControlError> {
        call!(self, excuses::add, excuse)
    }

    async fn withdraw_excuse(&self, id: ExcuseId, author: &Author) -> Result<bool, ControlError> {
        call!(self, excuses::withdraw, id, author)
    }

    async fn excuses(&self) -> Result<Vec<ExcuseRecord>, ControlError> {
        call!(self, excuses::all)
    }
}

#[async_trait]
impl TrendStore for PostgresControl {
    async fn trend(&self, filter: &EvidenceFilter, span: Span) -> Result<Trend, ControlError> {
        call!(self, trend::read, filter, span)
    }
}

async fn found(client: &mut deadpool_postgres::ClientWrapper) -> Result<Bookkeeping, connection::Broken> {
    Ok(migrate::look(client, &STEPS, RECORD).await?)
}

async fn prepare(client: &mut deadpool_postgres::ClientWrapper) -> Result<(), connection::Broken> {
    let found = found(client).await?;
    if let Some(problem) = found.problem("control").filter(|_| found.is_beyond_us()) {
        return Err(connection::Broken::garbled(problem));
    }
    // A login without the right to create tables is fine once they are there.
    if found.due.is_empty() {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&rollouts::LOCK]).await?;
    transaction.batch_execute(&migrate::statements(&STEPS, RECORD, &found)).await?;
    transaction.commit().await?;
    Ok(())
}
