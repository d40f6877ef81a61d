//! Every text that is sent to an Oracle, to be read when it changes: no real server has judged them here.

use std::fmt::Write;

use model::Side;
use model::checksum::Chunk;
use testkit::inventory::{self, level_key, product_key};

use super::read::{Lookup, list, scan};
use super::table::Table;
use super::{bookkeeping, checksum, connect, ledger, write_text};

fn section(out: &mut String, title: &str, text: &str) {
    let _ = writeln!(out, "-- {title}\n{text}\n");
}

fn of_table(out: &mut String, table: Table<'_>, keys: &[model::EntityKey]) {
    let (name, fields) = (&table.entity.name, table.entity.all_fields());
    let mut put = |title: &str, text: &str| section(out, &format!("{name}, {}: {title}", table.side), text);
    for count in [1, 3] {
        put(&format!("look-up of {count}"), &table.select(fields, count));
    }
    put("lock", &table.lock(fields, 1, 5));
    let plain = write_text::plain_fields(table, fields);
    put("update", &write_text::update(table, &plain).unwrap());
    put("insert", &write_text::insert(table, &plain));
    put("delete", &write_text::delete(table));
    put("first page", scan(table, None, 10, None).unwrap().text());
    put("next page, as of a moment", scan(table, Some(&keys[0]), 10, Some(1)).unwrap().text());
    put("checksums", checksum::sums(table, &Chunk::whole(), None).text());
    let chunk = Chunk::new("a0").unwrap();
    put("checksums of a chunk, as of a moment", checksum::sums(table, &chunk, Some(1)).text());
    put("members of a chunk", checksum::members(table, &chunk, 10, None).text());
}

#[test]
fn every_text_that_is_sent() {
    let contract = inventory::contract();
    let mut out = String::new();
    section(&mut out, "a new session", connect::SET_UP);
    section(&mut out, "position", bookkeeping::POSITION);
    section(&mut out, "raise a version", write_text::RAISE_VERSION);
    section(&mut out, "first version", write_text::FIRST_VERSION);
    section(&mut out, "ledger row", write_text::LEDGER_ROW);
    section(&mut out, "lease", &ledger::lease_text(2));
    for side in Side::BOTH {
        for key in [product_key("A"), level_key("A", "BER")] {
            of_table(&mut out, Table::new(contract.entity(key.entity()).unwrap(), side), std::slice::from_ref(&key));
        }
    }
    let table = Table::new(contract.entity(&"StockLevel".into()).unwrap(), Side::Legacy);
    let skus = [("skus".to_owned(), model::Value::List(vec!["A".into(), "B".into(), "C".into()]))].into();
    let listed = list(table, &inventory::levels_of(Side::Legacy), &skus, table.entity.key_fields()).unwrap();
    section(&mut out, "a list of the contract", listed.text());
    insta::assert_snapshot!(out);
}

#[test]
fn a_look_up_asks_for_each_key_once_and_fills_its_list_up() {
    let contract = inventory::contract();
    let table = Table::new(contract.entity(&"Product".into()).unwrap(), Side::Legacy);
    let keys = [product_key("A"), product_key("B"), product_key("A"), product_key("C")];
    let (_, question) = Lookup::new(table, &keys, table.entity.key_fields());
    let question = question.unwrap();
    assert!(question.text().ends_with("IN (:1, :2, :3, :4)"), "{}", question.text());
    assert_eq!(question.binds().len(), 4);
    let (_, none) = Lookup::new(table, &[product_key(&"long".repeat(20))], table.entity.key_fields());
    assert!(none.is_none(), "a key that fits no row is not asked for");
}

#[test]
fn a_long_number_goes_as_text_and_takes_its_column_along() {
    use super::bind::{Bind, Kind};
    let short = Bind::number("-12.5");
    let long = Bind::number("1234567890123456789.5");
    assert_eq!(Kind::widest(&[vec![short.clone()]], 0), Kind::Number);
    assert!(matches!(Kind::widest(&[vec![short.clone()], vec![long.clone()]], 0), Kind::Text(200)));
    assert!(matches!(Kind::widest(&[vec![long], vec![short]], 0), Kind::Text(200)));
}
