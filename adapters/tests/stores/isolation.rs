//! The isolation of our transactions is ours to say, whatever the database's default is.

use std::time::Duration;

use model::fence::{Fence, Move};
use model::{Applied, Epoch, Side, Stand, Store as _, StoreError};
use testkit::contract::{self, WITHIN};
use testkit::inventory;

use super::any_oracle;
use super::postgres::{Fixture, connect};
use super::races::{BLOCKED, until};

const DEFAULTS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

async fn with_default(side: Side, isolation: &str) -> Fixture {
    Fixture::with_setting(side, &format!("default_transaction_isolation = '{isolation}'")).await
}

/// A writer that waits for whoever moves the fence sees what he did.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_under_any_default_isolation_sees_the_fence_that_it_waited_for() {
    for side in Side::BOTH {
        for isolation in DEFAULTS {
            let fixture = with_default(side, isolation).await;
            let store = fixture.subject();
            contract::set_level(&store, "A", "BER", 5).await;
            let (mover, watcher) = (connect(&fixture.database).await, connect(&fixture.database).await);
            let lock = adapters::postgres::fence_lock(&inventory::group());
            mover
                .batch_execute(&format!(
                    "BEGIN; SELECT pg_advisory_xact_lock({lock}); UPDATE strangler_fence SET state = 'frozen', epoch = 2"
                ))
                .await
                .unwrap();
            let write = contract::adjust(&store, "A", "BER", -1);
            let late = tokio::spawn({
                let store = store.clone();
                async move { store.execute(&write, WITHIN).await }
            });
            until(&watcher, BLOCKED, 1).await;
            mover.batch_execute("COMMIT").await.unwrap();
            let late = late.await.unwrap();
            assert!(matches!(late, Err(StoreError::Fenced { .. })), "{side} {isolation}: {late:?}");
            assert_eq!(contract::on_hand(&store, "A", "BER").await, Some(5), "{side} {isolation}");
        }
    }
}

/// The same on an Oracle, whose logon trigger may say so; played by the default of the database under it.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_on_an_oracle_under_any_default_isolation_sees_the_fence_that_it_waited_for() {
    for isolation in DEFAULTS {
        let fixture = any_oracle::Fixture::new(Side::Legacy).await;
        let under = fixture.database.under();
        let alter = format!("ALTER DATABASE {} SET default_transaction_isolation = '{isolation}'", under.name());
        connect(under).await.batch_execute(&alter).await.unwrap();
        // Sessions that begin now.
        let store: contract::Subject = std::sync::Arc::new(fixture.with(|_| {}));
        contract::set_level(&store, "A", "BER", 5).await;
        let closer = fixture.database.connection();
        assert_eq!(any_oracle::take_fence_alone(&closer, 10), 0);
        let late = tokio::spawn({
            let (store, write) = (store.clone(), contract::adjust(&store, "A", "BER", -1));
            async move { store.execute(&write, WITHIN).await }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        closer.execute("UPDATE strangler_fence SET state = 'frozen' WHERE grp = 'inventory'", &[]).unwrap();
        closer.commit().unwrap();
        let late = late.await.unwrap();
        assert!(matches!(late, Err(StoreError::Fenced { .. })), "{isolation}: {late:?}");
        assert_eq!(contract::on_hand(&store, "A", "BER").await, Some(5), "{isolation}");
    }
}

/// Of two who move a fence at once the later one sees the move of the first, and is no error.
#[tokio::test(flavor = "multi_thread")]
async fn moves_and_applies_under_any_default_isolation_see_what_they_waited_for() {
    for isolation in DEFAULTS {
        let fixture = with_default(Side::Modern, isolation).await;
        let store = fixture.subject();
        let other = connect(&fixture.database).await;
        let watcher = connect(&fixture.database).await;
        let frozen = Fence::new(Epoch(2), Stand::Frozen);
        let lock = adapters::postgres::fence_lock(&inventory::group());
        other
            .batch_execute(&format!(
                "BEGIN; SELECT pg_advisory_xact_lock({lock}); UPDATE strangler_fence SET state = 'frozen', epoch = 2"
            ))
            .await
            .unwrap();
        let open = Fence::new(Epoch(1), Stand::Open);
        let step = Move { side: Side::Modern, from: open, to: Fence::new(Epoch(2), Stand::Closed), takes_over: false };
        let moved = tokio::spawn({
            let store = fixture.store.clone();
            async move { store.move_fence(&inventory::group(), &step, WITHIN).await }
        });
        until(&watcher, BLOCKED, 1).await;
        other.batch_execute("COMMIT").await.unwrap();
        assert_eq!(moved.await.unwrap().unwrap(), frozen, "{isolation}");
        // An apply that waits for another one sees what that has recorded, and is no conflict. Since that says no shape, as
        // older releases did, the key is looked at again.
        other
            .batch_execute(&format!(
                "BEGIN; INSERT INTO strangler_version (entity, key, epoch, incarnation, position, write_id, deleted) \
                 VALUES ('StockLevel', '[\"B\",\"BER\"]', 1, 1, 9, '{}', true)",
                contract::write_id()
            ))
            .await
            .unwrap();
        let applied = tokio::spawn({
            let store = store.clone();
            async move { store.apply(&[contract::change("B", "BER", 2, Some(7))], WITHIN).await }
        });
        until(&watcher, BLOCKED, 1).await;
        other.batch_execute("COMMIT").await.unwrap();
        assert_eq!(applied.await.unwrap().unwrap(), [Applied::NotWhole], "{isolation}");
        assert_eq!(contract::on_hand(&store, "B", "BER").await, None);
    }
}

/// What the owner of a database says of it is heeded, although our transactions say `READ WRITE`.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_made_read_only_takes_no_writes_until_it_is_opened() {
    let fixture = Fixture::new(Side::Modern).await;
    contract::set_level(&fixture.subject(), "A", "BER", 5).await;
    let client = connect(&fixture.database).await;
    let alter =
        |to: &str| format!("ALTER DATABASE {} SET default_transaction_read_only = {to}", fixture.database.name());
    client.batch_execute(&alter("on")).await.unwrap();
    // A replica that starts now.
    let settings = adapters::postgres::Settings::new(fixture.database.url());
    let store = adapters::postgres::PostgresStore::connect(Side::Modern, inventory::contract(), &settings).unwrap();
    let subject: contract::Subject = std::sync::Arc::new(store);
    let refused = subject.execute(&contract::adjust(&subject, "A", "BER", -1), WITHIN).await;
    assert!(matches!(refused, Err(StoreError::Unwritable { .. })), "{refused:?}");
    let refused = subject.apply(&[contract::change("A", "BER", 2, None)], WITHIN).await;
    assert!(matches!(refused, Err(StoreError::Unwritable { .. })), "{refused:?}");
    assert_eq!(contract::on_hand(&subject, "A", "BER").await, Some(5));
    // And one that it was told in the midst of its work: the server's own setting, read anew.
    let (epoch, fence) = (Epoch(2), Stand::Frozen);
    let step = Move {
        side: Side::Modern,
        from: Fence::new(Epoch(1), Stand::Open),
        to: Fence::new(epoch, fence),
        takes_over: false,
    };
    let refused = subject.move_fence(&inventory::group(), &step, Duration::from_secs(2)).await;
    assert!(matches!(refused, Err(StoreError::Unwritable { .. })), "{refused:?}");
}
