use adapters::memory::control::MemoryControl;
use model::control::FiguresStore as _;
use model::evidence::Verdict;

use super::*;

fn recorder() -> Recorder {
    let text = include_str!("../../../../schema.graphql");
    let contract = contract::load(text, "schema.graphql").unwrap().contract;
    told_lives(Recorder::new(&contract, &"a".into(), wall_clock))
}

fn told_lives(recorder: Recorder) -> Recorder {
    Side::BOTH.into_iter().for_each(|side| recorder.lives(side, Incarnation(1)));
    recorder
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

fn contract(change: impl Fn(&str) -> String) -> Contract {
    let text = change(include_str!("../../../../schema.graphql"));
    contract::load(&text, "schema.graphql").unwrap().contract.as_ref().clone()
}

#[test]
fn a_print_changes_with_what_is_compared_and_with_nothing_else() {
    let print = |change: &dyn Fn(&str) -> String| Print::of(&contract(change), &inventory());
    let now = print(&|text| text.to_owned());
    assert_eq!(print(&|text| text.replace("\"The article number.\"", "\"Another word for it.\"")), now);
    let statement = print(&|text| text.replace("WHERE sku = :parent.sku ORDER BY location", "WHERE sku = :parent.sku"));
    let column = print(&|text| text.replace("char(18)", "char(20)"));
    assert!(statement != now && column != now && statement != column);
    let raised = PerSide { legacy: Incarnation(1), modern: Incarnation(2) };
    assert_ne!(now.in_lives(raised), now);
}

/// A comparison of the record with this key.
fn compared(key: u64, verdict: Verdict) -> Observation {
    Observation { keys: vec![format!("[\"{key}\"]")], ..observation("Query.stockLevel", verdict) }
}

async fn flushed(recorder: &Recorder, control: &MemoryControl) {
    recorder.gather(RolloutVersion(1));
    assert!(recorder.flush(control, &mut None).await.is_none());
}

#[tokio::test]
async fn replicas_of_two_contracts_are_told_apart_and_a_record_counts_once_over_all_replicas() {
    let control = MemoryControl::new();
    let newer = contract(|text| text.replace("char(18)", "char(20)"));
    let of = |contract: &Contract, name: &str| told_lives(Recorder::new(contract, &name.into(), wall_clock));
    let (old, one, other) = (recorder(), of(&newer, "b"), of(&newer, "c"));
    for key in 0..20 {
        old.observed(&compared(key, Verdict::Mismatch));
        one.observed(&compared(key, Verdict::Match));
        other.observed(&compared(key + 10, if key == 19 { Verdict::Mismatch } else { Verdict::Match }));
    }
    for recorder in [&old, &one, &other] {
        flushed(recorder, &control).await;
    }
    let figures = told(&control).await;
    assert_eq!((figures.verdicts.mismatches, figures.verdicts.conclusive()), (21, 60));
    let print = |recorder: &Recorder| recorder.print(&inventory()).unwrap();
    assert_eq!(figures.under(&print(&old)).records(), (20, 20));
    assert_eq!(figures.under(&print(&one)).records(), (30, 1));
    assert_eq!(figures.under(&print(&one)).verdicts.mismatches, 1);
    // By the hour as well, for the gates, and told only to who asks.
    let hours = control.figures(Some(&hours_of(&"StockLevel".into())), long_ago()).await.unwrap();
    let hours = GroupFigures::sum(hours.slots.values());
    assert_eq!((hours.found[&print(&one)].compared(), hours.found[&print(&one)].wrong()), (30, 1));
    // A replica that does not know yet which lives the sides live says nothing to gates.
    let starting = Recorder::new(&newer, &"d".into(), wall_clock);
    (100..900).for_each(|key| starting.observed(&compared(key, Verdict::Match)));
    flushed(&starting, &control).await;
    let days = control.figures(Some(&days_of(&inventory())), long_ago()).await.unwrap();
    assert!(days.slots.values().all(|figures| figures.found.keys().all(|of| *of == print(&old) || *of == print(&one))));
    assert!(days.slots.values().all(|figures| figures.found.values().all(|found| found.first.is_some())));
}

#[tokio::test]
async fn what_was_found_before_a_side_was_raised_is_another_matter() {
    let (recorder, control) = (recorder(), MemoryControl::new());
    recorder.lives(Side::Modern, Incarnation(1));
    recorder.observed(&compared(1, Verdict::Match));
    flushed(&recorder, &control).await;
    recorder.lives(Side::Modern, Incarnation(2));
    recorder.observed(&compared(2, Verdict::Mismatch));
    flushed(&recorder, &control).await;
    let print = recorder.print(&inventory()).unwrap();
    assert_eq!(told(&control).await.under(&print).records(), (1, 1));
}

#[test]
fn figures_that_an_older_release_has_touched_count_each_comparison_as_it_did() {
    let recorder = recorder();
    (0..50).for_each(|_| recorder.observed(&compared(7, Verdict::Mismatch)));
    recorder.gather(RolloutVersion(1));
    let print = recorder.print(&inventory()).unwrap();
    let new = GroupFigures::sum(recorder.own().of(&inventory()).map(|(_, figures)| figures));
    assert_eq!(new.under(&print).records(), (1, 1), "one record");
    // It reads what it knows, adds its own, and writes back what it knows.
    let mut json = serde_json::to_value(&new).unwrap();
    json.as_object_mut().unwrap().remove("found");
    let mut touched: GroupFigures = serde_json::from_value(json).unwrap();
    assert_eq!(touched.under(&print).records(), (50, 50));
    // What a new one adds to that is not taken for all of it.
    touched.merge(&new);
    assert_eq!(touched.under(&print).records(), (100, 100));
}

#[test]
fn a_question_is_put_to_both_sides_once_in_ten_seconds_and_not_too_many_are() {
    let recorder = recorder();
    let wants = |question: u64| recorder.wants_pair(&inventory(), Mark::of("Query.stockLevel", &question.to_string()));
    let asked = (0..5_000).filter(|question| wants(question % 1_000)).count();
    // The clock may reach the next ten seconds meanwhile.
    assert!((200..=400).contains(&asked), "{asked}");
    assert!(!recorder.wants_pair(&"nobody".into(), Mark::of("", "")));
}
