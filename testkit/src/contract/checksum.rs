//! Checksums computed inside a store are those of `model::checksum`, whatever its columns look like.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use model::checksum::{Chunk, ChunkSum, DIGITS, compared, record_text};
use model::contract::Compare;
use model::write::Work;
use model::{EntityType, Kind, Record};
use proptest::prelude::any;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::{Subject, WITHIN, command, entity, now, reads, set_level};
use crate::inventory::{level_key, product_key};

/// What the specification says of some records, without any store.
pub fn specified(entity: &EntityType, records: &[Record], digits: usize) -> Vec<(Chunk, ChunkSum)> {
    let digest = |text: &str| -> String { Md5::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect() };
    let mut sums: BTreeMap<Chunk, ChunkSum> = BTreeMap::new();
    for record in records {
        let key = digest(&record_text(entity, entity.key_fields(), record));
        let number = digest(&record_text(entity, compared(entity), record));
        let number = u64::from_str_radix(&number[..DIGITS], 16).expect("hexadecimal digits");
        let sum = sums.entry(Chunk::new(&key[..digits]).expect("a prefix")).or_default();
        *sum = sum.with(number);
    }
    sums.into_iter().collect()
}

/// The type with rules of comparison. `ignoreCase` is left out: engines may fold rare letters differently.
fn forgiving(entity: &EntityType) -> EntityType {
    let mut forgiving = entity.clone();
    for field in &mut forgiving.fields {
        field.compare = match field.kind {
            Kind::Decimal => Compare { scale: Some(1), ..Compare::default() },
            Kind::Instant => Compare { to_seconds: true, ..Compare::default() },
            Kind::Bool => Compare { ignore: true, ..Compare::default() },
            Kind::Text | Kind::Int => Compare::default(),
        };
    }
    forgiving
}

/// Random records of every type of column: each part of the whole has the specification's count and sum.
pub async fn sums_are_those_of_the_specification(store: Subject) {
    let entity = entity(&product_key("A"));
    assert_eq!(store.sums(&entity, &Chunk::whole(), WITHIN).await.unwrap(), []);
    let mut records = BTreeMap::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..200 {
        let record = reads::products().new_tree(&mut runner).expect("a record").current();
        let key = record.key(&entity).expect("a key");
        now(store.execute(&command(Work::Set(record.clone()), vec![key.clone()]), WITHIN).await);
        records.insert(key, record);
    }
    let records: Vec<_> = records.into_values().collect();
    let strict = store.sums(&entity, &Chunk::whole(), WITHIN).await.unwrap();
    assert_eq!(strict, specified(&entity, &records, 2));

    let forgiving = forgiving(&entity);
    let forgiven = store.sums(&forgiving, &Chunk::whole(), WITHIN).await.unwrap();
    assert_eq!(forgiven, specified(&forgiving, &records, 2));
    assert_ne!(forgiven, strict);
}

/// Texts of all of Unicode, with the letters that our own texts are made of: a store and the specification agree, and
/// the specification tells any two lists of texts apart.
pub async fn any_text_has_the_number_of_the_specification(store: Subject) {
    let entity = entity(&product_key("A"));
    let mut runner = TestRunner::deterministic();
    let odd = "[\u{1e}\u{1f}01LMé😀\u{7f}\u{80}\u{fffd}]{1,8}".prop_map(|text| text);
    let any =
        proptest::collection::vec(any::<char>(), 1..10).prop_map(|letters| letters.into_iter().collect::<String>());
    let texts = proptest::prop_oneof![odd, any].prop_map(|text| text.replace('\0', "0"));
    let mut records = Vec::new();
    for number in 0..150 {
        let name = texts.new_tree(&mut runner).expect("a text").current();
        let mut record = reads::products().new_tree(&mut runner).expect("a record").current();
        let key = product_key(&format!("\u{1f}{number}\u{1e}"));
        for (field, value) in [("sku", key.parts()[0].clone()), ("name", name.as_str().into())] {
            record.set(entity.index(field).expect("a field"), value);
        }
        now(store.execute(&command(Work::Set(record.clone()), vec![key]), WITHIN).await);
        records.push(record);
    }
    let sums = store.sums(&entity, &Chunk::whole(), WITHIN).await.unwrap();
    assert_eq!(sums, specified(&entity, &records, 2));
}

/// From the whole to the smallest chunk, the one part that differs leads to the changed record.
pub async fn a_changed_record_is_found_by_its_chunks(store: Subject) {
    let key = level_key("SKU-7", "BER");
    let entity = entity(&key);
    for number in 0..40 {
        set_level(&store, &format!("SKU-{number}"), "BER", number).await;
    }
    let mut chunk = Chunk::whole();
    let mut before = Vec::new();
    loop {
        let parts = store.sums(&entity, &chunk, WITHIN).await.unwrap();
        let held: u64 = parts.iter().map(|(_, sum)| sum.records).sum();
        let members = store.members(&entity, &chunk, 100, WITHIN).await.unwrap();
        assert_eq!(members.len() as u64, held);
        before.push(parts);
        // The way of the key that will change, from the specification.
        let of_key = specified(
            &entity,
            &[Record::of(&entity, [("sku", "SKU-7".into()), ("location", "BER".into())])],
            chunk.part_digits().unwrap_or(8),
        );
        if chunk.part_digits().is_none() {
            break;
        }
        chunk = of_key[0].0.clone();
    }

    set_level(&store, "SKU-7", "BER", 700).await;

    let mut chunk = Chunk::whole();
    for parts in before {
        let now = store.sums(&entity, &chunk, WITHIN).await.unwrap();
        let differ: Vec<_> = now.iter().zip(&parts).filter(|(new, old)| new != old).collect();
        assert_eq!(differ.len(), 1, "{chunk}");
        chunk = differ[0].0.0.clone();
    }
    let members = store.members(&entity, &chunk, 100, WITHIN).await.unwrap();
    assert_eq!(members.iter().filter_map(|record| record.key(&entity)).collect::<Vec<_>>(), [key]);
    assert!(store.members(&entity, &chunk, 0, WITHIN).await.unwrap().is_empty());
}
