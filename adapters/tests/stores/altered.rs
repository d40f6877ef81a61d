//! A DBA alters a table under the statements that our connections have prepared.

use std::time::Duration;

use model::write::Work;
use model::{Side, StoreError};
use testkit::contract::{self, WITHIN};
use testkit::inventory;

use super::postgres::{Fixture, connect};
use super::races::{BLOCKED, until};

/// Connections that have prepared what they need: all that there are for writes.
const CONNECTIONS: i64 = 8;

/// A statement whose table was altered fails on its connection, again and again: the server never takes it back. Whoever
/// meets the first one tries once more, and is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_becomes_wider_costs_one_attempt_whatever_the_number_of_connections() {
    // GIVEN many connections that have written and read
    let fixture = Fixture::new(Side::Modern).await;
    let (store, dba) = (fixture.subject(), connect(&fixture.database).await);
    dba.batch_execute("BEGIN; LOCK TABLE stock_levels").await.unwrap();
    let writes: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { contract::set_level(&store, &format!("A{number}"), "BER", number).await })
        })
        .collect();
    until(&connect(&fixture.database).await, BLOCKED, CONNECTIONS).await;
    dba.batch_execute("COMMIT").await.unwrap();
    for write in writes {
        write.await.unwrap();
    }
    // WHEN a column becomes wider
    dba.batch_execute("ALTER TABLE stock_levels ALTER COLUMN location TYPE varchar(8)").await.unwrap();
    // THEN one write at most has to be tried again
    let mut again = 0;
    for number in 0..CONNECTIONS * 2 {
        let work = Work::Set(inventory::level("A1", "BER", number));
        let command = contract::command(work, vec![inventory::level_key("A1", "BER")]);
        match store.execute(&command, WITHIN).await {
            Ok(_) => {}
            Err(StoreError::Conflict { .. }) => again += 1,
            Err(error) => panic!("{error}"),
        }
        // Which connection is next is the pool's.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(again <= 1, "{again} attempts met a statement that was out of date");
    assert_eq!(contract::on_hand(&store, "A1", "BER").await, Some(CONNECTIONS * 2 - 1));
}

/// A read has no transaction to lose: whoever asks while a table is altered is answered, and not told that the side gave
/// no answer.
#[tokio::test(flavor = "multi_thread")]
async fn reads_are_answered_while_a_column_becomes_wider_again_and_again() {
    // GIVEN many connections that have read
    let fixture = Fixture::new(Side::Modern).await;
    let (store, dba) = (fixture.subject(), connect(&fixture.database).await);
    contract::set_level(&store, "A1", "BER", 1).await;
    for width in 10..20 {
        // WHEN a column becomes wider, and many read at once
        let all = futures::future::join_all((0..CONNECTIONS).map(|_| contract::on_hand(&store, "A1", "BER"))).await;
        assert!(all.into_iter().all(|found| found == Some(1)));
        let wider = format!("ALTER TABLE stock_levels ALTER COLUMN location TYPE varchar({width})");
        dba.batch_execute(&wider).await.unwrap();
        // THEN each is answered
        let all = futures::future::join_all((0..CONNECTIONS).map(|_| contract::on_hand(&store, "A1", "BER"))).await;
        assert!(all.into_iter().all(|found| found == Some(1)));
    }
}
