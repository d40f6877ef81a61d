//! Work that takes a core for milliseconds: reading a large body, putting a large answer together. Others must not wait
//! behind it.
//!
//! Few do such work at once, in the order in which they came, and each on a thread of its own, so that the runtime's
//! threads go on with everybody else.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::block_in_place;

/// Bytes of JSON that are much.
pub(super) const MUCH_JSON: usize = 64 * 1024;
/// Bytes of a document that are much.
pub(super) const MUCH_QUERY: usize = 8 * 1024;
/// Fields, lists multiplied, that are many.
pub(super) const MANY_FIELDS: u64 = 2_000;

/// Who does such work.
#[derive(Debug)]
pub(super) struct Heavy(Semaphore);

/// The turn of one who may; `None`: what it does is not much.
pub(super) struct Turn<'h>(Option<SemaphorePermit<'h>>);

impl Heavy {
    /// Half of the machine's cores at once, and at least one.
    pub(super) fn new() -> Self {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        Self(Semaphore::new((cores / 2).max(1)))
    }

    /// Waits for a turn, where the work `is_much`.
    pub(super) async fn turn(&self, is_much: bool) -> Turn<'_> {
        // It is never closed; an error would only mean that nobody waits.
        Turn(if is_much { self.0.acquire().await.ok() } else { None })
    }
}

impl Turn<'_> {
    /// Does the work.
    pub(super) fn work<T>(self, work: impl FnOnce() -> T) -> T {
        let has_threads = || Handle::try_current().is_ok_and(|on| on.runtime_flavor() == RuntimeFlavor::MultiThread);
        if self.0.is_some() && has_threads() { block_in_place(work) } else { work() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn few_do_much_at_once_and_who_does_little_does_not_wait() {
        let (heavy, at_once, most) = (Heavy::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        let may = heavy.0.available_permits();
        let all = (0..may).map(|_| heavy.turn(true));
        let turns = join_all(all).await;
        assert_eq!(heavy.0.available_permits(), 0);
        assert_eq!(heavy.turn(false).await.work(|| 1), 1);
        drop(turns);
        let much = |_| async {
            heavy.turn(true).await.work(|| {
                most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
                at_once.fetch_sub(1, Ordering::SeqCst);
            });
        };
        join_all((0..20).map(much)).await;
        assert!(most.load(Ordering::SeqCst) <= may);
    }

    #[tokio::test]
    async fn on_a_runtime_of_one_thread_it_is_done_there() {
        assert_eq!(Heavy::new().turn(true).await.work(|| 7), 7);
    }
}
