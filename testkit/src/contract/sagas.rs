//! Promises of the saga log.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use model::saga::{Begun, OpenSagas, SagaCounts, key_of_saga};
use model::store::{Forget, Keyed};
use model::write::{Fingerprint, Work};
use model::{IdempotencyKey, Instant, SagaId, SagaRow, SagaStatus, Store, StoreError};

use super::{Subject, WITHIN, command, now};
use crate::inventory::{level, level_key};

/// A pause that no test outlives.
const LONG: Duration = Duration::from_secs(600);

fn row(id: &str, document: &str) -> SagaRow {
    SagaRow {
        id: SagaId::new(id).unwrap(),
        route: "Mutation.placeOrder".into(),
        status: SagaStatus::Running,
        revision: 0,
        document: document.to_owned(),
        began_at: Instant::new(chrono::DateTime::UNIX_EPOCH),
    }
}

async fn find(store: &Arc<dyn Store>, id: &SagaId) -> SagaRow {
    store.saga(id, WITHIN).await.unwrap().unwrap()
}

/// The first beginning stands, with all of its document, however often it is repeated.
pub async fn a_saga_begins_once_and_is_found_as_it_began(store: Arc<dyn Store>) {
    // Longer than what an Oracle's VARCHAR2 holds, and with letters of several bytes.
    let document = format!("{{\"note\":\"{}\"}}", "Gr\u{fc}\u{df}e ".repeat(10_000));
    let saga = row("a-1", &document);
    assert_eq!(store.saga(&saga.id, WITHIN).await.unwrap(), None);
    assert_eq!(store.begin_saga(&saga, LONG, WITHIN).await.unwrap(), Begun::Now);
    let again = store.begin_saga(&row("a-1", "{}"), LONG, WITHIN).await.unwrap();
    let found = find(&store, &saga.id).await;
    assert_eq!(again, Begun::Before(found.clone()));
    assert_eq!((found.revision, found.status), (1, SagaStatus::Running));
    assert!(found.document == document, "the document came back changed");
    assert_eq!(found.route, saga.route);
    assert!(found.began_at > saga.began_at, "the store's own clock says when");
}

/// Copies are the other side's sagas: nobody here takes, shows or counts them.
pub async fn copies_are_in_no_list_and_are_given_in_pages(store: Arc<dyn Store>) {
    let since = Instant::new(chrono::DateTime::UNIX_EPOCH);
    for id in ["a-2", "a-1", "a-3"] {
        store.copy_saga(&row(id, "{\"x\":1}"), WITHIN).await.unwrap();
    }
    store.copy_saga(&row("a-2", "{\"x\":2}"), WITHIN).await.expect("another replica made it, too");
    assert_eq!(store.saga(&SagaId::new("a-1").unwrap(), WITHIN).await.unwrap(), None);
    assert_eq!(store.sagas(None, 10, WITHIN).await.unwrap(), []);
    assert_eq!(store.sagas(Some(SagaStatus::Done), 10, WITHIN).await.unwrap(), []);
    assert_eq!(store.open_sagas(WITHIN).await.unwrap(), OpenSagas::These(Vec::new()));
    let taken = store.lease_sagas(LONG, 10, WITHIN).await.unwrap();
    assert_eq!((taken.sagas.len(), taken.unreadable), (0, 0));
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.saga_copies(since, after.as_ref(), 2, WITHIN).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        found.extend(page.into_iter().map(|row| (row.id.to_string(), row.document)));
    }
    let wanted = [("a-1", "{\"x\":1}"), ("a-2", "{\"x\":2}"), ("a-3", "{\"x\":1}")];
    assert_eq!(found, wanted.map(|(id, document)| (id.to_owned(), document.to_owned())));
    let later = Instant::new(chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(100_000));
    assert_eq!(store.saga_copies(later, None, 10, WITHIN).await.unwrap(), []);
    // A saga of that name may begin here all the same.
    assert_eq!(store.begin_saga(&row("a-1", "{}"), LONG, WITHIN).await.unwrap(), Begun::Now);
    assert_eq!(store.saga_copies(since, None, 10, WITHIN).await.unwrap().len(), 3);
}

/// A client that repeats a saga while its log has lost it must not begin another one.
pub async fn a_suspended_side_begins_no_saga_and_takes_back_what_it_has_lost(store: Arc<dyn Store>) {
    let known = row("known", "{}");
    store.begin_saga(&known, LONG, WITHIN).await.unwrap();
    let of = store.incarnation(WITHIN).await.unwrap();
    store.suspend(of, "it has gone back", WITHIN).await.unwrap();
    let begun = store.begin_saga(&row("lost", "{}"), LONG, WITHIN).await;
    assert!(matches!(begun, Err(StoreError::Unwritable { .. })), "{begun:?}");
    let copied = store.copy_saga(&known, WITHIN).await;
    assert!(matches!(copied, Err(StoreError::Unwritable { .. })), "{copied:?}");
    assert!(matches!(store.begin_saga(&known, LONG, WITHIN).await, Ok(Begun::Before(_))));
    let lost = row("lost", "{\"first\":1}");
    assert!(store.restore_saga(&lost, WITHIN).await.unwrap());
    assert!(!store.restore_saga(&row("lost", "{}"), WITHIN).await.unwrap(), "once");
    let found = find(&store, &lost.id).await;
    assert_eq!((found.document, found.status, found.revision), (lost.document, SagaStatus::Running, 1));
    let taken = store.lease_sagas(LONG, 10, WITHIN).await.unwrap().sagas;
    assert_eq!(taken.iter().map(|saga| saga.id.as_str()).collect::<Vec<_>>(), ["lost"], "it is due at once");
}

/// Whoever saves proves that nobody has come between.
pub async fn a_saga_is_saved_only_by_whoever_knows_its_revision(store: Arc<dyn Store>) {
    let saga = row("b-1", "{}");
    store.begin_saga(&saga, LONG, WITHIN).await.unwrap();
    let first = find(&store, &saga.id).await;
    let next = SagaRow { status: SagaStatus::Compensating, document: "{\"x\":1}".into(), ..first.clone() };
    assert!(store.save_saga(&next, LONG, WITHIN).await.unwrap());
    let late = SagaRow { status: SagaStatus::Done, ..first.clone() };
    assert!(!store.save_saga(&late, LONG, WITHIN).await.unwrap());
    assert_eq!(find(&store, &saga.id).await, SagaRow { revision: first.revision + 1, ..next });
    assert!(!store.save_saga(&row("b-2", "{}"), LONG, WITHIN).await.unwrap(), "one that never began");
}

/// A lease is exclusive, takes away the former holder's right to save, and ends by itself.
pub async fn a_leased_saga_is_nobody_elses_until_its_time_is_over(store: Arc<dyn Store>) {
    let saga = row("c-1", "{}");
    store.begin_saga(&saga, LONG, WITHIN).await.unwrap();
    assert!(store.lease_sagas(LONG, 10, WITHIN).await.unwrap().sagas.is_empty(), "it is its beginner's");
    let began = find(&store, &saga.id).await;
    assert!(store.save_saga(&began, Duration::ZERO, WITHIN).await.unwrap());

    let taken = store.lease_sagas(Duration::ZERO, 10, WITHIN).await.unwrap().sagas;
    assert_eq!(taken.len(), 1);
    let again = store.lease_sagas(LONG, 10, WITHIN).await.unwrap().sagas;
    assert_eq!(again.len(), 1, "the first lease is over");
    assert!(store.lease_sagas(LONG, 10, WITHIN).await.unwrap().sagas.is_empty());
    assert!(!store.save_saga(&taken[0], LONG, WITHIN).await.unwrap(), "another one has it now");
    let stuck = SagaRow { status: SagaStatus::Stuck, ..again[0].clone() };
    assert!(store.save_saga(&stuck, Duration::ZERO, WITHIN).await.unwrap());
    assert!(store.lease_sagas(LONG, 10, WITHIN).await.unwrap().sagas.is_empty(), "nobody goes on with a stuck one");
}

/// Takers that come at once get different sagas.
pub async fn concurrent_takers_share_the_sagas_that_are_due(store: Arc<dyn Store>) {
    for number in 0..12 {
        store.begin_saga(&row(&format!("d-{number}"), "{}"), Duration::ZERO, WITHIN).await.unwrap();
    }
    let take = || async { store.lease_sagas(LONG, 3, WITHIN).await.unwrap().sagas };
    let (a, b, c, d) = tokio::join!(take(), take(), take(), take());
    let mut taken: Vec<SagaRow> = [a, b, c, d].into_iter().flatten().collect();
    // One that met only rows that others held was given fewer.
    taken.extend(store.lease_sagas(LONG, 12, WITHIN).await.unwrap().sagas);
    let ids: HashSet<_> = taken.iter().map(|saga| saga.id.clone()).collect();
    assert_eq!((taken.len(), ids.len()), (12, 12));
}

/// Lists are newest first; only what has ended is forgotten.
pub async fn sagas_are_listed_counted_and_forgotten_by_their_status(store: Arc<dyn Store>) {
    for (number, status) in SagaStatus::ALL.into_iter().enumerate() {
        store.begin_saga(&row(&format!("e-{number}"), "{}"), LONG, WITHIN).await.unwrap();
        let saga = find(&store, &SagaId::new(&format!("e-{number}")).unwrap()).await;
        assert!(store.save_saga(&SagaRow { status, ..saga }, LONG, WITHIN).await.unwrap());
    }
    let statuses = |sagas: Vec<SagaRow>| sagas.into_iter().map(|saga| saga.status).collect::<Vec<_>>();
    let all = store.sagas(None, 10, WITHIN).await.unwrap();
    assert_eq!(statuses(all), SagaStatus::ALL.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(store.sagas(None, 2, WITHIN).await.unwrap().len(), 2);
    let stuck = store.sagas(Some(SagaStatus::Stuck), 10, WITHIN).await.unwrap();
    assert_eq!(statuses(stuck), [SagaStatus::Stuck]);
    assert_eq!(store.count_sagas(WITHIN).await.unwrap(), SagaCounts { running: 1, compensating: 1, stuck: 1 });

    assert_eq!(store.forget_sagas(LONG, 10, WITHIN).await.unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.forget_sagas(Duration::from_millis(1), 10, WITHIN).await.unwrap(), 3);
    let left = statuses(store.sagas(None, 10, WITHIN).await.unwrap());
    assert_eq!(left, [SagaStatus::Stuck, SagaStatus::Compensating, SagaStatus::Running]);
}

/// Sets a level under the key of a step of `saga`, for the ledger to keep.
async fn step(store: &Subject, saga: &str, place: &str) -> (IdempotencyKey, Keyed) {
    let sent = key_of_saga(&SagaId::new(saga).unwrap(), "step");
    let key = IdempotencyKey::new(&sent, "saga:do").unwrap();
    let mut step = command(Work::Set(level("A", place, 5)), vec![level_key("A", place)]);
    let print = Fingerprint(format!("of {saga}"));
    step.idempotency = Some((key.clone(), print.clone()));
    let written = now(store.execute(&step, WITHIN).await);
    store.settle(&[written[0].write], WITHIN).await.unwrap();
    (key, Keyed { write: written[0].write, fingerprint: print })
}

/// What a saga's step has left is the only proof that it stands: it is kept for as long as its saga is open, whichever
/// side has the saga, and while nobody knows which sagas are.
pub async fn what_open_sagas_have_left_is_not_forgotten(store: Subject) {
    let (open, kept) = step(&store, "f-1", "BER").await;
    let (ended, _) = step(&store, "f-2", "HAM").await;
    let unasked = IdempotencyKey::new("saga f-1 other", "saga:do").unwrap();
    assert_eq!(store.keyed(&unasked, WITHIN).await.unwrap(), None);
    let forget = |sagas: &OpenSagas| Forget { retention: Duration::ZERO, limit: 100, sagas: sagas.clone() };
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.forget(&forget(&OpenSagas::Unknown), WITHIN).await.unwrap(), 0);
    let these = OpenSagas::These(vec![SagaId::new("f-1").unwrap(), SagaId::new("f-3").unwrap()]);
    assert_eq!(store.forget(&forget(&these), WITHIN).await.unwrap(), 1);
    assert_eq!(store.keyed(&open, WITHIN).await.unwrap(), Some(kept));
    assert_eq!(store.keyed(&ended, WITHIN).await.unwrap(), None);
    assert_eq!(store.forget(&forget(&OpenSagas::These(Vec::new())), WITHIN).await.unwrap(), 1);
    assert_eq!(store.keyed(&open, WITHIN).await.unwrap(), None);
}

/// Those that have not ended are known by name, a stuck one too.
pub async fn open_sagas_are_named(store: Arc<dyn Store>) {
    for (number, status) in SagaStatus::ALL.into_iter().enumerate() {
        store.begin_saga(&row(&format!("g-{number}"), "{}"), LONG, WITHIN).await.unwrap();
        let saga = find(&store, &SagaId::new(&format!("g-{number}")).unwrap()).await;
        assert!(store.save_saga(&SagaRow { status, ..saga }, LONG, WITHIN).await.unwrap());
    }
    let OpenSagas::These(mut open) = store.open_sagas(WITHIN).await.unwrap() else { panic!("too many") };
    open.sort();
    assert_eq!(open, ["g-0", "g-1", "g-2"].map(|id| SagaId::new(id).unwrap()));
    assert_eq!(OpenSagas::These(open).and(OpenSagas::Unknown), OpenSagas::Unknown);
}
