//! What every control store promises of figures.

use std::time::Duration;

use chrono::TimeDelta;
use model::control::{ControlStore, Figures, GroupFigures, Slot};
use model::evidence::Verdict;
use model::{Instant, RolloutVersion};
use tokio::join;

use super::{ago, batch, group, now};

fn slot(name: &str, age: TimeDelta, rollout: u64) -> Slot {
    Slot { at: Slot::start(ago(age)), group: group(name), rollout: RolloutVersion(rollout) }
}

/// Something in every place.
fn seen(times: u64) -> GroupFigures {
    let mut figures = GroupFigures { shadow_dropped: 1, ..GroupFigures::default() };
    for verdict in Verdict::ALL {
        *figures.verdicts.of(verdict) = times;
    }
    for side in [&mut figures.sides.legacy, &mut figures.sides.modern] {
        side.errors = times;
        side.answered.count(Duration::from_millis(times));
        side.shadowed.count(Duration::from_secs(times));
    }
    figures.settle.count(Duration::from_secs(700));
    figures.unsettled =
        Some(model::control::figures::UnsettledPeak { writes: times, age: Duration::from_millis(times) });
    figures.lag.insert("orders".to_owned(), Duration::from_millis(10 + times));
    figures
}

fn one(slot: Slot, figures: &GroupFigures) -> Figures {
    let mut all = Figures::default();
    all.add(slot, figures);
    all
}

fn long_ago() -> Instant {
    ago(TimeDelta::days(400))
}

/// Promise.
pub async fn figures_are_summed_by_slot_and_a_batch_counts_once(store: &dyn ControlStore) {
    assert!(store.figures(None, long_ago()).await.unwrap().is_empty());
    let (early, late) = (slot("inventory", TimeDelta::minutes(3), 7), slot("inventory", TimeDelta::zero(), 7));
    let mut first = one(early.clone(), &seen(3));
    first.add(Slot { rollout: RolloutVersion(8), ..early.clone() }, &seen(1));
    let mut second = one(early, &seen(5));
    second.add(late, &GroupFigures::default());
    let repeated = batch();
    store.add_figures(repeated, &first).await.unwrap();
    store.add_figures(repeated, &first).await.unwrap();
    store.add_figures(batch(), &second).await.unwrap();
    store.add_figures(batch(), &Figures::default()).await.unwrap();
    let mut expected = first;
    expected.merge(&second);
    assert_eq!(store.figures(None, long_ago()).await.unwrap(), expected);
}

/// Promise.
pub async fn figures_are_found_by_group_and_time_in_the_order_of_time(store: &dyn ControlStore) {
    let slots = [
        slot("inventory", TimeDelta::hours(2), 1),
        slot("catalog", TimeDelta::hours(2), 1),
        slot("inventory", TimeDelta::zero(), 1),
        slot("strangler:canary:a", TimeDelta::zero(), 1),
    ];
    for slot in slots.clone() {
        store.add_figures(batch(), &one(slot, &seen(1))).await.unwrap();
    }
    let found = async |name: Option<&str>, since| {
        let name = name.map(group);
        let figures = store.figures(name.as_ref(), since).await.unwrap();
        figures.slots.into_keys().collect::<Vec<_>>()
    };
    let [old, catalog, young, canary] = slots;
    assert_eq!(found(Some("inventory"), long_ago()).await, [old.clone(), young.clone()]);
    assert_eq!(found(None, ago(TimeDelta::hours(1))).await, std::slice::from_ref(&young));
    assert_eq!(found(None, old.at).await, [catalog, old, young]);
    assert_eq!(found(Some("strangler:canary:a"), long_ago()).await, [canary]);
    assert!(found(Some("nobody"), long_ago()).await.is_empty());
}

/// Promise.
pub async fn replicas_that_send_figures_at_once_lose_none(store: &dyn ControlStore) {
    let mut figures = one(slot("inventory", TimeDelta::zero(), 1), &seen(1));
    figures.add(slot("catalog", TimeDelta::zero(), 1), &seen(2));
    let send = async || {
        for _ in 0..10 {
            store.add_figures(batch(), &figures).await.unwrap();
        }
    };
    join!(send(), send(), send());
    let all = store.figures(None, long_ago()).await.unwrap();
    let mismatches = |name: &str| all.of(&group(name)).map(|(_, figures)| figures.verdicts.mismatches).sum::<u64>();
    assert_eq!((mismatches("inventory"), mismatches("catalog")), (30, 60));
}

/// Promise.
pub async fn old_figures_are_forgotten_and_young_stay(store: &dyn ControlStore) {
    let young = one(slot("inventory", TimeDelta::zero(), 1), &seen(1));
    store.add_figures(batch(), &young).await.unwrap();
    store.add_figures(batch(), &one(slot("inventory", TimeDelta::days(40), 1), &seen(1))).await.unwrap();
    store.forget(Duration::from_secs(30 * 86_400)).await.unwrap();
    assert_eq!(store.figures(None, long_ago()).await.unwrap(), young);
    assert!(young.slots.keys().all(|slot| slot.at <= now()));
}
