//! The ID map: which number of the ERP belongs to which canonical key. See `model::own_key`.
//!
//! A number is given in a transaction of its own, which has ended before the row that gets it is written. So whoever
//! sees the row sees the entry, a repeat finds the number of the first attempt, and of two that number one key at
//! once one waits for the other at the map's unique key and is told what that one was given.
//!
//! An Oracle gives a sequence's next only to a plain statement, so each key that is new costs a round trip.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use model::own_key::{canonical_text, derived_key, number_of_derived};
use model::{
    Command, Contract, EntityKey, EntityType, OwnKey, OwnKeys, OwnNumber, Side, Store as _, StoreError, Unnumbered,
    Value, Work,
};

use super::bind::Bind;
use super::session::Session;
use super::store::OracleStore;
use super::table::{Table, bucket, misfit, places};
use super::{error, ledger, read, stands, wire, write_text};

/// The numbers of some keys.
pub(super) type Numbers = HashMap<EntityKey, OwnNumber>;

/// How often keys are given the sequence's next while that is in use already.
const ATTEMPTS: usize = 100;

/// The numbers of the keys that a command touches. Only a whole entity may be made by its key alone; statements of the
/// contract are told the numbers of what they add, which have been given by then.
pub(super) fn of_command(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    command: &Command,
) -> Result<Numbers, StoreError> {
    let unnumbered = match command.work {
        Work::Set(_) => Unnumbered::Number,
        Work::Run { .. } | Work::Delete | Work::Touch => Unnumbered::Leave,
    };
    of_keys(session, contract, side, &command.touches, unnumbered)
}

/// The numbers of those of `keys` whose type has its own key on this side; of other types there are none.
pub(super) fn of_keys<'k>(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    keys: impl IntoIterator<Item = &'k EntityKey>,
    unnumbered: Unnumbered,
) -> Result<Numbers, StoreError> {
    let mut numbers = Numbers::new();
    let mut by_type: HashMap<&str, Vec<EntityKey>> = HashMap::new();
    for key in keys {
        by_type.entry(key.entity().as_str()).or_default().push(key.clone());
    }
    for (name, keys) in by_type {
        let table = Table::new(ledger::entity(contract, side, name)?, side);
        numbers.extend(of_type(session, table, &keys, unnumbered)?);
    }
    Ok(numbers)
}

/// The same for keys of one type.
pub(super) fn of_type(
    session: &mut Session,
    table: Table<'_>,
    keys: &[EntityKey],
    unnumbered: Unnumbered,
) -> Result<Numbers, StoreError> {
    let Some(own) = table.own() else { return Ok(Numbers::new()) };
    let mut numbers = look_up(session, table.entity, keys)?;
    match unnumbered {
        Unnumbered::Leave => {}
        Unnumbered::Number => {
            for _ in 0..ATTEMPTS {
                let mut missing: Vec<&EntityKey> = keys.iter().filter(|key| !numbers.contains_key(*key)).collect();
                if missing.is_empty() {
                    return Ok(numbers);
                }
                refuse_taken(table, &missing)?;
                // In order, so that two batches cannot block each other for good.
                missing.sort_unstable();
                missing.dedup();
                give(session, table, own, &missing)?;
                numbers = look_up(session, table.entity, keys)?;
            }
            let (sequence, name) = (&own.sequence, table.name());
            return Err(misfit(
                table.side,
                format!("{sequence} gives numbers that {name} has already: set it beyond the largest"),
            ));
        }
    }
    Ok(numbers)
}

/// A derived key has no number of its own when a key of ours was given that number.
fn refuse_taken(table: Table<'_>, missing: &[&EntityKey]) -> Result<(), StoreError> {
    if missing.iter().any(|key| number_of_derived(key).is_some()) {
        let problem = "a key that names a number of the ERP, which belongs to another key: correct or delete that row";
        return Err(misfit(table.side, problem));
    }
    Ok(())
}

fn look_up(session: &mut Session, entity: &EntityType, keys: &[EntityKey]) -> Result<Numbers, StoreError> {
    let texts = keys.iter().filter_map(canonical_text).map(Bind::text).collect();
    let derived: HashMap<&EntityKey, OwnNumber> =
        keys.iter().filter_map(|key| Some((key, number_of_derived(key)?))).collect();
    let mut given: HashMap<String, OwnNumber> = HashMap::new();
    for (key, number) in entries(session, entity, "key", texts)? {
        given.insert(key, number);
    }
    let named = derived.values().map(|number| Bind::number(number.get())).collect();
    let taken: HashSet<OwnNumber> =
        entries(session, entity, "own_key", named)?.into_iter().map(|(_, number)| number).collect();
    let number = |key: &EntityKey| {
        let mapped = canonical_text(key).and_then(|text| given.get(text)).copied();
        mapped.or_else(|| derived.get(key).copied().filter(|number| !taken.contains(number)))
    };
    Ok(keys.iter().filter_map(|key| Some((key.clone(), number(key)?))).collect())
}

/// The entries whose `column` is one of `wanted`.
fn entries(
    session: &mut Session,
    entity: &EntityType,
    column: &str,
    wanted: Vec<Bind>,
) -> Result<Vec<(String, OwnNumber)>, StoreError> {
    let Some(last) = wanted.last().cloned() else { return Ok(Vec::new()) };
    let count = bucket(wanted.len());
    let places = places(2, count);
    let text =
        format!("SELECT m.key, m.own_key FROM strangler_id_map m WHERE m.entity = :1 AND m.{column} IN ({places})");
    let mut binds = vec![Bind::text(entity.name.as_str())];
    binds.extend(wanted);
    binds.resize(count + 1, last);
    let rows = session.query(&text, &binds, 100)?;
    let entry = |row| Some((wire::text(row, 0)?, OwnNumber::new(wire::number(row, 1)?)?));
    Ok(rows.iter().filter_map(entry).collect())
}

/// Gives each of `keys` the sequence's next, unless a row has that already: such keys are left without.
fn give(session: &mut Session, table: Table<'_>, own: &OwnKey, keys: &[&EntityKey]) -> Result<(), StoreError> {
    let next = format!("SELECT {}.NEXTVAL FROM DUAL", own.sequence);
    let used = format!("SELECT 1 FROM {} t WHERE t.{} = :1", table.name(), table.column(own.number));
    let mut rows = Vec::with_capacity(keys.len());
    for text in keys.iter().filter_map(|key| canonical_text(key)) {
        let number = session.query(&next, &[], 1)?.first().and_then(|row| wire::number::<u64>(row, 0));
        let number = number.and_then(OwnNumber::new);
        let number =
            number.ok_or_else(|| misfit(table.side, format!("{} gives no numbers up to 15 digits", own.sequence)))?;
        if session.query(&used, &[Bind::number(number.get())], 1)?.is_empty() {
            rows.push(vec![Bind::text(table.entity.name.as_str()), Bind::text(text), Bind::number(number.get())]);
        }
    }
    for slot in session.batch(write_text::ID_MAP_ROW, &rows)? {
        match slot {
            // Somebody else numbered the key meanwhile.
            Ok(_) | Err(error::EXISTS) => {}
            Err(code) => {
                session.roll_back();
                return Err(session.of_code(code));
            }
        }
    }
    session.commit()
}

/// See `OwnKeys::keys_of`.
pub(super) fn keys_of(
    session: &mut Session,
    table: Table<'_>,
    numbers: &[OwnNumber],
) -> Result<Vec<Option<EntityKey>>, StoreError> {
    let entity = table.entity;
    let Some(field) = entity.number_field() else {
        return Err(misfit(table.side, format!("{} has no key of the ERP's own", entity.name)));
    };
    let wanted: Vec<Bind> = numbers.iter().map(|number| Bind::number(number.get())).collect();
    let found = match table.own() {
        Some(_) => entries(session, entity, "own_key", wanted)?,
        None => rows_of(session, table, field, &wanted)?,
    };
    let key = |text: String| EntityKey::new(entity.name.clone(), vec![Value::Text(text)]);
    let found: HashMap<OwnNumber, EntityKey> = found.into_iter().map(|(text, number)| (number, key(text))).collect();
    let derived = |number| table.own().map(|_| derived_key(&entity.name, number));
    Ok(numbers.iter().map(|number| found.get(number).cloned().or_else(|| derived(*number))).collect())
}

/// Key and number of the rows with one of these numbers.
fn rows_of(
    session: &mut Session,
    table: Table<'_>,
    field: model::FieldIndex,
    wanted: &[Bind],
) -> Result<Vec<(String, OwnNumber)>, StoreError> {
    let (name, column, key) = (table.name(), table.column(field), table.key_columns());
    let text = format!("SELECT {key}, {column} FROM {name} WHERE {column} = :1");
    let mut found = Vec::new();
    for number in wanted {
        let rows = session.query(&text, std::slice::from_ref(number), 1)?;
        let row = |row| Some((wire::text(row, 0)?, OwnNumber::new(wire::number(row, 1)?)?));
        found.extend(rows.iter().filter_map(row));
    }
    Ok(found)
}

/// See `OwnKeys::learn`.
pub(super) fn learn(
    session: &mut Session,
    table: Table<'_>,
    numbered: &[(EntityKey, OwnNumber)],
) -> Result<(), StoreError> {
    let (Some(field), None) = (table.entity.number_field(), table.own()) else {
        return Err(misfit(table.side, format!("{} learns no numbers here", table.entity.name)));
    };
    let column = table.column(field);
    let text =
        format!("UPDATE {} t SET {column} = :1 WHERE {} AND t.{column} IS NULL", table.name(), table.key_equals(2));
    let row = |(key, number): &(EntityKey, OwnNumber)| {
        let mut row = vec![table.bind(field, &Value::Text(number.to_string()))?];
        row.extend(table.require_fit(key)?);
        Ok(row)
    };
    let rows = numbered.iter().map(row).collect::<Result<Vec<_>, StoreError>>()?;
    // The row is ours afterwards if it was before.
    let keys: Vec<_> = numbered.iter().map(|(key, _)| key).collect();
    let ours = stands::ours(session, table, &keys)?;
    session.batch_all(&text, &rows)?;
    stands::keep(session, table, false, &ours)?;
    session.commit()
}

#[async_trait]
impl OwnKeys for OracleStore {
    async fn numbers(
        &self,
        entity: &EntityType,
        keys: &[EntityKey],
        unnumbered: Unnumbered,
        within: Duration,
    ) -> Result<Vec<Option<OwnNumber>>, StoreError> {
        read::require_batch(self.side(), Some(entity), keys)?;
        let (entity, wanted) = (entity.clone(), keys.to_vec());
        let numbers = self
            .writing(within, move |session, _, side| of_type(session, Table::new(&entity, side), &wanted, unnumbered));
        let numbers = numbers.await?;
        Ok(keys.iter().map(|key| numbers.get(key).copied()).collect())
    }

    async fn keys_of(
        &self,
        entity: &EntityType,
        numbers: &[OwnNumber],
        within: Duration,
    ) -> Result<Vec<Option<EntityKey>>, StoreError> {
        let (entity, numbers) = (entity.clone(), numbers.to_vec());
        self.reading(within, move |session, _, side| keys_of(session, Table::new(&entity, side), &numbers)).await
    }

    async fn learn(
        &self,
        entity: &EntityType,
        numbered: &[(EntityKey, OwnNumber)],
        within: Duration,
    ) -> Result<(), StoreError> {
        let (entity, numbered) = (entity.clone(), numbered.to_vec());
        self.writing(within, move |session, _, side| learn(session, Table::new(&entity, side), &numbered)).await
    }
}
