//! What keeps a session from its work: planned faults, time limits, and a break by another thread.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use postgres::{CancelToken, NoTls};

use super::Session;
use crate::code::{OracleError, Outcome};
use crate::fault::{self, Action};

/// What another thread may do to a session that is busy.
#[derive(Clone)]
pub struct Breaker {
    cancel: Arc<Mutex<CancelToken>>,
    broken: Arc<(Mutex<bool>, Condvar)>,
}

impl Breaker {
    pub(super) fn new(cancel: CancelToken) -> Self {
        Self { cancel: Arc::new(Mutex::new(cancel)), broken: Arc::default() }
    }

    /// Breaks off whatever the session does.
    pub fn break_off(&self) {
        *self.broken.0.lock() = true;
        self.broken.1.notify_all();
        // Nothing to report to: the call that is broken off says so, or was over.
        let cancel = self.cancel.lock().clone();
        let _ = cancel.cancel_query(NoTls);
    }

    /// While `work` runs, on the connection of `other`, that is what is broken off.
    pub(super) fn lent<T>(&self, other: &Self, work: impl FnOnce() -> T) -> T {
        let theirs = other.cancel.lock().clone();
        let own = std::mem::replace(&mut *self.cancel.lock(), theirs);
        let done = work();
        *self.cancel.lock() = own;
        done
    }

    /// A new call begins: a break that came too late for the last one is not meant for it.
    pub(super) fn reset(&self) {
        *self.broken.0.lock() = false;
    }
}

impl Session {
    /// Does `work` with the fault that is planned for it.
    pub(super) fn faulted<T>(
        &mut self,
        op: &str,
        text: &str,
        work: impl FnOnce(&mut Self) -> Outcome<T>,
    ) -> Outcome<T> {
        match fault::next(&self.address, op, text, &self.module) {
            None => {}
            Some(Action::Fail(code)) => return Err(OracleError::plain(code)),
            Some(Action::Latency(time)) => self.pause(Some(time), self.call_timeout)?,
            Some(Action::Hang) => self.pause(None, self.call_timeout)?,
            Some(Action::Stuck) => self.pause(None, 0)?,
            Some(Action::Deaf(time)) => std::thread::sleep(time),
            Some(Action::LostAnswer) => {
                work(self)?;
                return Err(self.end());
            }
            Some(Action::Kill) => return Err(self.end()),
        }
        work(self)
    }

    /// Waits, for ever without `time`, until the limit (milliseconds; 0 is none) passes or somebody breaks it off.
    fn pause(&self, time: Option<Duration>, limit: u32) -> Outcome<()> {
        let limit = (limit > 0).then(|| Duration::from_millis(limit.into()));
        let (broken, woken) = &*self.breaker.broken;
        let mut broken = broken.lock();
        match [time, limit].into_iter().flatten().min() {
            Some(wait) => drop(woken.wait_while_for(&mut broken, |broken| !*broken, wait)),
            None => woken.wait_while(&mut broken, |broken| !*broken),
        }
        if std::mem::take(&mut *broken) {
            return Err(OracleError::plain(1013));
        }
        if limit.is_some_and(|limit| time.is_none_or(|time| time >= limit)) {
            return Err(OracleError::plain(3136));
        }
        Ok(())
    }

    /// Ends the session at once, as a killed one does.
    fn end(&mut self) -> OracleError {
        self.in_transaction = false;
        // It answers by being gone.
        let _ = self.client.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())");
        OracleError::plain(3113)
    }
}
