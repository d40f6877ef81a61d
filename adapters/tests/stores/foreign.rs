//! What a real server's own triggers, and a contract that changes, have to do with foreign writes.

use std::sync::Arc;

use adapters::postgres::{PostgresStore, Settings};
use model::foreign::Found;
use model::write::Work;
use model::{Applied, Contract, EntityType, Epoch, Record, Side, Store as _};
use testkit::contract::{WITHIN, change, command, entity, now, on_hand};
use testkit::inventory::{self, product_key};

use super::postgres::{Fixture, connect};

/// Every write of a level is changed on its way to the table: `on_hand` is rounded up to tens.
const ROUNDS_UP: &str = "\
CREATE FUNCTION round_up() RETURNS trigger LANGUAGE plpgsql AS \
$$ BEGIN NEW.on_hand := ((NEW.on_hand + 9) / 10) * 10; RETURN NEW; END $$; \
CREATE TRIGGER round_up BEFORE INSERT OR UPDATE ON stock_levels FOR EACH ROW EXECUTE FUNCTION round_up()";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stores_own_trigger_makes_of_our_values_is_not_foreign() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    connect(&fixture.database).await.batch_execute(ROUNDS_UP).await.unwrap();
    for position in 1..=4 {
        let applied = store.apply(&[change("A", "BER", position, Some(position.cast_signed()))], WITHIN).await;
        assert_eq!(applied.unwrap(), [Applied::Newer], "position {position}");
        assert_eq!(on_hand(&store, "A", "BER").await, Some(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_keeps_rows_from_being_written_is_an_error_and_not_a_foreign_write() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    let client = connect(&fixture.database).await;
    let skips = "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
                 CREATE TRIGGER skip BEFORE INSERT ON stock_levels FOR EACH ROW EXECUTE FUNCTION skip()";
    client.batch_execute(skips).await.unwrap();
    let error = store.apply(&[change("A", "BER", 1, Some(1))], WITHIN).await.unwrap_err();
    assert_eq!(error.kind(), "refused");
    client.batch_execute("DROP TRIGGER skip ON stock_levels").await.unwrap();
    assert_eq!(store.apply(&[change("A", "BER", 1, Some(1))], WITHIN).await.unwrap(), [Applied::Newer]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_another_shape_says_nothing() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    let client = connect(&fixture.database).await;
    store.apply(&[change("A", "BER", 1, Some(1))], WITHIN).await.unwrap();
    client.batch_execute("UPDATE stock_levels SET on_hand = 50").await.unwrap();
    let met = store.apply(&[change("A", "BER", 2, Some(2))], WITHIN).await.unwrap();
    assert!(matches!(met[..], [Applied::Foreign(Found::Record(_))]), "{met:?}");
    // As another contract would have left it.
    client.batch_execute("UPDATE strangler_version SET shape = shape + 1").await.unwrap();
    assert_eq!(store.apply(&[change("A", "BER", 2, Some(2))], WITHIN).await.unwrap(), [Applied::Newer]);
}

/// A primary leaves the number of the record that it has read back; this server folds letters otherwise than we do.
#[tokio::test(flavor = "multi_thread")]
async fn letters_that_the_server_folds_otherwise_make_no_row_of_a_primary_foreign() {
    let fixture = Fixture::new(Side::Modern).await;
    let key = product_key("A");
    let mut product = EntityType::clone(&entity(&key));
    for field in product.fields.iter_mut().filter(|field| field.name.as_str() == "name") {
        field.compare.ignore_case = true;
    }
    let mut contract = Contract::clone(&inventory::contract());
    contract.entities.insert(product.name.clone(), Arc::new(product.clone()));
    let settings = Settings::new(fixture.database.url());
    let store = PostgresStore::connect(Side::Modern, Arc::new(contract), &settings).unwrap();
    let client = connect(&fixture.database).await;
    let stands =
        async || -> i64 { client.query_one("SELECT stands FROM strangler_version", &[]).await.unwrap().get(0) };

    let record = Record::of(&product, [("name", "İSTANBUL ǅ ẞ ΑΣ".into()), ("active", model::Value::Bool(true))]);
    let set = command(Work::Set(record), vec![key.clone()]);
    let written = now(store.execute(&set, WITHIN).await).remove(0);
    let left = stands().await;
    assert_eq!(store.as_left(&product, &key, WITHIN).await.unwrap(), Some(true));

    let mut next = written.clone();
    next.version.epoch = Epoch(2);
    assert_eq!(store.apply(&[next.clone()], WITHIN).await.unwrap(), [Applied::Newer]);
    assert_ne!(stands().await, left, "the server numbers the row as we do: the test tests nothing");
    next.version.position.0 += 1;
    next.state = None;
    assert_eq!(store.apply(&[next], WITHIN).await.unwrap(), [Applied::Newer]);
}
