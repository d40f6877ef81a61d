//! As secondary: what a command would come to. A transaction that is rolled back, whatever it came to.
//!
//! The session undoes what is open when a call on it ends in any other way, and the server when the session is lost; so
//! there is no path on which a rehearsal commits of itself. A procedure of the ERP that says `COMMIT` would do it all the
//! same: every session forbids that (ORA-00034), and the rehearsal is no answer then. What a procedure does in an
//! autonomous transaction stays: do not replay such a mutation.
//!
//! No fence: a side that is secondary has it closed, and nothing is written.

use model::{Command, Contract, Rehearsal, Rehearsed, Side, StoreError, Unnumbered};

use super::Plan;
use crate::look::Look;
use crate::oracle::session::Session;
use crate::oracle::{bookkeeping, own_keys};

/// See `Store::rehearse`.
pub(in crate::oracle) fn rehearse(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    command: &Command,
) -> Result<Rehearsal, StoreError> {
    // A repeat that the client sends is the primary's matter.
    let command = Command { idempotency: None, ..command.clone() };
    // A rehearsal gives no numbers: such a gift would outlive it.
    let numbers = own_keys::of_keys(session, contract, side, &command.touches, Unnumbered::Leave)?;
    let plan = Plan::new(contract, side, &command, &numbers)?;
    let rehearsed = plan.rehearse(session);
    session.roll_back();
    rehearsed
}

impl Plan<'_> {
    fn rehearse(&self, session: &mut Session) -> Result<Rehearsal, StoreError> {
        let tasks = self.tasks()?;
        bookkeeping::lock_keys(session, &self.touches)?;
        let before = self.looked(session, Look::Whole)?;
        let outcome = match self.worked(session, &tasks) {
            Ok((after, _)) => Rehearsed::Done(self.all(after)),
            Err(StoreError::Refused { refusal, .. }) => Rehearsed::Refused(refusal),
            Err(error) => return Err(error),
        };
        Ok(Rehearsal { before: self.all(before), outcome })
    }
}
