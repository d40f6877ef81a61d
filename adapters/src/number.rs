//! Numbers of rows, as kept beside their versions: see `model::foreign`.
//!
//! The *shape* of a number is what it is made of: kept beside it, so that one which was taken under another contract
//! (a field more, another column) is known to say nothing.

use md5::{Digest as _, Md5};
use model::checksum::{DIGITS, compared, record_text};
use model::foreign::NOTHING;
use model::{EntityType, Record, Side};

/// The shape of the numbers of `entity` on `side`. Positive.
pub(crate) fn shape(entity: &EntityType, side: Side) -> i64 {
    let mut digest = Md5::new();
    digest.update(entity.table.get(side));
    for index in compared(entity).iter() {
        let field = entity.field(index);
        let rules = format!("{} {:?} {:?} {:?}\n", field.name, field.kind, field.compare, field.home.get(side));
        digest.update(rules);
    }
    first_digits(digest)
}

/// The number of `record`; of no record, [`NOTHING`].
pub(crate) fn number(entity: &EntityType, record: Option<&Record>) -> i64 {
    let Some(record) = record else { return NOTHING };
    first_digits(Md5::new_with_prefix(record_text(entity, compared(entity), record)))
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
        assert_eq!(shape(entity, Side::Modern), shape(&EntityType::clone(entity), Side::Modern));
        assert_ne!(shape(entity, Side::Modern), shape(product, Side::Modern));
        let mut ignoring = EntityType::clone(product);
        ignoring.fields.last_mut().unwrap().compare.ignore = true;
        assert_ne!(shape(&ignoring, Side::Modern), shape(product, Side::Modern));
    }
}
