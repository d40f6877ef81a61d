use super::*;
use crate::begin::Begin as _;
use crate::contract::{WITHIN, adjust, now, on_hand, set_level};
use crate::inventory;

async fn store() -> (FaultyStore, Arc<dyn Store>) {
    let inner: Arc<dyn Store> = Arc::new(inventory::in_memory(Side::Legacy));
    inner.begin_as(&[inventory::group()], model::Role::Primary, WITHIN).await.unwrap();
    set_level(&inner, "A", "BER", 5).await;
    (FaultyStore::new(inner.clone()), inner)
}

#[tokio::test]
async fn each_fault_does_what_it_says_to_the_call_it_is_planned_for_and_to_no_other() {
    let (store, inner) = store().await;
    let short = Duration::from_millis(20);
    let table = [
        (Fault::Reject, "conflict", 0),
        (Fault::Down, "unreachable", 0),
        (Fault::DiskFull, "unwritable", 0),
        (Fault::Hang, "no_answer", 0),
        (Fault::Latency(short * 2), "no_answer", 0),
        (Fault::FailAfter, "no_answer", 1),
        (Fault::Latency(short / 4), "done", 1),
        // The port knows its write id again.
        (Fault::Twice, "done", 1),
    ];
    let mut left = 5;
    for (fault, outcome, done) in table {
        store.on(Call::Execute, 1, fault);
        let result = store.execute(&adjust(&inner, "A", "BER", -1), short).await;
        assert_eq!(result.as_ref().map_or_else(StoreError::kind, |_| "done"), outcome, "{fault:?}");
        left -= done;
        assert_eq!(on_hand(&inner, "A", "BER").await, Some(left), "{fault:?}");
    }
    assert_eq!(store.calls(Call::Execute), table.len());
    now(store.execute(&adjust(&inner, "A", "BER", 1), WITHIN).await);
}

#[tokio::test]
async fn a_late_call_is_done_after_its_caller_was_told_nothing() {
    let (store, inner) = store().await;
    let short = Duration::from_millis(20);
    store.on(Call::Execute, 1, Fault::Late);
    store.execute(&adjust(&inner, "A", "BER", -1), short).await.unwrap_err();
    assert_eq!(on_hand(&inner, "A", "BER").await, Some(5));
    while on_hand(&inner, "A", "BER").await == Some(5) {
        tokio::time::sleep(short).await;
    }
}

#[tokio::test]
async fn a_crash_never_answers_and_is_told() {
    let (store, inner) = store().await;
    for (fault, left) in [(Fault::CrashBefore, 5), (Fault::CrashAfter, 4)] {
        store.on(Call::Execute, 1, fault);
        let command = adjust(&inner, "A", "BER", -1);
        tokio::select! {
            _ = store.execute(&command, WITHIN) => panic!("answered"),
            () = store.crashed() => {}
        }
        assert_eq!(on_hand(&inner, "A", "BER").await, Some(left), "{fault:?}");
    }
}

#[tokio::test]
async fn an_outage_lasts_until_it_is_healed() {
    let (store, inner) = store().await;
    store.down(true);
    store.on(Call::Settle, 3, Fault::Hang);
    for _ in 0..2 {
        assert!(store.settle(&[], WITHIN).await.is_err());
    }
    store.heal();
    store.settle(&[], WITHIN).await.unwrap();
    store.always(Call::Fetch, Fault::Reject);
    let key = inventory::level_key("A", "BER");
    let entity = crate::contract::entity(&key);
    for _ in 0..2 {
        let fetched = store.fetch(&entity, std::slice::from_ref(&key), FieldSet::default(), WITHIN).await;
        assert!(matches!(fetched, Err(StoreError::Conflict { .. })));
    }
    assert_eq!(on_hand(&inner, "A", "BER").await, Some(5));
}
