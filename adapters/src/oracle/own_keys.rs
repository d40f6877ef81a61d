//! The ID map: which number of the ERP belongs to which canonical key. See `model::own_key`.
//!
//! A number is given in a transaction of its own, which has ended before the row that gets it is written. So whoever
//! sees the row sees the entry, a repeat finds the number of the first attempt, and of two that number one key at
//! once one waits for the other at the map's unique key and is told what that one was given.
//!
//! An Oracle gives a sequence's next only to a plain statement, so each key that is new costs a round trip.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use model::own_key::{Reach, Sequence, canonical_text, derived_key};
use model::{
    Command, Contract, EntityKey, EntityType, OwnKey, OwnKeys, OwnNumber, Side, Store as _, StoreError, Unnumbered,
    Value,
};

use super::bind::Bind;
use super::inspect::owned;
use super::session::Session;
use super::store::OracleStore;
use super::table::{Table, bucket, misfit, places};
use super::{error, ledger, read, stands, wire, write_text};
use crate::id_map::{self, Numbers};

/// The numbers of the keys that a command touches.
pub(super) fn of_command(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    command: &Command,
) -> Result<Numbers, StoreError> {
    let unnumbered = id_map::unnumbered(&command.work);
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
    for (name, keys) in id_map::by_type(keys) {
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
    if unnumbered == Unnumbered::Leave {
        return Ok(numbers);
    }
    for _ in 0..id_map::ATTEMPTS {
        let missing = id_map::missing(keys, &numbers).map_err(|problem| misfit(table.side, problem))?;
        if missing.is_empty() {
            return Ok(numbers);
        }
        give(session, table, own, &missing)?;
        numbers = look_up(session, table.entity, keys)?;
    }
    Err(misfit(table.side, id_map::exhausted(own, table.name())))
}

fn look_up(session: &mut Session, entity: &EntityType, keys: &[EntityKey]) -> Result<Numbers, StoreError> {
    let texts = keys.iter().filter_map(canonical_text).map(Bind::text).collect();
    let named = id_map::derived(keys).iter().map(|number| Bind::number(number.get())).collect();
    let mut found = entries(session, entity, "key", texts)?;
    found.extend(entries(session, entity, "own_key", named)?);
    Ok(id_map::numbers(keys, found))
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

/// See `OwnKeys::pass_on`.
fn pass_on(
    session: &mut Session,
    table: Table<'_>,
    spare: &EntityKey,
    key: &EntityKey,
) -> Result<Option<OwnNumber>, StoreError> {
    let (Some(own), Some(old), Some(new)) = (table.own(), canonical_text(spare), canonical_text(key)) else {
        return Ok(None);
    };
    let text = format!(
        "UPDATE strangler_id_map m SET key = :1 WHERE m.entity = :2 AND m.key = :3 \
         AND NOT EXISTS (SELECT 1 FROM {} t WHERE t.{} = m.own_key) \
         AND NOT EXISTS (SELECT 1 FROM strangler_id_map o WHERE o.entity = :4 AND o.key = :5)",
        table.name(),
        table.column(own.number)
    );
    let entity = table.entity.name.as_str();
    let binds = [entity, old, entity, new].map(Bind::text);
    let passed = session.run(&text, &[&[Bind::text(new)], &binds[..]].concat())?;
    session.commit()?;
    if passed == 0 {
        return Ok(None);
    }
    Ok(look_up(session, table.entity, std::slice::from_ref(key))?.get(key).copied())
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
    stands::renumber(session, table, &ours)?;
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

    async fn pass_on(
        &self,
        entity: &EntityType,
        spare: &EntityKey,
        key: &EntityKey,
        within: Duration,
    ) -> Result<Option<OwnNumber>, StoreError> {
        let (entity, spare, key) = (entity.clone(), spare.clone(), key.clone());
        self.writing(within, move |session, _, side| pass_on(session, Table::new(&entity, side), &spare, &key)).await
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

    async fn reach(&self, entity: &EntityType, within: Duration) -> Result<Reach, StoreError> {
        let entity = entity.clone();
        self.reading(within, move |session, _, side| reach(session, Table::new(&entity, side))).await
    }
}

/// See `OwnKeys::reach`. Where the sequence stands is taken from what it has given: its cache makes the catalogue's number
/// one that no row need ever have. How many it has left the catalogue knows.
fn reach(session: &mut Session, table: Table<'_>) -> Result<Reach, StoreError> {
    let Some(field) = table.entity.number_field() else { return Ok(Reach::default()) };
    let (name, column) = (table.name(), table.column(field));
    let rows = session.query(&format!("SELECT MAX({column}) FROM {name}"), &[], 1)?;
    let in_rows = rows.first().and_then(|row| wire::number::<i64>(row, 0));
    let given = "SELECT MAX(own_key) FROM strangler_id_map WHERE entity = :1";
    let rows = session.query(given, &[Bind::text(table.entity.name.as_str())], 1)?;
    let used = in_rows.max(rows.first().and_then(|row| wire::number(row, 0)));
    let Some(own) = table.own() else { return Ok(Reach { used, sequence: None }) };
    Ok(Reach { used, sequence: sequence(session, &own.sequence, used)? })
}

/// `None` where this account does not see the sequence.
fn sequence(session: &mut Session, sequence: &str, used: Option<i64>) -> Result<Option<Sequence>, StoreError> {
    // No number of ours has more than 15 digits, whatever the sequence may give.
    const WHAT: &str = "SELECT increment_by, CASE WHEN cycle_flag = 'N' AND increment_by > 0 THEN \
        GREATEST(0, TRUNC((LEAST(max_value, 999999999999999) - last_number) / increment_by)) END";
    let (text, binds) = match owned(sequence) {
        (Some(owner), name) => (
            format!("{WHAT} FROM all_sequences WHERE sequence_owner = :1 AND sequence_name = :2"),
            vec![Bind::text(owner), Bind::text(name)],
        ),
        (None, name) => (format!("{WHAT} FROM user_sequences WHERE sequence_name = :1"), vec![Bind::text(name)]),
    };
    let rows = session.query(&text, &binds, 1)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let step = wire::number::<i64>(row, 0).unwrap_or(1);
    Ok(Some(Sequence { last: used.unwrap_or(0), step, left: wire::number(row, 1) }))
}
