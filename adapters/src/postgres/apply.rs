//! As secondary: states that are newer than what is recorded for their key, where nobody else has changed the row.
//!
//! One transaction, whose statements are sent together: one round trip (`apply_text` has them). Version rows are
//! locked in key order within a statement; two mixed batches may still block each other, and one of them gets
//! `Conflict`.
//!
//! Where a row is not as we left it the transaction fails as a whole. Then we look who is concerned, leave out the
//! writes of these (or take exactly what was found, to overwrite it), and try again. What is found in between is
//! checked again, under the row's lock, by the next try.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::foreign::{Found, NOTHING, is_foreign};
use model::{Applied, Change, Contract, EntityKey, EntityName, FieldSet, Side, StoreError, Unnumbered, WriteId};
use tokio_postgres::Row;

use super::apply_text;
use super::pipeline::{Answers, Step, pipeline};
use super::session::Session;
use super::table::{Table, transpose};
use super::wire::Stored;
use super::{ledger, own_keys, read};
use crate::id_map::Numbers;
use crate::number::{number, shape};

/// How often rows are looked at that somebody goes on changing.
const TRIES: u32 = 5;

/// What a call works with.
pub(super) struct Call<'a> {
    pub(super) session: &'a Session,
    pub(super) contract: &'a Contract,
    pub(super) side: Side,
    /// Whether what somebody else has made of a row is overwritten.
    pub(super) over: bool,
}

/// What one transaction came to.
enum Tried {
    /// It stands; the keys whose version it recorded.
    Stands(HashSet<EntityKey>),
    /// A row is not as we left it (or a trigger has divided by zero: then the error tells).
    Met(StoreError),
}

/// A row that has not the number which is on record.
struct Seen {
    /// What somebody else has made of it; `None`: it is ours, and numbered otherwise since we left it as primary.
    found: Option<Found>,
    number: i64,
}

impl Call<'_> {
    /// See `Store::apply` and `Store::apply_over`.
    pub(super) async fn apply(&self, changes: &[Change]) -> Result<Vec<Applied>, StoreError> {
        let keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
        read::require_batch(self.side, None, &keys)?;
        if keys.iter().collect::<HashSet<_>>().len() < keys.len() {
            return Err(read::misfit(self.side, "two changes of one key in one call".into()));
        }
        let numbers = self.numbers(changes).await?;
        let mut open: Vec<&Change> = changes.iter().collect();
        // What is taken beside the recorded number, and what was met on the way.
        let mut taken: HashMap<EntityKey, i64> = HashMap::new();
        let mut met: HashMap<EntityKey, Found> = HashMap::new();
        let mut tries = 0;
        let newer = loop {
            if open.is_empty() {
                break HashSet::new();
            }
            let error = match self.attempt(&open, &numbers, &taken).await? {
                Tried::Stands(newer) => break newer,
                Tried::Met(error) => error,
            };
            tries += 1;
            if tries > TRIES {
                return Err(error);
            }
            let mut blocked: HashSet<WriteId> = HashSet::new();
            for (change, Seen { found, number }) in self.look(&open, &numbers).await? {
                let entity = ledger::entity(self.contract, self.side, change.key.entity().as_str())?;
                // What the change would leave anyway is nothing to argue about.
                let found = found.filter(|found| !found.is(entity, change.state.as_ref()));
                if found.is_none() || self.over {
                    taken.insert(change.key.clone(), number);
                } else {
                    blocked.insert(change.write);
                }
                match found {
                    Some(found) => met.insert(change.key.clone(), found),
                    None => met.remove(&change.key),
                };
            }
            open.retain(|change| !blocked.contains(&change.write));
        };
        let open: HashSet<&EntityKey> = open.iter().map(|change| &change.key).collect();
        let slot = |change: &Change| match (open.contains(&change.key), met.remove(&change.key)) {
            (false, Some(found)) => Applied::Foreign(found),
            (false, None) => Applied::Held,
            (true, Some(found)) if self.over && newer.contains(&change.key) => Applied::Over(found),
            (true, _) if newer.contains(&change.key) => Applied::Newer,
            (true, _) => Applied::Stale,
        };
        Ok(changes.iter().map(slot).collect())
    }

    /// The numbers of the keys, where this side has keys of its own; what is kept is given one.
    async fn numbers<'c>(&self, changes: &'c [Change]) -> Result<Numbers, StoreError> {
        let (session, contract, side) = (self.session, self.contract, self.side);
        let (kept, gone): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.state.is_some());
        let keys = |changes: Vec<&'c Change>| changes.into_iter().map(|change| &change.key);
        let mut numbers = own_keys::of_keys(session, contract, side, keys(kept), Unnumbered::Number).await?;
        numbers.extend(own_keys::of_keys(session, contract, side, keys(gone), Unnumbered::Leave).await?);
        Ok(numbers)
    }

    /// One transaction.
    async fn attempt(
        &self,
        open: &[&Change],
        numbers: &Numbers,
        taken: &HashMap<EntityKey, i64>,
    ) -> Result<Tried, StoreError> {
        let batches = self.batches(open, numbers, taken, Purpose::Apply)?;
        let answers = self.send(&batches, "COMMIT").await?;
        let mut newer = HashSet::new();
        // After BEGIN, two answers for each batch: the keys it recorded, and that it stands.
        for (place, answer) in answers.into_iter().enumerate() {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) if error.code().is_some_and(|code| code.code() == apply_text::MET) => {
                    return Ok(Tried::Met(self.session.error(error)));
                }
                Err(error) => return Err(self.session.error(error)),
            };
            let Some(batch) = batches.get(place / 2).filter(|_| place % 2 == 1) else { continue };
            let recorded: HashSet<&str> = answer.rows.iter().map(|row| row.get(0)).collect();
            let keys = batch.changes.iter().map(|change| &change.key).filter(|key| recorded.contains(key.as_text()));
            newer.extend(keys.cloned());
        }
        Ok(Tried::Stands(newer))
    }

    /// The rows that have not the number which is on record, of the changes that are newer. Leaves nothing behind.
    async fn look<'c>(&self, open: &[&'c Change], numbers: &Numbers) -> Result<Vec<(&'c Change, Seen)>, StoreError> {
        let batches = self.batches(open, numbers, &HashMap::new(), Purpose::Look)?;
        let answers = self.send(&batches, "ROLLBACK").await?;
        let mut seen = Vec::new();
        for (place, answer) in answers.into_iter().enumerate() {
            let answer = answer.map_err(|error| self.session.error(error))?;
            let Some(batch) = batches.get(place.wrapping_sub(1) / 2).filter(|_| place > 0 && place % 2 == 0) else {
                continue;
            };
            for row in &answer.rows {
                let key: &str = row.get(batch.table.entity.fields.len() + 2);
                let change = batch.changes.iter().find(|change| change.key.as_text() == key);
                if let (Some(change), Some(other)) = (change, other_than_left(batch.table, row)) {
                    seen.push((*change, other));
                }
            }
        }
        Ok(seen)
    }

    /// Sends a transaction of all batches.
    async fn send(&self, batches: &[Batch<'_, '_>], last: &str) -> Result<Answers, StoreError> {
        let steps = || batches.iter().flat_map(|batch| &batch.steps);
        let texts: Vec<_> = steps().map(|step| step.text.as_str()).collect();
        let statements = self.session.prepare(&texts).await?;
        let steps: Vec<_> = statements.into_iter().zip(steps().map(|step| step.values.clone())).collect();
        self.session.begins();
        let answers = pipeline(self.session, Some("BEGIN"), &steps, Some(last)).await;
        if let Some(Ok(_)) = answers.last() {
            self.session.ended();
        }
        Ok(answers)
    }

    /// Sorts the changes: by entity, then by which fields are known; deletions last.
    fn batches<'s, 'c>(
        &'s self,
        changes: &[&'c Change],
        numbers: &'s Numbers,
        taken: &HashMap<EntityKey, i64>,
        purpose: Purpose,
    ) -> Result<Vec<Batch<'s, 'c>>, StoreError> {
        let mut sorted: BTreeMap<(&EntityName, bool, Vec<usize>), Vec<&'c Change>> = BTreeMap::new();
        for change in changes {
            let fields = change.state.as_ref().map(|record| record.fields());
            let shape = fields.unwrap_or_default().iter().map(|index| index.get()).collect();
            let slot = (change.key.entity(), change.state.is_none(), shape);
            sorted.entry(slot).or_default().push(change);
        }
        let mut batches = Vec::new();
        for ((name, deleted, _), changes) in sorted {
            let table = Table::new(ledger::entity(self.contract, self.side, name.as_str())?, self.side).with(numbers);
            let fields = changes[0].state.as_ref().map_or(FieldSet::default(), |r| r.fields());
            let (text, order) = match (purpose, deleted) {
                (Purpose::Look, _) => (apply_text::look(table), table.entity.key().to_vec()),
                (Purpose::Apply, true) => (apply_text::delete(table), table.entity.key().to_vec()),
                (Purpose::Apply, false) => (apply_text::put(table, fields), apply_text::put_fields(table, fields)),
            };
            let values = values(table, &order, &changes, taken)?;
            let record = Step { text: apply_text::record(), values: common(table, &changes) };
            batches.push(Batch { table, changes, steps: [record, Step { text, values }] });
        }
        Ok(batches)
    }
}

#[derive(Clone, Copy)]
enum Purpose {
    Apply,
    Look,
}

/// Changes of one entity and shape, and the two statements for them.
struct Batch<'s, 'c> {
    table: Table<'s>,
    changes: Vec<&'c Change>,
    steps: [Step; 2],
}

/// The parameters of the second statement: entity, keys, numbers taken, and the columns of `order`, key first.
fn values(
    table: Table<'_>,
    order: &[model::FieldIndex],
    changes: &[&Change],
    taken: &HashMap<EntityKey, i64>,
) -> Result<Vec<Stored>, StoreError> {
    let width = table.entity.key().len();
    let mut rows = Vec::with_capacity(changes.len());
    for change in changes {
        let mut row = table.require_fit(&change.key)?;
        for index in &order[width..] {
            let value = change.state.as_ref().and_then(|record| record.get(*index));
            row.push(table.stored(*index, value.unwrap_or(&model::Value::Null))?);
        }
        rows.push(row);
    }
    let mut values = vec![
        Stored::Text(table.entity.name.to_string()),
        Stored::List(changes.iter().map(|change| Stored::Text(change.key.as_text().to_owned())).collect()),
        Stored::List(
            changes.iter().map(|change| taken.get(&change.key).map_or(Stored::Null, |n| Stored::Big(*n))).collect(),
        ),
    ];
    values.extend(transpose(rows, order.len()));
    Ok(values)
}

/// The parameters of `apply_text::record`.
fn common(table: Table<'_>, changes: &[&Change]) -> Vec<Stored> {
    let big = |number: u64| Stored::Big(i64::try_from(number).unwrap_or(i64::MAX));
    let text = |text: Option<String>| text.map_or(Stored::Null, Stored::Text);
    let column = |make: &dyn Fn(&Change) -> Stored| Stored::List(changes.iter().map(|change| make(change)).collect());
    let values = vec![
        column(&|change| Stored::Uuid(change.write.0)),
        column(&|change| Stored::Small(change.ordinal.cast_signed())),
        column(&|change| Stored::Text(change.key.as_text().to_owned())),
        column(&|change| big(change.version.epoch.0.into())),
        column(&|change| big(change.version.incarnation.0.into())),
        column(&|change| big(change.version.position.0)),
        column(&|change| text(change.idempotency.as_ref().map(|(key, _)| key.as_str().to_owned()))),
        column(&|change| text(change.idempotency.as_ref().map(|(_, print)| print.0.clone()))),
        column(&|change| {
            let image = change.state.as_ref();
            text(image.map(|record| record.to_json(table.entity).to_string()))
        }),
        column(&|change| Stored::Big(number(table.entity, change.state.as_ref()))),
        Stored::Text(table.entity.group.to_string()),
        Stored::Text(table.entity.name.to_string()),
        Stored::Big(shape(table.entity, table.side)),
    ];
    debug_assert_eq!(values.len(), apply_text::COMMON);
    values
}

/// One row of the answer to `apply_text::look` or `apply_text::as_left`, unless it has the number that was left.
fn other_than_left(table: Table<'_>, row: &Row) -> Option<Seen> {
    let width = table.entity.fields.len();
    let (left, now) = (row.get(width), row.get(width + 1));
    if !is_foreign(left, now) {
        return None;
    }
    let found = match table.record(table.entity.all_fields(), row) {
        _ if now == NOTHING => Some(Found::Nothing),
        // A primary leaves the number of the record.
        Ok(record) => is_foreign(left, number(table.entity, Some(&record))).then_some(Found::Record(record)),
        Err(_) => Some(Found::Unreadable),
    };
    Some(Seen { found, number: now })
}

/// See `Store::as_left`.
pub(super) async fn as_left(session: &Session, table: Table<'_>, key: &EntityKey) -> Result<Option<bool>, StoreError> {
    let numbers = own_keys::of_type(session, table, std::slice::from_ref(key), Unnumbered::Leave).await?;
    let table = table.with(&numbers);
    let Some(parts) = table.key_values(key) else { return Ok(None) };
    let mut values = vec![Stored::Text(table.entity.name.to_string()), Stored::Text(key.as_text().to_owned())];
    values.extend(parts);
    let rows = ledger::ask(session, &apply_text::as_left(table), &values).await?;
    Ok(rows.first().map(|row| other_than_left(table, row).is_none_or(|seen| seen.found.is_none())))
}
