//! The fence of a group: looked at, and moved while its lock is held alone.

use std::time::Duration;

use model::fence::{Fence, Move, Standing};
use model::{Epoch, GroupName, Side, Stand, StoreError};

use super::bind::Bind;
use super::bookkeeping::{NOW, lock_fence};
use super::session::Session;
use super::table::misfit;
use super::wire;

/// See `Store::fence`.
pub(super) fn look(session: &mut Session, side: Side, group: &GroupName) -> Result<Standing, StoreError> {
    let text = format!("SELECT f.epoch, f.state, f.moved_at, {NOW} FROM strangler_fence f WHERE f.grp = :1");
    let rows = session.query(&text, &[Bind::text(group.as_str())], 1)?;
    let row = rows.first().ok_or_else(|| misfit(side, format!("group {group} has no fence: run `strangler init`")))?;
    let unreadable = || misfit(side, format!("the fence of group {group} cannot be read"));
    let epoch = wire::number(row, 0).ok_or_else(unreadable)?;
    let stand = wire::text(row, 1).and_then(|text| Stand::from_text(&text)).ok_or_else(unreadable)?;
    let moment = |place| wire::moment(row, place).ok_or_else(unreadable);
    // Clocks may be set back: then it has only just been moved.
    let age = (moment(3)? - moment(2)?).to_std().unwrap_or(Duration::ZERO);
    Ok(Standing { fence: Fence::new(Epoch(epoch), stand), age })
}

/// See `Store::move_fence`.
pub(super) fn shift(session: &mut Session, side: Side, group: &GroupName, step: &Move) -> Result<Fence, StoreError> {
    lock_fence(session, group)?;
    let text = format!(
        "UPDATE strangler_fence SET epoch = :1, state = :2, moved_at = {NOW} \
         WHERE grp = :3 AND epoch = :4 AND state = :5"
    );
    let binds = [
        Bind::number(step.to.epoch.0),
        Bind::text(step.to.stand.as_str()),
        Bind::text(group.as_str()),
        Bind::number(step.from.epoch.0),
        Bind::text(step.from.stand.as_str()),
    ];
    session.run(&text, &binds)?;
    let found = look(session, side, group)?;
    session.commit()?;
    Ok(found.fence)
}
