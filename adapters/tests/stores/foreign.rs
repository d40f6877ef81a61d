//! What a contract that changes, and a server that folds letters in its own way, have to do with foreign writes.

use std::sync::Arc;

use adapters::postgres::{PostgresStore, Settings};
use model::foreign::Found;
use model::write::Work;
use model::{Applied, Contract, EntityType, Epoch, Record, Side};
use testkit::contract::{Subject, WITHIN, bring, change, command, entity, now};
use testkit::inventory::{self, product_key};

use super::postgres::{Fixture, connect};

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_another_shape_says_nothing() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    let client = connect(&fixture.database).await;
    bring(&store, &[change("A", "BER", 1, Some(1))]).await.unwrap();
    client.batch_execute("UPDATE stock_levels SET on_hand = 50").await.unwrap();
    let met = bring(&store, &[change("A", "BER", 2, Some(2))]).await.unwrap();
    assert!(matches!(met[..], [Applied::Foreign(Found::Record(_))]), "{met:?}");
    // As another contract would have left it.
    client.batch_execute("UPDATE strangler_version SET shape = shape + 1").await.unwrap();
    assert_eq!(bring(&store, &[change("A", "BER", 2, Some(2))]).await.unwrap(), [Applied::Unproven]);
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
    let store: Subject = Arc::new(PostgresStore::connect(Side::Modern, Arc::new(contract), &settings).unwrap());
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
    assert_eq!(bring(&store, &[next.clone()]).await.unwrap(), [Applied::Newer]);
    assert_ne!(stands().await, left, "the server numbers the row as we do: the test tests nothing");
    next.version.position.0 += 1;
    next.state = None;
    assert_eq!(bring(&store, &[next]).await.unwrap(), [Applied::Newer]);
}
