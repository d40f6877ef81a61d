use adapters::memory::control::MemoryControl;
use model::control::FiguresStore as _;
use model::evidence::Verdict;

use super::*;

fn recorder() -> Recorder {
    let text = include_str!("../../../schema.graphql");
    let contract = crate::contract::load(text, "schema.graphql").unwrap().contract;
    Recorder::new(&contract, &"a".into(), wall_clock)
}

fn inventory() -> GroupName {
    "inventory".into()
}

fn observation(route: &str, verdict: Verdict) -> Observation {
    Observation {
        route: route.into(),
        verdict,
        reason: None,
        differences: Vec::new(),
        fields: Vec::new(),
        keys: Vec::new(),
    }
}

fn long_ago() -> Instant {
    Instant::new(Utc::now() - TimeDelta::days(1))
}

async fn told(control: &MemoryControl) -> model::control::GroupFigures {
    let figures = control.figures(Some(&inventory()), long_ago()).await.unwrap();
    model::control::GroupFigures::sum(figures.slots.values())
}

#[tokio::test]
async fn everything_that_is_counted_arrives_once() {
    let (recorder, control) = (recorder(), MemoryControl::new());
    recorder.answered(&inventory(), Side::Modern, Duration::from_millis(3));
    recorder.failed(&inventory(), Side::Modern);
    recorder.shadowed(&inventory(), Side::Legacy, Duration::from_millis(5));
    recorder.shadow_dropped(&inventory());
    recorder.observed(&observation("Query.stockLevel", Verdict::Mismatch));
    recorder.observed(&observation("Query.nobody", Verdict::Mismatch));
    recorder.settled(&inventory(), Duration::from_millis(7));
    recorder.backlog(&inventory(), &Backlog { writes: 2, oldest: Some(Duration::from_secs(9)), left_behind: 0 });
    recorder.lagged(&inventory(), "orders", Duration::from_secs(4));
    recorder.answered(&"nobody".into(), Side::Modern, Duration::ZERO);
    let mut batch = None;
    for _ in 0..3 {
        recorder.gather(RolloutVersion(1));
        assert!(recorder.flush(&control, &mut batch).await.is_none());
    }
    let figures = told(&control).await;
    let modern = figures.sides.modern;
    assert_eq!((modern.answered.total(), modern.errors, modern.asked()), (1, 1, 2));
    assert_eq!(figures.sides.legacy.shadowed.total(), 1);
    assert_eq!((figures.verdicts.mismatches, figures.verdicts.conclusive(), figures.shadow_dropped), (1, 1, 1));
    assert_eq!(figures.settle.mean(), Some(Duration::from_millis(7)));
    assert_eq!(figures.unsettled, Some(UnsettledPeak { writes: 2, age: Duration::from_secs(9) }));
    assert_eq!(figures.lag["orders"], Duration::from_secs(4));
    let own = recorder.own();
    assert_eq!(model::control::GroupFigures::sum(own.of(&inventory()).map(|(_, figures)| figures)), figures);
}

#[tokio::test]
async fn figures_wait_while_the_control_store_is_down_and_count_once() {
    let (recorder, control) = (recorder(), MemoryControl::new());
    let mut batch = None;
    control.set_down(true);
    for _ in 0..3 {
        recorder.failed(&inventory(), Side::Modern);
        recorder.gather(RolloutVersion(1));
        assert!(recorder.flush(&control, &mut batch).await.is_some());
    }
    control.set_down(false);
    for _ in 0..3 {
        assert!(recorder.flush(&control, &mut batch).await.is_none());
    }
    assert_eq!(told(&control).await.sides.modern.errors, 3);
}

#[test]
fn what_was_counted_while_a_rollout_came_into_force_belongs_to_the_one_before() {
    let recorder = recorder();
    let versions = |recorder: &Recorder| -> Vec<(u64, u64)> {
        let own = recorder.own();
        let by_version = own.slots.iter().map(|(slot, figures)| (slot.rollout.0, figures.sides.modern.errors));
        let mut sums = std::collections::BTreeMap::new();
        by_version.for_each(|(version, errors)| *sums.entry(version).or_default() += errors);
        sums.into_iter().collect()
    };
    recorder.gather(RolloutVersion(7));
    recorder.failed(&inventory(), Side::Modern);
    recorder.gather(RolloutVersion(8));
    assert_eq!(versions(&recorder), [(7, 1)]);
    recorder.failed(&inventory(), Side::Modern);
    recorder.gather(RolloutVersion(8));
    assert_eq!(versions(&recorder), [(7, 1), (8, 1)]);
}
