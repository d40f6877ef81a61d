//! Orders to compare rows at rest, in memory.

use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use model::control::{
    ControlError, Deed, OrderEnd, OrderId, OrderProgress, OrderRecord, OrderStore, Placed, ReconcileOrder, Taken,
};
use model::{GroupName, Instant, ReplicaId};
use tokio::time::Instant as Moment;

use super::{MemoryControl, State};

/// An order, and until when a replica has it.
#[derive(Debug)]
pub(super) struct Kept {
    record: OrderRecord,
    placed: Moment,
    leased_until: Option<Moment>,
}

impl Kept {
    fn is_held(&self) -> bool {
        self.record.ended.is_none() && self.leased_until.is_some_and(|until| until > Moment::now())
    }

    /// As it is now.
    fn now(&self) -> OrderRecord {
        let mut record = self.record.clone();
        let held = self.is_held();
        record.taken = record.taken.map(|taken| Taken { held, ..taken });
        record.idle = self.leased_until.map_or(self.placed, |until| until.max(self.placed)).elapsed();
        record
    }
}

impl State {
    /// The order, if whoever took it as `number` has it still.
    fn of_taker(&mut self, id: OrderId, number: u32) -> Option<&mut Kept> {
        let taken = |kept: &&mut Kept| kept.record.taken.as_ref().map_or(0, |taken| taken.number) == number;
        self.orders.iter_mut().find(|kept| kept.record.order.id == id && kept.record.ended.is_none()).filter(taken)
    }
}

#[async_trait]
impl OrderStore for MemoryControl {
    async fn place_order(&self, order: &ReconcileOrder, deed: Option<&Deed>) -> Result<Placed, ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        if let Some(known) = state.orders.iter().find(|kept| kept.record.order.id == order.id) {
            return Ok(Placed::Placed(known.now()));
        }
        let open = |kept: &&Kept| kept.record.order.group == order.group && kept.record.ended.is_none();
        if let Some(open) = state.orders.iter().find(open) {
            return Ok(Placed::Open(open.now()));
        }
        let ordered = Instant::new(Utc::now());
        let record = OrderRecord {
            order: order.clone(),
            ordered,
            idle: Duration::ZERO,
            taken: None,
            progress: OrderProgress::default(),
            ended: None,
        };
        state.orders.push(Kept { record: record.clone(), placed: Moment::now(), leased_until: None });
        if let Some(deed) = deed {
            state.append(deed, ordered);
        }
        Ok(Placed::Placed(record))
    }

    async fn take_order(
        &self,
        id: OrderId,
        by: &ReplicaId,
        lease: Duration,
    ) -> Result<Option<OrderRecord>, ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        if state.orders.iter().any(Kept::is_held) {
            return Ok(None);
        }
        let found = state.orders.iter_mut().find(|kept| kept.record.order.id == id && kept.record.ended.is_none());
        Ok(found.map(|kept| {
            let number = kept.record.taken.as_ref().map_or(0, |taken| taken.number) + 1;
            kept.record.taken = Some(Taken { by: by.clone(), at: Instant::new(Utc::now()), number, held: true });
            kept.leased_until = Some(Moment::now() + lease);
            kept.now()
        }))
    }

    async fn hold_order(
        &self,
        id: OrderId,
        number: u32,
        progress: &OrderProgress,
        lease: Duration,
    ) -> Result<bool, ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        if state.orders.iter().any(|kept| kept.record.order.id != id && kept.is_held()) {
            return Ok(false);
        }
        let Some(kept) = state.of_taker(id, number) else { return Ok(false) };
        kept.record.progress = progress.clone();
        kept.leased_until = Some(Moment::now() + lease);
        Ok(true)
    }

    async fn end_order(
        &self,
        id: OrderId,
        number: u32,
        progress: &OrderProgress,
        end: &OrderEnd,
    ) -> Result<bool, ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        let Some(kept) = state.of_taker(id, number) else { return Ok(false) };
        kept.record.progress = progress.clone();
        kept.record.ended = Some((Instant::new(Utc::now()), end.clone()));
        kept.leased_until = None;
        Ok(true)
    }

    async fn order(&self, id: OrderId) -> Result<Option<OrderRecord>, ControlError> {
        self.up()?;
        let state = self.state.lock();
        Ok(state.orders.iter().find(|kept| kept.record.order.id == id).map(Kept::now))
    }

    async fn open_orders(&self) -> Result<Vec<OrderRecord>, ControlError> {
        self.up()?;
        let state = self.state.lock();
        Ok(state.orders.iter().filter(|kept| kept.record.ended.is_none()).map(Kept::now).collect())
    }

    async fn orders(&self, group: Option<&GroupName>, limit: usize) -> Result<Vec<OrderRecord>, ControlError> {
        self.up()?;
        let state = self.state.lock();
        let wanted = |kept: &&Kept| group.is_none_or(|group| kept.record.order.group == *group);
        Ok(state.orders.iter().rev().filter(wanted).take(limit).map(Kept::now).collect())
    }
}
