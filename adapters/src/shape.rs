//! What a row's number is made of, as a number: kept beside each, so that one which was taken under another contract
//! (a field more, another column) is known to say nothing.

use md5::{Digest as _, Md5};
use model::checksum::compared;
use model::{EntityType, Side};

/// The shape of the numbers of `entity` on `side`. Positive.
pub(crate) fn shape(entity: &EntityType, side: Side) -> i64 {
    let mut digest = Md5::new();
    digest.update(entity.table.get(side));
    for index in compared(entity).iter() {
        let field = entity.field(index);
        let rules = format!("{} {:?} {:?} {:?}\n", field.name, field.kind, field.compare, field.home.get(side));
        digest.update(rules);
    }
    let digest = digest.finalize();
    let bytes = [digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]];
    i64::from_be_bytes(bytes) & i64::MAX >> 4
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
