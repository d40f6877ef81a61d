//! Is the guard alive? Told by the guard, asked by others: never by the task that may have died.
//!
//! Alive means more than running: it has lately caught a canary. A guard that looks and sees nothing is
//! as dead as one that does not look.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A guard that has not looked for so long hangs.
pub(super) const STALLED: Duration = Duration::from_secs(10);
/// How long after it was let loose a canary may be at large.
pub(super) const CATCH_WITHIN: Duration = Duration::from_secs(15);

/// What is known of the guard's life.
#[derive(Debug)]
pub(super) struct Pulse {
    enabled: bool,
    /// How often a canary is let loose.
    period: Duration,
    life: Mutex<Life>,
}

#[derive(Debug)]
struct Life {
    looked: Instant,
    caught: Option<Instant>,
    dead: bool,
}

impl Pulse {
    /// A guard that begins now and has proven nothing.
    pub(super) fn new(enabled: bool, period: Duration) -> Self {
        let life = Mutex::new(Life { looked: Instant::now(), caught: None, dead: false });
        Self { enabled, period, life }
    }

    /// What is wrong, or what is well, as one sentence.
    ///
    /// # Errors
    /// The guard is off, dead, hangs, or has not caught its canary in time.
    pub(super) fn check(&self, now: Instant) -> Result<String, String> {
        if !self.enabled {
            return Err("is off: `guard.enabled` is false, nothing rolls back by itself".to_owned());
        }
        let life = self.life.lock();
        let silent = now.saturating_duration_since(life.looked);
        if life.dead {
            return Err("has ended unexpectedly and is started again; the log says why".to_owned());
        }
        if silent > STALLED {
            return Err(format!("hangs: it has not looked for {} s", silent.as_secs()));
        }
        let Some(caught) = life.caught else {
            return Err("has not caught its first canary yet".to_owned());
        };
        let since = now.saturating_duration_since(caught);
        let allowed = self.period + CATCH_WITHIN;
        if since > allowed {
            let (since, allowed) = (since.as_secs(), allowed.as_secs());
            return Err(format!("is blind: it caught its last canary {since} s ago, {allowed} s are allowed"));
        }
        Ok(format!("caught its last canary {} s ago", since.as_secs()))
    }

    /// The guard has looked at every group.
    pub(super) fn looked(&self) {
        self.life.lock().looked = Instant::now();
    }

    /// The guard has seen its canary for what it is.
    pub(super) fn caught(&self) {
        let mut life = self.life.lock();
        life.caught = Some(Instant::now());
        life.dead = false;
    }

    /// The guard's task has ended and nobody told it to.
    pub(super) fn died(&self) {
        let mut life = self.life.lock();
        life.dead = true;
        life.caught = None;
    }

    /// It begins anew. Stays dead for who asks, until it has proven itself.
    pub(super) fn begins(&self) {
        self.life.lock().looked = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_guard_is_well_only_while_it_looks_and_catches() {
        let pulse = Pulse::new(true, PERIOD);
        assert!(pulse.check(Instant::now()).unwrap_err().contains("first canary"));
        pulse.looked();
        pulse.caught();
        assert!(pulse.check(Instant::now()).is_ok());
        tokio::time::advance(STALLED + Duration::from_secs(1)).await;
        assert!(pulse.check(Instant::now()).unwrap_err().contains("hangs"));
        pulse.looked();
        assert!(pulse.check(Instant::now()).is_ok());
        tokio::time::advance(PERIOD + CATCH_WITHIN).await;
        pulse.looked();
        assert!(pulse.check(Instant::now()).unwrap_err().contains("blind"));
        pulse.caught();
        assert!(pulse.check(Instant::now()).is_ok());
        pulse.died();
        pulse.begins();
        pulse.looked();
        assert!(pulse.check(Instant::now()).unwrap_err().contains("ended"));
        pulse.caught();
        assert!(pulse.check(Instant::now()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_that_is_off_is_not_well() {
        assert!(Pulse::new(false, PERIOD).check(Instant::now()).unwrap_err().contains("off"));
    }
}
