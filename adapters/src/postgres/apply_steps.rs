//! A state that is legal at the end and not on the way: two rows change a unique value between them, a key is given on, the
//! second default of a customer is set before the first is taken away.
//!
//! Tried after a transaction was refused for a rule between rows, in a transaction of its own: what can wait for the
//! end waits (deferrable constraints), and each change goes alone, behind a savepoint. Those that a rule forbids come again
//! after the others. When nothing goes any more, unique values of one row are *parked*: null where the column allows it,
//! else a value that nobody has; so that the others can go. Only columns that the change itself sets are parked, so the
//! change writes over it (or of a row that it deletes), and `verify` reads what stands at the end like anywhere.
//!
//! Costs a round trip for each change and more, and happens where the contract's writes do such things. Triggers see what
//! is parked. No row is deleted to be made again: what the contract leaves out of it, and what refers to it, would be lost.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Change, Contract, EntityKey, EntityName, FieldIndex, Side, StoreError};
use tokio_postgres::Error;

use super::apply::{Call, Stands, Tried, Work};
use super::apply_batch::{Batch, Parts, Purpose, batches, batches_of};
use super::apply_text::{self, END};
use super::pipeline::{self, Step};
use super::table::Table;
use super::wire::{Stored, get};
use super::{carry, ledger};
use crate::order::Order;

/// What can be checked at the end is.
const DEFERRED: &str = "SET CONSTRAINTS ALL DEFERRED";

/// The columns of unique indexes on a table, with what their predicates and expressions need; those that may be null
/// first, then flags, texts and numbers.
const UNIQUE: &str = "SELECT a.attname::text, NOT a.attnotnull, t.typname::text, \
     CASE WHEN a.atttypmod > 4 THEN a.atttypmod - 4 ELSE 32 END \
     FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid \
     WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
     AND EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = a.attrelid AND (i.indisunique OR i.indisexclusion) \
     AND NOT i.indisprimary AND (a.attnum = ANY (i.indkey) OR EXISTS (SELECT FROM pg_depend AS d \
     WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = a.attrelid \
     AND d.refobjsubid = a.attnum))) \
     ORDER BY a.attnotnull, array_position(ARRAY['bool', 'varchar', 'text', 'bpchar'], t.typname::text), a.attnum";

/// Children and parents among tables.
const REFERENCES: &str = "SELECT DISTINCT one.place, other.place FROM pg_constraint AS c \
     JOIN unnest($1::text[]) WITH ORDINALITY AS one(name, place) ON c.conrelid = to_regclass(one.name) \
     JOIN unnest($1::text[]) WITH ORDINALITY AS other(name, place) ON c.confrelid = to_regclass(other.name) \
     WHERE c.contype = 'f'";

/// Changes of several writes that go in steps together. Of more the caller tries each write alone: a single one that no
/// order makes legal must not cost all the others their time.
const MOST_TOGETHER: usize = 32;

/// Values that are parked before it counts as hopeless: each costs a pass over all that has not gone.
const MOST_PARKED: usize = 32;

/// Whether so much is worth a transaction in steps.
pub(super) fn goes_in_steps(open: &[&Change]) -> bool {
    open.len() <= MOST_TOGETHER || open.iter().all(|change| change.write == open[0].write)
}

/// Whether a rule between rows of the contract's tables is what an error is about.
pub(super) fn is_in_the_way(error: &Error) -> bool {
    error.as_db_error().is_some_and(|db| {
        matches!(db.code().code(), "23503" | "23505" | "23P01") && db.table().is_none_or(|table| !is_ours(table))
    })
}

fn is_ours(table: &str) -> bool {
    table.starts_with("strangler_")
}

/// Which types refer to which: pairs of child and parent.
pub(super) async fn references(
    session: &super::session::Session,
    contract: &Contract,
    side: Side,
) -> Result<Vec<(EntityName, EntityName)>, StoreError> {
    let types: Vec<_> = contract.entities.values().collect();
    let names = types.iter().map(|entity| Stored::Text(Table::new(entity, side).name().to_owned())).collect();
    let rows = ledger::ask(session, REFERENCES, &[Stored::List(names)]).await?;
    let named = |row: &tokio_postgres::Row, column: usize| -> Result<Option<EntityName>, StoreError> {
        let place: i64 = get(side, row, column)?;
        let place = usize::try_from(place - 1).ok();
        Ok(place.and_then(|place| types.get(place)).map(|entity| entity.name.clone()))
    };
    let pair = |row: &tokio_postgres::Row| Ok(named(row, 0)?.zip(named(row, 1)?));
    rows.iter().filter_map(|row| pair(row).transpose()).collect()
}

/// A change that has not gone yet.
struct Open<'c> {
    change: &'c Change,
    /// How many of its columns were tried to be parked.
    tried: usize,
}

/// What became of one statement behind a savepoint.
enum Went {
    Yes(Vec<tokio_postgres::Row>),
    /// A rule between rows forbids it now.
    Later(Error),
}

impl Call<'_> {
    /// In which order the tables of these changes are changed. Asked of the catalogue once, and where there are several.
    pub(super) async fn order(&self, open: &[&Change]) -> Result<Arc<Order>, StoreError> {
        let of_first = |change: &&Change| change.key.entity() == open[0].key.entity();
        match self.known.order() {
            Some(order) => Ok(order),
            None if open.iter().all(of_first) => Ok(Arc::default()),
            None => {
                let references = references(self.session, self.contract, self.side).await?;
                Ok(self.known.ordered(Order::of(self.contract.entities.keys(), &references)))
            }
        }
    }

    /// One transaction, in steps. Never [`Tried::InTheWay`].
    pub(super) async fn in_steps(&self, work: &Work<'_>) -> Result<Tried, StoreError> {
        self.known.forget_order();
        let order = self.order(work.parts().open).await?;
        let batches = batches(self, work, &order, Purpose::Apply)?;
        let mut stands = Stands::default();
        let deferred = Step { text: DEFERRED.to_owned(), values: Vec::new() };
        let mut steps = vec![&deferred];
        steps.extend(batches.iter().map(|batch| &batch.record));
        let setup = self.setup(work.parts().open)?;
        let opened = pipeline::open(self.session, &setup, &self.prepared(&steps).await?).await?;
        let done = self.inside(work, &order, &batches, opened, &mut stands).await;
        match done {
            Ok(None) => self.close(work, &batches, stands).await,
            Ok(Some(tried)) => {
                self.session.roll_back().await;
                Ok(tried)
            }
            Err(error @ StoreError::NoAnswer { .. }) => Err(error),
            Err(error) => {
                self.session.roll_back().await;
                Err(error)
            }
        }
    }

    /// Everything between the beginning and the end; `None`: it may be closed.
    async fn inside<'s, 'c>(
        &'s self,
        work: &'s Work<'c>,
        order: &Order,
        batches: &[Batch<'s, 'c>],
        opened: pipeline::Answers,
        stands: &mut Stands,
    ) -> Result<Option<Tried>, StoreError> {
        for (place, answer) in opened.into_iter().enumerate() {
            let batch = place.checked_sub(1).and_then(|place| batches.get(place));
            match (answer, batch) {
                (Err(error), batch) => return self.failed_inside(error, batch).map(Some),
                (Ok(answer), Some(batch)) => stands.newer.extend(batch.recorded(self.side, &answer.rows)?),
                (Ok(_), None) => {}
            }
        }
        let mut open: Vec<_> = work.parts().open.iter().map(|change| Open { change, tried: 0 }).collect();
        open.sort_by_key(|one| (order.turn(one.change), one.change.key.clone()));
        let (mut taken, mut parked) = (work.parts().taken.clone(), 0);
        loop {
            let (before, mut last) = (open.len(), None);
            let mut left = Vec::new();
            for one in open {
                let parts = Parts { open: &[one.change], taken: &taken, ..work.parts() };
                let alone = batches_of(self, parts, order, Purpose::Apply)?;
                let Some(batch) = alone.first() else { continue };
                match self.behind_a_savepoint(&batch.act).await {
                    Ok(Went::Yes(rows)) => stands.unproven.extend(batch.unproven(self.side, &rows)?),
                    Ok(Went::Later(error)) => {
                        last = Some(error);
                        left.push(one);
                    }
                    Err(error) => return self.failed_inside(error, Some(batch)).map(Some),
                }
            }
            open = left;
            let Some(error) = last else { return Ok(None) };
            if open.len() < before {
                continue;
            }
            parked += 1;
            if parked > MOST_PARKED || !self.park(&mut open, work, &mut taken).await? {
                return Err(self.session.error(error));
            }
        }
    }

    /// As [`Call::failed`]; here a rule between rows is an error like any.
    fn failed_inside(&self, error: Error, batch: Option<&Batch<'_, '_>>) -> Result<Tried, StoreError> {
        if is_in_the_way(&error) {
            return Err(self.session.error(error));
        }
        self.failed(error, batch)
    }

    /// The second half: what waits for the end, the look at what stands, the ledger, and the commit.
    async fn close(&self, work: &Work<'_>, batches: &[Batch<'_, '_>], mut stands: Stands) -> Result<Tried, StoreError> {
        let open = work.parts().open;
        let end = Step { text: END.to_owned(), values: Vec::new() };
        let carry = carry::step(self.contract, self.side, open, self.gate.carries_late(), self.gate)?;
        let mut steps = vec![&end];
        steps.extend(batches.iter().map(|batch| &batch.verify));
        steps.push(&carry);
        let last = steps.len() - 1;
        let prepared = self.prepared(&steps).await?;
        for (place, answer) in pipeline::close(self.session, &prepared).await?.into_iter().enumerate() {
            match answer {
                Err(error) => return self.failed_inside(error, None),
                Ok(answer) if place == last => stands.rows = carry::stands(self.side, &answer.rows, open.len())?,
                Ok(_) => {}
            }
        }
        Ok(Tried::Stands(stands))
    }

    /// Runs one statement, and undoes it alone where a rule between rows forbids it.
    async fn behind_a_savepoint(&self, step: &Step) -> Result<Went, Error> {
        let client = self.session.client();
        client.batch_execute("SAVEPOINT strangler_step").await?;
        let statement = client.prepare_cached(&step.text).await?;
        match super::read::query(self.session, &statement, &step.values).await {
            Ok(rows) => {
                client.batch_execute("RELEASE SAVEPOINT strangler_step").await?;
                Ok(Went::Yes(rows))
            }
            Err(error) if is_in_the_way(&error) => {
                client.batch_execute("ROLLBACK TO SAVEPOINT strangler_step; RELEASE SAVEPOINT strangler_step").await?;
                Ok(Went::Later(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Parks a unique value of one of the rows that cannot go. Whether one was.
    async fn park(
        &self,
        open: &mut [Open<'_>],
        work: &Work<'_>,
        taken: &mut HashMap<EntityKey, i64>,
    ) -> Result<bool, StoreError> {
        for one in open.iter_mut() {
            let entity = ledger::entity(self.contract, self.side, one.change.key.entity().as_str())?;
            let table = Table::new(entity, self.side).with(work.parts().numbers);
            let parked = self.parked_as(table, one.change).await?;
            while let Some((index, value)) = parked.get(one.tried) {
                one.tried += 1;
                let text = format!(
                    "UPDATE {} AS t SET {} = {value} WHERE {} RETURNING {}",
                    table.name(),
                    table.column(*index),
                    table.key_equals(1),
                    apply_text::number(table)
                );
                let step = Step { text, values: table.require_fit(&one.change.key)? };
                if let Went::Yes(rows) = self.parks(&step).await?
                    && let Some(row) = rows.first()
                {
                    // The row is now another than the one that was left, and it was us.
                    taken.insert(one.change.key.clone(), get(self.side, row, 0)?);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// As [`Self::behind_a_savepoint`]: a value that the column does not take is no reason to give up.
    async fn parks(&self, step: &Step) -> Result<Went, StoreError> {
        let client = self.session.client();
        match self.behind_a_savepoint(step).await {
            Ok(went) => Ok(went),
            Err(error) if error.code().is_some_and(|state| ["22", "23"].contains(&&state.code()[..2])) => {
                let undo = "ROLLBACK TO SAVEPOINT strangler_step; RELEASE SAVEPOINT strangler_step";
                client.batch_execute(undo).await.map_err(|error| self.session.error(error))?;
                Ok(Went::Later(error))
            }
            Err(error) => Err(self.session.error(error)),
        }
    }

    /// Columns of the change's row that can be parked, and how: of those that it sets itself, and that are no key; of a
    /// row that it deletes, any.
    async fn parked_as(&self, table: Table<'_>, change: &Change) -> Result<Vec<(FieldIndex, String)>, StoreError> {
        let fields = change.state.as_ref().map_or(table.entity.all_fields(), |state| state.fields());
        let sets = super::write_text::plain_fields(table, fields);
        let rows = ledger::ask(self.session, UNIQUE, &[Stored::Text(table.name().to_owned())]).await?;
        let mut parked = Vec::new();
        for row in &rows {
            let (name, may_be_null): (String, bool) = (get(self.side, row, 0)?, get(self.side, row, 1)?);
            let (ty, length): (String, i32) = (get(self.side, row, 2)?, get(self.side, row, 3)?);
            let column = |index: &FieldIndex| super::inspect::folded(table.column(*index)) == name;
            let Some(index) = sets.iter().copied().find(column) else { continue };
            let value = match (may_be_null, ty.as_str()) {
                (true, _) => "NULL".to_owned(),
                (false, "bool") => format!("NOT t.{}", table.column(index)),
                (false, "varchar" | "text" | "bpchar") => format!("left(md5(random()::text), {length})"),
                (false, "int2") => "-1 - (random() * 32000)::int2".to_owned(),
                (false, "int4" | "int8" | "numeric") => "-1 - (random() * 2000000000)::int4".to_owned(),
                (false, _) => continue,
            };
            parked.push((index, value));
        }
        Ok(parked)
    }
}
