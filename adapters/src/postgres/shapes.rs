//! The shapes that a PostgreSQL side remembers, and applies that heed them. See `model::shape`.
//!
//! That the registered shapes are known is proved in the message that begins an apply ([`proof`]): it costs no round
//! trip, and it is read after the change was committed on the primary. Whoever wrote in a wider shape had raised it on
//! this side before; so a replica that would bring a narrower state over his finds the raised one.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::shape::Remembered;
use model::{Applied, Change, Contract, EntityName, Epoch, GroupName, Incarnation, NotRead, Position, Shape, ShapeId};
use model::{Recorded, Side, StoreError, Version, WriteId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::apply::Call;
use super::ledger::{ROW, alter, ask, change, count};
use super::pipeline::End;
use super::read::misfit;
use super::session::Session;
use super::wire::Stored;
use crate::gate::Gate;
use crate::known::{Fate, Known, Picture, Winner};

/// How often an apply looks again at shapes that were raised meanwhile.
const TRIES: u32 = 3;

/// The word by which the proof fails: it is no number.
const NOT_KNOWN: &str = "strangler_shape";

/// Whether an error says that [`proof`] failed: nothing was done.
fn is_other_shape(error: &StoreError) -> bool {
    let StoreError::Refused { source: Some(source), .. } = error else { return false };
    let told = source.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::as_db_error);
    told.is_some_and(|db| db.code().code() == "22P02" && db.message().contains(NOT_KNOWN))
}

/// What begins a transaction that proves the shapes of these types.
pub(super) fn proof<'e>(picture: &Picture, entities: impl IntoIterator<Item = &'e EntityName>) -> String {
    let known = |entity: &EntityName| {
        let ids: Vec<_> = picture.readable_of(entity).iter().map(|id| id.get().to_string()).collect();
        format!("('{}', ARRAY[{}]::int8[])", entity.as_str().replace('\'', "''"), ids.join(", "))
    };
    let known: Vec<_> = entities.into_iter().map(known).collect();
    if known.is_empty() {
        return String::new();
    }
    format!(
        "SELECT (CASE WHEN EXISTS (SELECT FROM (VALUES {}) AS k(entity, known) CROSS JOIN LATERAL \
         (SELECT s.shape FROM strangler_shape AS s WHERE s.entity = k.entity AND s.rank > 0 \
         ORDER BY s.rank DESC LIMIT 1) AS r WHERE r.shape <> ALL (k.known)) THEN '{NOT_KNOWN}' ELSE '1' END)::int4",
        known.join(", ")
    )
}

/// What an apply works with.
pub(super) struct Apply<'a> {
    pub(super) session: &'a Session,
    pub(super) contract: &'a Contract,
    pub(super) side: Side,
    pub(super) over: bool,
    pub(super) gate: Gate,
    pub(super) known: &'a Known,
}

impl Apply<'_> {
    /// See `Store::apply` and `Store::apply_over`: only whole states of shapes that are known.
    pub(super) async fn run(&self, changes: &[Change]) -> Result<Vec<Applied>, StoreError> {
        let mut picture = self.known.picture();
        if changes.iter().any(|change| picture.is_behind(change.key.entity())) {
            // Somebody may have gone back since.
            picture = self.look().await?;
        }
        let mut tries = 0;
        loop {
            match self.attempt(&picture, changes).await {
                Err(error) if is_other_shape(&error) && tries < TRIES => {
                    tries += 1;
                    picture = self.look().await?;
                }
                answered => return answered,
            }
        }
    }

    async fn look(&self) -> Result<Arc<Picture>, StoreError> {
        Ok(self.known.saw(&read(self.session, self.side).await?))
    }

    async fn attempt(&self, picture: &Picture, changes: &[Change]) -> Result<Vec<Applied>, StoreError> {
        let Self { session, contract, side, over, gate, .. } = *self;
        let fates = picture.fates(contract, changes);
        let of = |fate| changes.iter().zip(&fates).filter(move |(_, own)| **own == fate);
        let through: Vec<Change> = of(Fate::Apply).map(|(change, _)| change.clone()).collect();
        let types: BTreeSet<_> = through.iter().map(|change| change.key.entity()).collect();
        let proof = proof(picture, types);
        let call = Call { session, contract, side, over, gate, proof: &proof, known: self.known };
        let applied = if through.is_empty() { Vec::new() } else { call.apply(&through).await? };
        let parts: Vec<Change> = of(Fate::NotWhole).map(|(change, _)| change.clone()).collect();
        let late = applied.iter().any(|applied| matches!(applied, Applied::Stale(_)));
        let (mut applied, mut parts) = if late || !parts.is_empty() {
            // What won may have been written in a shape that was shown since. It is rare that something wins.
            let newest = self.look().await?;
            let won = winners(session, side, &through).await?;
            let applied = newest.judge_stale(&through, applied, |place| won.get(place).copied().flatten());
            let parts = newest.beneath(&parts, &winners(session, side, &parts).await?);
            (applied.into_iter(), parts.into_iter())
        } else {
            (applied.into_iter(), Vec::new().into_iter())
        };
        let missing = || misfit(side, "an apply answered for fewer changes than it was given".into());
        let slot = |fate: &Fate| match fate {
            Fate::Apply => applied.next().ok_or_else(missing),
            Fate::NotWhole => parts.next().ok_or_else(missing),
            Fate::NotKnown => Ok(Applied::NotKnown),
        };
        fates.iter().map(slot).collect()
    }
}

/// What stands here in the place of each change.
async fn winners(session: &Session, side: Side, changes: &[Change]) -> Result<Vec<Option<Winner>>, StoreError> {
    let text = "SELECT v.epoch, v.incarnation, v.position, v.shape, v.write_id FROM unnest($1::text[], $2::text[]) \
                WITH ORDINALITY AS i(entity, key, place) LEFT JOIN strangler_version AS v USING (entity, key) \
                ORDER BY i.place";
    let names = changes.iter().map(|change| Stored::Text(change.key.entity().to_string()));
    let keys = changes.iter().map(|change| Stored::Text(change.key.as_text().to_owned()));
    let rows = ask(session, text, &[Stored::List(names.collect()), Stored::List(keys.collect())]).await?;
    if rows.len() != changes.len() {
        return Err(misfit(side, "strangler_version answered for other keys than it was asked".into()));
    }
    rows.iter().map(|row| winner(side, row)).collect()
}

fn winner(side: Side, row: &Row) -> Result<Option<Winner>, StoreError> {
    let unreadable = || misfit(side, "strangler_version has a row that is no version".into());
    let number = |place: usize| row.try_get::<_, Option<i64>>(place).map_err(|_| unreadable());
    let Some(epoch) = number(0)? else { return Ok(None) };
    let part = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok()).ok_or_else(unreadable);
    let version = Version {
        epoch: Epoch(part(Some(epoch))?),
        incarnation: Incarnation(part(number(1)?)?),
        position: Position(number(2)?.ok_or_else(unreadable)?.cast_unsigned()),
    };
    let write: Option<Uuid> = row.try_get(4).map_err(|_| unreadable())?;
    let write = WriteId(write.ok_or_else(unreadable)?);
    Ok(Some(Winner { recorded: Recorded { write, version }, shape: number(3)? }))
}

/// See `ShapeLog::shapes`.
pub(super) async fn read(session: &Session, side: Side) -> Result<Vec<Remembered>, StoreError> {
    let rows = ask(session, "SELECT entity, shape, rank, document FROM strangler_shape", &[]).await?;
    let one = |row: &Row| {
        let unreadable = |_| misfit(side, "strangler_shape has a row that cannot be read".into());
        let rank: i64 = row.try_get(2).map_err(unreadable)?;
        Ok(Remembered {
            entity: row.try_get::<_, &str>(0).map_err(unreadable)?.into(),
            id: ShapeId::kept(row.try_get(1).map_err(unreadable)?),
            rank: u32::try_from(rank.max(0)).unwrap_or(u32::MAX),
            shape: Shape::from_text(row.try_get(3).map_err(unreadable)?),
        })
    };
    rows.iter().map(one).collect()
}

fn named(shape: &Shape) -> Vec<Stored> {
    let (entity, id) = (Stored::Text(shape.entity.to_string()), Stored::Big(shape.id().get()));
    vec![entity, id, Stored::Text(shape.to_text())]
}

/// See `ShapeLog::register`. Of two who raise at once one violates the unique rank, or finds another greatest one.
pub(super) async fn register(session: &Session, shape: &Shape, after: u32) -> Result<bool, StoreError> {
    let text = "INSERT INTO strangler_shape AS s (entity, shape, document, rank) \
                SELECT $1::text, $2::int8, $3::text, $4::int8 + 1 \
                WHERE (SELECT coalesce(max(rank) FILTER (WHERE rank > 0), 0) FROM strangler_shape WHERE entity = $1::text) \
                = $4::int8 \
                ON CONFLICT (entity, shape) DO UPDATE SET rank = EXCLUDED.rank WHERE s.rank < EXCLUDED.rank RETURNING s.rank";
    let mut values = named(shape);
    values.push(Stored::Big(after.into()));
    match alter(session, text, &values, End::Commit).await {
        Ok(rows) => Ok(!rows.is_empty()),
        // Somebody else has that rank now.
        Err(StoreError::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// See `ShapeLog::remember_shape`.
pub(super) async fn remember(session: &Session, shape: &Shape) -> Result<(), StoreError> {
    let text = "INSERT INTO strangler_shape (entity, shape, document, rank) \
                VALUES ($1::text, $2::int8, $3::text, -$2::int8) ON CONFLICT DO NOTHING";
    alter(session, text, &named(shape), End::Commit).await.map(drop)
}

/// See `ShapeLog::left_to_newer`.
pub(super) async fn left_to_newer(
    session: &Session,
    contract: &Contract,
    side: Side,
    known: &Known,
    group: &GroupName,
    limit: usize,
) -> Result<Vec<NotRead>, StoreError> {
    let picture = known.saw(&read(session, side).await?);
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l WHERE l.state = 'unsettled' AND l.grp = $1::text AND l.entity <> '' \
         AND {} ORDER BY l.created_at, l.write_id, l.ordinal LIMIT $4::int8",
        not_for_us("l", 2)
    );
    let mut values = vec![Stored::Text(group.to_string())];
    values.extend(for_us(&picture));
    values.push(count(limit));
    let mut left = Vec::new();
    for row in &ask(session, &text, &values).await? {
        let Some(change) = change(contract, side, row)? else { continue };
        left.push(change.left_by(contract));
    }
    Ok(left)
}

/// Whether the ledger row `row` is of a type, or of a shape, that this replica does not bring over. Parameters from
/// `first`: [`for_us`].
pub(super) fn not_for_us(row: &str, first: usize) -> String {
    format!("({row}.entity <> ALL (${first}::text[]) OR {row}.shape <> ALL (${}::int8[]))", first + 1)
}

/// The types that this replica brings over, and the shapes that it reads.
pub(super) fn for_us(picture: &Picture) -> [Stored; 2] {
    let types = picture.applied().map(|name| Stored::Text(name.to_string()));
    let shapes = picture.readable().into_iter().map(Stored::Big);
    [Stored::List(types.collect()), Stored::List(shapes.collect())]
}
