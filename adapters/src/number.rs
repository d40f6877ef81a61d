//! Numbers of rows, as kept beside their versions: see `model::foreign`.
//!
//! The *shape* of a number is that of its type (`model::shape`): kept beside it, so that one which was taken under another
//! contract is not taken for one of ours.

use md5::{Digest as _, Md5};
use model::checksum::{DIGITS, compared, record_text};
use model::foreign::{NOTHING, OTHERWISE};
use model::{Base, Change, EntityType, FieldIndex, FieldSet, Record, Shape, Side, Value, Version};

/// The shape of the numbers of `entity`, the same on both sides.
pub(crate) fn shape(entity: &EntityType) -> i64 {
    Shape::of(entity).id().get()
}

/// The number of `record`; of no record, [`NOTHING`]; of one that cannot be read, [`OTHERWISE`]: what its columns hold is
/// known to the store alone.
pub(crate) fn number(entity: &EntityType, record: Option<&Record>) -> i64 {
    let Some(record) = record else { return NOTHING };
    if !record.unreadable().both(compared(entity)).is_empty() {
        return OTHERWISE;
    }
    first_digits(Md5::new_with_prefix(record_text(entity, compared(entity), record)))
}

/// What numbers of `entity` are made of on either side: the compared fields with their rules, whatever their columns.
pub(crate) fn rules(entity: &EntityType) -> i64 {
    let mut digest = Md5::new();
    for index in compared(entity).iter() {
        let field = entity.field(index);
        digest.update(format!("{} {:?} {:?}\n", field.name, field.kind, field.compare));
    }
    first_digits(digest)
}

/// The number that the primary's row had before `change`, where it was made by the rules of this contract.
pub(crate) fn base(entity: &EntityType, change: &Change) -> Option<i64> {
    change.base.filter(|base| base.rules == rules(entity) && base.number != OTHERWISE).map(|base| base.number)
}

/// The base of a change whose row stands as `state` before it, as it was read at rest: who changes the row in between is
/// met.
pub fn base_of(entity: &EntityType, state: Option<&Record>) -> Base {
    Base { version: Version::baseline(0), rules: rules(entity), number: number(entity, state) }
}

/// The number that the row of `state` is to have on `side`, whose key has the ERP's number `own` where it is one.
pub(crate) fn expected(entity: &EntityType, side: Side, state: Option<&Record>, own: Option<Value>) -> i64 {
    let (Some(state), Some(key), Some(own)) = (state, entity.own_key(side), own) else {
        return number(entity, state);
    };
    let mut numbered = state.clone();
    numbered.set(key.number, own);
    number(entity, Some(&numbered))
}

/// Whether `row` is what was written as `state`: the compared fields that the state names are the same. The ERP's own
/// number is the side's to give.
pub(crate) fn stands_as(entity: &EntityType, side: Side, row: &Record, state: Option<&Record>) -> bool {
    let Some(state) = state else { return false };
    let own = entity.own_key(side).map(|own| own.number);
    let named = |index: &FieldIndex| state.get(*index).is_some() && own != Some(*index);
    let fields: FieldSet = compared(entity).iter().filter(named).collect();
    record_text(entity, fields, row) == record_text(entity, fields, state)
}

/// The number that the first hexadecimal digits of a digest make.
fn first_digits(digest: Md5) -> i64 {
    let digest = digest.finalize();
    let bytes = [digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]];
    (u64::from_be_bytes(bytes) >> (64 - 4 * DIGITS)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::inventory::{self, level_key, product_key};

    #[test]
    fn another_rule_or_field_makes_another_shape_and_the_same_contract_the_same() {
        let contract = inventory::contract();
        let entity = contract.entity(level_key("A", "BER").entity()).unwrap();
        let product = contract.entity(product_key("A").entity()).unwrap();
        assert_eq!(shape(entity), shape(&EntityType::clone(entity)));
        assert_ne!(shape(entity), shape(product));
        let mut ignoring = EntityType::clone(product);
        ignoring.fields.last_mut().unwrap().compare.ignore = true;
        assert_ne!(shape(&ignoring), shape(product));
    }
}
