//! A replica dies at every call that a saga makes, before and after; another one goes on, and may die too.

use std::time::Duration;

use model::PerSide;
use testkit::faults::{Call, Fault};
use testkit::postgres::Database;

use super::shop::{Shop, Told};
use super::{PLACED, pace, place};
use crate::fake::Reply;
use crate::rig::{Replica, process};

const CALLS: [Call; 3] = [Call::BeginSaga, Call::Execute, Call::SaveSaga];
const CRASHES: [Fault; 2] = [Fault::CrashBefore, Fault::CrashAfter];

/// How many pieces, what the client is told in the end, and what stands then.
type Case = (i64, fn(&Reply) -> bool, Told);

const CASES: [Case; 2] =
    [(3, |reply| reply.text == PLACED, (7, 3, 1, 1)), (6, |reply| reply.code() == "TOO_HEAVY", (10, 0, 0, 0))];

/// Asks, and dies at the `nth` call; whether it came to that.
async fn dies(shop: &Shop, quantity: i64, (call, nth, crash): (Call, usize, Fault)) -> bool {
    let replica = Replica::ready(&shop.ground, &pace()).await;
    shop.ground.stores.legacy.on(call, nth, crash);
    tokio::select! {
        _ = place(&replica, quantity) => false,
        () = shop.ground.stores.legacy.crashed() => true,
    }
}

/// Goes on with what the log has, or dies at its first `call` of that; whether it died.
async fn dies_again(shop: &Shop, (call, crash): (Call, Fault)) -> bool {
    shop.ground.stores.legacy.on(call, 1, crash);
    let _replica = Replica::ready(&shop.ground, &pace()).await;
    tokio::select! {
        _ = shop.rests() => false,
        () = shop.ground.stores.legacy.crashed() => true,
    }
}

/// Goes on with what the log has; then the client repeats itself.
async fn ends(shop: &Shop, (quantity, told, stands): &Case, what: &str) {
    shop.ground.stores.legacy.heal();
    let replica = Replica::ready(&shop.ground, &pace()).await;
    shop.rests().await;
    let reply = place(&replica, *quantity).await;
    assert!(told(&reply), "{what}: {}", reply.text);
    assert_eq!(shop.rests().await, *stands, "{what}");
}

#[test]
fn a_crash_at_every_point_of_a_saga_leaves_it_whole_or_undone() {
    let mut crashes = 0;
    for case in &CASES {
        for (call, crash) in CALLS.iter().flat_map(|call| CRASHES.map(|crash| (*call, crash))) {
            for nth in 1.. {
                let shop = process(Shop::in_memory());
                if !process(dies(&shop, case.0, (call, nth, crash))) {
                    break;
                }
                crashes += 1;
                process(ends(&shop, case, &format!("{} pieces, {crash:?} at {call:?} {nth}", case.0)));
            }
        }
    }
    // Forward: 1 beginning, 3 steps, 3 savings. Back: 1 beginning, 3 steps, closing, 2 undone; as many savings.
    assert_eq!(crashes, 2 * (1 + 3 + 3) + 2 * (1 + 6 + 6));
}

#[test]
fn a_second_crash_on_the_way_changes_nothing() {
    for case in &CASES {
        for (call, crash) in [Call::Execute, Call::SaveSaga].iter().flat_map(|c| CRASHES.map(|crash| (*c, crash))) {
            for nth in 1.. {
                let shop = process(Shop::in_memory());
                if !process(dies(&shop, case.0, (call, nth, crash))) {
                    break;
                }
                for again in CRASHES.iter().flat_map(|crash| [(Call::Execute, *crash), (Call::SaveSaga, *crash)]) {
                    process(dies_again(&shop, again));
                }
                process(ends(&shop, case, &format!("{} pieces, {crash:?} at {call:?} {nth} and on", case.0)));
            }
        }
    }
}

/// A process of its own with real time: all that it had is gone when it ends.
pub(super) fn life<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lived = runtime.block_on(life);
    runtime.shutdown_timeout(Duration::ZERO);
    lived
}

async fn lives(databases: &PerSide<Database>, case: &Case, point: (Call, usize, Fault)) -> bool {
    let shop = Shop::over(databases).await;
    dies(&shop, case.0, point).await
}

#[test]
fn a_crash_at_every_point_of_a_saga_in_real_databases_leaves_it_whole_or_undone() {
    // Holds the databases while replicas come and go.
    let keeper = tokio::runtime::Runtime::new().unwrap();
    // Before a call is after the one before it: in memory both are tried.
    let crash = Fault::CrashAfter;
    for case in &CASES {
        for call in [Call::Execute, Call::SaveSaga] {
            for nth in 1.. {
                let databases = keeper.block_on(Shop::databases());
                let died = life(lives(&databases, case, (call, nth, crash)));
                if !died {
                    break;
                }
                let what = format!("{} pieces, {crash:?} at {call:?} {nth}", case.0);
                life(async { ends(&Shop::over(&databases).await, case, &what).await });
            }
        }
    }
}
