//! What waits for a secondary that is away: how much may.

use std::num::NonZeroU64;

use model::Side;

use crate::erp::{Erp, article, connect};
use crate::rig::{Pace, Replica, until};

const ADJUST: &str = "mutation { adjustStock(sku: \"ITM-001\", location: \"BER1\", delta: -1) { onHand } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_refused_while_as_many_wait_as_may_and_are_taken_again_when_fewer_do() {
    let erp = Erp::new().await;
    let ground = erp.ground().await;
    let pace = Pace { most_unsettled: NonZeroU64::new(3), relay: None, ..Pace::default() };
    let replica = Replica::ready(&ground, &pace).await;
    // GIVEN a secondary that does not take anything
    let modern = connect(&erp.databases.modern).await;
    modern.batch_execute("ALTER TABLE stock_level RENAME TO away").await.unwrap();
    for _ in 0..3 {
        let written = replica.ask(ADJUST).await;
        assert!(written.body["errors"].is_null(), "{}", written.text);
    }
    // THEN further ones are refused and stand nowhere, and reads go on
    until("it is full", async || replica.unsettled.is_full(&ground.group())).await;
    let refused = replica.ask(ADJUST).await;
    assert_eq!(refused.code(), "UNSETTLED_LIMIT", "{}", refused.text);
    let read = replica.ask("{ stockLevel(sku: \"ITM-001\", location: \"BER1\") { onHand } }").await;
    assert_eq!(read.body["data"]["stockLevel"]["onHand"], 97, "{}", read.text);
    assert_eq!(erp.on_hand(Side::Legacy, &article(1)).await, 197);
    // WHEN they have been brought over THEN it takes writes again
    modern.batch_execute("ALTER TABLE away RENAME TO stock_level").await.unwrap();
    let helper = Replica::ready(&ground, &Pace { name: "b", ..Pace::default() }).await;
    until("it takes writes again", async || !replica.unsettled.is_full(&ground.group())).await;
    assert!(replica.ask(ADJUST).await.body["errors"].is_null());
    ground.settled().await;
    drop(helper);
}
