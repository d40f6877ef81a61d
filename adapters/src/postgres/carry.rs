//! Carries ledger rows along: what a write was, and the client's key for it, are known on the secondary too.
//!
//! Only of writes that stand here as a whole: a ledger row is what `standing` swears by. Where one change of a write
//! has come too late its rows wait, until the primary has said that what overtook it belongs to its history.
//!
//! An idempotency key that another write has here is an answer, never nothing: after a handover a repeat would be told
//! the result of the wrong one.

use model::store::Bare;
use model::{
    Applied, Change, Contract, EntityKey, Epoch, Incarnation, Position, Recorded, Side, StoreError, Version, WriteId,
};
use tokio_postgres::Row;

use super::apply_text::{self, BARRED, locks};
use super::pipeline::{End, Step, whole};
use super::read::misfit;
use super::session::Session;
use super::wire::{Stored, get};
use super::{ledger, read};
use crate::gate::Gate;

/// What the version row of a change says after an apply, and whose its idempotency key is.
pub(super) struct Stand {
    pub(super) recorded: Recorded,
    pub(super) key_of: Option<WriteId>,
}

/// The statement that carries `changes`, one answer row per change in their order. `proven`: also where the version rows
/// name other writes.
pub(super) fn step(
    contract: &Contract,
    side: Side,
    changes: &[&Change],
    proven: bool,
    gate: Gate,
) -> Result<Step, StoreError> {
    let (mut groups, mut images) = (Vec::new(), Vec::new());
    for change in changes {
        let entity = ledger::entity(contract, side, change.key.entity().as_str())?;
        let image = change.state.as_ref().map(|record| record.to_json(entity).to_string());
        groups.push(Stored::Text(entity.group.to_string()));
        images.push(image.map_or(Stored::Null, Stored::Text));
    }
    let text = |text: Option<String>| text.map_or(Stored::Null, Stored::Text);
    let big = |number: u64| Stored::Big(i64::try_from(number).unwrap_or(i64::MAX));
    let column = |make: &dyn Fn(&Change) -> Stored| Stored::List(changes.iter().map(|change| make(change)).collect());
    let values = vec![
        column(&|change| Stored::Uuid(change.write.0)),
        column(&|change| Stored::Small(change.ordinal.cast_signed())),
        Stored::List(groups),
        column(&|change| Stored::Text(change.key.entity().to_string())),
        column(&|change| Stored::Text(change.key.as_text().to_owned())),
        column(&|change| big(change.version.epoch.0.into())),
        column(&|change| big(change.version.incarnation.0.into())),
        column(&|change| big(change.version.position.0)),
        column(&|change| text(change.idempotency.as_ref().map(|(key, _)| key.as_str().to_owned()))),
        column(&|change| text(change.idempotency.as_ref().map(|(_, print)| print.0.clone()))),
        Stored::List(images),
        Stored::Bool(proven),
        column(&|change| text(change.base.map(|base| base.to_string()))),
        Stored::Big(gate.incarnation().0.into()),
    ];
    Ok(Step { text: apply_text::carry(side, gate), values })
}

/// The answer to [`step`]: `None` in the slot of a change whose key has no version row.
pub(super) fn stands(side: Side, rows: &[Row], changes: usize) -> Result<Vec<Option<Stand>>, StoreError> {
    if rows.len() != changes {
        return Err(misfit(side, "the bookkeeping does not answer for every change".into()));
    }
    let stand = |row: &Row| {
        let key_of = get::<Option<uuid::Uuid>>(side, row, 4)?.map(WriteId);
        Ok(recorded_of(side, row)?.map(|recorded| Stand { recorded, key_of }))
    };
    rows.iter().map(stand).collect()
}

/// Write and version in the first four columns.
fn recorded_of(side: Side, row: &Row) -> Result<Option<Recorded>, StoreError> {
    let big = |place: usize| get::<Option<i64>>(side, row, place);
    let small = |place| Ok::<_, StoreError>(big(place)?.and_then(|number| u32::try_from(number).ok()));
    let Some(write) = get::<Option<uuid::Uuid>>(side, row, 0)? else { return Ok(None) };
    let parts = (small(1)?, small(2)?, big(3)?);
    let (Some(epoch), Some(incarnation), Some(position)) = parts else { return Err(unreadable(side)) };
    let (epoch, incarnation) = (Epoch(epoch), Incarnation(incarnation));
    let version = Version { epoch, incarnation, position: Position(position.cast_unsigned()) };
    Ok(Some(Recorded { write: WriteId(write), version }))
}

fn unreadable(side: Side) -> StoreError {
    misfit(side, "strangler_version has a row that is no version".into())
}

/// See `Store::carry`.
pub(super) async fn carry(
    session: &Session,
    contract: &Contract,
    side: Side,
    changes: &[Change],
    source: Incarnation,
) -> Result<Option<WriteId>, StoreError> {
    let changes: Vec<&Change> = changes.iter().filter(|change| !change.version.is_baseline()).collect();
    if changes.is_empty() {
        return Ok(None);
    }
    let Step { text, values } = step(contract, side, &changes, true, Gate::Secondary(source))?;
    let statements = session.prepare(&[&text]).await?;
    let steps: Vec<_> = statements.into_iter().zip([values]).collect();
    let mut answers = whole(session, &locks(contract, side, &changes)?, &steps, End::Commit).await?;
    match answers.remove(0) {
        Ok(answer) => {
            let stands = stands(side, &answer.rows, changes.len())?;
            Ok(stands.into_iter().flatten().find_map(|stand| stand.key_of))
        }
        Err(error) if error.code().is_some_and(|code| code.code() == BARRED) => Err(StoreError::Fenced { side }),
        Err(error) => Err(session.error(error)),
    }
}

/// See `Store::keep` and `Lives::keep_back`.
pub(super) async fn keep(
    session: &Session,
    side: Side,
    writes: &[Bare],
    gate: Gate,
) -> Result<Vec<Applied>, StoreError> {
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let text = |text: Option<String>| text.map_or(Stored::Null, Stored::Text);
    let big = |number: u64| Stored::Big(i64::try_from(number).unwrap_or(i64::MAX));
    let column = |make: &dyn Fn(&Bare) -> Stored| Stored::List(writes.iter().map(make).collect());
    let values = vec![
        column(&|bare| Stored::Uuid(bare.write.0)),
        column(&|bare| Stored::Text(bare.group.to_string())),
        column(&|bare| big(bare.version.epoch.0.into())),
        column(&|bare| big(bare.version.incarnation.0.into())),
        column(&|bare| big(bare.version.position.0)),
        column(&|bare| text(bare.idempotency.as_ref().map(|(key, _)| key.as_str().to_owned()))),
        column(&|bare| text(bare.idempotency.as_ref().map(|(_, print)| print.0.clone()))),
        Stored::Big(gate.incarnation().0.into()),
    ];
    let statement = session.prepare(&[&apply_text::keep(side, gate)]).await?.remove(0);
    let locks = apply_text::group_locks(writes.iter().map(|bare| &bare.group));
    let mut answers = whole(session, &locks, &[(statement, values)], End::Commit).await?;
    let answer = answers.remove(0).map_err(|error| session.error(error))?;
    if answer.rows.len() != writes.len() {
        return Err(misfit(side, "the bookkeeping does not answer for every write".into()));
    }
    let kept = |row: &Row| match (get(side, row, 0)?, get(side, row, 1)?, get(side, row, 2)?) {
        (false, _, _) => Ok(Applied::Barred),
        (true, Some(other), _) => Ok(Applied::KeyTaken(WriteId(other))),
        (true, None, true) => Ok(Applied::There),
        // Carried by somebody else at this moment, or hidden from us: that it is here is not known.
        (true, None, false) => {
            let source = "its row in the ledger cannot be found".into();
            Err(StoreError::Conflict { side, source })
        }
    };
    answer.rows.iter().map(kept).collect()
}

/// See `Store::recorded`.
pub(super) async fn recorded(
    session: &Session,
    side: Side,
    keys: &[EntityKey],
) -> Result<Vec<Option<Recorded>>, StoreError> {
    read::require_batch(side, None, keys)?;
    let text = "SELECT v.write_id, v.epoch, v.incarnation, v.position \
                FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS i(entity, key, place) \
                LEFT JOIN LATERAL (SELECT * FROM strangler_version AS v \
                WHERE v.entity = i.entity AND v.key = i.key OFFSET 0) AS v ON true ORDER BY i.place";
    let column =
        |text: &dyn Fn(&EntityKey) -> String| Stored::List(keys.iter().map(|k| Stored::Text(text(k))).collect());
    let values = [column(&|key| key.entity().to_string()), column(&|key| key.as_text().to_owned())];
    let rows = ledger::ask(session, text, &values).await?;
    if rows.len() != keys.len() {
        return Err(misfit(side, "the bookkeeping does not answer for every key".into()));
    }
    rows.iter().map(|row| recorded_of(side, row)).collect()
}
