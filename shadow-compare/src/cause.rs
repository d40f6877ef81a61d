//! Why two values differ, from the pair alone or from what the ledger remembers of the key.
//!
//! A cause is a diagnosis for people, not a pardon: every difference counts, whatever its cause.
//! So each cause has a narrow definition, and what fits none is *different*: a wrong price must not
//! hide behind "rounding".
//!
//! - *rounding*: numbers where the one with fewer digits after the point is the other with digits
//!   dropped, in whichever direction (half up, half even, cut, floor, ceiling): they are less than
//!   one unit of its last digit apart. Or both have the same number of digits, at least one, and
//!   differ by one unit of the last: the same number, rounded in two ways. So two numbers that are
//!   one or more apart are never *rounding*, and neither are two whole numbers. Fractions of a
//!   second are digits too.
//! - *time zone*: instants apart by whole quarter hours, up to 26 hours (from UTC-12 to UTC+14).
//!   Where one has no fraction of a second, the other's is not looked at.
//! - *null/empty*: null beside text that is empty or blank. *Padding*, *case*: as their names say.
//! - *truncation*: one text is the beginning of the other, and not empty.
//! - *stale*: what one side holds is what the other side's ledger says it held before its last write.
//!
//! Not here: *missing*, *extra* and *order*, which are seen while pairing (`judge`).

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use chrono::TimeDelta;
use model::evidence::Cause;
use model::{Decimal, EntityType, FieldSet, Instant, PerSide, Record, Side, Value};

use crate::canon::{fold_case, same, whole_seconds};

/// Largest distance between two clocks on earth: UTC-12 and UTC+14.
const WIDEST_ZONES: TimeDelta = TimeDelta::hours(26);

/// All zones in use are whole quarter hours apart.
const ZONE_STEP: TimeDelta = TimeDelta::minutes(15);

/// Why two different values of one field differ, judged by the pair alone.
pub fn of_values(legacy: &Value, modern: &Value) -> Cause {
    match (legacy, modern) {
        (Value::Null, Value::Text(text)) | (Value::Text(text), Value::Null) if text.trim().is_empty() => {
            Cause::NullEmpty
        }
        (Value::Text(one), Value::Text(other)) => of_texts(one, other),
        (Value::Decimal(one), Value::Decimal(other)) if rounded(one, other) => Cause::Rounding,
        (Value::Instant(one), Value::Instant(other)) => of_instants(*one, *other),
        (
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Instant(_)
            | Value::List(_),
            _,
        ) => Cause::Different,
    }
}

/// Whether one side holds, in `fields`, a state that the other side's ledger remembers as older.
///
/// `past` is what `Store::past_states` of each side gave for the key, newest first. The newest state
/// does not count: the side that holds it is not behind. If the other differs all the same, then its
/// row was changed behind the ledger's back, and the pair of values tells more. The fewer fields were
/// asked for, the likelier is an old state by chance: ask for whole records where it matters.
pub fn is_stale(
    entity: &EntityType,
    fields: FieldSet,
    pair: &PerSide<Option<Record>>,
    past: &PerSide<Vec<Option<Record>>>,
) -> bool {
    Side::BOTH.into_iter().any(|behind| {
        let present = pair.get(behind).as_ref();
        let held = |state: &Option<Record>| same_state(entity, fields, present, state.as_ref());
        let Some((newest, older)) = past.get(behind.other()).split_first() else { return false };
        !held(newest) && older.iter().any(held)
    })
}

fn same_state(entity: &EntityType, fields: FieldSet, one: Option<&Record>, other: Option<&Record>) -> bool {
    let (one, other) = match (one, other) {
        (None, None) => return true,
        (Some(one), Some(other)) => (one, other),
        (Some(_), None) | (None, Some(_)) => return false,
    };
    fields.iter().all(|index| match (one.get(index), other.get(index)) {
        (Some(a), Some(b)) => same(a, b, &entity.field(index).compare),
        (None, None) => true,
        // An old ledger row lacks a field that the contract has gained since: that proves nothing.
        (Some(_), None) | (None, Some(_)) => false,
    })
}

fn of_texts(one: &str, other: &str) -> Cause {
    let prefix = |short: &str, long: &str| !short.is_empty() && long.starts_with(short);
    if one.trim() == other.trim() {
        Cause::Padding
    } else if fold_case(one) == fold_case(other) {
        Cause::Case
    } else if prefix(one, other) || prefix(other, one) {
        Cause::Truncation
    } else {
        Cause::Different
    }
}

fn of_instants(one: Instant, other: Instant) -> Cause {
    let has_fraction = |instant: Instant| whole_seconds(instant) != instant;
    let (from, to) = if has_fraction(one) && has_fraction(other) {
        (one, other)
    } else {
        (whole_seconds(one), whole_seconds(other))
    };
    let apart = (from.to_utc() - to.to_utc()).abs();
    let whole_steps = apart.subsec_nanos() == 0 && apart.num_seconds().rem_euclid(ZONE_STEP.num_seconds()) == 0;
    if whole_steps && apart > TimeDelta::zero() && apart <= WIDEST_ZONES {
        Cause::TimeZone
    } else if rounded(&seconds(one), &seconds(other)) {
        Cause::Rounding
    } else {
        Cause::Different
    }
}

fn seconds(instant: Instant) -> Decimal {
    let micros = BigInt::from(instant.to_utc().timestamp_micros());
    Decimal::new(BigDecimal::new(micros, 6))
}

/// The definition of *rounding* at the top of this page.
fn rounded(one: &Decimal, other: &Decimal) -> bool {
    let digits = one.scale().min(other.scale());
    let unit = BigDecimal::new(1.into(), i64::from(digits));
    let apart = (one.as_big() - other.as_big()).abs();
    if one.scale() == other.scale() { digits > 0 && apart == unit } else { apart < unit }
}

#[cfg(test)]
mod tests;
