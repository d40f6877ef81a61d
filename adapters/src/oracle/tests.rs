//! Every text that is sent to an Oracle, to be read when it changes: no real server has judged them here.

use std::fmt::Write;
use std::time::Duration;

use model::Side;
use model::checksum::Chunk;
use oracle::sql_type::OracleType;
use testkit::inventory::{self, level_key, product_key};

use super::connect::use_client;
use super::lanes::Lanes;
use super::read::{Lookup, list, scan};
use super::settings::{Settings, Track};
use super::table::Table;
use super::{bookkeeping, checksum, connect, ledger, shapes, stands, write_text};
use crate::known::Known;

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
    put("numbers of 2, locked", &stands::numbers_text(table, 2, Some(5)));
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
    section(&mut out, "raise a version, as secondary", &write_text::raise_version(false, true));
    section(&mut out, "raise a version with its number", &write_text::raise_version(true, false));
    section(&mut out, "a life that has gone back, locked", &bookkeeping::gone_back_text(4));
    section(&mut out, "raise a version, where a side has gone back", &write_text::raise_version(false, false));
    section(&mut out, "first version, where a side has gone back", &write_text::first_version(false, false));
    section(&mut out, "first version, as secondary", &write_text::first_version(false, true));
    section(&mut out, "first version with its number", &write_text::first_version(true, false));
    section(&mut out, "numbers as they were left", &stands::left_text(2));
    section(&mut out, "keep a number", stands::KEEP);
    section(&mut out, "what the oldest write that waits was made from", stands::OLDEST_WAITING);
    section(&mut out, "ledger row", write_text::LEDGER_ROW);
    let ours = shapes::ForUs::of(&Known::new(contract.clone()).picture());
    section(&mut out, "lease", &ledger::lease_text(2, &ours));
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

#[test]
fn a_look_up_has_room_for_its_keys_and_a_page_for_no_more_than_a_session_should_hold() {
    let contract = inventory::contract();
    let table = Table::new(contract.entity(&"Product".into()).unwrap(), Side::Legacy);
    let array = |count: usize| {
        let keys: Vec<_> = (0..count).map(|number| product_key(&format!("A{number}"))).collect();
        Lookup::new(table, &keys, table.entity.key_fields()).1.unwrap().array()
    };
    assert_eq!([array(1), array(3), array(1_000)], [1, 3, 500]);
    assert_eq!(scan(table, None, 1_000, None).unwrap().array(), 500);
}

#[test]
fn each_column_is_bound_as_what_it_is() {
    use super::bind::{Bind, Kind};
    use crate::stored::Stored;
    use model::contract::ColumnType;
    let day = chrono::NaiveDate::from_ymd_opt(2026, 10, 25).unwrap();
    let time = || Stored::Timestamp(day.and_hms_opt(2, 30, 0).unwrap());
    let cases = [
        (ColumnType::Char(18), Stored::Text("A".into()), Kind::Char(1)),
        (ColumnType::Varchar(Some(60)), Stored::Text("ä".into()), Kind::Text(2)),
        (ColumnType::Numeric(None), Stored::Numeric("1.5".parse().unwrap()), Kind::Number),
        (ColumnType::Integer, Stored::Integer(1), Kind::Number),
        (ColumnType::BigInt, Stored::Big(1), Kind::Number),
        (ColumnType::Boolean, Stored::Bool(true), Kind::Number),
        // A DATE column that is compared with a TIMESTAMP loses its index.
        (ColumnType::TimestampSeconds, time(), Kind::Date),
        (ColumnType::Date, Stored::Date(day), Kind::Date),
        (ColumnType::Timestamp, time(), Kind::Timestamp),
        (ColumnType::TimestampTz, Stored::TimestampTz(day.and_hms_opt(2, 30, 0).unwrap().and_utc()), Kind::TimestampTz),
    ];
    for (column, stored, kind) in cases {
        let rows = [vec![Bind::stored(column, stored)], vec![Bind::stored(column, Stored::Null)]];
        assert_eq!(Kind::widest(&rows, 0), kind, "{column:?}");
        let national = matches!(kind.oracle(), OracleType::NVarchar2(_) | OracleType::NChar(_));
        assert!(!national, "{column:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_keeps_as_many_statements_as_the_settings_say() {
    let database = testkit::postgres::Database::fresh("cache").await;
    let connect = format!("127.0.0.1:{}/{}", database.port(), database.name());
    let client_lib_dir = Some(testkit::oracle::client_lib_dir());
    let usual = Settings { client_lib_dir, ..Settings::new(connect, "postgres", "none") };
    use_client(Side::Legacy, &usual).unwrap();
    for statement_cache in [usual.statement_cache, 7] {
        let lanes = Lanes::new(Side::Legacy, &Settings { statement_cache, ..usual.clone() });
        let kept = lanes
            .call(Track::Read, Duration::from_secs(20), |session| Ok(session.connection().stmt_cache_size().unwrap()));
        assert_eq!(kept.await.unwrap(), statement_cache);
    }
}
