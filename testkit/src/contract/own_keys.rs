//! Promises about types whose key the ERP makes itself. `testkit::own_keys_contract!(make)` makes a test of each;
//! `make` returns a [`World`] of empty [`orders`] and whatever must be held meanwhile.

use std::collections::BTreeSet;
use std::pin::Pin;

use model::checksum::Chunk;
use model::own_key::{derived_key, number_named};
use model::write::Work;
use model::{
    Applied, Change, EntityKey, Epoch, Incarnation, OwnNumber, Position, Record, StoreError, Unnumbered, Value, Version,
};

use super::{Subject, WITHIN, bring, close, command, now, overtaken_by, write_id};
use crate::orders::{self, FIRST, key, made, number, order};

/// Makes one test per promise.
#[macro_export]
macro_rules! own_keys_contract {
    ($make:path) => {
        $crate::own_keys_contract!(@each $make:
            a_set_on_legacy_takes_a_number_and_keeps_it_for_ever,
            one_key_gets_one_number_however_often_and_by_whom_it_is_applied,
            callers_that_number_one_key_at_once_are_told_the_same,
            rows_of_the_erp_have_derived_keys_and_need_no_entry,
            a_number_that_the_erp_has_used_is_passed_over,
            the_number_of_a_refused_write_is_passed_on_and_one_that_a_row_has_is_not,
            a_derived_key_does_not_reach_a_row_of_another_key,
            both_sides_scan_and_sum_up_the_same_keys,
            modern_learns_a_number_once,
            numbers_that_are_given_and_learned_are_no_foreign_writes,
            a_run_that_is_told_its_number_is_read_back_by_key,
            a_tombstone_needs_no_number_and_outlives_older_states,
            prepared_stores_have_nothing_to_complain_about,
        );
    };
    (@each $make:path: $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (world, _held) = $make().await;
                $crate::contract::own_keys::$promise(world).await;
            }
        )*
    };
}

/// What a program of the ERP does: puts a row of this number and quantity into legacy.
pub type Foreign = Box<dyn Fn(u64, i64) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Both sides, each prepared as primary.
pub struct World {
    /// The side with keys of its own.
    pub legacy: Subject,
    /// The other.
    pub modern: Subject,
    /// Writes past us.
    pub foreign: Foreign,
}

fn change(id: &EntityKey, position: u64, quantity: Option<i64>) -> Change {
    let Value::Text(text) = &id.parts()[0] else { panic!("keys of orders are texts") };
    Change {
        write: write_id(),
        ordinal: 0,
        key: id.clone(),
        version: Version { epoch: Epoch(1), incarnation: Incarnation(1), position: Position(position) },
        state: quantity.map(|quantity| made(text, quantity)),
        idempotency: None,
        base: None,
    }
}

async fn read(store: &Subject, key: &EntityKey) -> Option<Record> {
    let order = order();
    let found = store.fetch(&order, std::slice::from_ref(key), order.all_fields(), WITHIN).await;
    found.expect("a fetch").remove(0)
}

async fn all(store: &Subject) -> Vec<Record> {
    let (order, mut all) = (order(), Vec::new());
    loop {
        let after = all.last().and_then(|record: &Record| record.key(&order));
        let page = store.scan(&order, after.as_ref(), 2, WITHIN).await.expect("a page");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

async fn number_of(store: &Subject, key: &EntityKey) -> Option<OwnNumber> {
    let keys = std::slice::from_ref(key);
    store.numbers(&order(), keys, Unnumbered::Leave, WITHIN).await.expect("numbers")[0]
}

async fn key_of(store: &Subject, number: OwnNumber) -> Option<EntityKey> {
    store.keys_of(&order(), &[number], WITHIN).await.expect("keys").remove(0)
}

fn set(id: &str, quantity: i64) -> model::Command {
    let record = Record::of(&order(), [("id", id.into()), ("quantity", quantity.into())]);
    command(Work::Set(record), vec![key(id)])
}

fn quantity(record: Option<Record>) -> Option<i64> {
    match record?.get(order().index("quantity").expect("a field")) {
        Some(Value::Int(quantity)) => Some(*quantity),
        other => panic!("no number: {other:?}"),
    }
}

fn an(number: u64) -> OwnNumber {
    OwnNumber::new(number).expect("a number of the ERP")
}

/// The row is made under a number; both names lead to it; nothing takes the number away again.
pub async fn a_set_on_legacy_takes_a_number_and_keeps_it_for_ever(world: World) {
    let legacy = &world.legacy;
    assert_eq!(number_of(legacy, &key("A")).await, None);
    let change = now(legacy.execute(&set("A", 1), WITHIN).await).remove(0);
    let given = number(change.state.as_ref().expect("a state")).expect("a number");
    assert_eq!((&change.key, number_of(legacy, &key("A")).await), (&key("A"), Some(given)));
    assert_eq!(read(legacy, &key("A")).await, change.state);
    assert_eq!(key_of(legacy, given).await, Some(key("A")));
    now(legacy.execute(&set("A", 2), WITHIN).await);
    now(legacy.execute(&set("B", 7), WITHIN).await);
    let found = read(legacy, &key("A")).await.expect("a row");
    assert_eq!((number(&found), quantity(Some(found))), (Some(given), Some(2)));
    assert_eq!(all(legacy).await.len(), 2);
    let gone = now(legacy.execute(&command(Work::Delete, vec![key("A")]), WITHIN).await).remove(0);
    assert_eq!((gone.key, gone.state), (key("A"), None));
    assert_eq!(read(legacy, &key("A")).await, None);
    let again = now(legacy.execute(&set("A", 3), WITHIN).await).remove(0);
    assert_eq!(number(again.state.as_ref().expect("a state")), Some(given));
    // A touch states how it stands, under the canonical key.
    let touched = now(legacy.execute(&command(Work::Touch, vec![key("A")]), WITHIN).await).remove(0);
    assert_eq!((touched.key, touched.state), (key("A"), again.state));
}

/// Many callers, any order, repeats: one row per key, under one number, in the newest state.
pub async fn one_key_gets_one_number_however_often_and_by_whom_it_is_applied(world: World) {
    close(&world.legacy).await;
    let ids = ["K1", "K2", "K3"].map(key);
    let tasks: Vec<_> = (1..=8_u64)
        .map(|position| {
            let (legacy, mut ids) = (world.legacy.clone(), ids.to_vec());
            ids.rotate_left(usize::try_from(position % 3).expect("small"));
            tokio::spawn(async move {
                for _ in 0..2 {
                    let changes: Vec<_> =
                        ids.iter().map(|id| change(id, position, Some(position.cast_signed()))).collect();
                    while let Err(error) = legacy.apply(&changes, WITHIN).await {
                        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let rows = all(&world.legacy).await;
    let numbers: BTreeSet<_> = rows.iter().filter_map(number).collect();
    let keys: BTreeSet<_> = rows.iter().filter_map(|row| row.key(&order())).collect();
    assert_eq!((rows.len(), numbers.len()), (3, 3));
    assert_eq!(keys, ids.iter().cloned().collect());
    assert!(rows.into_iter().all(|row| quantity(Some(row)) == Some(8)));
}

/// What a side gives or learns beside what it is brought stays its own, after a handover too.
pub async fn numbers_that_are_given_and_learned_are_no_foreign_writes(world: World) {
    let made = now(world.modern.execute(&set("A", 1), WITHIN).await).remove(0);
    assert_eq!(bring(&world.legacy, &[made]).await.expect("applied"), [Applied::Newer]);
    let given = number_of(&world.legacy, &key("A")).await.expect("a number");
    world.modern.learn(&order(), &[(key("A"), given)], WITHIN).await.expect("learned");
    for store in [&world.legacy, &world.modern] {
        let ours = store.as_left(&order(), &key("A"), WITHIN).await.expect("an answer");
        assert_eq!(ours, Some(true), "{}", store.side());
        for position in 1..3 {
            let mut change = change(&key("A"), position, Some(2));
            change.version.epoch = Epoch(2);
            assert_eq!(bring(store, &[change]).await.expect("applied"), [Applied::Newer], "{}", store.side());
        }
    }
}

/// The map decides, not who comes first.
pub async fn callers_that_number_one_key_at_once_are_told_the_same(world: World) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let legacy = world.legacy.clone();
            tokio::spawn(async move {
                let keys = [key("A"), key("B"), key("A")];
                legacy.numbers(&order(), &keys, Unnumbered::Number, WITHIN).await.expect("numbers")
            })
        })
        .collect();
    let mut told = BTreeSet::new();
    for task in tasks {
        told.insert(task.await.expect("no panic"));
    }
    assert_eq!(told.len(), 1, "{told:?}");
    let told = told.pop_first().expect("one");
    assert!(told[0].is_some() && told[0] == told[2] && told[0] != told[1], "{told:?}");
}

/// Read, changed, copied and deleted by a key that nobody wrote down.
pub async fn rows_of_the_erp_have_derived_keys_and_need_no_entry(world: World) {
    (world.foreign)(4711, 5).await;
    let derived = derived_key(&"Order".into(), an(4711));
    let rows = all(&world.legacy).await;
    assert_eq!(rows.iter().map(|row| row.key(&order())).collect::<Vec<_>>(), [Some(derived.clone())]);
    assert_eq!(number(&rows[0]), Some(an(4711)));
    assert_eq!(key_of(&world.legacy, an(4711)).await, Some(derived.clone()));
    assert_eq!(number_of(&world.legacy, &derived).await, Some(an(4711)));
    assert_eq!(quantity(read(&world.legacy, &derived).await), Some(5));
    let copied = Change { state: Some(rows[0].clone()), ..change(&derived, 1, None) };
    assert_eq!(bring(&world.modern, &[copied]).await.expect("applied"), [Applied::Newer]);
    assert_eq!(read(&world.modern, &derived).await, Some(rows[0].clone()));
    assert_eq!(key_of(&world.modern, an(4711)).await, Some(derived.clone()));
    let Value::Text(text) = derived.parts()[0].clone() else { panic!("a text") };
    bring(&world.legacy, &[change(&derived, 9, Some(7))]).await.expect("applied");
    assert_eq!(all(&world.legacy).await.len(), 1);
    assert_eq!(quantity(read(&world.legacy, &derived).await), Some(7));
    let last = now(world.legacy.execute(&set(&text, 6), WITHIN).await).remove(0);
    assert_eq!(quantity(read(&world.legacy, &derived).await), Some(6));
    let version = Version { epoch: Epoch(2), ..last.version };
    let deleted = Change { version, ..change(&derived, 0, None) };
    bring(&world.legacy, &[deleted]).await.expect("applied");
    assert_eq!(all(&world.legacy).await, []);
}

/// A sequence that lags behind the table costs numbers, and never a row of the ERP.
pub async fn a_number_that_the_erp_has_used_is_passed_over(world: World) {
    for used in FIRST..FIRST + 3 {
        (world.foreign)(used, 5).await;
    }
    let keys = [key("A"), key("B")];
    let changes = [change(&keys[0], 1, Some(1)), change(&keys[1], 1, Some(1))];
    bring(&world.legacy, &changes).await.expect("applied");
    let rows = all(&world.legacy).await;
    assert_eq!(rows.len(), 5);
    let untouched = rows.iter().filter(|row| quantity(Some((*row).clone())) == Some(5));
    assert_eq!(untouched.count(), 3);
    for key in &keys {
        assert!(number_of(&world.legacy, key).await >= Some(an(FIRST + 3)));
    }
}

/// Refusals use up no numbers: the next write gets that of the refused one. A number that a row has stays where it is,
/// whoever put the row there, and a key that has a number keeps it.
pub async fn the_number_of_a_refused_write_is_passed_on_and_one_that_a_row_has_is_not(world: World) {
    let legacy = &world.legacy;
    let (entity, given) = (order(), async |id: &str| {
        legacy.numbers(&order(), &[key(id)], Unnumbered::Number, WITHIN).await.expect("a number")[0].expect("a number")
    });
    let pass_on =
        async |from: &str, to: &str| legacy.pass_on(&entity, &key(from), &key(to), WITHIN).await.expect("an answer");
    let spare = given("refused").await;
    assert_eq!(pass_on("refused", "next").await, Some(spare));
    assert_eq!((number_of(legacy, &key("refused")).await, number_of(legacy, &key("next")).await), (None, Some(spare)));
    assert_eq!(key_of(legacy, spare).await, Some(key("next")));
    assert_eq!(pass_on("refused", "third").await, None, "it has none any more");
    now(legacy.execute(&set("next", 1), WITHIN).await);
    assert_eq!(pass_on("next", "third").await, None, "a row has it");
    let taken = given("taken").await;
    (world.foreign)(taken.get(), 5).await;
    assert_eq!(pass_on("taken", "third").await, None, "a row of the ERP has it");
    let (own, other) = (given("own").await, given("other").await);
    assert_eq!(pass_on("other", "own").await, None, "it has one");
    assert_eq!(
        (number_of(legacy, &key("own")).await, number_of(legacy, &key("other")).await),
        (Some(own), Some(other))
    );
}

/// One row has one key: a number that was given has no derived key any more.
pub async fn a_derived_key_does_not_reach_a_row_of_another_key(world: World) {
    let change_of_a = now(world.legacy.execute(&set("A", 1), WITHIN).await).remove(0);
    let given = number(change_of_a.state.as_ref().expect("a state")).expect("a number");
    let derived = derived_key(&"Order".into(), given);
    assert_eq!((number_of(&world.legacy, &derived).await, read(&world.legacy, &derived).await), (None, None));
    let applied = bring(&world.legacy, &[change(&derived, 1, Some(9))]).await;
    assert!(matches!(applied, Err(StoreError::Misfit { .. })), "{applied:?}");
    assert_eq!(quantity(read(&world.legacy, &key("A")).await), Some(1));
    // Digits alone are a number, which is resolved before a store is asked.
    let named = key(&given.to_string());
    assert_eq!((number_named(&named), read(&world.legacy, &named).await), (Some(given), None));
}

/// What reconcile and baseline are made of.
pub async fn both_sides_scan_and_sum_up_the_same_keys(world: World) {
    for foreign in [1, 77, 900] {
        (world.foreign)(foreign, 5).await;
    }
    for id in ["C", "A", "B"] {
        now(world.legacy.execute(&set(id, 1), WITHIN).await);
    }
    let order = order();
    let rows = all(&world.legacy).await;
    assert_eq!(rows.len(), 6);
    let copied = |(position, row): (u64, &Record)| Change {
        state: Some(row.clone()),
        ..change(&row.key(&order).expect("a key"), position, None)
    };
    let copies: Vec<_> = (1..).zip(&rows).map(copied).collect();
    bring(&world.modern, &copies).await.expect("applied");
    let sums = world.legacy.sums(&order, &Chunk::whole(), WITHIN).await.expect("sums");
    assert_eq!(sums.iter().map(|(_, sum)| sum.records).sum::<u64>(), 6);
    assert_eq!(world.modern.sums(&order, &Chunk::whole(), WITHIN).await.expect("sums"), sums);
    let snapshot = world.legacy.snapshot(WITHIN).await.expect("a snapshot");
    assert_eq!(snapshot.sums(&order, &Chunk::whole(), WITHIN).await.expect("sums"), sums);
    for (chunk, _) in &sums {
        let mut members = [Vec::new(), Vec::new()];
        for (side, members) in [&world.legacy, &world.modern].into_iter().zip(&mut members) {
            *members = side.members(&order, chunk, 10, WITHIN).await.expect("members");
            members.sort_by_key(|row| row.key(&order));
        }
        assert_eq!(members[0], members[1]);
    }
}

/// Legacy gives the number, modern shows it: also when it is told twice, or of rows that are gone.
pub async fn modern_learns_a_number_once(world: World) {
    let made = now(world.modern.execute(&set("A", 1), WITHIN).await).remove(0);
    assert_eq!(number(made.state.as_ref().expect("a state")), None);
    bring(&world.legacy, std::slice::from_ref(&made)).await.expect("applied");
    let given = number_of(&world.legacy, &key("A")).await.expect("a number");
    assert_eq!(key_of(&world.modern, given).await, None);
    let numbered = [(key("A"), given), (key("GONE"), an(999_999))];
    for _ in 0..2 {
        world.modern.learn(&order(), &numbered, WITHIN).await.expect("learnt");
        assert_eq!(read(&world.modern, &key("A")).await, read(&world.legacy, &key("A")).await);
    }
    world.modern.learn(&order(), &[(key("A"), an(5))], WITHIN).await.expect("left");
    assert_eq!(key_of(&world.modern, given).await, Some(key("A")));
    assert_eq!((key_of(&world.modern, an(5)).await, read(&world.modern, &key("GONE")).await), (None, None));
    // Legacy's own numbers are not to be told to it.
    let told = world.legacy.learn(&order(), &numbered, WITHIN).await;
    assert!(matches!(told, Err(StoreError::Misfit { .. })), "{told:?}");
}

/// Statements of the contract insert the row themselves.
pub async fn a_run_that_is_told_its_number_is_read_back_by_key(world: World) {
    let given = world.legacy.numbers(&order(), &[key("A")], Unnumbered::Number, WITHIN).await;
    let given = given.expect("numbers")[0].expect("a number");
    let run = Work::Run { statements: vec![orders::place()], params: orders::placing(&key("A"), given, 3) };
    let change = now(world.legacy.execute(&command(run, vec![key("A")]), WITHIN).await).remove(0);
    assert_eq!(change.key, key("A"));
    assert_eq!(change.state, Some(orders::row(&key("A"), &given.to_string(), 3.into())));
}

/// A deletion that overtakes what made the row.
pub async fn a_tombstone_needs_no_number_and_outlives_older_states(world: World) {
    let legacy = &world.legacy;
    assert_eq!(bring(legacy, &[change(&key("A"), 5, None)]).await.expect("applied"), [Applied::Newer]);
    assert_eq!(number_of(legacy, &key("A")).await, None);
    overtaken_by(&bring(legacy, &[change(&key("A"), 4, Some(1))]).await.expect("applied")[0]);
    assert_eq!(read(legacy, &key("A")).await, None);
    assert_eq!(bring(legacy, &[change(&key("A"), 6, Some(2))]).await.expect("applied"), [Applied::Newer]);
    assert_eq!(quantity(read(legacy, &key("A")).await), Some(2));
}

/// A key of its own is no misfit.
pub async fn prepared_stores_have_nothing_to_complain_about(world: World) {
    for store in [&world.legacy, &world.modern] {
        let inspection = store.inspect(&["Order".into()], WITHIN).await.expect("an inspection");
        assert_eq!(inspection.problems, Vec::<String>::new());
    }
}
