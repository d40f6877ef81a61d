//! The fence of a group: looked at, and moved while its lock is held alone.

use std::time::Duration;

use model::fence::{Fence, Move, Standing};
use model::{Epoch, GroupName, Side, Stand, StoreError};
use tokio_postgres::Row;

use super::bookkeeping::fence_lock;
use super::ledger::ask;
use super::pipeline::pipeline;
use super::read::misfit;
use super::session::Session;
use super::wire::Stored;

const LOOK: &str = "SELECT epoch, state, \
                    (extract(epoch FROM clock_timestamp() - moved_at) * 1000000)::int8 AS age \
                    FROM strangler_fence WHERE grp = $1::text";

fn read(side: Side, group: &GroupName, row: Option<&Row>) -> Result<Standing, StoreError> {
    let row = row.ok_or_else(|| misfit(side, format!("group {group} has no fence: run `strangler init`")))?;
    let unreadable = || misfit(side, format!("the fence of group {group} cannot be read"));
    let epoch = u32::try_from(row.get::<_, i64>("epoch")).map_err(|_| unreadable())?;
    let stand = Stand::from_text(row.get("state")).ok_or_else(unreadable)?;
    // Clocks may be set back: then it has only just been moved.
    let age = u64::try_from(row.get::<_, i64>("age")).unwrap_or_default();
    Ok(Standing { fence: Fence::new(Epoch(epoch), stand), age: Duration::from_micros(age) })
}

/// See `Store::fence`.
pub(super) async fn look(session: &Session, side: Side, group: &GroupName) -> Result<Standing, StoreError> {
    let rows = ask(session, LOOK, &[Stored::Text(group.to_string())]).await?;
    read(side, group, rows.first())
}

/// See `Store::move_fence`. `within`: how long writers in flight are waited for.
pub(super) async fn shift(
    session: &Session,
    side: Side,
    group: &GroupName,
    step: &Move,
    within: Duration,
) -> Result<Fence, StoreError> {
    let update = "UPDATE strangler_fence SET epoch = $2::int8, state = $3::text, moved_at = clock_timestamp() \
                  WHERE grp = $1::text AND epoch = $4::int8 AND state = $5::text";
    let name = || Stored::Text(group.to_string());
    let values = [
        vec![
            name(),
            Stored::Big(step.to.epoch.0.into()),
            Stored::Text(step.to.stand.as_str().to_owned()),
            Stored::Big(step.from.epoch.0.into()),
            Stored::Text(step.from.stand.as_str().to_owned()),
        ],
        vec![name()],
    ];
    let statements = session.prepare(&[update, LOOK]).await?;
    let steps: Vec<_> = statements.into_iter().zip(values).collect();
    // Given up a little before the call's own limit, so that the answer is known: nothing was moved.
    let wait = within.mul_f64(0.8).as_millis();
    let lock = fence_lock(group);
    let begin = format!("BEGIN; SET LOCAL lock_timeout = {wait}; SELECT pg_advisory_xact_lock('{lock}'::int8)");
    session.begins();
    let answers = pipeline(session, Some(&begin), &steps, Some("COMMIT")).await;
    // Answered, one way or the other, means over: a failed transaction is undone by COMMIT too.
    if answers.last().is_some_and(|last| last.as_ref().err().is_none_or(|error| error.as_db_error().is_some())) {
        session.ended();
    }
    let mut found = None;
    for answer in answers {
        let answer = answer.map_err(|error| session.error(error))?;
        found = answer.rows.into_iter().next().or(found);
    }
    read(side, group, found.as_ref()).map(|standing| standing.fence)
}
