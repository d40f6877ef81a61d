//! The part of the port that is about lives.

use std::time::Duration;

use async_trait::async_trait;
use model::life::{LifeLook, Mark, Memory, Noted, Over};
use model::store::Bare;
use model::{Applied, Change, Incarnation, Instant, Lives, Side, StoreError, WriteId};

use super::life;
use super::store::OracleStore;
use crate::gate::Gate;

#[async_trait]
impl Lives for OracleStore {
    async fn life(&self, asked: &[Mark], within: Duration) -> Result<LifeLook, StoreError> {
        let asked = asked.to_vec();
        self.reading(within, move |session, _, _| life::look(session, &asked)).await
    }

    async fn move_mark(&self, from: Mark, to: Mark, within: Duration) -> Result<bool, StoreError> {
        self.writing(within, move |session, _, _| life::move_mark(session, from, to)).await
    }

    async fn suspend(&self, of: Incarnation, why: &str, within: Duration) -> Result<(), StoreError> {
        let why = why.to_owned();
        self.writing(within, move |session, _, _| life::suspend(session, of, &why)).await
    }

    async fn raise(&self, from: Incarnation, to: Memory, within: Duration) -> Result<bool, StoreError> {
        self.writing(within, move |session, _, _| life::raise(session, from, to)).await
    }

    async fn go_on(&self, of: Incarnation, since: Instant, within: Duration) -> Result<bool, StoreError> {
        self.writing(within, move |session, _, _| life::go_on(session, of, since)).await
    }

    async fn resume(&self, incarnation: Incarnation, within: Duration) -> Result<(), StoreError> {
        self.writing(within, move |session, _, _| life::resume(session, incarnation)).await
    }

    fn brings_from(&self, source: Incarnation) -> bool {
        self.source().set(source)
    }

    fn expect(&self, memory: Memory) {
        *self.expected().lock() = Some(memory);
    }

    async fn remember(&self, of: Side, memory: Memory, within: Duration) -> Result<(), StoreError> {
        self.writing(within, move |session, _, _| life::remember(session, of, memory)).await
    }

    async fn remembered(&self, of: Side, within: Duration) -> Result<Option<Memory>, StoreError> {
        self.reading(within, move |session, _, _| life::remembered(session, of)).await
    }

    async fn writes_since(
        &self,
        since: Instant,
        after: Option<WriteId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Noted>, StoreError> {
        self.reading(within, move |session, contract, _| life::writes_since(session, contract, since, after, limit))
            .await
    }

    async fn unsettle(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        let writes = writes.to_vec();
        self.writing(within, move |session, _, _| life::unsettle(session, &writes)).await
    }

    async fn changes_of(&self, writes: &[WriteId], within: Duration) -> Result<Vec<Change>, StoreError> {
        let writes = writes.to_vec();
        self.reading(within, move |session, contract, side| life::changes_of(session, contract, side, &writes)).await
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
        let writes = writes.to_vec();
        self.reading(within, move |session, _, _| life::bare_of(session, &writes)).await
    }

    async fn keep_back(&self, of: Incarnation, writes: &[Bare], within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.keep_call(writes, Gate::GoneBack(of, Over::Nobody), within).await
    }

    async fn give_up(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        let writes = writes.to_vec();
        self.writing(within, move |session, _, _| life::give_up(session, &writes)).await
    }

    async fn free_keys(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        let writes = writes.to_vec();
        self.writing(within, move |session, _, _| life::free_keys(session, &writes)).await
    }

    async fn greatest_incarnation(&self, within: Duration) -> Result<Incarnation, StoreError> {
        self.reading(within, |session, _, _| life::greatest(session)).await
    }
}
