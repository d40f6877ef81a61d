//! The fence of a group: looked at, and moved while its lock is held alone.

use std::time::Duration;

use model::fence::{Fence, Move, Standing, Traces};
use model::{Contract, Epoch, GroupName, Side, Stand, StoreError};

use super::bind::Bind;
use super::bookkeeping::{NOW, is_living, lock_fence};
use super::session::Session;
use super::table::{misfit, places};
use super::waiting::{of_group, types};
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

/// See `Store::traces`.
pub(super) fn traces(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    group: &GroupName,
) -> Result<Traces, StoreError> {
    let (types, binds) = types(contract, group);
    let unreadable = || misfit(side, format!("what is recorded of group {group} cannot be read"));
    let text = format!(
        "SELECT NVL(MAX(v.epoch), 0) FROM strangler_version v WHERE v.entity IN ({})",
        places(1, binds.len() - 1)
    );
    let rows = session.query(&text, &binds[..binds.len() - 1], 1)?;
    let epoch = rows.first().and_then(|row| wire::number(row, 0)).ok_or_else(unreadable)?;
    let (of_group, _) = of_group("l", types);
    let text = format!(
        "SELECT COUNT(*) FROM (SELECT 1 FROM strangler_ledger l WHERE {of_group} FETCH FIRST 1 ROWS ONLY) found"
    );
    let rows = session.query(&text, &binds, 1)?;
    let writes = rows.first().and_then(|row| wire::number::<u64>(row, 0)).ok_or_else(unreadable)?;
    Ok(Traces { epoch: Epoch(epoch), writes: writes > 0 })
}

/// See `Store::fences`.
pub(super) fn all(session: &mut Session, side: Side) -> Result<Vec<(GroupName, Fence)>, StoreError> {
    let unreadable = || misfit(side, "a fence cannot be read");
    let mut fences = Vec::new();
    for row in &session.query("SELECT grp, epoch, state FROM strangler_fence ORDER BY grp", &[], 50)? {
        let group = wire::text(row, 0).ok_or_else(unreadable)?;
        let epoch = wire::number(row, 1).ok_or_else(unreadable)?;
        let stand = wire::text(row, 2).and_then(|text| Stand::from_text(&text)).ok_or_else(unreadable)?;
        fences.push((group.as_str().into(), Fence::new(Epoch(epoch), stand)));
    }
    Ok(fences)
}

/// See `Store::move_fence`.
pub(super) fn shift(session: &mut Session, side: Side, group: &GroupName, step: &Move) -> Result<Fence, StoreError> {
    lock_fence(session, group)?;
    let opens = step.to.stand.takes_writes() && step.to != step.from && look(session, side, group)?.fence == step.from;
    if opens && !is_living(session)? {
        return Err(StoreError::suspended(side));
    }
    let since = if step.takes_over { format!(", since = {}", step.to.epoch.0) } else { String::new() };
    let text = format!(
        "UPDATE strangler_fence SET epoch = :1, state = :2, moved_at = {NOW}{since} \
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
