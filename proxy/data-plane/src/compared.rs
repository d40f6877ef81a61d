//! Whether this replica can tell that a side has gone back: it writes none that it cannot compare.
//!
//! A replica with an empty disk remembers nothing itself. While neither the other side nor the control store answers, it
//! would take whatever database it finds for the one that everybody knows. A first installation is not that case: both
//! answer, and remember nothing. What was compared once is remembered from then on, on this replica's disk.

use model::{PerSide, Side};
use tokio::sync::watch;
use tokio::time::Instant;

use request::error::InternalError;

/// What is known of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Nobody has looked since the start.
    NotYet,
    /// There was nobody to ask, at the last look.
    Nobody,
    /// There is something to compare it with.
    Somebody,
}

/// What is known of both sides.
#[derive(Debug)]
pub struct Compared {
    sides: PerSide<watch::Sender<Known>>,
}

impl Default for Compared {
    fn default() -> Self {
        let not_yet = || watch::Sender::new(Known::NotYet);
        Self { sides: PerSide { legacy: not_yet(), modern: not_yet() } }
    }
}

impl Compared {
    /// Whether `side` may be written. Waits for the first look, until `deadline` at most.
    pub async fn may_write(&self, side: Side, deadline: Instant) -> bool {
        let sender = self.sides.get(side);
        if *sender.borrow() == Known::Somebody {
            return true;
        }
        let mut known = sender.subscribe();
        let looked = known.wait_for(|known| *known != Known::NotYet);
        matches!(tokio::time::timeout_at(deadline, looked).await, Ok(Ok(known)) if *known == Known::Somebody)
    }

    /// As [`Self::may_write`].
    ///
    /// # Errors
    /// [`InternalError::NothingRemembered`]: nothing of ours is written there.
    pub async fn require(&self, side: Side, deadline: Instant) -> Result<(), InternalError> {
        if self.may_write(side, deadline).await { Ok(()) } else { Err(InternalError::NothingRemembered(side)) }
    }

    /// Somebody remembers `side`, or says that nobody does; or there was nobody to ask. Who could be asked once has been
    /// remembered here since.
    pub fn heard(&self, side: Side, somebody: bool) {
        let said = if somebody { Known::Somebody } else { Known::Nobody };
        let lost = self.sides.get(side).send_if_modified(|known| {
            let changes = *known != said && *known != Known::Somebody;
            if changes {
                *known = said;
            }
            changes
        });
        if lost && !somebody {
            tracing::error!(%side, "this replica remembers nothing of {side}, and neither the other side nor the control database answers: it writes nothing there, and answers such mutations with NOTHING_REMEMBERED. Start one of them, or start this replica with the state_dir that it had");
        }
    }
}
