//! A value in a column's own terms, and a state as a ledger keeps it, whichever engine keeps them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use model::{Contract, Decimal, EntityKey, Record};
use uuid::Uuid;

/// One value in a column's own terms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stored {
    Null,
    Bool(bool),
    Small(i16),
    Integer(i32),
    Big(i64),
    Numeric(Decimal),
    Text(String),
    Timestamp(NaiveDateTime),
    TimestampTz(DateTime<Utc>),
    Date(NaiveDate),
    Uuid(Uuid),
    List(Vec<Stored>),
}

/// Key and state of a ledger row. Every row can be read under every contract: what this one does not know (a type, a
/// field, a value of another kind) is carried along, so that one row never fails a call that is about many.
pub(crate) fn kept(
    contract: &Contract,
    entity: &str,
    key: &str,
    image: Option<serde_json::Value>,
) -> (EntityKey, Option<Record>) {
    let known = contract.entity(&entity.into());
    let read = known.and_then(|known| EntityKey::from_text(known, key));
    let key = read.unwrap_or_else(|| EntityKey::as_kept(entity.into(), key));
    let state =
        |image| known.and_then(|known| Record::from_json(known, &image)).unwrap_or_else(|| Record::as_kept(&image));
    (key, image.map(state))
}
