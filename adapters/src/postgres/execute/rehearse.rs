//! As secondary: what a command would come to. One round trip that begins with `BEGIN` and ends with `ROLLBACK`.
//!
//! The `ROLLBACK` is on its way before anything is answered, so there is no path on which the transaction commits, and
//! the rows are locked no longer than the server works. When the connection breaks, the server rolls back as well.
//!
//! No fence: a side that is secondary has it closed, and nothing is written. The locks of keys are those of a write, so
//! two rehearsals of one key see one after the other.

use std::time::Duration;

use model::{Command, Contract, Rehearsal, Rehearsed, Side, StoreError, Unnumbered};

use super::{Plan, Told};
use crate::look::Look;
use crate::postgres::pipeline::{End, whole};
use crate::postgres::session::Session;
use crate::postgres::{bookkeeping, own_keys};

/// See `Store::rehearse`.
pub(in crate::postgres) async fn rehearse(
    session: &Session,
    contract: &Contract,
    side: Side,
    command: &Command,
    within: Duration,
) -> Result<Rehearsal, StoreError> {
    // A repeat that the client sends is the primary's matter.
    let command = Command { idempotency: None, ..command.clone() };
    // A rehearsal gives no numbers: such a gift would outlive it.
    let numbers = own_keys::of_keys(session, contract, side, &command.touches, Unnumbered::Leave).await?;
    let plan = Plan::new(contract, side, &command, &numbers)?;
    let opening = plan.opening(session, Look::Whole).await?;
    let locks = bookkeeping::rehearsal_locks(&plan.touches, within);
    // A rehearsal whose end nobody has confirmed is not told of.
    let answers = whole(session, &locks, &opening.steps, End::RollBack).await?;
    let told = &mut Told::new(session, answers);
    let before = plan.looked(opening.look, told)?;
    let outcome = match plan.worked(&opening, told, &before) {
        Ok((after, _)) => Rehearsed::Done(plan.all(after)),
        Err(StoreError::Refused { refusal, .. }) => Rehearsed::Refused(refusal),
        Err(error) => return Err(error),
    };
    Ok(Rehearsal { before: plan.all(before), outcome })
}
