//! The shapes that an Oracle side remembers, and applies that heed them. See `model::shape`.
//!
//! An apply reads them first, which costs a round trip: after the change was committed on the primary. Whoever wrote in
//! a wider shape had raised it on this side before; so a replica that would bring a narrower state over his finds the
//! raised one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::shape::Remembered;
use model::{
    Applied, Change, Contract, Epoch, GroupName, Incarnation, NotRead, Position, Recorded, Shape, ShapeId, ShapeLog,
    Side, StoreError, Version, WriteId,
};
use oracle::Row;

use super::bind::Bind;
use super::ledger::{ROW, change};
use super::session::Session;
use super::store::OracleStore;
use super::table::{MAX_LIST, bucket, misfit, places};
use super::{apply, error, wire};
use crate::gate::Gate;
use crate::known::{Fate, Known, Picture, Winner};

/// See `Store::apply`, `Store::apply_over` and `Lives::bring_back`: only whole states of shapes that are known.
pub(super) fn apply(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    known: &Known,
    changes: &[Change],
    over: bool,
    gate: Gate,
) -> Result<Vec<Applied>, StoreError> {
    let picture = known.saw(&read(session, side)?);
    let fates = picture.fates(contract, changes);
    let of = |fate| changes.iter().zip(&fates).filter(move |(_, own)| **own == fate).map(|(change, _)| change.clone());
    let through: Vec<Change> = of(Fate::Apply).collect();
    let applied = match through.is_empty() {
        true => Vec::new(),
        false => apply::apply(session, contract, side, &through, over, gate, known)?,
    };
    let mut won = Vec::with_capacity(through.len());
    for (change, applied) in through.iter().zip(&applied) {
        won.push(if matches!(applied, Applied::Stale(_)) { winner(session, side, change)? } else { None });
    }
    let mut applied = picture.judge_stale(&through, applied, |place| won.get(place).copied().flatten()).into_iter();
    let parts: Vec<Change> = of(Fate::NotWhole).collect();
    let stand = parts.iter().map(|change| winner(session, side, change)).collect::<Result<Vec<_>, _>>()?;
    let mut parts = picture.beneath(&parts, &stand).into_iter();
    let missing = || misfit(side, "an apply answered for fewer changes than it was given");
    let slot = |fate: &Fate| match fate {
        Fate::Apply => applied.next().ok_or_else(missing),
        Fate::NotWhole => parts.next().ok_or_else(missing),
        Fate::NotKnown => Ok(Applied::NotKnown),
    };
    fates.iter().map(slot).collect()
}

/// What stands here in the place of a change.
fn winner(session: &mut Session, side: Side, change: &Change) -> Result<Option<Winner>, StoreError> {
    let text =
        "SELECT epoch, incarnation, position, shape, write_id FROM strangler_version WHERE entity = :1 AND key = :2";
    let name = [Bind::text(change.key.entity().as_str()), Bind::text(change.key.as_text())];
    let rows = session.query(text, &name, 1)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let version = || {
        Some(Version {
            epoch: Epoch(wire::number(row, 0)?),
            incarnation: Incarnation(wire::number(row, 1)?),
            position: Position(wire::number(row, 2)?),
        })
    };
    let recorded = || Some(Recorded { write: WriteId(wire::text(row, 4)?.parse().ok()?), version: version()? });
    let recorded = recorded().ok_or_else(|| misfit(side, "strangler_version has a row that is no version"))?;
    Ok(Some(Winner { recorded, shape: wire::number(row, 3) }))
}

/// See `ShapeLog::shapes`.
pub(super) fn read(session: &mut Session, side: Side) -> Result<Vec<Remembered>, StoreError> {
    let rows = session.query("SELECT entity, shape, rank, document FROM strangler_shape", &[], 100)?;
    let one = |row: &Row| {
        Some(Remembered {
            entity: wire::text(row, 0)?.as_str().into(),
            id: ShapeId::kept(wire::number(row, 1)?),
            rank: u32::try_from(wire::number::<i64>(row, 2)?.max(0)).ok()?,
            shape: Shape::from_text(&wire::text(row, 3)?),
        })
    };
    let unreadable = || misfit(side, "strangler_shape has a row that cannot be read");
    rows.iter().map(|row| one(row).ok_or_else(unreadable)).collect()
}

/// See `ShapeLog::remember_shape`.
pub(super) fn remember(session: &mut Session, shape: &Shape) -> Result<(), StoreError> {
    let text = "INSERT INTO strangler_shape (entity, shape, document, rank) VALUES (:1, :2, :3, :4)";
    let id = shape.id().get();
    let text_of = Bind::text(shape.to_text());
    let row = vec![Bind::text(shape.entity.as_str()), Bind::number(id), text_of, Bind::number(-id)];
    match session.batch(text, &[row])?.first() {
        Some(Ok(1) | Err(error::EXISTS)) => session.commit(),
        Some(Err(code)) => Err(session.of_code(*code)),
        Some(Ok(_)) | None => Err(misfit(session.side, "strangler_shape took no row")),
    }
}

/// See `ShapeLog::register`. Of two who raise one shape at once the second waits for its row, and finds it raised; of two
/// who raise two, one waits for the other's unique rank, and is told that it exists.
pub(super) fn register(session: &mut Session, shape: &Shape, after: u32) -> Result<bool, StoreError> {
    remember(session, shape)?;
    let text = "UPDATE strangler_shape SET rank = :1 WHERE entity = :2 AND shape = :3 \
                AND (SELECT COALESCE(MAX(g.rank), 0) FROM strangler_shape g WHERE g.entity = :4 AND g.rank > 0) = :5 \
                AND rank < :6";
    let entity = || Bind::text(shape.entity.as_str());
    let rank = || Bind::number(u64::from(after) + 1);
    let row = vec![rank(), entity(), Bind::number(shape.id().get()), entity(), Bind::number(after), rank()];
    match session.batch(text, &[row])?.first() {
        Some(Ok(1)) => session.commit().map(|()| true),
        Some(Ok(_) | Err(error::EXISTS)) | None => {
            session.roll_back();
            Ok(false)
        }
        Some(Err(code)) => Err(session.of_code(*code)),
    }
}

/// See `ShapeLog::left_to_newer`.
pub(super) fn left_to_newer(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    known: &Known,
    group: &GroupName,
    limit: usize,
) -> Result<Vec<NotRead>, StoreError> {
    let picture = known.saw(&read(session, side)?);
    let ours = ForUs::of(&picture);
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l WHERE l.state = 'unsettled' AND l.grp = :1 AND {} \
         ORDER BY l.created_at, l.write_id, l.ordinal FETCH FIRST :{} ROWS ONLY",
        ours.not_for_us("l", 2),
        2 + ours.count()
    );
    let mut binds = vec![Bind::text(group.as_str())];
    binds.extend(ours.binds());
    binds.push(Bind::number(limit));
    let mut left = Vec::new();
    for row in &session.query(&text, &binds, 100)? {
        if let Some(change) = change(contract, side, row)? {
            left.push(change.left_by(contract));
        }
    }
    Ok(left)
}

/// The types that this replica brings over, and the shapes that it reads.
pub(super) struct ForUs {
    types: Vec<Bind>,
    shapes: Vec<Bind>,
}

impl ForUs {
    pub(super) fn of(picture: &Picture) -> Self {
        let types = picture.applied().map(|name| Bind::text(name.as_str()));
        let shapes = picture.readable().into_iter().map(Bind::number);
        Self { types: filled(types.collect(), Bind::text("-")), shapes: filled(shapes.collect(), Bind::number(0)) }
    }

    pub(super) fn count(&self) -> usize {
        self.types.len() + self.shapes.len()
    }

    /// Whether the ledger row `row` is of another type or shape. Binds from `first`: [`Self::binds`].
    pub(super) fn not_for_us(&self, row: &str, first: usize) -> String {
        let (types, shapes) = (self.types.len(), self.shapes.len());
        let (types, shapes) = (places(first, types), places(first + types, shapes));
        format!("({row}.entity NOT IN ({types}) OR {row}.shape NOT IN ({shapes}))")
    }

    pub(super) fn binds(self) -> impl Iterator<Item = Bind> {
        self.types.into_iter().chain(self.shapes)
    }
}

/// A list of one of the sizes that texts come in; `none` stands for nothing.
fn filled(mut list: Vec<Bind>, none: Bind) -> Vec<Bind> {
    list.truncate(MAX_LIST);
    let last = list.last().cloned().unwrap_or(none);
    list.resize(bucket(list.len().max(1)), last);
    list
}

impl OracleStore {
    /// Both applies, on a session for writes.
    pub(super) async fn apply_call(
        &self,
        changes: &[Change],
        over: bool,
        gate: Gate,
        within: Duration,
    ) -> Result<Vec<Applied>, StoreError> {
        let (changes, known) = (changes.to_vec(), Arc::clone(&self.known));
        let apply = move |session: &mut Session, contract: &Contract, side| {
            apply(session, contract, side, &known, &changes, over, gate)
        };
        self.writing(within, apply).await
    }
}

#[async_trait]
impl ShapeLog for OracleStore {
    async fn shapes(&self, within: Duration) -> Result<Vec<Remembered>, StoreError> {
        self.reading(within, |session, _, side| read(session, side)).await
    }

    async fn register(&self, shape: &Shape, after: u32, within: Duration) -> Result<bool, StoreError> {
        let shape = shape.clone();
        self.writing(within, move |session, _, _| register(session, &shape, after)).await
    }

    async fn remember_shape(&self, shape: &Shape, within: Duration) -> Result<(), StoreError> {
        let shape = shape.clone();
        self.writing(within, move |session, _, _| remember(session, &shape)).await
    }

    async fn left_to_newer(
        &self,
        group: &GroupName,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<NotRead>, StoreError> {
        let (group, known) = (group.clone(), Arc::clone(&self.known));
        self.reading(within, move |session, contract, side| {
            left_to_newer(session, contract, side, &known, &group, limit)
        })
        .await
    }
}
