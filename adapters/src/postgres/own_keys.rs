//! The ID map: which number of the ERP belongs to which canonical key. See `model::own_key`.
//!
//! A number is given in a statement of its own, which has ended before the row that gets it is written. So whoever
//! sees the row sees the entry, a repeat finds the number of the first attempt, and of two that number one key at
//! once one waits for the other at the map's unique key and is told what that one was given.

use std::collections::HashMap;

use model::own_key::{Reach, Sequence, canonical_text, derived_key};
use model::{Command, Contract, Decimal, EntityKey, OwnKey, OwnNumber, Side, StoreError, Unnumbered, Value};

use super::ledger::ask;
use super::pipeline::End;
use super::read::misfit;
use super::session::Session;
use super::table::Table;
use super::wire::{Stored, get, number};
use super::{apply_text, ledger};
use crate::id_map::{self, Numbers};
use crate::number::shape;

/// The numbers of the keys that a command touches.
pub(super) async fn of_command(
    session: &Session,
    contract: &Contract,
    side: Side,
    command: &Command,
) -> Result<Numbers, StoreError> {
    let unnumbered = id_map::unnumbered(&command.work);
    of_keys(session, contract, side, &command.touches, unnumbered).await
}

/// The numbers of those of `keys` whose type has its own key on this side; of other types there are none.
pub(super) async fn of_keys(
    session: &Session,
    contract: &Contract,
    side: Side,
    keys: impl IntoIterator<Item = &EntityKey>,
    unnumbered: Unnumbered,
) -> Result<Numbers, StoreError> {
    let mut numbers = Numbers::new();
    for (name, keys) in id_map::by_type(keys) {
        let table = Table::new(ledger::entity(contract, side, name)?, side);
        numbers.extend(of_type(session, table, &keys, unnumbered).await?);
    }
    Ok(numbers)
}

/// The same for keys of one type.
pub(super) async fn of_type(
    session: &Session,
    table: Table<'_>,
    keys: &[EntityKey],
    unnumbered: Unnumbered,
) -> Result<Numbers, StoreError> {
    let Some(own) = table.own() else { return Ok(Numbers::new()) };
    let mut numbers = look_up(session, table, keys).await?;
    if unnumbered == Unnumbered::Leave {
        return Ok(numbers);
    }
    for _ in 0..id_map::ATTEMPTS {
        let missing = id_map::missing(keys, &numbers).map_err(|problem| misfit(table.side, problem))?;
        if missing.is_empty() {
            return Ok(numbers);
        }
        give(session, table, own, &missing).await?;
        numbers = look_up(session, table, keys).await?;
    }
    Err(misfit(table.side, id_map::exhausted(own, table.name())))
}

async fn look_up(session: &Session, table: Table<'_>, keys: &[EntityKey]) -> Result<Numbers, StoreError> {
    const TEXT: &str = "SELECT key, own_key::int8 FROM strangler_id_map \
         WHERE entity = $1::text AND (key = ANY($2::text[]) OR own_key = ANY($3::numeric[]))";
    let texts = keys.iter().filter_map(canonical_text).map(|text| Stored::Text(text.to_owned())).collect();
    let named = id_map::derived(keys).into_iter().map(stored).collect();
    let values = [Stored::Text(table.entity.name.to_string()), Stored::List(texts), Stored::List(named)];
    let rows = ask(session, TEXT, &values).await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        let number = OwnNumber::new(number(table.side, row, 1)?);
        entries.extend(number.map(|number| Ok::<_, StoreError>((get(table.side, row, 0)?, number))).transpose()?);
    }
    Ok(id_map::numbers(keys, entries))
}

/// Gives each of `keys` the sequence's next, unless a row has that already: such keys are left without.
async fn give(session: &Session, table: Table<'_>, own: &OwnKey, keys: &[&EntityKey]) -> Result<(), StoreError> {
    let text = format!(
        "INSERT INTO strangler_id_map (entity, key, own_key) SELECT $1::text, q.k, q.n \
         FROM (SELECT k, nextval($3::text::regclass) AS n FROM unnest($2::text[]) AS u(k) OFFSET 0) AS q \
         WHERE q.n BETWEEN 1 AND 999999999999999 AND NOT EXISTS (SELECT FROM {} AS t WHERE t.{} = q.n) \
         ON CONFLICT DO NOTHING",
        table.name(),
        table.column(own.number)
    );
    let keys = keys.iter().filter_map(|key| canonical_text(key)).map(|text| Stored::Text(text.to_owned()));
    let name = Stored::Text(table.entity.name.to_string());
    let values = [name, Stored::List(keys.collect()), Stored::Text(own.sequence.clone())];
    ledger::alter(session, &text, &values, End::Commit).await.map(drop)
}

/// See `OwnKeys::pass_on`.
pub(super) async fn pass_on(
    session: &Session,
    table: Table<'_>,
    spare: &EntityKey,
    key: &EntityKey,
) -> Result<Option<OwnNumber>, StoreError> {
    let (Some(own), Some(spare), Some(key)) = (table.own(), canonical_text(spare), canonical_text(key)) else {
        return Ok(None);
    };
    let text = format!(
        "UPDATE strangler_id_map AS m SET key = $3::text WHERE m.entity = $1::text AND m.key = $2::text \
         AND NOT EXISTS (SELECT FROM {} AS t WHERE t.{} = m.own_key) \
         AND NOT EXISTS (SELECT FROM strangler_id_map AS o WHERE o.entity = $1::text AND o.key = $3::text) \
         RETURNING m.own_key::int8",
        table.name(),
        table.column(own.number)
    );
    let text_of = |text: &str| Stored::Text(text.to_owned());
    let values = [text_of(table.entity.name.as_str()), text_of(spare), text_of(key)];
    let rows = ledger::alter(session, &text, &values, End::Commit).await?;
    let number = rows.first().map(|row| number(table.side, row, 0)).transpose()?;
    Ok(number.and_then(OwnNumber::new))
}

/// See `OwnKeys::keys_of`.
pub(super) async fn keys_of(
    session: &Session,
    table: Table<'_>,
    numbers: &[OwnNumber],
) -> Result<Vec<Option<EntityKey>>, StoreError> {
    let entity = &table.entity.name;
    let Some(field) = table.entity.number_field() else {
        return Err(misfit(table.side, format!("{entity} has no key of the ERP's own")));
    };
    let key = |text: String| EntityKey::new(entity.clone(), vec![Value::Text(text)]);
    let (text, mut values) = match table.own() {
        Some(_) => {
            let text = "SELECT own_key::int8, key FROM strangler_id_map \
                        WHERE entity = $2::text AND own_key = ANY($1::numeric[])";
            (text.to_owned(), vec![Stored::Text(entity.to_string())])
        }
        None => {
            let (number, ty) = (table.column(field), table.type_name(field));
            let columns = table.key_columns();
            let name = table.name();
            (format!("SELECT {number}::int8, {columns}::text FROM {name} WHERE {number} = ANY($1::{ty}[])"), Vec::new())
        }
    };
    let in_a_row = |number: &OwnNumber| table.stored(field, &Value::Text(number.to_string())).ok();
    let wanted = match table.own() {
        Some(_) => numbers.iter().copied().map(stored).collect(),
        // A number that the column has no room for names no row.
        None => numbers.iter().filter_map(in_a_row).collect(),
    };
    values.insert(0, Stored::List(wanted));
    let mut found: HashMap<OwnNumber, EntityKey> = HashMap::new();
    for row in ask(session, &text, &values).await? {
        let number = OwnNumber::new(number(table.side, &row, 0)?);
        found.extend(number.map(|number| Ok::<_, StoreError>((number, key(get(table.side, &row, 1)?)))).transpose()?);
    }
    let derived = |number| table.own().map(|_| derived_key(entity, number));
    Ok(numbers.iter().map(|number| found.get(number).cloned().or_else(|| derived(*number))).collect())
}

/// See `OwnKeys::learn`.
pub(super) async fn learn(
    session: &Session,
    table: Table<'_>,
    numbered: &[(EntityKey, OwnNumber)],
) -> Result<(), StoreError> {
    let (Some(field), None) = (table.entity.number_field(), table.own()) else {
        return Err(misfit(table.side, format!("{} learns no numbers here", table.entity.name)));
    };
    let (column, ty) = (table.column(field), table.type_name(field));
    // The row is ours afterwards as it was before. Where it had another number than is on record nobody can say.
    let text = format!(
        "WITH untold AS MATERIALIZED (SELECT q.*, {stands} AS stood FROM {name} AS t \
         JOIN unnest($1::{key_ty}[], $2::{ty}[], $3::text[]) AS q(k0, n, key) ON {join} \
         WHERE t.{column} IS NULL FOR UPDATE OF t), \
         told AS (UPDATE {name} AS t SET {column} = u.n FROM untold AS u WHERE {told} \
         RETURNING u.key, u.stood, {stands} AS stands) \
         UPDATE strangler_version AS v SET stands = CASE WHEN v.stands = o.stood THEN o.stands END FROM told AS o \
         WHERE v.entity = $4::text AND v.key = o.key AND v.shape = {shape}",
        stands = apply_text::number(table),
        name = table.name(),
        key_ty = table.type_name(table.entity.key()[0]),
        join = table.key_join("q"),
        told = table.key_join("u"),
        shape = shape(table.entity),
    );
    let (mut keys, mut numbers, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for (key, number) in numbered {
        keys.extend(table.require_fit(key)?);
        numbers.push(table.stored(field, &Value::Text(number.to_string()))?);
        texts.push(Stored::Text(key.as_text().to_owned()));
    }
    let name = Stored::Text(table.entity.name.to_string());
    let values = [Stored::List(keys), Stored::List(numbers), Stored::List(texts), name];
    ledger::alter(session, &text, &values, End::Commit).await.map(drop)
}

/// See `OwnKeys::reach`.
pub(super) async fn reach(session: &Session, table: Table<'_>) -> Result<Reach, StoreError> {
    let Some(field) = table.entity.number_field() else { return Ok(Reach::default()) };
    let (name, column) = (table.name(), table.column(field));
    let Some(own) = table.own() else {
        let rows = ask(session, &format!("SELECT max({column})::int8 FROM {name}"), &[]).await?;
        let used = rows.first().map(|row| get(table.side, row, 0)).transpose()?.flatten();
        return Ok(Reach { used, sequence: None });
    };
    let used = format!(
        "SELECT greatest((SELECT max({column})::int8 FROM {name}), (SELECT max(own_key)::int8 FROM strangler_id_map \
         WHERE entity = $1::text)), has_sequence_privilege($2::text, 'SELECT')"
    );
    let values = [Stored::Text(table.entity.name.to_string()), Stored::Text(own.sequence.clone())];
    let rows = ask(session, &used, &values).await?;
    let row = rows.first().ok_or_else(|| misfit(table.side, "the server says nothing of its numbers".into()))?;
    let sequence = match get(table.side, row, 1)? {
        true => stands(session, table.side, &own.sequence).await?,
        // Whoever may only take numbers is not told where the sequence stands.
        false => None,
    };
    Ok(Reach { used: get(table.side, row, 0)?, sequence })
}

async fn stands(session: &Session, side: Side, sequence: &str) -> Result<Option<Sequence>, StoreError> {
    let text = format!(
        "SELECT CASE WHEN s.is_called THEN s.last_value ELSE s.last_value - q.seqincrement END, q.seqincrement, \
         CASE WHEN NOT q.seqcycle AND q.seqincrement > 0 THEN trunc((q.seqmax::numeric - s.last_value) / q.seqincrement)::int8 END \
         FROM {sequence} AS s JOIN pg_sequence AS q ON q.seqrelid = to_regclass($1::text)"
    );
    let rows = ask(session, &text, &[Stored::Text(sequence.to_owned())]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let left = get::<Option<i64>>(side, row, 2)?;
    Ok(Some(Sequence { last: get(side, row, 0)?, step: get(side, row, 1)?, left }))
}

fn stored(number: OwnNumber) -> Stored {
    Stored::Numeric(Decimal::from(i64::try_from(number.get()).unwrap_or(i64::MAX)))
}
