//! The part of the port that is about lives.

use std::time::Duration;

use async_trait::async_trait;
use model::life::{LifeLook, Mark, Memory, Noted, Over};
use model::store::Bare;
use model::{Applied, Change, Incarnation, Instant, Lives, Side, StoreError, WriteId};

use super::{Call, FaultyStore};

#[async_trait]
impl Lives for FaultyStore {
    async fn life(&self, asked: &[Mark], within: Duration) -> Result<LifeLook, StoreError> {
        self.run(Call::Lives, within, || self.inner.life(asked, within)).await
    }

    async fn move_mark(&self, from: Mark, to: Mark, within: Duration) -> Result<bool, StoreError> {
        self.run(Call::Lives, within, || self.inner.move_mark(from, to, within)).await
    }

    async fn suspend(&self, of: Incarnation, why: &str, within: Duration) -> Result<(), StoreError> {
        self.run(Call::Lives, within, || self.inner.suspend(of, why, within)).await
    }

    async fn raise(&self, from: Incarnation, to: Memory, within: Duration) -> Result<bool, StoreError> {
        self.run(Call::Lives, within, || self.inner.raise(from, to, within)).await
    }

    async fn go_on(&self, of: Incarnation, since: Instant, within: Duration) -> Result<bool, StoreError> {
        self.run(Call::Lives, within, || self.inner.go_on(of, since, within)).await
    }

    async fn resume(&self, incarnation: Incarnation, within: Duration) -> Result<(), StoreError> {
        self.run(Call::Lives, within, || self.inner.resume(incarnation, within)).await
    }

    fn brings_from(&self, source: Incarnation) -> bool {
        self.inner.brings_from(source)
    }

    fn expect(&self, memory: Memory) {
        self.inner.expect(memory);
    }

    async fn remember(&self, of: Side, memory: Memory, within: Duration) -> Result<(), StoreError> {
        self.run(Call::Lives, within, || self.inner.remember(of, memory, within)).await
    }

    async fn remembered(&self, of: Side, within: Duration) -> Result<Option<Memory>, StoreError> {
        self.run(Call::Lives, within, || self.inner.remembered(of, within)).await
    }

    async fn writes_since(
        &self,
        since: Instant,
        after: Option<WriteId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Noted>, StoreError> {
        self.run(Call::Lives, within, || self.inner.writes_since(since, after, limit, within)).await
    }

    async fn unsettle(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        self.run(Call::Lives, within, || self.inner.unsettle(writes, within)).await
    }

    async fn changes_of(&self, writes: &[WriteId], within: Duration) -> Result<Vec<Change>, StoreError> {
        self.run(Call::Lives, within, || self.inner.changes_of(writes, within)).await
    }

    async fn bring_back(
        &self,
        of: Incarnation,
        changes: &[Change],
        over: Over,
        within: Duration,
    ) -> Result<Vec<Applied>, StoreError> {
        self.run(Call::BringBack, within, || self.inner.bring_back(of, changes, over, within)).await
    }

    async fn bare_of(&self, writes: &[WriteId], within: Duration) -> Result<Vec<Bare>, StoreError> {
        self.run(Call::Lives, within, || self.inner.bare_of(writes, within)).await
    }

    async fn keep_back(&self, of: Incarnation, writes: &[Bare], within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.run(Call::BringBack, within, || self.inner.keep_back(of, writes, within)).await
    }

    async fn give_up(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        self.run(Call::Lives, within, || self.inner.give_up(writes, within)).await
    }

    async fn free_keys(&self, writes: &[WriteId], within: Duration) -> Result<(), StoreError> {
        self.run(Call::Lives, within, || self.inner.free_keys(writes, within)).await
    }

    async fn greatest_incarnation(&self, within: Duration) -> Result<Incarnation, StoreError> {
        self.run(Call::Lives, within, || self.inner.greatest_incarnation(within)).await
    }
}
