//! Replicas of two contracts on one database: what the older one makes of what the newer one wrote.

use std::sync::Arc;
use std::time::Duration;

use adapters::oracle::OracleStore;
use adapters::postgres::{PostgresStore, Settings};
use model::write::{Claim, Work};
use model::{Applied, Change, Contract, EntityType, Kind, Record, Shape, Side, Stand, Value, Why, Written};
use testkit::contract::{Subject, WITHIN, bring, command, now, overtaken_by, with_key};
use testkit::inventory::{self, product_key};

use super::{any_oracle, postgres};

/// The same database through an older contract and through the newer one.
struct Pair {
    old: Subject,
    new: Subject,
    _held: Box<dyn std::any::Any>,
}

async fn on_postgres(side: Side, old: Arc<Contract>) -> Pair {
    let fixture = postgres::Fixture::new(side).await;
    let store = PostgresStore::connect(side, old, &Settings::new(fixture.database.url())).unwrap();
    Pair { old: Arc::new(store), new: fixture.subject(), _held: Box::new(fixture) }
}

async fn on_oracle(side: Side, old: Arc<Contract>) -> Pair {
    let fixture = any_oracle::Fixture::new(side).await;
    let store = OracleStore::connect(side, old, &fixture.database.settings()).unwrap();
    Pair { old: Arc::new(store), new: fixture.subject(), _held: Box::new(fixture) }
}

/// The inventory without products' weight.
fn narrow() -> Arc<Contract> {
    inventory::contract_with("Product", |fields| fields.retain(|field| field.name.as_str() != "weight"))
}

/// The inventory in which a price is a whole number.
fn other_kind() -> Arc<Contract> {
    let price = |field: &&mut model::Field| field.name.as_str() == "price";
    inventory::contract_with("Product", |fields| fields.iter_mut().filter(price).for_each(|f| f.kind = Kind::Int))
}

/// The inventory without products.
fn without_the_type() -> Arc<Contract> {
    let mut contract = Contract::clone(&inventory::contract());
    contract.entities.retain(|name, _| name.as_str() != "Product");
    Arc::new(contract)
}

fn product(values: &[(&str, Value)]) -> Record {
    let contract = inventory::contract();
    let mut all = vec![("sku", "A".into()), ("active", Value::Bool(true))];
    all.extend_from_slice(values);
    Record::of(contract.entity(&"Product".into()).unwrap(), all)
}

/// A write of the newer contract with its idempotency key.
async fn write(pair: &Pair) -> Change {
    let values =
        [("weight", Value::Decimal("7.5".parse().unwrap())), ("price", Value::Decimal("1.25".parse().unwrap()))];
    let set = command(Work::Set(product(&values)), vec![product_key("A")]);
    now(pair.new.execute(&with_key(set, "key", "print"), WITHIN).await).remove(0)
}

/// Every reader of ledger rows, through the older contract: one row that it does not know fails none of them.
async fn every_reader_goes_on(pair: Pair, why: Why) {
    let written = write(&pair).await;
    let level = testkit::contract::set_level(&pair.old, "B", "BER", 2).await;
    let (group, key) = (inventory::group(), product_key("A"));
    let keys = pair.old.unsettled_keys(&group, 10, WITHIN).await.unwrap();
    // Nobody asks this replica for keys of a type that it does not have.
    let known = [(key.clone(), written.write), (level.key.clone(), level.write)];
    assert_eq!(keys, known[usize::from(why == Why::Type)..], "keys need no images");
    let leased = pair.old.lease_unsettled(&group, Stand::Open, Duration::ZERO, WITHIN, 10, WITHIN).await.unwrap();
    let leased: Vec<_> = leased.iter().map(|one| one.changes[0].write).collect();
    assert_eq!(leased, [level.write], "what is not known is left to others, and holds up nobody");
    let left = pair.old.left_to_newer(&group, 10, WITHIN).await.unwrap();
    assert_eq!(
        left.iter().map(|one| (&one.key, one.write, &one.why)).collect::<Vec<_>>(),
        [(&key, written.write, &why)]
    );
    assert_eq!(pair.old.standing(&[written.write], WITHIN).await.unwrap(), [written.write]);
    assert_eq!(pair.old.history(&key, 9, WITHIN).await.unwrap().states.len(), 1);
    let entity = testkit::contract::entity(&key);
    assert_eq!(pair.old.past_states(&entity, &key, 9, WITHIN).await.unwrap().len(), 1);
    let Claim::Stands(changes) = pair.old.claim(written.write, WITHIN).await.unwrap() else { panic!("it stands") };
    assert_eq!(changes[0].write, written.write);
    // A repeat of the client's key that comes to the older replica.
    let level = inventory::level("C", "BER", 1);
    let again = with_key(command(Work::Set(level), vec![inventory::level_key("C", "BER")]), "key", "print");
    let Written::Before(changes) = pair.old.execute(&again, WITHIN).await.unwrap() else { panic!("a repeat") };
    assert_eq!(changes[0].write, written.write);
    assert_eq!(changes[0].key, key);
    // The newer one has not lost sight of it.
    let leased = pair.new.lease_unsettled(&group, Stand::Open, Duration::ZERO, WITHIN, 10, WITHIN).await.unwrap();
    assert_eq!(leased.iter().map(|one| &one.changes).collect::<Vec<_>>(), [&vec![written]]);
}

/// What the older contract reads of a state it hands on whole, and applies not.
async fn images_are_carried_along(pair: Pair) {
    let written = write(&pair).await;
    let Claim::Stands(read) = pair.old.claim(written.write, WITHIN).await.unwrap() else { panic!("it stands") };
    let contract = narrow();
    let old = contract.entity(&"Product".into()).unwrap();
    let new = testkit::contract::entity(&written.key);
    let image = |change: &Change, entity: &model::EntityType| change.state.as_ref().unwrap().to_json(entity);
    assert_eq!(image(&read[0], old), image(&written, &new), "all of it");
    let mut later = read[0].clone();
    later.version.epoch.0 += 1;
    assert_eq!(bring(&pair.old, &[later.clone()]).await.unwrap(), [Applied::NotKnown]);
    later.state = Record::from_json(&new, &image(&later, old));
    let applied = bring(&pair.new, &[later]).await.unwrap();
    assert!(matches!(applied[..], [Applied::Newer | Applied::Unproven]), "{applied:?}");
}

/// A narrower state that won settles nothing; a row that the older contract writes keeps what that does not know.
async fn a_narrower_winner_settles_nothing(pair: Pair) {
    let written = write(&pair).await;
    let shape = Shape::of(&testkit::contract::entity(&written.key));
    let price =
        Record::of(narrow().entity(&"Product".into()).unwrap(), [("price", Value::Decimal("2".parse().unwrap()))]);
    let narrower = now(pair.old.execute(&command(Work::Set(price), vec![product_key("A")]), WITHIN).await).remove(0);
    let row = testkit::contract::read(&pair.new, &written.key).await.unwrap();
    let weight = testkit::contract::entity(&written.key).index("weight").unwrap();
    assert_eq!(row.get(weight), Some(&Value::Decimal("7.5".parse().unwrap())), "kept");
    let lost = || bring(&pair.new, std::slice::from_ref(&written));
    assert_eq!(lost().await.unwrap(), [Applied::NotWhole], "what won says nothing of the weight");
    // Looked at again on the primary, the newest state is whole.
    let touched = now(pair.new.execute(&command(Work::Touch, vec![product_key("A")]), WITHIN).await).remove(0);
    assert!(touched.version > narrower.version);
    pair.new.remember_shape(&shape, WITHIN).await.unwrap();
    assert_eq!(overtaken_by(&lost().await.unwrap()[0]), touched.write);
    // The older one knows that its state is part of that of the winner.
    assert_eq!(overtaken_by(&bring(&pair.old, &[narrower]).await.unwrap()[0]), touched.write);
}

/// The newer contract has written the row here since the state from which the older one's write counts. Nobody else has: by
/// the older one's rules the row has no number that was kept, and its base is of before.
async fn a_row_of_the_newer_contract_is_nobody_elses(pair: Pair) {
    let contract = narrow();
    let old = contract.entity(&"Product".into()).unwrap();
    let price = |price: &str| ("price", Value::Decimal(price.parse().unwrap()));
    let change = |position: u64, state: Record| Change {
        key: product_key("A"),
        state: Some(state),
        ..testkit::contract::change("A", "BER", position, None)
    };
    let whole = |entity: &EntityType, values: &[(&str, Value)]| {
        let mut record = Record::of(entity, [("sku", "A".into()), ("active", Value::Bool(true))]);
        for index in entity.all_fields().iter().filter(|index| record.get(*index).is_none()).collect::<Vec<_>>() {
            record.set(index, Value::Null);
        }
        values.iter().for_each(|(name, value)| record.set(entity.index(name).unwrap(), value.clone()));
        record
    };
    let narrow_state = |value: &str| whole(old, &[price(value)]);
    let first = change(10, narrow_state("1"));
    let base = |state: &Record| Some(adapters::base_of(old, Some(state)));
    // As `init --accept-contract` does: the states of this contract are whole from now on.
    let accept = async |store: &Subject, entity: &EntityType| {
        let rank = store.shapes(WITHIN).await.unwrap().iter().map(|known| known.rank).max().unwrap_or(0);
        assert!(store.register(&Shape::of(entity), rank, WITHIN).await.unwrap());
    };
    let new = testkit::contract::entity(&product_key("A"));
    let wide_state = whole(&new, &[("weight", Value::Decimal("7.5".parse().unwrap())), price("2")]);
    accept(&pair.old, old).await;
    assert_eq!(bring(&pair.old, std::slice::from_ref(&first)).await.unwrap(), [Applied::Newer]);
    accept(&pair.new, &new).await;
    let second = bring(&pair.new, &[change(20, wide_state)]).await.unwrap();
    assert!(matches!(second[..], [Applied::Newer | Applied::Unproven]), "{second:?}");
    accept(&pair.old, old).await;

    // Its base is of the first state, since the second was not known to be settled.
    let third = Change { base: base(first.state.as_ref().unwrap()), ..change(30, narrow_state("3")) };
    assert_eq!(bring(&pair.old, std::slice::from_ref(&third)).await.unwrap(), [Applied::Unproven]);
    // By one set of rules from then on, and so are those who are met by it.
    let fourth = Change { base: base(third.state.as_ref().unwrap()), ..change(40, narrow_state("4")) };
    assert_eq!(bring(&pair.old, &[fourth]).await.unwrap(), [Applied::Newer]);
}

macro_rules! on_both {
    ($($name:ident: $test:expr;)*) => {
        mod over_postgres {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let test = $test;
                for side in Side::BOTH {
                    test(side, true).await;
                }
            })*
        }
        mod over_oracle {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let test = $test;
                test(Side::Legacy, false).await;
            })*
        }
    };
}

async fn pair(side: Side, on_pg: bool, old: Arc<Contract>) -> Pair {
    if on_pg { on_postgres(side, old).await } else { on_oracle(side, old).await }
}

on_both! {
    a_field_more_fails_no_reader_of_the_ledger: async |side, pg| {
        every_reader_goes_on(pair(side, pg, narrow()).await, Why::Field("weight".into())).await;
    };
    a_field_of_another_kind_fails_no_reader_of_the_ledger: async |side, pg| {
        every_reader_goes_on(pair(side, pg, other_kind()).await, Why::Field("price".into())).await;
    };
    a_type_more_fails_no_reader_of_the_ledger: async |side, pg| {
        every_reader_goes_on(pair(side, pg, without_the_type()).await, Why::Type).await;
    };
    what_an_older_contract_does_not_know_is_carried_along: async |side, pg| {
        images_are_carried_along(pair(side, pg, narrow()).await).await;
    };
    a_row_that_the_newer_contract_has_written_since_is_foreign_to_nobody: async |side, pg| {
        a_row_of_the_newer_contract_is_nobody_elses(pair(side, pg, narrow()).await).await;
    };
    a_state_that_lost_to_a_narrower_one_is_not_settled: async |side, pg| {
        a_narrower_winner_settles_nothing(pair(side, pg, narrow()).await).await;
    };
}
