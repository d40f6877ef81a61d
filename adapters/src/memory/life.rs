//! This side's life, in memory; and what befalls databases, for tests: a copy put back, a move to another server.

use std::time::Duration;

use async_trait::async_trait;
use model::life::{Identity, Life, LifeLook, Mark, Memory, Noted, Over, RAISING};
use model::store::Bare;
use model::{Applied, Change, Incarnation, Instant, Lives, Side, StoreError, WriteId};

use super::{Entry, MemoryStore, Standing, State};
use crate::gate::Gate;

/// What a side in memory keeps of its own life and of the other side's.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// Who the server says it is.
    identity: Identity,
    /// Who it was when the incarnation was given.
    raised_as: Identity,
    pub(super) incarnation: Incarnation,
    suspended: Option<String>,
    pub(super) unasked: Option<Instant>,
    marks: Vec<(Mark, Instant)>,
    remembered: Vec<(Side, Memory)>,
    pub(super) expected: Option<Memory>,
}

impl Default for Kept {
    fn default() -> Self {
        let identity = Identity { system: "memory-1".into(), log: 1, boot: "1".into() };
        let first = (Mark { counter: 1, random: 1 }, super::wall_clock());
        Self {
            raised_as: identity.clone(),
            identity,
            incarnation: Incarnation(1),
            suspended: None,
            unasked: None,
            marks: vec![first],
            remembered: Vec::new(),
            expected: None,
        }
    }
}

impl Kept {
    pub(super) fn is_suspended(&self) -> bool {
        self.suspended.is_some()
    }

    /// The first reason stays, unless it is only that a raise has not ended.
    fn suspend(&mut self, why: &str) {
        if self.suspended.as_deref().is_none_or(|known| known == RAISING) {
            self.suspended = Some(why.to_owned());
        }
    }

    /// Whether a later life of another side is remembered than `source`.
    pub(super) fn is_brought_by_an_old_one(&self, source: Incarnation) -> bool {
        self.remembered.iter().any(|(_, memory)| memory.incarnation > source)
    }

    fn takes_writes(&self) -> bool {
        self.suspended.is_none() && self.identity == self.raised_as
    }

    fn newest(&self) -> Option<(Mark, Instant)> {
        self.marks.last().copied()
    }
}

/// Whether the other side has to have it: it changed something, or a repeat may ask for it.
fn is_carried(entry: &Entry) -> bool {
    !entry.changes.is_empty() || entry.idempotency.is_some()
}

fn free_key(entry: &mut Entry) {
    entry.idempotency = None;
    entry.changes.iter_mut().for_each(|change| change.idempotency = None);
}

/// A copy of all that a database in memory holds; put back, the database has gone back.
#[derive(Clone)]
pub struct Copy(State);

impl MemoryStore {
    /// A back-up.
    pub fn copy(&self) -> Copy {
        Copy(self.shared.lock().clone())
    }

    /// Puts a back-up in place of what there is. The connections to what was there are gone: the next is compared.
    pub fn put_back(&self, copy: &Copy) {
        let mut state = self.shared.lock();
        let expected = state.life.expected;
        *state = copy.0.clone();
        state.life.expected = expected;
        let Some(memory) = expected else { return };
        let known = state.life.marks.iter().any(|(mark, _)| *mark == memory.mark);
        let behind = state.life.incarnation < memory.incarnation;
        if behind || (state.life.incarnation == memory.incarnation && !known) {
            state.life.suspend("a new connection met a database that has gone back");
        }
    }

    /// The same rows on another server.
    pub fn move_to(&self, system: &str) {
        self.shared.lock().life.identity.system = system.to_owned();
    }

    /// The server is stopped and started.
    pub fn restart(&self) {
        self.shared.lock().life.identity.boot.push('+');
    }

    /// The incarnation under which writes commit.
    ///
    /// # Errors
    /// `Unwritable` when this side is suspended.
    pub(super) fn living(&self, state: &State) -> Result<Incarnation, StoreError> {
        let life = &state.life;
        if life.takes_writes() { Ok(life.incarnation) } else { Err(StoreError::suspended(self.side)) }
    }
}

impl MemoryStore {
    /// Whether nothing is owed that nobody could be asked for.
    ///
    /// # Errors
    /// `Unwritable`, else.
    pub(super) fn whole(&self, state: &State) -> Result<(), StoreError> {
        state.life.unasked.map_or(Ok(()), |_| Err(StoreError::suspended(self.side)))
    }
}

#[async_trait]
impl Lives for MemoryStore {
    async fn life(&self, asked: &[Mark], _within: Duration) -> Result<LifeLook, StoreError> {
        let state = self.shared.lock();
        let kept = &state.life;
        let life = kept.newest().filter(|_| state.prepared).map(|(mark, marked_at)| Life {
            identity: kept.raised_as.clone(),
            incarnation: kept.incarnation,
            suspended: kept.suspended.clone(),
            unasked: kept.unasked,
            mark,
            marked_at,
            mark_age: (super::wall_clock().to_utc() - marked_at.to_utc()).to_std().unwrap_or_default(),
        });
        Ok(LifeLook {
            identity: kept.identity.clone(),
            life,
            oldest: kept.marks.first().map_or(0, |(mark, _)| mark.counter),
            kept: asked.iter().filter(|asked| kept.marks.iter().any(|(mark, _)| mark == *asked)).copied().collect(),
        })
    }

    async fn move_mark(&self, from: Mark, to: Mark, _within: Duration) -> Result<bool, StoreError> {
        let life = &mut self.shared.lock().life;
        let moves = life.takes_writes() && life.newest().is_some_and(|(mark, _)| mark == from);
        life.marks.extend(moves.then(|| (to, super::wall_clock())));
        Ok(moves)
    }

    async fn suspend(&self, of: Incarnation, why: &str, _within: Duration) -> Result<(), StoreError> {
        let life = &mut self.shared.lock().life;
        if life.incarnation == of {
            life.suspend(why);
        }
        Ok(())
    }

    async fn raise(&self, from: Incarnation, to: Memory, _within: Duration) -> Result<bool, StoreError> {
        let life = &mut self.shared.lock().life;
        let raises = life.incarnation == from;
        if raises {
            life.incarnation = to.incarnation;
            life.raised_as = life.identity.clone();
            life.suspended = Some(RAISING.into());
            life.unasked = None;
            life.marks.push((to.mark, super::wall_clock()));
        }
        Ok(raises)
    }

    async fn go_on(&self, of: Incarnation, since: Instant, _within: Duration) -> Result<bool, StoreError> {
        let life = &mut self.shared.lock().life;
        let goes_on =
            life.incarnation == of && life.suspended.is_none() && life.raised_as.was_restarted(&life.identity);
        if goes_on {
            life.raised_as = life.identity.clone();
            life.unasked = life.unasked.or(Some(since));
        }
        Ok(goes_on)
    }

    async fn resume(&self, incarnation: Incarnation, _within: Duration) -> Result<(), StoreError> {
        let life = &mut self.shared.lock().life;
        life.suspended.take_if(|why| life.incarnation == incarnation && why == RAISING);
        Ok(())
    }

    fn brings_from(&self, source: Incarnation) -> bool {
        self.source.set(source)
    }

    fn expect(&self, memory: Memory) {
        self.shared.lock().life.expected = Some(memory);
    }

    async fn remember(&self, of: Side, memory: Memory, _within: Duration) -> Result<(), StoreError> {
        let remembered = &mut self.shared.lock().life.remembered;
        match remembered.iter_mut().find(|(side, _)| *side == of) {
            Some((_, known)) => {
                if (known.incarnation, known.mark.counter) < (memory.incarnation, memory.mark.counter) {
                    *known = memory;
                }
            }
            None => remembered.push((of, memory)),
        }
        Ok(())
    }

    async fn remembered(&self, of: Side, _within: Duration) -> Result<Option<Memory>, StoreError> {
        let state = self.shared.lock();
        Ok(state.life.remembered.iter().find(|(side, _)| *side == of).map(|(_, memory)| *memory))
    }

    async fn writes_since(
        &self,
        since: Instant,
        after: Option<WriteId>,
        limit: usize,
        _within: Duration,
    ) -> Result<Vec<Noted>, StoreError> {
        let state = self.shared.lock();
        let wanted = state.ledger.iter().filter(|(write, entry)| {
            let stands = entry.standing != Standing::Abandoned && is_carried(entry);
            stands && entry.written_at >= since && after.is_none_or(|after| **write > after)
        });
        let noted = wanted.take(limit).map(|(write, entry)| {
            let newest = |change: &&model::Change| {
                state.versions.get(&change.key).is_some_and(|recorded| recorded.version == change.version)
            };
            let keys = entry.changes.iter().filter(newest).map(|change| change.key.clone());
            let group = entry.group.clone().unwrap_or_else(|| "".into());
            Noted { write: *write, group, settled: entry.standing == Standing::Settled, keys: keys.collect() }
        });
        Ok(noted.collect())
    }

    async fn unsettle(&self, writes: &[WriteId], _within: Duration) -> Result<(), StoreError> {
        let mut state = self.shared.lock();
        for write in writes {
            if let Some(entry) = state.ledger.get_mut(write)
                && entry.standing == Standing::Settled
                && is_carried(entry)
            {
                entry.standing = Standing::Unsettled;
                entry.settled_once = true;
            }
        }
        Ok(())
    }

    async fn changes_of(&self, writes: &[WriteId], _within: Duration) -> Result<Vec<Change>, StoreError> {
        let state = self.shared.lock();
        let stands = state.ledger.iter().filter(|(_, entry)| entry.standing != Standing::Abandoned);
        let asked = stands.filter(|(write, _)| writes.contains(write));
        Ok(asked.flat_map(|(_, entry)| entry.changes.clone()).collect())
    }

    async fn bring_back(
        &self,
        of: Incarnation,
        changes: &[Change],
        over: Over,
        _within: Duration,
    ) -> Result<Vec<Applied>, StoreError> {
        self.take(changes, over == Over::Anybody, Gate::GoneBack(of, over))
    }

    async fn bare_of(&self, writes: &[WriteId], _within: Duration) -> Result<Vec<Bare>, StoreError> {
        let state = self.shared.lock();
        let stands = state.ledger.iter().filter(|(_, entry)| entry.standing != Standing::Abandoned);
        let asked = stands.filter(|(write, entry)| writes.contains(write) && entry.changes.is_empty());
        let bare = asked.filter(|(_, entry)| entry.idempotency.is_some()).map(|(write, entry)| Bare {
            write: *write,
            group: entry.group.clone().unwrap_or_else(|| "".into()),
            version: entry.version,
            idempotency: entry.idempotency.clone(),
        });
        Ok(bare.collect())
    }

    async fn keep_back(&self, of: Incarnation, writes: &[Bare], _within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.keep_bare(writes, Gate::GoneBack(of, Over::Nobody))
    }

    async fn give_up(&self, writes: &[WriteId], _within: Duration) -> Result<(), StoreError> {
        let mut state = self.shared.lock();
        for write in writes {
            if let Some(entry) = state.ledger.get_mut(write)
                && entry.standing == Standing::Settled
            {
                entry.standing = Standing::Abandoned;
                free_key(entry);
            }
        }
        Ok(())
    }

    async fn free_keys(&self, writes: &[WriteId], _within: Duration) -> Result<(), StoreError> {
        let mut state = self.shared.lock();
        let settled = state.ledger.iter_mut().filter(|(_, entry)| entry.standing == Standing::Settled);
        settled.filter(|(write, _)| writes.contains(write)).for_each(|(_, entry)| free_key(entry));
        Ok(())
    }

    async fn greatest_incarnation(&self, _within: Duration) -> Result<Incarnation, StoreError> {
        let state = self.shared.lock();
        let remembered = state.life.remembered.iter().map(|(_, memory)| memory.incarnation);
        let written = state.versions.values().map(|recorded| recorded.version.incarnation);
        Ok(remembered.chain(written).max().unwrap_or(state.life.incarnation).max(state.life.incarnation))
    }
}
