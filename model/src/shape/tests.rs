use super::*;
use crate::contract::{ColumnType, Compare, Contract};
use crate::side::Side;
use crate::value::{Instant, Value};
use std::sync::Arc;

fn field(name: &str) -> Field {
    let home = |column: String| Home::new(column, ColumnType::Varchar(Some(40)));
    Field {
        name: name.into(),
        kind: Kind::Text,
        nullable: true,
        home: PerSide { legacy: home(name.to_uppercase()), modern: home(name.to_owned()) },
        compare: Compare::default(),
        sensitive: false,
        stamped: false,
    }
}

fn product(fields: Vec<Field>, key: &str) -> EntityType {
    let table = PerSide { legacy: "ITM".into(), modern: "products".into() };
    EntityType::new("Product".into(), "inventory".into(), table, fields, &[key]).unwrap()
}

fn plain() -> EntityType {
    product(vec![field("sku"), field("name"), field("class")], "sku")
}

/// The plain type with something changed about `class`.
fn changed(change: impl Fn(&mut Field)) -> EntityType {
    let mut entity = plain();
    change(&mut entity.fields[2]);
    entity
}

/// What is found forth, and back.
fn forth_and_back(own: &EntityType) -> (Vec<Difference>, Vec<Difference>) {
    let (was, own) = (Shape::of(&plain()), Shape::of(own));
    (differences(Some(&was), Some(&own)), differences(Some(&own), Some(&was)))
}

fn classes(found: &[Difference]) -> Vec<Class> {
    found.iter().map(Difference::class).collect()
}

#[test]
fn the_same_contract_differs_in_nothing_and_has_the_same_name() {
    assert_eq!(forth_and_back(&plain()), (vec![], vec![]));
    assert_eq!(Shape::of(&plain()).id(), Shape::of(&plain()).id());
    let shape = Shape::of(&plain());
    assert_eq!(Shape::from_text(&shape.to_text()), Some(shape));
}

#[test]
fn a_field_more_works_side_by_side_and_only_the_wider_contract_knows_the_other() {
    let wider = product(vec![field("sku"), field("name"), field("class"), field("color")], "sku");
    let (forth, back) = forth_and_back(&wider);
    assert_eq!(forth, [Difference::FieldAdded("color".into())]);
    assert_eq!(back, [Difference::FieldRemoved("color".into())]);
    assert_eq!(classes(&[forth, back].concat()), [Class::BothAtOnce; 2]);
    let (narrow, wide) = (Shape::of(&plain()), Shape::of(&wider));
    assert!(wide.knows(&narrow) && !narrow.knows(&wide));
    assert_ne!(wide.id(), narrow.id());
}

#[test]
fn a_field_that_is_made_required_is_compatible_and_named() {
    let (forth, back) = forth_and_back(&changed(|field| field.nullable = false));
    assert_eq!(forth, [Difference::MadeRequired("class".into())]);
    assert_eq!(back, [Difference::MadeOptional("class".into())]);
    assert_eq!(classes(&[forth, back].concat()), [Class::Compatible; 2]);
}

#[test]
fn another_rule_of_comparison_or_column_width_is_compatible() {
    let rules = changed(|field| field.compare.ignore_case = true);
    assert_eq!(forth_and_back(&rules).0, [Difference::RulesChanged("class".into())]);
    let wider = changed(|field| field.home.modern.column_type = ColumnType::Varchar(Some(80)));
    assert_eq!(forth_and_back(&wider).0, [Difference::ColumnType("class".into(), Side::Modern)]);
    for entity in [rules, wider] {
        let (forth, back) = forth_and_back(&entity);
        assert_eq!(classes(&[forth, back].concat()), [Class::Compatible; 2]);
        assert!(Shape::of(&entity).knows(&Shape::of(&plain())) && Shape::of(&plain()).knows(&Shape::of(&entity)));
    }
}

#[test]
fn a_map_may_grow_and_its_values_may_not_change() {
    let map =
        |texts: &[(&str, &str)]| texts.iter().map(|(v, t)| (Value::text(*v), (*t).to_owned())).collect::<Vec<_>>();
    let with = |texts: &[(&str, &str)]| changed(|field| field.home.legacy.map = map(texts));
    let (two, three) = (with(&[("A", "1"), ("B", "2")]), with(&[("A", "1"), ("B", "2"), ("C", "3")]));
    let other = with(&[("A", "1"), ("B", "9")]);
    let between = |was: &EntityType, own: &EntityType| differences(Some(&Shape::of(was)), Some(&Shape::of(own)));
    assert_eq!(between(&two, &three), [Difference::MapGrown("class".into(), Side::Legacy)]);
    assert_eq!(between(&three, &two), [Difference::MapShrunk("class".into(), Side::Legacy)]);
    assert_eq!(between(&two, &other), [Difference::MapChanged("class".into(), Side::Legacy)]);
    assert_eq!(between(&plain(), &two), [Difference::MapChanged("class".into(), Side::Legacy)], "from none at all");
    assert!(Shape::of(&three).knows(&Shape::of(&two)) && !Shape::of(&two).knows(&Shape::of(&three)));
}

#[test]
fn what_lives_elsewhere_or_is_kept_otherwise_is_refused_both_ways() {
    let moved = changed(|field| field.home.modern.column = "klass".into());
    assert_eq!(forth_and_back(&moved).0, [Difference::ColumnMoved("class".into(), Side::Modern)]);
    let zone = changed(|field| field.home.legacy.zone = crate::zone::Zone::named("Europe/Berlin"));
    assert_eq!(forth_and_back(&zone).0, [Difference::HabitChanged("class".into(), Side::Legacy)]);
    let null = changed(|field| field.home.legacy.null_instants = vec![Instant::parse("9999-12-31T00:00:00Z").unwrap()]);
    assert_eq!(forth_and_back(&null).0, [Difference::HabitChanged("class".into(), Side::Legacy)]);
    let kind = changed(|field| field.kind = Kind::Int);
    assert_eq!(forth_and_back(&kind).0, [Difference::KindChanged("class".into())]);
    let key = product(vec![field("sku"), field("name"), field("class")], "name");
    assert_eq!(forth_and_back(&key).0, [Difference::KeyChanged]);
    let mut table = plain();
    table.table.modern = "articles".into();
    assert_eq!(forth_and_back(&table).0, [Difference::TableMoved(Side::Modern)]);
    for entity in [moved, zone, null, kind, key, table] {
        let (forth, back) = forth_and_back(&entity);
        assert_eq!(classes(&[forth, back].concat()), [Class::Refused; 2]);
        assert!(!Shape::of(&entity).knows(&Shape::of(&plain())), "neither may apply what the other has written");
    }
}

#[test]
fn another_group_is_refused_and_names_the_one_that_was() {
    let mut moved = plain();
    moved.group = "catalog".into();
    let (forth, _) = forth_and_back(&moved);
    assert_eq!(forth, [Difference::GroupChanged("inventory".into())]);
    assert_eq!(classes(&forth), [Class::Refused]);
}

#[test]
fn types_come_and_go_side_by_side() {
    let contract = |names: &[&str]| {
        let mut contract = Contract::default();
        for name in names {
            let mut entity = plain();
            entity.name = (*name).into();
            contract.entities.insert((*name).into(), Arc::new(entity));
        }
        contract
    };
    let remembered = |contract: &Contract| {
        let shapes = contract.entities.values().map(|entity| Shape::of(entity));
        let one =
            |shape: Shape| Remembered { entity: shape.entity.clone(), id: shape.id(), rank: 1, shape: Some(shape) };
        shapes.map(one).collect::<Vec<_>>()
    };
    let (one, two) = (contract(&["Product"]), contract(&["Product", "Bundle"]));
    assert_eq!(judge(&remembered(&one), &two), [("Bundle".into(), Difference::TypeAdded)]);
    assert_eq!(judge(&remembered(&two), &one), [("Bundle".into(), Difference::TypeRemoved)]);
    assert_eq!(judge(&[], &two), [], "a side that remembers nothing");
    assert_eq!(Difference::TypeAdded.class(), Class::BothAtOnce);
    assert_eq!(Difference::TypeRemoved.class(), Class::BothAtOnce);
}

#[test]
fn the_registered_shape_is_the_one_with_the_greatest_rank() {
    let narrow = Shape::of(&plain());
    let wide = Shape::of(&product(vec![field("sku"), field("name"), field("class"), field("color")], "sku"));
    let kept = |shape: &Shape, rank| Remembered {
        entity: shape.entity.clone(),
        id: shape.id(),
        rank,
        shape: Some(shape.clone()),
    };
    let remembered = [kept(&narrow, 3), kept(&wide, 2)];
    assert_eq!(registered(&remembered, &"Product".into()).map(|one| one.id), Some(narrow.id()));
    assert_eq!(registered(&[kept(&wide, 0)], &"Product".into()), None, "seen and never registered");
    assert_eq!(registered(&remembered, &"Bundle".into()), None);
}

#[test]
fn numbers_of_a_narrower_shape_are_compared_over_its_fields() {
    let wider = product(vec![field("color"), field("sku"), field("name"), field("class")], "sku");
    let fields = Shape::of(&plain()).compared_as(&wider).unwrap();
    let names: Vec<_> = fields.iter().map(|index| wider.field(*index).name.to_string()).collect();
    assert_eq!(names, ["sku", "name", "class"], "in the order in which the number was made");
    assert_eq!(Shape::of(&wider).compared_as(&plain()), None, "a field that is not known");
    let rules = changed(|field| field.compare.ignore_case = true);
    assert_eq!(Shape::of(&plain()).compared_as(&rules), None, "another text");
    let moved = changed(|field| field.home.modern.column = "klass".into());
    assert!(Shape::of(&plain()).compared_as(&moved).is_some(), "where it lives makes no other text");
}
