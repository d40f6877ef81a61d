//! A pool and its room: takes a connection that is there, else opens one, else waits for one that comes back.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Object, Pool, PoolError, Timeouts};
use tokio::time::{Instant, timeout_at};

use super::room::{KEPT, Place, Room};

/// What can say that a server has no more connections for us.
pub(super) trait NoRoom {
    /// SQLSTATE 53300: `max_connections`, or a limit of the role or the database.
    fn is_no_room(&self) -> bool;
}

/// Connections for one use.
pub(super) struct Connections<M: Manager> {
    pool: Pool<M>,
    room: Arc<Room>,
}

/// One of them, held. Dropped, it goes back.
pub(super) struct Held<M: Manager> {
    object: Option<Object<M>>,
    place: Option<Place>,
}

/// Why none was had.
pub(super) enum NoneHad<E> {
    /// The limit of the call was over.
    InTime,
    /// What the pool says.
    Pool(PoolError<E>),
}

impl<M: Manager<Error: NoRoom> + 'static> Connections<M> {
    /// A pool whose size is the limit of `room`.
    pub(super) fn new(pool: Pool<M>, room: Arc<Room>) -> Self {
        Self { pool, room }
    }

    /// Takes one until `deadline`. `starving` is called when there is none at all, and the server has none for us.
    pub(super) async fn take(&self, deadline: Instant, starving: impl Fn()) -> Result<Held<M>, NoneHad<M::Error>> {
        let mut place = self.room.enter(deadline).await.ok_or(NoneHad::InTime)?;
        let mut refusal = None;
        // What the server said tells more than that there was no time left.
        let late = |refusal: Option<M::Error>| {
            refusal.map_or(NoneHad::InTime, |error| NoneHad::Pool(PoolError::Backend(error)))
        };
        loop {
            let left = Some(deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
            let timeouts = Timeouts { wait: left, create: left, recycle: left };
            let taken = timeout_at(deadline, self.pool.timeout_get(&timeouts)).await;
            place = match taken {
                Err(_) => return Err(late(refusal)),
                Ok(Err(PoolError::Timeout(_))) if refusal.is_some() => return Err(late(refusal)),
                Ok(Ok(object)) => {
                    if Object::metrics(&object).recycle_count == 0 {
                        self.room.opened();
                    }
                    return Ok(Held { object: Some(object), place: Some(place) });
                }
                Ok(Err(PoolError::Backend(error))) if error.is_no_room() => {
                    refusal = Some(error);
                    self.tidy();
                    match place.refused(deadline).await {
                        Some(last) => {
                            if self.pool.status().size == 0 {
                                starving();
                            }
                            last
                        }
                        None => match self.room.enter(deadline).await {
                            Some(place) => place,
                            None => return Err(late(refusal)),
                        },
                    }
                }
                Ok(Err(error)) => return Err(NoneHad::Pool(error)),
            };
        }
    }

    /// While the server is short those that nobody uses go as well: an idle replica would keep them for ever.
    fn tidy(&self) {
        if !self.room.begins_to_tidy() {
            return;
        }
        let (pool, room) = (self.pool.weak(), Arc::clone(&self.room));
        tokio::spawn(async move {
            while room.goes_on_tidying().await {
                let Some(pool) = pool.upgrade() else { return };
                drop(pool.retain(|_, metrics| metrics.age() < KEPT));
            }
        });
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.pool.status().size
    }

    /// Gives one up for another pool: one that nobody uses, else the next that comes back.
    pub(super) fn give_up_one(&self) {
        let mut kept = false;
        let removed = self.pool.retain(|_, _| std::mem::replace(&mut kept, true)).removed;
        if removed.is_empty() {
            self.room.owes();
        }
    }
}

impl<M: Manager> Held<M> {
    /// The connection.
    pub(super) fn get(&self) -> &M::Type {
        self.object.as_ref().expect("it leaves only with its owner")
    }

    /// The connection.
    pub(super) fn get_mut(&mut self) -> &mut M::Type {
        self.object.as_mut().expect("it leaves only with its owner")
    }

    /// Takes it out of its pool, to be closed.
    pub(super) fn take_out(mut self) -> M::Type {
        Object::take(self.object.take().expect("it leaves only with its owner"))
    }
}

impl<M: Manager> Drop for Held<M> {
    fn drop(&mut self) {
        // Without one it was taken out, and its place is free.
        let (Some(object), Some(place)) = (self.object.take(), self.place.take()) else { return };
        if place.room().must_go(Object::metrics(&object).age()) {
            drop(Object::take(object));
            place.closed();
        } else {
            // First the connection: whoever gets the place looks for it.
            drop(object);
            drop(place);
        }
    }
}
