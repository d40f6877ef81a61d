use model::control::figures::UnsettledPeak;
use model::evidence::Verdict;
use proptest::prelude::*;

use super::super::breach::Measure;
use super::*;

const SPAN: Duration = Duration::from_secs(30);

/// Ten seconds in which all is well: 300 comparisons, 300 reads of each side.
fn calm() -> GroupFigures {
    let mut figures = GroupFigures { unsettled: Some(UnsettledPeak::default()), ..GroupFigures::default() };
    *figures.verdicts.of(Verdict::Match) = 300;
    answer(&mut figures, Side::Modern, 300, 5);
    answer(&mut figures, Side::Legacy, 300, 6);
    figures
}

fn answer(figures: &mut GroupFigures, side: Side, times: u64, millis: u64) {
    (0..times).for_each(|_| figures.sides.get_mut(side).answered.count(Duration::from_millis(millis)));
}

fn mismatch(figures: &mut GroupFigures, times: u64) {
    figures.verdicts.mismatches += times;
}

/// Three calm slots, changed.
fn window(change: impl Fn(usize, &mut GroupFigures)) -> Window {
    let slots = (0..3).map(|place| {
        let mut slot = calm();
        change(place, &mut slot);
        slot
    });
    Window::new(slots.collect(), SPAN)
}

/// So many windows of three slots, each changed by its number.
fn past(windows: usize, change: impl Fn(usize, &mut GroupFigures)) -> Baseline {
    let slots: Vec<Vec<GroupFigures>> = (0..windows)
        .map(|window| {
            let mut slots = vec![calm(), calm(), calm()];
            change(window, &mut slots[0]);
            slots
        })
        .collect();
    Baseline::new(slots.iter().map(|slots| slots.iter().collect()), &Limits::default())
}

fn quiet() -> Baseline {
    past(60, |_, _| {})
}

fn none() -> Baseline {
    Baseline::default()
}

fn judged(window: &Window, baseline: &Baseline) -> Judgement {
    judge(window, baseline, &Limits::default(), true)
}

fn sentences(window: &Window, baseline: &Baseline) -> String {
    let group = "inventory".into();
    match judged(window, baseline) {
        Judgement::Well { baseline } => format!("well, {baseline} windows"),
        Judgement::Thin(thin) => thin.iter().map(|thin| thin.sentence(&group, SPAN)).collect::<Vec<_>>().join("\n"),
        Judgement::Breach(breaches) => {
            breaches.iter().map(|breach| breach.sentence(&group)).collect::<Vec<_>>().join("\n")
        }
    }
}

#[test]
fn a_calm_group_is_well_with_and_without_baseline() {
    assert_eq!(sentences(&window(|_, _| {}), &none()), "well, 0 windows");
    assert_eq!(sentences(&window(|_, _| {}), &quiet()), "well, 60 windows");
}

#[test]
fn each_breach_is_one_sentence_with_its_figure_and_its_limit() {
    let wrong = window(|_, slot| mismatch(slot, 5));
    assert_eq!(
        sentences(&wrong, &none()),
        "confirmed mismatches of inventory: 15 of 915 comparisons in 30 s (1.64 %), limit 0.10 %"
    );
    let many = window(|_, slot| {
        slot.verdicts.matches = 700;
        slot.sides.modern.errors = 700;
    });
    assert_eq!(
        sentences(&many, &none()),
        "errors of modern for inventory: 2 100 of 3 000 reads in 30 s (70.00 %), limit 1.00 %"
    );
    let slow = window(|_, slot| answer(slot, Side::Modern, 300, 400));
    let told = sentences(&slow, &none());
    assert!(told.starts_with("latency of modern for inventory: 95 of 100 reads within 4"), "{told}");
    assert!(told.ends_with("limit 100 ms"), "{told}");
    let late = window(|_, slot| {
        slot.unsettled = Some(UnsettledPeak { writes: 2, age: Duration::from_secs(61) });
        slot.lag.insert("orders".to_owned(), Duration::from_secs(90));
    });
    assert_eq!(
        sentences(&late, &none()),
        "unsettled writes of inventory: modern lacks one for 61 s, limit 60 s\n\
         changes of inventory from orders: 90 s late, limit 60 s"
    );
}

#[test]
fn thin_data_neither_passes_nor_rolls_back() {
    let empty = Window::new(Vec::new(), SPAN);
    assert_eq!(
        sentences(&empty, &quiet()),
        "too little is known: 0 comparisons of inventory in 30 s, 100 are needed\n\
         too little is known: 0 reads of inventory asked of modern in 30 s, 100 are needed\n\
         too little is known: nobody counted the unsettled writes of inventory in 30 s"
    );
    // All of few are wrong: still too few.
    let mut few = GroupFigures { unsettled: Some(UnsettledPeak::default()), ..GroupFigures::default() };
    mismatch(&mut few, 20);
    few.sides.modern.errors = 20;
    assert!(matches!(judged(&Window::new(vec![few], SPAN), &quiet()), Judgement::Thin(thin) if thin.len() == 2));
    // What is inconclusive says nothing.
    let undecided = window(|_, slot| {
        slot.verdicts.inconclusive = std::mem::take(&mut slot.verdicts.matches);
    });
    assert!(matches!(judged(&undecided, &quiet()), Judgement::Thin(_)));
    // Nobody is read from modern: then its reads need not be known.
    let compared = window(|_, slot| slot.sides = Default::default());
    assert!(matches!(judged(&compared, &none()), Judgement::Thin(_)));
    assert!(matches!(judge(&compared, &none(), &Limits::default(), false), Judgement::Well { .. }));
}

#[test]
fn at_full_share_legacy_is_known_from_shadow_reads_or_from_the_baseline() {
    let alone = window(|_, slot| slot.sides.legacy = Default::default());
    assert!(matches!(judged(&alone, &none()), Judgement::Thin(thin) if thin == [Thin::LegacyLatency]));
    assert!(matches!(judged(&alone, &quiet()), Judgement::Well { .. }));
    let shadowed = window(|_, slot| slot.sides.legacy.shadowed = std::mem::take(&mut slot.sides.legacy.answered));
    assert!(matches!(judged(&shadowed, &none()), Judgement::Well { .. }));
}

#[test]
fn one_event_on_a_perfectly_quiet_baseline_is_no_breach() {
    for events in 1..=2 {
        let one = window(|place, slot| {
            if place == 0 {
                mismatch(slot, events);
                slot.sides.modern.errors = events;
                answer(slot, Side::Modern, events, 9_000);
            }
        });
        assert!(matches!(judged(&one, &quiet()), Judgement::Well { .. }), "{events}: {}", sentences(&one, &quiet()));
    }
}

#[test]
fn what_is_below_the_limit_and_far_from_usual_is_a_breach_only_with_a_baseline() {
    // 0.67 % errors: below 1 %, and never seen before.
    let unusual = window(|_, slot| slot.sides.modern.errors = 2);
    assert!(matches!(judged(&unusual, &none()), Judgement::Well { .. }));
    assert!(matches!(judged(&unusual, &past(19, |_, _| {})), Judgement::Well { .. }), "too few windows");
    let told = sentences(&unusual, &quiet());
    assert!(
        told.starts_with("errors of modern for inventory: 6 of 906 reads in 30 s (0.66 %), usual 0.00 %"),
        "{told}"
    );
    // The same is usual for a group that always was like this.
    let usual = past(60, |_, slot| slot.sides.modern.errors = 6);
    assert!(matches!(judged(&unusual, &usual), Judgement::Well { .. }));
}

#[test]
fn modern_that_became_slower_than_it_was_is_a_breach_even_if_legacy_is_as_slow() {
    let slower = window(|_, slot| {
        slot.sides = Default::default();
        answer(slot, Side::Modern, 300, 60);
        answer(slot, Side::Legacy, 300, 60);
    });
    assert!(matches!(judged(&slower, &none()), Judgement::Well { .. }));
    let told = sentences(&slower, &quiet());
    assert!(told.starts_with("latency of modern for inventory: 60 ms on average, usual 5 ms"), "{told}");
}

#[test]
fn a_rare_spike_that_means_and_percentiles_miss_is_caught() {
    // GIVEN 2 % of reads a hundred times slower
    let spiky = window(|_, slot| answer(slot, Side::Modern, 6, 500));
    // THEN neither the limit nor the deviation of the mean sees it, and the share of slow reads does
    let Judgement::Breach(found) = judged(&spiky, &quiet()) else { panic!("{}", sentences(&spiky, &quiet())) };
    assert_eq!(found.len(), 1, "{}", sentences(&spiky, &quiet()));
    assert!(matches!(found[0], Breach::Unusual { what: Counted::SlowReads(_), .. }));
    // unless such spikes are usual
    let spikes = past(60, |_, slot| answer(slot, Side::Modern, 18, 500));
    assert!(matches!(judged(&spiky, &spikes), Judgement::Well { .. }), "{}", sentences(&spiky, &spikes));
}

#[test]
fn a_burst_within_one_slot_is_caught_although_the_window_is_within_its_limits() {
    // Errors of 0.9 % are usual here, spread evenly; now all of them come at once.
    let usual = past(60, |_, slot| slot.sides.modern.errors = 2);
    let burst = window(|place, slot| slot.sides.modern.errors = if place == 1 { 5 } else { 0 });
    let limits = Limits { sigmas: 100.0, ..Limits::default() };
    let Judgement::Breach(found) = judge(&burst, &usual, &limits, true) else { panic!("not seen") };
    assert!(matches!(found[..], [Breach::Burst { what: Counted::Errors, .. }]), "{found:?}");
    assert_eq!(
        found[0].sentence(&"inventory".into()),
        "errors of modern for inventory: 5 of 305 reads in 10 s (1.64 %), limit 1.00 %, never more than 0.66 % before"
    );
    let bursts = past(60, |window, slot| slot.sides.modern.errors = if window % 6 == 0 { 6 } else { 2 });
    assert!(matches!(judge(&burst, &bursts, &limits, true), Judgement::Well { .. }));
}

fn anything() -> impl Strategy<Value = GroupFigures> {
    let number = || prop_oneof![Just(0u64), 1..500u64, Just(u64::MAX)];
    (number(), number(), number(), number(), 0..20_000_000u64, any::<bool>()).prop_map(
        |(matches, mismatches, errors, times, micros, known)| {
            let mut figures = GroupFigures::default();
            figures.verdicts.matches = matches;
            figures.verdicts.mismatches = mismatches;
            figures.sides.modern.errors = errors;
            let step = model::control::histogram::step(Duration::from_micros(micros));
            figures.sides.modern.answered.counts[step] = times;
            figures.sides.modern.answered.sum_micros = micros.saturating_mul(times);
            figures.sides.legacy.shadowed = figures.sides.modern.answered;
            figures.unsettled = known.then(|| UnsettledPeak { writes: errors, age: Duration::from_micros(micros) });
            figures
        },
    )
}

proptest! {
    #[test]
    fn every_judgement_can_be_told_and_none_is_not_a_number(
        slots in prop::collection::vec(anything(), 0..4), past in prop::collection::vec(anything(), 0..30),
    ) {
        let baseline = Baseline::new(past.iter().map(|figures| vec![figures]), &Limits::default());
        let told = sentences(&Window::new(slots, SPAN), &baseline);
        prop_assert!(!told.is_empty() && !told.contains("NaN") && !told.contains("inf"), "{}", told);
    }

    #[test]
    fn a_window_like_its_baseline_is_well(window in 0..60usize, errors in 0..2u64, slow in 0..2u64) {
        let change = |number: usize, slot: &mut GroupFigures| {
            slot.sides.modern.errors = errors * (number as u64 % 3);
            answer(slot, Side::Modern, slow * (number as u64 % 4), 700);
        };
        let baseline = past(60, change);
        let mut slots = vec![calm(), calm(), calm()];
        change(window, &mut slots[0]);
        let judged = judged(&Window::new(slots, SPAN), &baseline);
        prop_assert!(matches!(judged, Judgement::Well { .. }), "{:?}", judged);
    }

    #[test]
    fn fewer_samples_than_needed_never_break_a_share(mismatches in 0..=99u64, errors in 0..=99u64) {
        let mut figures = GroupFigures { unsettled: Some(UnsettledPeak::default()), ..GroupFigures::default() };
        figures.verdicts.mismatches = mismatches;
        figures.sides.modern.errors = errors;
        let judged = judged(&Window::new(vec![figures], SPAN), &quiet());
        prop_assert!(matches!(judged, Judgement::Thin(_)));
    }
}

#[test]
fn the_order_of_breaches_is_that_of_harm() {
    let all = window(|_, slot| {
        mismatch(slot, 50);
        slot.sides.modern.errors = 50;
        answer(slot, Side::Modern, 100, 3_000);
        slot.unsettled = Some(UnsettledPeak { writes: 1, age: Duration::from_secs(100) });
    });
    let Judgement::Breach(found) = judged(&all, &none()) else { panic!("all is wrong") };
    let measures: Vec<_> = found.iter().map(Breach::measure).collect();
    assert_eq!(measures, [Measure::Mismatches, Measure::Errors, Measure::Latency, Measure::UnsettledAge]);
}
