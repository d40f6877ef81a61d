//! Very many keys that wait for a secondary that is away.

use std::time::Duration;

use model::{EntityKey, Value};

use super::shop::Shop;
use crate::erp::connect;
use crate::rig::{Pace, Replica, until};

/// Of writes that are no more than a key.
const WAITING: &str = "INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, incarnation, position, state, created_at) \
     SELECT gen_random_uuid(), 0, 'stock', 'Stock', '[\"W' || n || '\"]', 1, 1, n, 'unsettled', clock_timestamp() FROM generate_series(1, $1::int8) n";

/// Not the five thousand of before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_waiting_keys_are_known_exactly_and_too_many_pin_no_other_group() {
    let databases = Shop::databases().await;
    let shop = Shop::over(&databases).await;
    let replica = Replica::ready(&shop.ground, &Pace { relay: None, ..Pace::default() }).await;
    let erp = connect(&databases.legacy).await;
    let key = |entity: &str, id: &str| EntityKey::new(entity.into(), vec![Value::text(id)]);
    // WHEN 20,000 keys wait
    erp.execute(WAITING, &[&20_000_i64]).await.unwrap();
    // THEN these are the primary's, and no others
    let waits = |id: &str| replica.unsettled.contains(&"stock".into(), &key("Stock", id));
    until("they are known", async || waits("W1") && waits("W20000")).await;
    assert!(!waits("W20001") && !waits("A"));
    // WHEN more wait than a replica keeps
    erp.execute(&WAITING.replace("generate_series(1,", "generate_series(20001,"), &[&100_100_i64]).await.unwrap();
    // THEN all of their group is, and nothing of another
    until("all of the group counts", async || replica.unsettled.is_in_doubt(&"stock".into())).await;
    for _ in 0..5 {
        until("the other group is known", async || {
            let doubted = |group: &str| replica.unsettled.is_in_doubt(&group.into());
            doubted("stock") && !doubted("orders") && !replica.unsettled.contains(&"orders".into(), &key("Order", "O1"))
        })
        .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
