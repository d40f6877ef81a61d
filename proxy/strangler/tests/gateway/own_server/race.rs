//! Three replicas and the same few keys.

use std::collections::BTreeSet;

use futures::future::join_all;
use model::Side;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use strangler::demo::storefront::Storefront;
use strangler::demo::traffic::Expected;
use testkit::fleet::Replica;

use super::fleet::{Fleet, storefront};
use crate::erp::{article, connect};

const ADJUST: &str = "mutation($s: ID!, $d: Int!) { adjustStock(sku: $s, location: \"BER1\", delta: $d) { onHand } }";

async fn three(fleet: &Fleet) -> Vec<Replica> {
    join_all(["one", "two", "three"].map(|name| fleet.site.start(name))).await
}

/// One customer: acknowledged deltas of each article.
async fn customer(storefront: Storefront, seed: u64) -> [i64; 2] {
    let mut random = StdRng::seed_from_u64(seed);
    let mut sums = [0; 2];
    for _ in 0..25 {
        let (place, delta) = (random.random_range(0..2), random.random_range(-40..=20));
        let reply = storefront.ask(ADJUST, &json!({ "s": article(1 + place), "d": delta })).await.unwrap();
        match reply.code() {
            None => {
                assert!(reply.data["adjustStock"]["onHand"].as_i64() >= Some(0), "{:?}", reply.data);
                sums[place] += delta;
            }
            Some("INSUFFICIENT_STOCK") => {}
            Some(other) => panic!("{other}: {:?}", reply.errors),
        }
    }
    sums
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_on_the_same_keys_lose_and_double_nothing() {
    let fleet = Fleet::new().await;
    let replicas = three(&fleet).await;
    // WHEN twelve customers adjust two stock levels, often to nothing
    let customers = (0..12u64).map(|n| tokio::spawn(customer(storefront(&replicas[n as usize % 3]), n)));
    let mut sums = [0; 2];
    for customer in join_all(customers).await {
        let [first, second] = customer.unwrap();
        sums = [sums[0] + first, sums[1] + second];
    }
    // THEN both sides hold what was acknowledged, to the piece
    fleet.erp.audit(&Expected::default()).await;
    for side in Side::BOTH {
        for (number, sum) in (1..).zip(sums) {
            assert_eq!(fleet.erp.on_hand(side, &article(number)).await, 200 + sum, "{side} {}", article(number));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_idempotency_key_sent_to_three_replicas_at_once_books_once() {
    let fleet = Fleet::new().await;
    let replicas = three(&fleet).await;
    let storefronts: Vec<_> = replicas.iter().map(storefront).collect();
    for number in 1..=15 {
        // WHEN the same operation comes to all replicas at once, twice to each
        let (variables, key) = (json!({ "s": article(number), "d": -1 }), format!("order {number}"));
        let headers = [("idempotency-key", key.as_str())];
        let asked = storefronts.iter().chain(&storefronts).map(|s| s.ask_with(ADJUST, &variables, &headers));
        let replies: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
        // THEN all answers are one
        let answers: BTreeSet<_> =
            replies.iter().map(|reply| format!("{} {:?} {:?}", reply.data, reply.errors, reply.token)).collect();
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(replies[0].data, json!({ "adjustStock": { "onHand": 99 } }));
    }
    // and each was booked once
    fleet.erp.audit(&Expected::default()).await;
    let client = connect(&fleet.erp.databases.legacy).await;
    let booked = client.query_one("SELECT count(*) FROM MOVLOG WHERE MOVID NOT LIKE 'M%'", &[]).await.unwrap();
    assert_eq!(booked.get::<_, i64>(0), 15);
    assert_eq!(fleet.erp.on_hand(Side::Modern, &article(15)).await, 199);
}
