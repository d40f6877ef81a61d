//! A server that was started since it was last compared takes no write of ours; and a database that says that it is
//! another side's is not touched.

use std::sync::Arc;
use testkit::begin::Begin as _;

use adapters::memory::MemoryStore;
use adapters::oracle::OracleStore;
use adapters::postgres::{PostgresStore, Settings};
use model::fence::Move;
use model::life::{LifeLook, Mark, Memory, Verdict, judge};
use model::{Epoch, Fence, Incarnation, Instant, Role, Side, Stand, Store, StoreError};
use testkit::contract::{Subject, WITHIN, adjust, now, on_hand, set_level};
use testkit::inventory;

use super::any_oracle;
use super::postgres::{Fixture, connect};

/// What a start leaves in the rows of PostgreSQL: they speak of an earlier one.
const STARTED: &str = "UPDATE strangler_life SET boot = boot - interval '1 hour'";

async fn look(store: &Subject) -> LifeLook {
    store.life(&[], WITHIN).await.unwrap()
}

fn next(mark: Mark) -> Mark {
    Mark { counter: mark.counter + 1, random: 5 }
}

async fn is_refused(store: &Subject) {
    let refused = store.execute(&adjust(store, "A", "BER", -1), WITHIN).await;
    assert!(matches!(refused, Err(StoreError::Unwritable { .. })), "{refused:?}");
}

/// `start` makes it look as if the server had been started anew.
async fn takes_no_write_until_it_was_compared(store: Subject, start: impl AsyncFn()) {
    set_level(&store, "A", "BER", 10).await;
    let life = look(&store).await.life.unwrap();
    start().await;

    // Whoever writes, marks, or opens.
    is_refused(&store).await;
    assert!(!store.move_mark(life.mark, next(life.mark), WITHIN).await.unwrap());
    let group = inventory::group();
    let open = store.fence(&group, WITHIN).await.unwrap().fence;
    let frozen = Fence::new(Epoch(open.epoch.0 + 1), Stand::Frozen);
    let reopened = Fence::new(Epoch(open.epoch.0 + 2), Stand::Open);
    let step = |from, to| Move { side: store.side(), from, to, takes_over: false };
    assert_eq!(store.move_fence(&group, &step(open, frozen), WITHIN).await.unwrap(), frozen);
    assert!(store.move_fence(&group, &step(frozen, reopened), WITHIN).await.is_err());
    let seen = look(&store).await;
    assert!(seen.life.as_ref().unwrap().identity.was_restarted(&seen.identity));
    assert_eq!(judge(&seen, Some(&[])), Verdict::Moved);
    assert!(seen.doubt().is_some_and(|why| why.contains("started anew")));

    // It goes on without a comparison only if that is owed, which an opening minds.
    let since = Instant::new(chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap());
    let later = Instant::new(chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    assert!(!store.go_on(Incarnation(life.incarnation.0 + 1), since, WITHIN).await.unwrap(), "another life");
    assert!(store.go_on(life.incarnation, since, WITHIN).await.unwrap());
    start().await;
    assert!(store.go_on(life.incarnation, later, WITHIN).await.unwrap());
    let owes = look(&store).await;
    assert_eq!((judge(&owes, Some(&[])), owes.life.as_ref().unwrap().unasked), (Verdict::Same, Some(since)));
    assert!(owes.doubt().is_some());
    assert!(store.move_fence(&group, &step(frozen, reopened), WITHIN).await.is_err(), "it may lack something");

    // A raise has compared.
    let to = Memory { incarnation: Incarnation(life.incarnation.0 + 1), mark: next(life.mark) };
    assert!(store.raise(life.incarnation, to, WITHIN).await.unwrap());
    store.resume(to.incarnation, WITHIN).await.unwrap();
    assert_eq!(look(&store).await.doubt(), None);
    assert_eq!(store.move_fence(&group, &step(frozen, reopened), WITHIN).await.unwrap(), reopened);
    let command = model::Command { epoch: reopened.epoch, ..adjust(&store, "A", "BER", -1) };
    assert_eq!(now(store.execute(&command, WITHIN).await).remove(0).version.incarnation, to.incarnation);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(9));
}

#[tokio::test]
async fn a_side_that_was_started_anew_takes_no_write_until_it_was_compared_in_memory() {
    let memory: MemoryStore = inventory::in_memory(Side::Legacy);
    let store: Subject = Arc::new(memory.clone());
    store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
    takes_no_write_until_it_was_compared(store, async || memory.restart()).await;
}

#[tokio::test]
async fn a_side_that_was_started_anew_takes_no_write_until_it_was_compared_on_postgresql() {
    let fixture = Fixture::new(Side::Modern).await;
    let client = connect(&fixture.database).await;
    takes_no_write_until_it_was_compared(fixture.subject(), async || client.batch_execute(STARTED).await.unwrap())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_was_started_anew_takes_no_write_until_it_was_compared_on_an_oracle() {
    let fixture = any_oracle::Fixture::new(Side::Legacy).await;
    let start = "UPDATE strangler_life SET boot = '1999-12-31 23:59:59'";
    takes_no_write_until_it_was_compared(fixture.subject(), async || fixture.database.run(&[start])).await;
}

/// Whatever is asked of it, reads too: none of it is done, and the database says itself why.
async fn is_not_touched(store: Subject) {
    let memory = Memory { incarnation: Incarnation(9), mark: Mark { counter: 9, random: 9 } };
    store.expect(memory);
    let key = inventory::level_key("A", "BER");
    let entity = testkit::contract::entity(&key);
    let asked = [
        store.life(&[], WITHIN).await.map(drop),
        store.execute(&adjust(&store, "A", "BER", -1), WITHIN).await.map(drop),
        store.prepare(&[inventory::group()], WITHIN).await,
        store.fetch(&entity, std::slice::from_ref(&key), entity.all_fields(), WITHIN).await.map(drop),
    ];
    for answer in asked {
        let Err(StoreError::Misfit { problem, .. }) = answer else { panic!("{answer:?}") };
        assert!(problem.contains("says that it is legacy") && problem.contains("address"), "{problem}");
    }
}

async fn goes_on(store: Subject) {
    assert_eq!(look(&store).await.doubt(), None);
    set_level(&store, "A", "BER", 10).await;
}

#[tokio::test]
async fn a_database_of_the_other_side_is_not_touched_on_postgresql() {
    let fixture = Fixture::new(Side::Legacy).await;
    let settings = Settings::new(fixture.database.url());
    let exchanged = PostgresStore::connect(Side::Modern, inventory::contract(), &settings).unwrap();
    is_not_touched(Arc::new(exchanged)).await;
    goes_on(fixture.subject()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_the_other_side_is_not_touched_on_an_oracle() {
    let fixture = any_oracle::Fixture::new(Side::Legacy).await;
    let settings = fixture.database.settings();
    let exchanged = OracleStore::connect(Side::Modern, inventory::contract(), &settings).unwrap();
    is_not_touched(Arc::new(exchanged)).await;
    goes_on(fixture.subject()).await;
}

/// Tables of an earlier release do not say whose they are; what they remember does.
#[tokio::test]
async fn tables_that_remember_legacy_are_of_modern() {
    let fixture = Fixture::new(Side::Modern).await;
    let client = connect(&fixture.database).await;
    let store = fixture.subject();
    let memory = Memory { incarnation: Incarnation(1), mark: Mark { counter: 1, random: 1 } };
    store.remember(Side::Legacy, memory, WITHIN).await.unwrap();
    let back = "ALTER TABLE strangler_life DROP COLUMN side; DELETE FROM strangler_bookkeeping WHERE step > 2";
    client.batch_execute(back).await.unwrap();
    let settings = Settings::new(fixture.database.url());
    let exchanged = PostgresStore::connect(Side::Legacy, inventory::contract(), &settings).unwrap();
    let refused = exchanged.prepare(&[inventory::group()], WITHIN).await;
    assert!(
        matches!(&refused, Err(StoreError::Misfit { problem, .. }) if problem.contains("it is modern")),
        "{refused:?}"
    );
    store.prepare(&[inventory::group()], WITHIN).await.unwrap();
}

/// A role that may not look cannot know whose the database is: that is no yes.
#[tokio::test]
async fn a_database_that_does_not_show_whose_it_is_is_not_used() {
    let fixture = Fixture::new(Side::Legacy).await;
    let role = format!("blind_{}", uuid::Uuid::new_v4().simple());
    let client = connect(&fixture.database).await;
    let make = format!(
        "CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; \
         REVOKE ALL ON strangler_life FROM {role}"
    );
    client.batch_execute(&make).await.unwrap();
    let settings = Settings::new(fixture.database.url().replace("postgres@", &format!("{role}@")));
    let blind = PostgresStore::connect(Side::Legacy, inventory::contract(), &settings).unwrap();
    let key = inventory::level_key("A", "BER");
    let entity = testkit::contract::entity(&key);
    let fetched = blind.fetch(&entity, std::slice::from_ref(&key), entity.all_fields(), WITHIN).await;
    assert!(matches!(&fetched, Err(StoreError::Misfit { problem, .. }) if problem.contains("right")), "{fetched:?}");
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}
