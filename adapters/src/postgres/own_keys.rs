//! The ID map: which number of the ERP belongs to which canonical key. See `model::own_key`.
//!
//! A number is given in a statement of its own, which has ended before the row that gets it is written. So whoever
//! sees the row sees the entry, a repeat finds the number of the first attempt, and of two that number one key at
//! once one waits for the other at the map's unique key and is told what that one was given.

use std::collections::HashMap;

use model::own_key::{canonical_text, derived_key};
use model::{Command, Contract, Decimal, EntityKey, OwnKey, OwnNumber, Side, StoreError, Unnumbered, Value};

use super::read::misfit;
use super::session::Session;
use super::table::Table;
use super::wire::Stored;
use super::{apply_text, ledger, read};
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
    let entry = |row: &tokio_postgres::Row| Some((row.get(0), OwnNumber::new(row.get::<_, i64>(1).unsigned_abs())?));
    Ok(id_map::numbers(keys, rows.iter().filter_map(entry)))
}

/// Gives each of `keys` the sequence's next, unless a row has that already: such keys are left without.
async fn give(session: &Session, table: Table<'_>, own: &OwnKey, keys: &[&EntityKey]) -> Result<(), StoreError> {
    let text = format!(
        "INSERT INTO strangler_id_map (entity, key, own_key) SELECT $1::text, q.k, q.n \
         FROM (SELECT k, nextval($3::text::regclass) AS n FROM unnest($2::text[]) AS u(k) OFFSET 0) AS q \
         WHERE NOT EXISTS (SELECT FROM {} AS t WHERE t.{} = q.n) ON CONFLICT DO NOTHING",
        table.name(),
        table.column(own.number)
    );
    let keys = keys.iter().filter_map(|key| canonical_text(key)).map(|text| Stored::Text(text.to_owned()));
    let name = Stored::Text(table.entity.name.to_string());
    let values = [name, Stored::List(keys.collect()), Stored::Text(own.sequence.clone())];
    ask(session, &text, &values).await.map(drop)
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
    let wanted: Result<Vec<_>, _> =
        numbers.iter().map(|number| table.stored(field, &Value::Text(number.to_string()))).collect();
    let wanted = if table.own().is_some() { numbers.iter().map(|n| stored(*n)).collect() } else { wanted? };
    values.insert(0, Stored::List(wanted));
    let mut found: HashMap<OwnNumber, EntityKey> = HashMap::new();
    for row in ask(session, &text, &values).await? {
        let number = OwnNumber::new(row.get::<_, i64>(0).unsigned_abs());
        found.extend(number.map(|number| (number, key(row.get(1)))));
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
        shape = shape(table.entity, table.side),
    );
    let (mut keys, mut numbers, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for (key, number) in numbered {
        keys.extend(table.require_fit(key)?);
        numbers.push(table.stored(field, &Value::Text(number.to_string()))?);
        texts.push(Stored::Text(key.as_text().to_owned()));
    }
    let name = Stored::Text(table.entity.name.to_string());
    ask(session, &text, &[Stored::List(keys), Stored::List(numbers), Stored::List(texts), name]).await.map(drop)
}

fn stored(number: OwnNumber) -> Stored {
    Stored::Numeric(Decimal::from(i64::try_from(number.get()).unwrap_or(i64::MAX)))
}

async fn ask(session: &Session, text: &str, values: &[Stored]) -> Result<Vec<tokio_postgres::Row>, StoreError> {
    let statements = session.prepare(&[text]).await?;
    read::query(session, &statements[0], values).await.map_err(|error| session.error(error))
}
