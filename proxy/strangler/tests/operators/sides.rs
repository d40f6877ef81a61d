//! A side that has gone back is named, waits for a person, and takes writes again when he has decided.

use strangler::demo::seed::{ERP_TABLES, MODERN_TABLES};

use crate::cli::Bench;

async fn on(bench: &Bench, side: usize, text: &str) {
    let url = bench.databases[side].url();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(text).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_has_gone_back_is_named_and_raised_by_order_on_the_record() {
    // GIVEN two sides, and a mark of legacy that modern remembers and legacy has lost
    let bench = Bench::new().await;
    on(&bench, 0, ERP_TABLES).await;
    on(&bench, 1, MODERN_TABLES).await;
    bench.json(&["init"]);
    let (well, error, code) = bench.run(&["sides", "show"]);
    assert_eq!(code, 0, "{well}{error}");
    assert!(well.contains("legacy is the database that we knew"), "{well}");
    let (unneeded, error, code) = bench.run(&["sides", "raise", "legacy", "--reason", "no need"]);
    assert_eq!(code, 1, "{unneeded}");
    assert!(error.contains("needs no raise"), "{error}");
    on(&bench, 1, "INSERT INTO strangler_memory (side, incarnation, mark, random) SELECT 'legacy', 1, 99, 7").await;

    // WHEN somebody asks
    let (shown, _, code) = bench.run(&["sides", "show"]);
    assert_eq!(code, 1);
    assert!(shown.contains("legacy has gone back: it lacks mark 99"), "{shown}");
    assert!(shown.contains("modern is the database that we knew"), "{shown}");

    // THEN an order lets it take writes again, under a higher incarnation, and is on the record
    let (raised, error, code) = bench.run(&["sides", "raise", "legacy", "--reason", "restored from 02:00"]);
    assert_eq!(code, 0, "{raised}{error}");
    assert!(raised.contains("legacy takes writes again, as incarnation 2"), "{raised}");
    let (well, _, code) = bench.run(&["sides", "show"]);
    assert_eq!(code, 0, "{well}");
    let (history, _, _) = bench.run(&["history", "list"]);
    assert!(history.contains("side-raised") && history.contains("restored from 02:00"), "{history}");
}

/// A deletion of StockLevel A at BER1 that legacy has acknowledged and lost: modern has it settled, under a key.
async fn lose(bench: &Bench, position: u32) {
    on(
        bench,
        1,
        &format!(
            "WITH lost AS (INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, incarnation, position, \
             idempotency_key, fingerprint, state) VALUES (gen_random_uuid(), 0, 'inventory', 'StockLevel', \
             '[\"A\",\"BER1\"]', 1, 1, {position}, 'key {position}', 'print', 'settled') RETURNING *) \
             INSERT INTO strangler_version (entity, key, epoch, incarnation, position, write_id, deleted) \
             SELECT entity, key, epoch, incarnation, position, write_id, true FROM lost \
             ON CONFLICT (entity, key) DO UPDATE SET position = EXCLUDED.position, write_id = EXCLUDED.write_id; \
             DELETE FROM strangler_memory WHERE side = 'legacy'; \
             INSERT INTO strangler_memory (side, incarnation, mark, random) VALUES ('legacy', {position}, 99, 7)"
        ),
    )
    .await;
}

async fn count(bench: &Bench, side: usize, what: &str) -> i64 {
    let (client, connection) =
        tokio_postgres::connect(&bench.databases[side].url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_lost_writes_stops_at_what_somebody_else_has_changed_and_tells_what_it_did() {
    let bench = Bench::new().await;
    on(&bench, 0, ERP_TABLES).await;
    on(&bench, 1, MODERN_TABLES).await;
    bench.json(&["init"]);
    let order = ["sides", "raise", "legacy", "--reason", "restored from 02:00"];
    let bring_back = [&order[..], &["--lost", "bring-back"]].concat();

    // Nothing is decided for anybody.
    lose(&bench, 5).await;
    let (_, error, code) = bench.run(&order);
    assert_eq!(code, 1);
    assert!(error.contains("say what becomes of 1 lost writes"), "{error}");

    // Brought back, with its key.
    let (told, error, code) = bench.run(&bring_back);
    assert_eq!(code, 0, "{told}{error}");
    assert!(told.contains("1 lost writes are back on legacy") && told.contains("takes writes again"), "{told}");
    assert_eq!(count(&bench, 0, "strangler_ledger WHERE idempotency_key = 'key 5' AND state = 'settled'").await, 1);

    // What an ERP user has made of the row since stops the order, and the side stays suspended.
    lose(&bench, 9).await;
    on(&bench, 0, "INSERT INTO STKBAL (ITMNO, LOCCD, QTYOH) VALUES ('A', 'BER1', 77)").await;
    let (told, error, code) = bench.run(&bring_back);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("somebody else has changed a row of it") && told.contains("StockLevel"), "{told}");
    assert!(error.contains("--over-foreign") && error.contains("stays suspended"), "{error}");
    assert_eq!(count(&bench, 0, "STKBAL").await, 1);
    assert_eq!(count(&bench, 0, "strangler_life WHERE suspended IS NULL").await, 0);
    let over = [&bring_back[..], &["--over-foreign"]].concat();
    let (told, error, code) = bench.run(&over);
    assert_eq!(code, 0, "{told}{error}");
    assert!(told.contains("1 rows that somebody else had changed were overwritten"), "{told}");
    assert_eq!(count(&bench, 0, "STKBAL").await, 0);
    let history = bench.json(&["history", "list"]).to_string();
    assert!(history.contains("overwritten") && history.contains("inTheWay"), "{history}");

    // Given up: no key is held any more.
    lose(&bench, 13).await;
    let (told, error, code) = bench.run(&[&order[..], &["--lost", "give-up"]].concat());
    assert_eq!(code, 0, "{told}{error}");
    assert!(told.contains("1 lost writes are given up"), "{told}");
    assert_eq!(count(&bench, 1, "strangler_ledger WHERE idempotency_key = 'key 13'").await, 0);
    let (well, _, code) = bench.run(&["sides", "show"]);
    assert_eq!(code, 0, "{well}");
}
