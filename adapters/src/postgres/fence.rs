//! The fence of a group: looked at, and moved while its lock is held alone.

use std::time::Duration;

use model::fence::{Fence, Move, Standing, Traces};
use model::{Contract, Epoch, GroupName, Side, Stand, StoreError};
use tokio_postgres::Row;

use super::bookkeeping::{INCARNATION, fence_lock};
use super::ledger::ask;
use super::pipeline::{End, whole};
use super::read::misfit;
use super::session::Session;
use super::waiting::{OF_GROUP, of_group};
use super::wire::{Stored, get, number};

const LOOK: &str = "SELECT epoch, state, \
                    (extract(epoch FROM clock_timestamp() - moved_at) * 1000000)::int8 AS age \
                    FROM strangler_fence WHERE grp = $1::text";

fn read(side: Side, group: &GroupName, row: Option<&Row>) -> Result<Standing, StoreError> {
    let row = row.ok_or_else(|| misfit(side, format!("group {group} has no fence: run `strangler init`")))?;
    let unreadable = || misfit(side, format!("the fence of group {group} cannot be read"));
    let epoch = number(side, row, "epoch")?;
    let stand = Stand::from_text(get(side, row, "state")?).ok_or_else(unreadable)?;
    // Clocks may be set back: then it has only just been moved.
    let age = u64::try_from(get::<i64>(side, row, "age")?).unwrap_or(0);
    Ok(Standing { fence: Fence::new(Epoch(epoch), stand), age: Duration::from_micros(age) })
}

/// See `Store::fence`.
pub(super) async fn look(session: &Session, side: Side, group: &GroupName) -> Result<Standing, StoreError> {
    let rows = ask(session, LOOK, &[Stored::Text(group.to_string())]).await?;
    read(side, group, rows.first())
}

/// See `Store::traces`.
pub(super) async fn traces(
    session: &Session,
    contract: &Contract,
    side: Side,
    group: &GroupName,
) -> Result<Traces, StoreError> {
    let text = format!(
        "SELECT coalesce((SELECT max(newest.epoch) FROM unnest($2::text[]) AS e(name), \
         LATERAL (SELECT max(v.epoch) AS epoch FROM strangler_version v WHERE v.entity = e.name) AS newest), 0), \
         EXISTS (SELECT FROM strangler_ledger l WHERE {OF_GROUP})"
    );
    let rows = ask(session, &text, &of_group(contract, group)).await?;
    let unreadable = || misfit(side, format!("what is recorded of group {group} cannot be read"));
    let row = rows.first().ok_or_else(unreadable)?;
    Ok(Traces { epoch: Epoch(number(side, row, 0)?), writes: get(side, row, 1)? })
}

/// See `Store::fences`.
pub(super) async fn all(session: &Session, side: Side) -> Result<Vec<(GroupName, Fence)>, StoreError> {
    let rows = ask(session, "SELECT grp, epoch, state FROM strangler_fence ORDER BY grp", &[]).await?;
    let fence = |row: &Row| {
        let group = GroupName::from(get::<&str>(side, row, 0)?);
        let unreadable = || misfit(side, format!("the fence of group {group} cannot be read"));
        let stand = Stand::from_text(get(side, row, 2)?).ok_or_else(unreadable)?;
        Ok((group, Fence::new(Epoch(number(side, row, 1)?), stand)))
    };
    rows.iter().map(fence).collect()
}

/// See `Store::move_fence`. `within`: how long writers in flight are waited for. A side that is suspended, or may
/// lack what nobody could be asked for, is not opened.
pub(super) async fn shift(
    session: &Session,
    side: Side,
    group: &GroupName,
    step: &Move,
    within: Duration,
) -> Result<Fence, StoreError> {
    let update = format!(
        "UPDATE strangler_fence SET epoch = $2::int8, state = $3::text, moved_at = clock_timestamp(), \
         since = CASE WHEN $6::int8 = 1 THEN $2::int8 ELSE since END \
         WHERE grp = $1::text AND epoch = $4::int8 AND state = $5::text AND ($3::text NOT IN ('open', 'alone') \
         OR ({INCARNATION} IS NOT NULL AND NOT EXISTS (SELECT FROM strangler_life WHERE unasked IS NOT NULL)))"
    );
    let name = || Stored::Text(group.to_string());
    let values = [
        vec![
            name(),
            Stored::Big(step.to.epoch.0.into()),
            Stored::Text(step.to.stand.as_str().to_owned()),
            Stored::Big(step.from.epoch.0.into()),
            Stored::Text(step.from.stand.as_str().to_owned()),
            Stored::Big(step.takes_over.into()),
        ],
        vec![name()],
    ];
    let statements = session.prepare(&[&update, LOOK]).await?;
    let steps: Vec<_> = statements.into_iter().zip(values).collect();
    // Given up a little before the call's own limit, so that the answer is known: nothing was moved.
    // Zero would mean no limit.
    let wait = within.mul_f64(0.8).as_millis().clamp(1, i32::MAX as u128);
    let lock = fence_lock(group);
    let setup = format!("SET LOCAL lock_timeout = {wait}; SELECT pg_advisory_xact_lock('{lock}'::int8)");
    let mut found = None;
    for answer in whole(session, &setup, &steps, End::Commit).await? {
        let answer = answer.map_err(|error| session.error(error))?;
        found = answer.rows.into_iter().next().or(found);
    }
    let fence = read(side, group, found.as_ref())?.fence;
    // Nobody else can have moved it meanwhile: the lock is ours. Where it was open so already there is nothing to move.
    let kept_shut = step.to.stand.takes_writes() && fence == step.from && fence != step.to;
    if kept_shut { Err(StoreError::suspended(side)) } else { Ok(fence) }
}
