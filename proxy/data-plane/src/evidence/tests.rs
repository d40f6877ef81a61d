use adapters::memory::control::MemoryControl;
use model::control::EvidenceFilter;
use model::evidence::{Cause, Difference, Verdict};
use model::{Contract, PerSide};
use std::collections::BTreeMap;

use super::*;

fn clock() -> Instant {
    Instant::new(chrono::Utc::now())
}

fn observation(key: &str) -> Observation {
    let difference = Difference {
        field: Some("onHand".into()),
        cause: Cause::Rounding,
        key: key.to_owned(),
        values: PerSide::default(),
        records: PerSide::default(),
        excused: false,
        explained: Vec::new(),
    };
    Observation {
        route: "Query.stockLevel".into(),
        verdict: Verdict::Mismatch,
        reason: None,
        differences: vec![difference],
        fields: vec!["onHand".into()],
        keys: vec![key.to_owned()],
    }
}

async fn read(control: &MemoryControl) -> Sums {
    control.evidence(&EvidenceFilter::default()).await.unwrap()
}

const PAUSE: Duration = Duration::from_millis(1_000);

#[tokio::test(start_paused = true)]
async fn what_is_observed_arrives_summed_up() {
    let control = Arc::new(MemoryControl::new());
    let (aggregator, stop) = (Aggregator::new(clock), CancellationToken::new());
    let task = tokio::spawn({
        let (aggregator, control, stop) = (aggregator.clone(), control.clone(), stop.clone());
        async move { aggregator.run(control, PAUSE, stop).await }
    });
    for number in 0..500 {
        aggregator.observe(&observation(&number.to_string()));
    }
    tokio::time::sleep(2 * PAUSE).await;
    let sums = read(&control).await;
    assert_eq!(sums.count(None, Verdict::Mismatch), 500);
    assert_eq!(sums.samples.len(), 25);
    let evidence = stored(&sums, &Contract::default(), &EvidenceFilter::default(), &BTreeMap::new());
    assert!((490..=510).contains(&evidence.coverage[0].keys_compared));
    assert_eq!(evidence.tallies[0].count, 500);
    // What comes just before the stop arrives as well.
    aggregator.observe(&observation("last"));
    stop.cancel();
    task.await.unwrap();
    assert_eq!(read(&control).await.count(None, Verdict::Mismatch), 501);
}

#[tokio::test(start_paused = true)]
async fn evidence_waits_while_the_control_store_is_down_and_arrives_once() {
    let control = Arc::new(MemoryControl::new());
    let (aggregator, stop) = (Aggregator::new(clock), CancellationToken::new());
    control.set_down(true);
    tokio::spawn({
        let (aggregator, control) = (aggregator.clone(), control.clone());
        async move { aggregator.run(control, PAUSE, stop).await }
    });
    for number in 0..10 {
        aggregator.observe(&observation(&number.to_string()));
        tokio::time::sleep(PAUSE).await;
    }
    control.set_down(false);
    tokio::time::sleep(3 * PAUSE).await;
    assert_eq!(read(&control).await.count(None, Verdict::Mismatch), 10);
}

#[test]
fn memory_is_bounded_whatever_the_traffic() {
    let aggregator = Aggregator::new(clock);
    for number in 0..20_000 {
        aggregator.observe(&observation(&number.to_string()));
        assert!(aggregator.0.gathered.lock().sums.samples.len() <= LOOSE_SAMPLES + 51);
    }
    let batch = aggregator.take().unwrap();
    assert_eq!((batch.sums.samples.len(), batch.sums.comparisons.len()), (25, 1));
    assert!(aggregator.take().is_none(), "keys that were sent are not sent again");
}

#[test]
fn a_mutation_that_replays_shows_before_it_was_ever_compared_and_others_do_not() {
    let text = include_str!("../../../../schema.graphql").replacen("@write(", "@write(dualWrite: replay, ", 1);
    let contract = contract::load(&text, "schema.graphql").unwrap().contract;
    let evidence = stored(&Sums::default(), &contract, &EvidenceFilter::default(), &BTreeMap::new());
    let mutations = evidence.coverage.iter().filter(|route| route.route.as_str().starts_with("Mutation."));
    let mutations: Vec<_> = mutations.map(|route| (route.route.as_str(), route.conclusive())).collect();
    assert_eq!(mutations, [("Mutation.adjustStock", 0)]);
}
