//! Shadow reads: they find what is wrong, name its cause, take lag for lag, and touch no client.

use std::time::Duration;

use data_plane::read::shadow::ShadowSettings;
use model::evidence::{Cause, Observation, Verdict};
use model::{PerSide, Side, Stage};
use serde_json::json;
use testkit::faults::{Call, Fault};
use tokio::time::Instant;

use crate::erp::{Erp, connect};
use crate::rig::{Pace, Replica, until};
use crate::shelves::Shelves;

const LOOK: &str = "{ shelf(id: \"A\") { onHand } }";
const PUT: &str = "mutation { put(id: \"A\", onHand: 7) { onHand } }";

async fn observed(replica: &Replica, count: usize) -> Vec<Observation> {
    until("the shadows have been looked at", async || replica.observed.lock().len() >= count).await;
    replica.observed.lock().clone()
}

#[tokio::test(start_paused = true)]
async fn a_shadow_neither_delays_nor_changes_nor_fails_an_answer_whatever_the_other_side_does() {
    for fault in [
        None,
        Some(Fault::Latency(Duration::from_millis(900))),
        Some(Fault::Hang),
        Some(Fault::Down),
        Some(Fault::Reject),
        Some(Fault::FailAfter),
    ] {
        // GIVEN every read is shadowed, at 0 % and at 100 %
        for (reads, other) in [(0.0, Side::Modern), (100.0, Side::Legacy)] {
            let shelves = Shelves::new().await;
            shelves.ground.set(Stage::Shift, reads, 100.0);
            let replica = Replica::ready(&shelves.ground, &Pace { relay: None, ..Pace::default() }).await;
            if let Some(fault) = fault {
                shelves.ground.stores.get(other).always(Call::Fetch, fault);
                shelves.ground.stores.get(other).always(Call::List, fault);
            }
            // WHEN a client reads, and the other side is well, slow, mute, dead or in the way
            let began = Instant::now();
            for _ in 0..20 {
                assert_eq!(replica.ask(LOOK).await.text, r#"{"data":{"shelf":{"onHand":100}}}"#);
                assert!(replica.ask("{ shelfList { id } }").await.body["errors"].is_null());
            }
            // THEN no time passes for the client, and no breaker of the client's road hears of it
            assert_eq!(began.elapsed(), Duration::ZERO, "{fault:?} at {reads} %");
            let verdict = match fault {
                None | Some(Fault::Latency(_)) => Verdict::Match,
                Some(_) => Verdict::Inconclusive,
            };
            for observation in observed(&replica, 40).await {
                assert_eq!(observation.verdict, verdict, "{fault:?} at {reads} %: {observation:?}");
            }
            assert!(!replica.breakers.legacy.is_open() && !replica.breakers.modern.is_open());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn shadows_beyond_the_queue_are_dropped_and_counted_and_the_client_does_not_notice() {
    // GIVEN room for two waiting shadows and one under way, and a side that hangs
    let handle = telemetry::install().unwrap();
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shadow, 0.0, 100.0);
    let per_side = PerSide { legacy: 1, modern: 1 };
    let shadow = ShadowSettings { queue: 2, in_flight: 1, per_side, ..ShadowSettings::default() };
    let replica = Replica::ready(&shelves.ground, &Pace { shadow, relay: None, ..Pace::default() }).await;
    shelves.ground.stores.modern.always(Call::Fetch, Fault::Hang);
    let dropped = || {
        let text = handle.render();
        let line = text.lines().find(|line| line.starts_with("strangler_shadow_dropped_total{reason=\"queue_full\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = dropped();
    // WHEN many more are offered
    let began = Instant::now();
    for _ in 0..50 {
        assert_eq!(replica.ask(LOOK).await.text, r#"{"data":{"shelf":{"onHand":100}}}"#);
    }
    // THEN clients do not wait, and what was not looked at is counted
    assert_eq!(began.elapsed(), Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let seen = replica.observed.lock().len() as u64;
    assert!((3..=4).contains(&seen), "two waited, one was under way, one was next: {seen}");
    // Other tests of this process may count too.
    assert!(dropped() - before >= 50 - seen, "{} dropped, {seen} seen", dropped() - before);
}

#[tokio::test(start_paused = true)]
async fn the_answers_that_wait_for_their_shadow_hold_no_more_bytes_than_they_may() {
    // GIVEN room for many shadows and few bytes, and a side that hangs
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shadow, 0.0, 100.0);
    let shadow = ShadowSettings { queue_bytes: 2_000, ..ShadowSettings::default() };
    let replica = Replica::ready(&shelves.ground, &Pace { shadow, relay: None, ..Pace::default() }).await;
    shelves.ground.stores.modern.always(Call::Fetch, Fault::Hang);
    // WHEN many are offered
    for _ in 0..50 {
        assert_eq!(replica.ask(LOOK).await.text, r#"{"data":{"shelf":{"onHand":100}}}"#);
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    // THEN few waited, and the others were dropped
    let seen = replica.observed.lock().len();
    assert!((1..=12).contains(&seen), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn lag_is_no_mismatch_and_a_lasting_difference_is_one() {
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shadow, 0.0, 100.0);
    let (writer, replica) = (
        Replica::ready(&shelves.ground, &Pace::default()).await,
        Replica::ready(&shelves.ground, &Pace::default()).await,
    );
    // GIVEN a write that modern takes a second later
    shelves.ground.stores.modern.on(Call::Apply, 1, Fault::Latency(Duration::from_secs(1)));
    assert!(writer.ask(PUT).await.body["errors"].is_null());
    // WHEN it is read meanwhile where nobody knows of it yet
    assert_eq!(replica.ask(LOOK).await.text, r#"{"data":{"shelf":{"onHand":7}}}"#);
    replica.ask("{ shelfList { id onHand } }").await;
    // THEN that is no mismatch
    for observation in observed(&replica, 2).await {
        assert_ne!(observation.verdict, Verdict::Mismatch, "{observation:?}");
    }
    shelves.ground.settled().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(replica.observed.lock().iter().all(|seen| seen.verdict != Verdict::Mismatch));
    // but what stays different is one
    replica.observed.lock().clear();
    let entity = crate::shelves::shelf_type(&shelves.ground.loaded);
    shelves.memory.modern.meddle(|rows| {
        rows.insert(crate::shelves::key("B"), crate::shelves::shelf(&entity, "B", 99));
    });
    replica.ask("{ shelf(id: \"B\") { onHand } }").await;
    let found = observed(&replica, 1).await.remove(0);
    assert_eq!(found.verdict, Verdict::Mismatch, "{found:?}");
    assert_eq!(found.differences[0].field.as_ref().map(|field| field.as_str()), Some("onHand"));
    assert_eq!(found.differences[0].values, PerSide { legacy: json!(100), modern: json!(99) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_defects_are_found_and_named_by_their_causes() {
    are_found_and_named(Erp::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_defects_are_found_beside_an_oracle() {
    are_found_and_named(Erp::on_oracle().await).await;
}

async fn are_found_and_named(erp: Erp) {
    // GIVEN both sides equal, and a defect of each kind planted in modern
    let ground = erp.ground().await;
    erp.copy().await;
    ground.set(Stage::Shadow, 0.0, 100.0);
    let replica = Replica::ready(&ground, &Pace::default()).await;
    let write = "mutation { adjustStock(sku: \"ITM-008\", location: \"BER1\", delta: -1) { onHand } }";
    assert!(replica.ask(write).await.body["errors"].is_null());
    assert!(replica.ask(&write.replace("-1", "-2")).await.body["errors"].is_null());
    ground.settled().await;
    connect(&erp.databases.modern)
        .await
        .batch_execute(
            "UPDATE product SET unit_price = unit_price + 0.01 WHERE sku = 'ITM-001';
             UPDATE product SET sold_until = sold_until - interval '2 hours' WHERE sku = 'ITM-004';
             UPDATE product SET name = upper(name) WHERE sku = 'ITM-003';
             UPDATE product SET description = left(description, 4) WHERE sku = 'ITM-005';
             UPDATE product SET name = name || ' ' WHERE sku = 'ITM-006';
             UPDATE product SET description = '' WHERE sku = 'ITM-009';
             UPDATE stock_level SET on_hand = 99 WHERE sku = 'ITM-008' AND location = 'BER1';
             UPDATE stock_level SET on_hand = 12345 WHERE sku = 'ITM-010' AND location = 'BER1';
             DELETE FROM product WHERE sku = 'ITM-002';
             INSERT INTO product (sku, name, unit_price) VALUES ('ITM-077', 'Ghost', 1)",
        )
        .await
        .unwrap();
    let product = |sku: &str| format!("{{ product(sku: \"{sku}\") {{ name description unitPrice soldUntil }} }}");
    let level = |sku: &str| format!("{{ stockLevel(sku: \"{sku}\", location: \"BER1\") {{ onHand }} }}");
    let planted = [
        (product("ITM-001"), Cause::Rounding),
        (product("ITM-004"), Cause::TimeZone),
        (product("ITM-003"), Cause::Case),
        (product("ITM-005"), Cause::Truncation),
        (product("ITM-006"), Cause::Padding),
        (product("ITM-009"), Cause::NullEmpty),
        (level("ITM-008"), Cause::Stale),
        (level("ITM-010"), Cause::ForeignWrite),
        (product("ITM-002"), Cause::ForeignWrite),
        (product("ITM-077"), Cause::ExtraRow),
    ];
    // WHEN they are read
    for (query, cause) in planted {
        replica.observed.lock().clear();
        assert!(replica.ask(&query).await.body["errors"].is_null());
        // THEN each is a mismatch with its cause
        let found = observed(&replica, 1).await.remove(0);
        let causes: Vec<_> = found.differences.iter().map(|difference| difference.cause).collect();
        assert_eq!((found.verdict, causes), (Verdict::Mismatch, vec![cause]), "{query}: {found:?}");
    }
}
