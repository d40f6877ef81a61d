//! What every control store promises, as tests. [`control_contract!`](crate::control_contract!) makes
//! one test of each for a store.

mod excuse;
mod trend;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use model::control::sums::{SAMPLES_KEPT_FIRST, SAMPLES_KEPT_NEWEST};
use model::control::{
    Author, BatchId, ControlError, ControlStore, EvidenceFilter, OverrideId, Publication, Sums, next_rollout,
};
use model::evidence::{Cause, Difference, Observation, Sample, Verdict};
use model::{Epoch, GroupName, Instant, PerSide, Percentage, Policy, Rollout, RolloutVersion, Rule, Stage};
use tokio::join;
use uuid::Uuid;

mod documents;
mod figures;
mod orders;
mod replicas;
mod webhooks;

pub use documents::{
    a_promotion_moves_on_from_its_last_revision_only, a_proposal_is_approved_by_what_is_published,
    a_proposal_is_decided_once, every_change_is_noted_in_one_chain,
};
pub use excuse::an_excuse_is_kept_whole_and_ends_without_being_lost;
pub use figures::*;
pub use orders::{
    a_group_has_one_open_order_and_a_second_is_told_of_it,
    an_order_is_held_by_one_replica_and_who_lost_it_changes_nothing,
};
pub use replicas::{of_two_replicas_with_one_name_the_second_is_told, replicas_are_live_while_they_are_heard_of};
pub use trend::a_trend_adds_up_what_was_seen_in_each_period;
mod reconciliation;

pub use reconciliation::{
    repairs_are_on_record_from_their_beginning, the_newest_ended_reconciliation_of_each_type_decides,
};
pub use webhooks::a_webhook_is_told_by_one_replica_at_a_time;

/// Makes one test per promise. `$fresh` is an async function that returns an empty, prepared store
/// and whatever must live as long.
#[macro_export]
macro_rules! control_contract {
    ($fresh:path) => {
        $crate::control_contract! { $fresh:
            a_store_begins_empty_and_publishes_in_order
            of_two_publishers_one_wins_and_the_other_is_told
            a_published_rollout_comes_back_whole
            a_version_may_jump_ahead_and_never_back
            history_is_newest_first_and_by_group
            rollbacks_that_were_taken_in_are_known_for_ever
            a_group_has_one_open_order_and_a_second_is_told_of_it
            an_order_is_held_by_one_replica_and_who_lost_it_changes_nothing
            a_waiter_hears_of_a_change_and_gives_up_in_time
            replicas_are_live_while_they_are_heard_of
            of_two_replicas_with_one_name_the_second_is_told
            preparing_twice_at_once_changes_nothing
            evidence_is_summed_and_a_batch_counts_once
            evidence_is_found_by_route_field_cause_and_time
            samples_are_bounded_to_the_oldest_and_the_newest
            keys_once_compared_stay_compared
            old_evidence_is_forgotten_and_young_stays
            every_change_is_noted_in_one_chain
            a_proposal_is_decided_once
            a_proposal_is_approved_by_what_is_published
            a_promotion_moves_on_from_its_last_revision_only
            figures_are_summed_by_slot_and_a_batch_counts_once
            figures_are_found_by_group_and_time_in_the_order_of_time
            replicas_that_send_figures_at_once_lose_none
            old_figures_are_forgotten_and_young_stay
            an_excuse_is_kept_whole_and_ends_without_being_lost
            a_trend_adds_up_what_was_seen_in_each_period
            the_newest_ended_reconciliation_of_each_type_decides
            repairs_are_on_record_from_their_beginning
            a_webhook_is_told_by_one_replica_at_a_time
        }
    };
    ($fresh:path: $($promise:ident)*) => { $(
        #[tokio::test]
        async fn $promise() {
            let (store, _alive) = $fresh().await;
            $crate::control_contract::$promise(&store).await;
        }
    )* };
}

fn group(name: &str) -> GroupName {
    GroupName::new(name)
}

fn shifted(reads: f64) -> Policy {
    Policy::new(Stage::Shift, reads.try_into().unwrap(), Percentage::FULL, Epoch(1)).unwrap()
}

/// A publication of `rollout` after `expected`, about the group `inventory`.
pub fn publication(expected: Option<u64>, rollout: Rollout) -> Publication {
    Publication {
        expected: expected.map(RolloutVersion),
        rollout,
        author: Author { who: "ada".into(), origin: "desk".into(), reason: Some("a try".into()) },
        summary: "inventory: reads 0 % -> 12.5 %".into(),
        groups: vec![group("inventory")],
        evidence: serde_json::json!({ "routes": { "Query.stockLevel": { "match": 7 } }, "unsettled": null }),
        overrides: Vec::new(),
        approved_by: None,
        approves: None,
    }
}

fn first() -> Rollout {
    Rollout::initial([group("inventory"), group("catalog")])
}

async fn publish_first(store: &dyn ControlStore) -> Rollout {
    store.publish(&publication(None, first())).await.unwrap().rollout
}

/// Promise.
pub async fn a_store_begins_empty_and_publishes_in_order(store: &dyn ControlStore) {
    assert_eq!(store.newest().await.unwrap(), None);
    assert!(store.history(None, 10).await.unwrap().is_empty());
    let rollout = publish_first(store).await;
    assert_eq!(rollout, first());
    let second = next_rollout(&rollout, &BTreeMap::from([(group("inventory"), shifted(12.5))]));
    assert_eq!(second.version, RolloutVersion(2));
    store.publish(&publication(Some(1), second.clone())).await.unwrap();
    assert_eq!(store.newest().await.unwrap().unwrap().rollout, second);
}

/// Promise.
pub async fn of_two_publishers_one_wins_and_the_other_is_told(store: &dyn ControlStore) {
    let first = publish_first(store).await;
    for round in 1..=5 {
        let newest = Rollout { version: RolloutVersion(round), ..first.clone() };
        let next = publication(Some(round), next_rollout(&newest, &BTreeMap::new()));
        let outcomes: [_; 4] =
            join!(store.publish(&next), store.publish(&next), store.publish(&next), store.publish(&next)).into();
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for error in lost {
            let ControlError::Conflict { expected, found } = error.unwrap_err() else {
                panic!("a lost race is a conflict");
            };
            assert_eq!((expected, found), (Some(RolloutVersion(round)), Some(RolloutVersion(round + 1))));
        }
    }
    assert_eq!(store.history(None, 100).await.unwrap().len(), 6);
}

/// Promise.
pub async fn a_published_rollout_comes_back_whole(store: &dyn ControlStore) {
    let mut rollout = first();
    rollout.policies.insert(group("inventory"), shifted(33.33));
    let overrides = vec![OverrideId(Uuid::new_v4()), OverrideId(Uuid::new_v4())];
    let sent = Publication { overrides, ..publication(None, rollout) };
    let answered = store.publish(&sent).await.unwrap();
    let stored = store.newest().await.unwrap().unwrap();
    assert_eq!(answered, stored);
    assert_eq!(stored.rollout, sent.rollout);
    assert_eq!(stored.author, sent.author);
    assert_eq!(stored.summary, sent.summary);
    assert_eq!(stored.groups, sent.groups);
    assert_eq!(stored.evidence, sent.evidence);
    assert_eq!(stored.overrides, sent.overrides);
    let age = Utc::now() - stored.at.to_utc();
    assert!(age.abs() < TimeDelta::minutes(1), "{age}");
}

/// Promise.
pub async fn a_version_may_jump_ahead_and_never_back(store: &dyn ControlStore) {
    let ahead = Rollout { version: RolloutVersion(17), ..first() };
    store.publish(&publication(None, ahead)).await.unwrap();
    assert_eq!(store.newest().await.unwrap().unwrap().rollout.version, RolloutVersion(17));
    let stale = store.publish(&publication(Some(1), Rollout { version: RolloutVersion(18), ..first() })).await;
    assert!(matches!(stale, Err(ControlError::Conflict { .. })));
}

/// Promise.
pub async fn history_is_newest_first_and_by_group(store: &dyn ControlStore) {
    let mut rollout = publish_first(store).await;
    for number in 0..4u64 {
        let next = next_rollout(&rollout, &BTreeMap::new());
        let about = if number % 2 == 0 { "catalog" } else { "inventory" };
        let sent = Publication { groups: vec![group(about)], ..publication(Some(rollout.version.0), next) };
        rollout = store.publish(&sent).await.unwrap().rollout;
    }
    let versions = |records: Vec<model::control::RolloutRecord>| -> Vec<u64> {
        records.iter().map(|record| record.rollout.version.0).collect()
    };
    assert_eq!(versions(store.history(None, 3).await.unwrap()), [5, 4, 3]);
    assert_eq!(versions(store.history(Some(&group("catalog")), 9).await.unwrap()), [4, 2]);
    assert!(store.history(Some(&group("nobody")), 9).await.unwrap().is_empty());
}

/// Promise.
pub async fn rollbacks_that_were_taken_in_are_known_for_ever(store: &dyn ControlStore) {
    let (taken, other) = (OverrideId(Uuid::new_v4()), OverrideId(Uuid::new_v4()));
    assert!(store.published(&[taken]).await.unwrap().is_empty());
    let rollout = publish_first(store).await;
    let next = next_rollout(&rollout, &BTreeMap::new());
    let sent = Publication { overrides: vec![taken], ..publication(Some(1), next.clone()) };
    store.publish(&sent).await.unwrap();
    store.publish(&publication(Some(2), next_rollout(&next, &BTreeMap::new()))).await.unwrap();
    assert_eq!(store.published(&[other, taken]).await.unwrap(), [taken]);
    assert!(store.published(&[]).await.unwrap().is_empty());
}

/// Promise.
pub async fn a_waiter_hears_of_a_change_and_gives_up_in_time(store: &dyn ControlStore) {
    let short = Duration::from_millis(50);
    assert!(!store.wait_for_change(None, short).await.unwrap());
    let rollout = publish_first(store).await;
    let known = Some(rollout.version);
    assert!(store.wait_for_change(None, short).await.unwrap());
    assert!(!store.wait_for_change(known, short).await.unwrap());
    let begun = tokio::time::Instant::now();
    let (heard, published) = join!(store.wait_for_change(known, Duration::from_secs(20)), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        store.publish(&publication(Some(1), next_rollout(&rollout, &BTreeMap::new()))).await
    });
    assert!(heard.unwrap());
    published.unwrap();
    println!("heard {:?} after the wait began, published after 400 ms", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(15));
}

/// Promise.
pub async fn preparing_twice_at_once_changes_nothing(store: &dyn ControlStore) {
    let rollout = publish_first(store).await;
    let (a, b) = join!(store.prepare(), store.prepare());
    a.unwrap();
    b.unwrap();
    assert_eq!(store.newest().await.unwrap().unwrap().rollout, rollout);
}

/// Now, to the second: far enough from the edge of a minute does not matter, sums are by `last`.
fn now() -> Instant {
    Instant::new(Utc::now())
}

fn ago(time: TimeDelta) -> Instant {
    Instant::new(Utc::now() - time)
}

fn difference(field: Option<&str>, cause: Cause) -> Difference {
    Difference {
        field: field.map(Into::into),
        cause,
        key: "[\"SKU-1\\u0000\",\"BER\"]".to_owned(),
        values: PerSide { legacy: "1.5".into(), modern: serde_json::Value::Null },
        records: PerSide { legacy: serde_json::json!({ "sku": "SKU-1\u{0}" }), modern: serde_json::Value::Null },
        excused: cause == Cause::Padding,
        explained: match cause {
            Cause::Rounding => vec![Rule::Scale(1), Rule::Cut(1)],
            _ => Vec::new(),
        },
    }
}

/// Evidence of one comparison of `route` with one difference, seen at `at`.
fn evidence(route: &str, field: Option<&str>, cause: Cause, at: Instant) -> Sums {
    let difference = difference(field, cause);
    let observation = Observation {
        route: route.into(),
        verdict: Verdict::Mismatch,
        reason: None,
        differences: vec![difference.clone()],
        fields: vec!["onHand".into(), "sku".into()],
        keys: Vec::new(),
    };
    let mut sums = Sums::default();
    sums.absorb(&observation, at);
    let id = Uuid::new_v4().simple().to_string();
    sums.samples.push(Sample { id, route: route.into(), seen_at: at, difference });
    sums
}

fn batch() -> BatchId {
    BatchId(Uuid::new_v4())
}

/// Promise.
pub async fn evidence_is_summed_and_a_batch_counts_once(store: &dyn ControlStore) {
    assert!(store.evidence(&EvidenceFilter::default()).await.unwrap().is_empty());
    let one = evidence("Query.stockLevel", Some("onHand"), Cause::Rounding, ago(TimeDelta::minutes(7)));
    let mut two = evidence("Query.stockLevel", Some("onHand"), Cause::Rounding, now());
    let inconclusive = Observation {
        route: "Query.stockLevel".into(),
        verdict: Verdict::Inconclusive,
        reason: Some("timeout".into()),
        differences: Vec::new(),
        fields: Vec::new(),
        keys: Vec::new(),
    };
    two.absorb(&inconclusive, now());
    let repeated = batch();
    store.add_evidence(repeated, &one).await.unwrap();
    store.add_evidence(repeated, &one).await.unwrap();
    let (a, b) = (batch(), batch());
    let nothing = Sums::default();
    let (a, b) = join!(store.add_evidence(a, &two), store.add_evidence(b, &nothing));
    a.unwrap();
    b.unwrap();
    let mut expected = one;
    expected.merge(two);
    assert_eq!(store.evidence(&EvidenceFilter::default()).await.unwrap(), expected);
    assert_eq!(expected.count(None, Verdict::Mismatch), 2);
}

/// Promise.
pub async fn evidence_is_found_by_route_field_cause_and_time(store: &dyn ControlStore) {
    let (level, product) = ("Query.stockLevel", "Query.product");
    let added = [
        evidence(level, Some("onHand"), Cause::Rounding, now()),
        evidence(level, Some("countedAt"), Cause::TimeZone, now()),
        evidence(level, Some("onHand"), Cause::Rounding, ago(TimeDelta::days(3))),
        evidence(product, None, Cause::MissingRow, now()),
        evidence(product, Some("name"), Cause::Padding, now()),
    ];
    for sums in &added {
        store.add_evidence(batch(), sums).await.unwrap();
    }
    let all = EvidenceFilter::default;
    let count = async |filter: EvidenceFilter| {
        let found = store.evidence(&filter).await.unwrap();
        let differences: u64 = found.differences.values().map(|seen| seen.count).sum();
        assert_eq!(usize::try_from(differences).unwrap(), found.samples.len());
        let rounded = found.differences.iter().filter(|(kind, _)| kind.cause == Cause::Rounding);
        let explained: u64 = found.explained.values().map(|seen| seen.count).sum();
        assert_eq!(explained, 2 * rounded.map(|(_, seen)| seen.count).sum::<u64>());
        (found.comparisons.values().map(|seen| seen.count).sum::<u64>(), differences)
    };
    let hour_ago = Some(ago(TimeDelta::hours(1)));
    assert_eq!(count(all()).await, (5, 5));
    assert_eq!(count(EvidenceFilter { routes: Some(vec![product.into()]), ..all() }).await, (2, 2));
    assert_eq!(count(EvidenceFilter { routes: Some(Vec::new()), ..all() }).await, (0, 0));
    assert_eq!(count(EvidenceFilter { field: Some("onHand".into()), ..all() }).await, (5, 2));
    assert_eq!(count(EvidenceFilter { cause: Some(Cause::MissingRow), ..all() }).await, (5, 1));
    assert_eq!(count(EvidenceFilter { since: hour_ago, ..all() }).await, (4, 4));
    let excused = store.evidence(&EvidenceFilter { cause: Some(Cause::Padding), ..all() }).await.unwrap();
    assert!(excused.differences.keys().all(|kind| kind.verdict == Verdict::Excused));
}

/// Promise.
pub async fn samples_are_bounded_to_the_oldest_and_the_newest(store: &dyn ControlStore) {
    let start = Utc::now() - TimeDelta::minutes(30);
    let mut expected = Sums::default();
    for round in 0..6 {
        let mut sums = Sums::default();
        for second in 0..10 {
            let at = Instant::new(start + TimeDelta::seconds(round * 10 + second));
            sums.merge(evidence("Query.stockLevel", Some("onHand"), Cause::Rounding, at));
        }
        sums.merge(evidence("Query.product", Some("name"), Cause::Case, Instant::new(start)));
        expected.merge(sums.clone());
        store.add_evidence(batch(), &sums).await.unwrap();
    }
    let found = store.evidence(&EvidenceFilter::default()).await.unwrap();
    assert_eq!(found.samples, expected.samples);
    assert_eq!(found.samples.len(), SAMPLES_KEPT_FIRST + SAMPLES_KEPT_NEWEST + 6);
    assert_eq!(found.count(None, Verdict::Mismatch), 66);
}

/// Promise.
pub async fn keys_once_compared_stay_compared(store: &dyn ControlStore) {
    let keys =
        |bitmap: [u8; 3]| Sums { keys: BTreeMap::from([("Query.product".into(), bitmap.to_vec())]), ..Sums::default() };
    let (a, b) = (keys([0b1, 0, 0b1000]), keys([0b10, 0, 0b1000]));
    let (a, b) = join!(store.add_evidence(batch(), &a), store.add_evidence(batch(), &b));
    a.unwrap();
    b.unwrap();
    assert_eq!(store.evidence(&EvidenceFilter::default()).await.unwrap(), keys([0b11, 0, 0b1000]));
}

/// Promise.
pub async fn old_evidence_is_forgotten_and_young_stays(store: &dyn ControlStore) {
    let young = evidence("Query.product", Some("name"), Cause::Case, now());
    store.add_evidence(batch(), &young).await.unwrap();
    let old = evidence("Query.product", Some("name"), Cause::Case, ago(TimeDelta::days(40)));
    store.add_evidence(batch(), &old).await.unwrap();
    store.forget(Duration::from_secs(30 * 86_400)).await.unwrap();
    assert_eq!(store.evidence(&EvidenceFilter::default()).await.unwrap(), young);
}
