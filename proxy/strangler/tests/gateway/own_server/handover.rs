//! The authority is handed over under load: clients see a pause and no error. Whoever slept, or hears nothing from the
//! control store, writes nothing under an old epoch.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use model::{Authority, Epoch, Side};
use rustix::process::Signal;
use serde_json::json;
use strangler::demo::traffic::Expected;

use super::fleet::{metric, storefront};
use super::shop::Shop;
use crate::erp::{article, connect};
use crate::rig::until;

const ADJUST: &str = "mutation($s: ID!) { adjustStock(sku: $s, location: \"BER1\", delta: -1) { onHand } }";

fn held(by: Side, epoch: u32) -> Authority {
    Authority::Held { by, epoch: Epoch(epoch) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_there_and_back_under_load_costs_no_client_an_error_and_loses_nothing() {
    let shop = Shop::open("").await;
    // WHEN the group goes to modern and back, twice
    for round in 1..=4 {
        let to = if round % 2 == 1 { Side::Modern } else { Side::Legacy };
        let told = shop.hand_over(to).await;
        // THEN each step is told with what it took, and writes go on under the next epoch
        let steps: Vec<_> = told["steps"].as_array().unwrap().iter().map(|step| step["step"].clone()).collect();
        // Modern is opened only after a rollout says so; legacy before.
        let last = if to == Side::Modern { ["publish", "open"] } else { ["open", "publish"] };
        assert_eq!(steps, ["freeze", "drain", last[0], last[1]], "{told}");
        assert_eq!(told["left"]["writes"], 0);
        let pause = told["pauseMillis"].as_f64().unwrap();
        println!("to {to}: writes waited for {pause:.1} ms");
        assert!(pause < 3_000.0, "{told}");
        assert_eq!(shop.authority().await, held(to, 1 + round));
        let shown = shop.fleet.site.must_run(&["--json", "groups", "show", "inventory"]).await;
        let stage = if to == Side::Modern { "\"reverse\"" } else { "\"shift\"" };
        assert!(shown.contains(stage), "{shown}");
        shop.writes_go_on(15).await;
    }
    // and who asks again is told that it is so, in words
    let told = shop.hand_over_in_words(Side::Legacy).await;
    assert!(told.contains("legacy is primary of inventory, and was before"), "{told}");
    let told = shop.hand_over_in_words(Side::Modern).await;
    assert!(told.contains("freeze") && told.contains("modern is primary of inventory. Writes waited for"), "{told}");
    shop.writes_go_on(15).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_after_a_handover_finds_its_first_result() {
    let mut shop = Shop::closed("").await;
    shop.replicas = join_all(["one", "two"].map(|name| shop.fleet.site.start(name))).await;
    let storefronts: Vec<_> = shop.replicas.iter().map(storefront).collect();
    let ask = async |place: usize, key: &str| {
        let headers = [("idempotency-key", key)];
        let reply = storefronts[place].ask_with(ADJUST, &json!({ "s": article(1) }), &headers).await.unwrap();
        format!("{} {:?} {:?}", reply.data, reply.errors, reply.token)
    };
    // GIVEN one order taken by legacy, and one by modern
    let first = ask(0, "order 1").await;
    shop.hand_over(Side::Modern).await;
    let second = ask(0, "order 2").await;
    assert!(first.contains("{\"onHand\":99}") && second.contains("{\"onHand\":98}"), "{first} {second}");
    // WHEN they are sent again, to both replicas, under each primary
    for to in [Side::Legacy, Side::Modern] {
        for place in 0..2 {
            assert_eq!(ask(place, "order 1").await, first);
            assert_eq!(ask(place, "order 2").await, second);
        }
        shop.hand_over(to.other()).await;
        shop.hand_over(to).await;
    }
    // THEN each was booked once
    shop.audit(&Expected::default()).await;
    assert_eq!((shop.movements(Side::Legacy).await, shop.movements(Side::Modern).await), (2, 2));
}

/// Rows of legacy's ledger that were written under the first epoch.
const UNDER_THE_FIRST: &str = "SELECT count(*) FROM strangler_ledger WHERE epoch = 1 AND state <> 'abandoned'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_slept_through_a_handover_under_load_writes_nothing_under_the_old_epoch() {
    let shop = Shop::open("").await;
    // GIVEN a replica that sleeps, with requests of its customers before it
    shop.replicas[2].signal(Signal::STOP);
    // WHEN the group is handed over, which waits for no sleeper
    let told = shop.hand_over(Side::Modern).await;
    println!("with a sleeper writes waited for {} ms", told["pauseMillis"]);
    let before = shop.count(Side::Legacy, UNDER_THE_FIRST).await;
    // and it goes on
    shop.replicas[2].signal(Signal::CONT);
    shop.writes_go_on(20).await;
    // THEN its customers write under the new epoch, within their deadlines
    assert_eq!(shop.count(Side::Legacy, UNDER_THE_FIRST).await, before);
    assert_eq!(shop.authority().await, held(Side::Modern, 2));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_slept_until_its_side_is_primary_again_does_not_go_on_under_the_old_epoch() {
    // GIVEN a replica that sleeps with nothing to do
    let mut shop = Shop::closed("").await;
    shop.replicas = join_all(["one", "two", "three"].map(|name| shop.fleet.site.start(name))).await;
    shop.replicas[2].signal(Signal::STOP);
    // WHEN the group goes to modern and comes back, and requests wait for the sleeper
    shop.hand_over(Side::Modern).await;
    shop.hand_over(Side::Legacy).await;
    let before = shop.count(Side::Legacy, UNDER_THE_FIRST).await;
    let asked = (1..=20).map(|number| {
        let storefront = storefront(&shop.replicas[2]);
        tokio::spawn(async move { storefront.ask(ADJUST, &json!({ "s": article(number) })).await })
    });
    let asked: Vec<_> = asked.collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    shop.replicas[2].signal(Signal::CONT);
    // THEN all are answered, and stand under the third epoch
    for reply in join_all(asked).await {
        let reply = reply.unwrap().unwrap();
        assert_eq!(reply.data, json!({ "adjustStock": { "onHand": 99 } }), "{:?}", reply.errors);
    }
    assert_eq!(shop.count(Side::Legacy, UNDER_THE_FIRST).await, before);
    let third = "SELECT count(DISTINCT write_id) FROM strangler_ledger WHERE epoch = 3";
    assert_eq!(shop.count(Side::Legacy, third).await, 20);
    shop.audit(&Expected::default()).await;
    assert_eq!((shop.movements(Side::Legacy).await, shop.movements(Side::Modern).await), (20, 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_cut_off_from_the_control_store_learns_of_a_handover_from_the_fences() {
    // GIVEN a replica that is known to the control database under a name of its own
    let mut shop = Shop::closed("").await;
    let database = &shop.fleet.erp.databases.modern;
    let role = format!("of_{}", database.name());
    let operator = connect(database).await;
    operator.batch_execute(&format!("CREATE ROLE {role} LOGIN SUPERUSER")).await.unwrap();
    let everybody = std::mem::take(&mut shop.fleet.site.control);
    let (before, after) = everybody.split_once('@').unwrap();
    let scheme = before.split_once("//").unwrap().0;
    shop.fleet.site.control = format!("{scheme}//{role}@{after}");
    let three = shop.fleet.site.start("three").await;
    shop.fleet.site.control = everybody;
    shop.replicas = join_all(["one", "two"].map(|name| shop.fleet.site.start(name))).await;
    shop.replicas.push(three);
    shop.let_customers_in().await;
    // WHEN it is cut off, and the group handed over
    let cut = format!(
        "ALTER ROLE {role} NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
    );
    operator.batch_execute(&cut).await.unwrap();
    let up = async || metric(&shop.replicas[2], "strangler_control_store_up").await;
    until("it is cut off", async || up().await == Some(0.0)).await;
    for to in [Side::Modern, Side::Legacy, Side::Modern] {
        shop.hand_over(to).await;
        // THEN its customers go on, and see what they wrote
        shop.writes_go_on(15).await;
        assert_eq!(up().await, Some(0.0));
    }
    operator.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_starts_with_an_old_rollout_on_its_disk_writes_under_the_new_epoch() {
    // GIVEN a replica that ended before the group was handed over
    let mut shop = Shop::closed("").await;
    let mut three = shop.fleet.site.start("three").await;
    assert!(three.terminate().await);
    shop.hand_over(Side::Modern).await;
    // WHEN it comes back, and cannot reach the control database
    let control = std::mem::replace(&mut shop.fleet.site.control, "postgres://nobody@127.0.0.1:1/none".to_owned());
    shop.replicas = vec![shop.fleet.site.start("three").await];
    shop.fleet.site.control = control;
    // THEN it writes where the fence is open
    let storefront = storefront(&shop.replicas[0]);
    let asked = (1..=10).map(|number| {
        let (storefront, variables) = (storefront.clone(), json!({ "s": article(number) }));
        async move { storefront.ask(ADJUST, &variables).await.unwrap() }
    });
    let answers: BTreeSet<_> =
        join_all(asked).await.iter().map(|reply| format!("{} {:?}", reply.data, reply.errors)).collect();
    assert_eq!(answers, BTreeSet::from(["{\"adjustStock\":{\"onHand\":99}} []".to_owned()]));
    let second = "SELECT count(DISTINCT write_id) FROM strangler_ledger WHERE epoch = 2";
    assert_eq!(shop.count(Side::Modern, second).await, 10);
    assert_eq!(shop.count(Side::Legacy, UNDER_THE_FIRST).await, 0);
    shop.audit(&Expected::default()).await;
}
