//! The part of the port that is about lives.

use std::time::Duration;

use async_trait::async_trait;
use model::life::{LifeLook, Mark, Memory, Noted, Over};
use model::store::Bare;
use model::{Applied, Change, Incarnation, Instant, Lives, Side, StoreError, WriteId};

use super::PostgresStore;
use crate::gate::Gate;
use crate::postgres::session::Use;
use crate::postgres::{carry, life};

#[async_trait]
impl Lives for PostgresStore {
    async fn life(&self, asked: &[Mark], within: Duration) -> Result<LifeLook, StoreError> {
        look!(self, within, |session| life::look(&session, self.side, asked))
    }

    async fn move_mark(&self, from: Mark, to: Mark, within: Duration) -> Result<bool, StoreError> {
        call!(self, Use::Write, within, |session| life::move_mark(&session, from, to))
    }

    async fn suspend(&self, of: Incarnation, why: &str, within: Duration) -> Result<(), StoreError> {
        call!(self, Use::Write, within, |session| life::suspend(&session, of, why))
    }

    async fn raise(&self, from: Incarnation, to: Memory, within: Duration) -> Result<bool, StoreError> {
        call!(self, Use::Write, within, |session| life::raise(&session, from, to))
    }

    async fn go_on(&self, of: Incarnation, since: Instant, within: Duration) -> Result<bool, StoreError> {
        call!(self, Use::Write, within, |session| life::go_on(&session, of, since))
    }

    async fn resume(&self, incarnation: Incarnation, within: Duration) -> Result<(), StoreError> {
        call!(self, Use::Write, within, |session| life::resume(&session, incarnation))
    }

    fn brings_from(&self, source: Incarnation) -> bool {
        self.pools.source().set(source)
    }

    fn expect(&self, memory: Memory) {
        self.pools.expect(memory);
    }

    async fn remember(&self, of: Side, memory: Memory, within: Duration) -> Result<(), StoreError> {
        call!(self, Use::Write, within, |session| life::remember(&session, of, memory))
    }

    async fn remembered(&self, of: Side, within: Duration) -> Result<Option<Memory>, StoreError> {
        look!(self, within, |session| life::remembered(&session, self.side, of))
    }

    async fn writes_since(
        &self,
        since: Instant,
        after: Option<WriteId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Noted>, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        look!(self, within, |session| life::writes_since(&session, contract, side, since, after, limit))
    }

    async fn unsettle(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        call!(self, Use::Write, within, |session| life::unsettle(&session, writes))
    }

    async fn changes_of(&self, writes: &[WriteId], within: Duration) -> Result<Vec<Change>, StoreError> {
        let (contract, side) = (&self.contract, self.side);
        look!(self, within, |session| life::changes_of(&session, contract, side, writes))
    }

    async fn bring_back(
        &self,
        of: Incarnation,
        changes: &[Change],
        over: Over,
        within: Duration,
    ) -> Result<Vec<Applied>, StoreError> {
        self.apply_call(changes, over == Over::Anybody, Gate::GoneBack(of, over), within).await
    }

    async fn bare_of(&self, writes: &[WriteId], within: Duration) -> Result<Vec<Bare>, StoreError> {
        look!(self, within, |session| life::bare_of(&session, self.side, writes))
    }

    async fn keep_back(&self, of: Incarnation, writes: &[Bare], within: Duration) -> Result<Vec<Applied>, StoreError> {
        let gate = Gate::GoneBack(of, Over::Nobody);
        call!(self, Use::Write, within, |session| carry::keep(&session, self.side, writes, gate))
    }

    async fn give_up(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        call!(self, Use::Write, within, |session| life::give_up(&session, writes))
    }

    async fn free_keys(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        call!(self, Use::Write, within, |session| life::free_keys(&session, writes))
    }

    async fn greatest_incarnation(&self, within: Duration) -> Result<Incarnation, StoreError> {
        look!(self, within, |session| life::greatest(&session, self.side))
    }
}
