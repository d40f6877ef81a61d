//! Tells the primary's ledger which writes are on both sides, many at a time.
//!
//! Best effort: a write whose mark is lost is applied once more by the relay, which changes nothing.

use std::sync::Arc;
use std::time::Duration;

use model::{Store, WriteId};
use tokio::sync::{mpsc, oneshot};

/// How long marks are gathered.
const GATHER: Duration = Duration::from_millis(20);
/// Most marks in one statement, and most that wait.
const MOST: usize = 1_000;

/// Marks writes as settled on one side's ledger.
#[derive(Debug, Clone)]
pub struct Settler {
    queue: mpsc::Sender<Mark>,
}

/// What goes through the queue.
#[derive(Debug)]
enum Mark {
    /// This write is on both sides.
    Settled(WriteId),
    /// Answer when everything before this is marked.
    Flush(oneshot::Sender<()>),
}

impl Settler {
    /// Starts the task that marks writes in `store`'s ledger; it ends when the settler is dropped.
    pub fn start(store: Arc<dyn Store>, within: Duration) -> Self {
        let (queue, marks) = mpsc::channel(MOST * 10);
        tokio::spawn(run(store, marks, within));
        Self { queue }
    }

    /// Returns when everything that was settled before is marked, or could not be.
    pub async fn flush(&self) {
        let (answer, done) = oneshot::channel();
        if self.queue.send(Mark::Flush(answer)).await.is_ok() {
            // An error means that the task has ended, and with it all marks.
            let _ = done.await;
        }
    }

    /// The secondary has `write`.
    pub fn settled(&self, write: WriteId) {
        if self.queue.try_send(Mark::Settled(write)).is_err() {
            tracing::debug!(write.id = %write, "mark of write {write} dropped, the relay will settle it");
        }
    }
}

async fn run(store: Arc<dyn Store>, mut marks: mpsc::Receiver<Mark>, within: Duration) {
    let mut gathered = Vec::with_capacity(MOST);
    while marks.recv_many(&mut gathered, MOST).await > 0 {
        // Gathering costs nobody anything: the write is on both sides already.
        let gather = tokio::time::sleep(GATHER);
        tokio::pin!(gather);
        while gathered.len() < MOST {
            tokio::select! {
                () = &mut gather => break,
                more = marks.recv() => match more {
                    Some(mark) => gathered.push(mark),
                    None => break,
                },
            }
        }
        let mut writes = Vec::with_capacity(gathered.len());
        let mut waiting = Vec::new();
        for mark in gathered.drain(..) {
            match mark {
                Mark::Settled(write) => writes.push(write),
                Mark::Flush(answer) => waiting.push(answer),
            }
        }
        if !writes.is_empty()
            && let Err(error) = store.settle(&writes, within).await
        {
            tracing::debug!(%error, "marks of {} writes lost, the relay will settle them", writes.len());
        }
        for answer in waiting {
            // Who asked may have gone meanwhile.
            let _ = answer.send(());
        }
    }
}
