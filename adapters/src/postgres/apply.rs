//! As secondary: states that are newer than what is recorded for their key.
//!
//! A batch of upserts of one entity is one statement and one round trip. Anything else is a transaction whose
//! statements are sent together: still one round trip. Version rows are locked in key order within a
//! statement; two mixed batches may still block each other, and one of them gets `Conflict`.

use std::collections::{BTreeMap, HashSet};

use model::{Applied, Change, Contract, EntityName, FieldSet, Side, StoreError, Unnumbered};

use super::own_keys::Numbers;
use super::pipeline::{Step, pipeline};
use super::session::Session;
use super::table::{Table, transpose};
use super::wire::Stored;
use super::{ledger, own_keys, read, write_text};

/// See `Store::apply`.
pub(super) async fn apply<'c>(
    session: &Session,
    contract: &Contract,
    side: Side,
    changes: &'c [Change],
) -> Result<Vec<Applied>, StoreError> {
    let keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
    read::require_batch(side, None, &keys)?;
    if keys.iter().collect::<HashSet<_>>().len() < keys.len() {
        return Err(read::misfit(side, "two changes of one key in one call".into()));
    }
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let (kept, gone): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.state.is_some());
    let keys = |changes: Vec<&'c Change>| changes.into_iter().map(|change| &change.key);
    let mut numbers = own_keys::of_keys(session, contract, side, keys(kept), Unnumbered::Number).await?;
    numbers.extend(own_keys::of_keys(session, contract, side, keys(gone), Unnumbered::Leave).await?);
    let batches = batches(contract, side, changes, &numbers)?;
    let alone = batches.len() == 1;
    let texts: Vec<_> = batches.iter().map(|batch| batch.step.text.as_str()).collect();
    let statements = session.prepare(&texts).await?;
    let steps: Vec<_> = statements.into_iter().zip(batches.iter().map(|batch| batch.step.values.clone())).collect();
    if !alone {
        session.begins();
    }
    let (first, last) = if alone { (None, None) } else { (Some("BEGIN"), Some("COMMIT")) };
    let answers = pipeline(session, first, &steps, last).await;
    if let Some(Ok(_)) = answers.last() {
        session.ended();
    }
    let mut newer = HashSet::new();
    let batch_of = |place: usize| batches.get(place.wrapping_sub(usize::from(!alone)));
    for (place, answer) in answers.into_iter().enumerate() {
        let answer = answer.map_err(|error| session.error(error))?;
        if let Some(Batch { entity, records: true, .. }) = batch_of(place) {
            newer.extend(answer.rows.iter().map(|row| (entity.clone(), row.get::<_, String>(0))));
        }
    }
    let slot = |change: &Change| {
        let key = (change.key.entity().clone(), change.key.as_text().to_owned());
        if newer.contains(&key) { Applied::Newer } else { Applied::Stale }
    };
    Ok(changes.iter().map(slot).collect())
}

/// One statement of the transaction.
struct Batch {
    entity: EntityName,
    step: Step,
    /// Whether its rows are the keys whose version it recorded.
    records: bool,
}

/// Sorts the changes into statements: by entity, then by which fields are known; deletions last.
fn batches(contract: &Contract, side: Side, changes: &[Change], numbers: &Numbers) -> Result<Vec<Batch>, StoreError> {
    let mut sorted: BTreeMap<(&EntityName, bool, Vec<usize>), Vec<&Change>> = BTreeMap::new();
    for change in changes {
        let fields = change.state.as_ref().map(|record| record.fields());
        let shape = fields.unwrap_or_default().iter().map(|index| index.get()).collect();
        let slot = (change.key.entity(), change.state.is_none(), shape);
        sorted.entry(slot).or_default().push(change);
    }
    let mut batches = Vec::new();
    for ((name, deleted, _), changes) in sorted {
        let entity = ledger::entity(contract, side, name.as_str())?;
        let table = Table::new(entity, side).with(numbers);
        let batch = |text, values, records| Batch { entity: name.clone(), step: Step { text, values }, records };
        let mut common = common(table, &changes);
        if !deleted {
            let fields = changes[0].state.as_ref().map_or(FieldSet::default(), |r| r.fields());
            common.extend(upsert_values(table, fields, &changes)?);
            batches.push(batch(write_text::apply_upserts(table, fields), common, true));
            continue;
        }
        batches.push(batch(write_text::record_deletes(table), common.clone(), true));
        let keys: Result<Vec<_>, _> = changes.iter().map(|c| table.require_fit(&c.key)).collect();
        let mut values = vec![Stored::Text(name.to_string()), common[2].clone()];
        values.extend(transpose(keys?, table.entity.key().len()));
        batches.push(batch(write_text::apply_deletes(table), values, false));
    }
    Ok(batches)
}

fn upsert_values(table: Table<'_>, fields: FieldSet, changes: &[&Change]) -> Result<Vec<Stored>, StoreError> {
    let order = write_text::upsert_fields(table, fields);
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
    Ok(transpose(rows, order.len()))
}

/// The parameters of `write_text::COMMON`.
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
        Stored::Text(table.entity.group.to_string()),
        Stored::Text(table.entity.name.to_string()),
    ];
    debug_assert_eq!(values.len(), write_text::COMMON);
    values
}
