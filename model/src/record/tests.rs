use serde_json::json;

use super::*;
use crate::contract::{ColumnType, Compare, Field, Home};
use crate::side::PerSide;
use crate::value::Kind;

fn entity() -> EntityType {
    let home = |name: &str| Home::new(name, ColumnType::Varchar(None));
    let field = |name: &str, kind| Field {
        name: name.into(),
        kind,
        nullable: true,
        home: PerSide { legacy: home(name), modern: home(name) },
        compare: Compare::default(),
        sensitive: false,
        stamped: false,
    };
    let fields = vec![field("sku", Kind::Text), field("price", Kind::Decimal)];
    let table = PerSide { legacy: "P".into(), modern: "p".into() };
    EntityType::new("Product".into(), "inventory".into(), table, fields, &["sku"]).unwrap()
}

#[test]
fn what_a_contract_cannot_read_is_carried_along_as_it_is() {
    let entity = entity();
    for image in [
        json!({"sku": "A", "price": "1.5", "color": "red"}),
        json!({"sku": "A", "price": {"amount": 15, "scale": 1}}),
        json!({"sku": "A", "price": 7, "tags": ["x", null]}),
    ] {
        let record = Record::from_json(&entity, &image).unwrap();
        assert_eq!(record.get(entity.index("sku").unwrap()), Some(&Value::text("A")));
        assert!(record.carried().count() > 0);
        assert_eq!(record.to_json(&entity), image, "handed on whole");
    }
    assert!(Record::from_json(&entity, &json!({"sku": "A", "price": null})).unwrap().is_whole(&entity));
    assert!(!Record::from_json(&entity, &json!({"sku": "A"})).unwrap().is_whole(&entity));
    assert!(Record::from_json(&entity, &json!("A")).is_none());
}

#[test]
fn a_key_of_another_contract_is_still_a_key() {
    for text in [r#"["A","BER"]"#, "[7]", r#"["1.50",true,null]"#, "no JSON"] {
        let key = EntityKey::as_kept("Bundle".into(), text);
        assert_eq!(key.as_text(), text);
    }
    let known = EntityKey::new("Product".into(), vec![Value::text("A"), Value::Int(7)]);
    assert_eq!(EntityKey::as_kept("Product".into(), known.as_text()), known);
}

#[test]
fn a_record_with_a_field_that_cannot_be_read_is_no_whole_state() {
    let entity = entity();
    let price = entity.index("price").unwrap();
    let mut record = Record::of(&entity, [("sku", "A".into()), ("price", Value::Null)]);
    assert!(record.is_whole(&entity));
    record.set_unreadable(price);
    assert!(!record.is_whole(&entity) && record.unreadable().contains(price) && record.get(price).is_none());
    assert_eq!(record.to_json(&entity), json!({"sku": "A"}), "it is not written as null");
    let same = record.clone();
    let text = |record| crate::checksum::record_text(&entity, entity.all_fields(), record);
    assert_ne!(text(&record), text(&Record::of(&entity, [("sku", "A".into()), ("price", Value::Null)])));
    assert!(!crate::foreign::Found::Record(record.clone()).is(&entity, Some(&same)), "it is nobody's equal");
    record.set(price, Value::Null);
    assert!(record.is_whole(&entity) && record.unreadable().is_empty());
}
