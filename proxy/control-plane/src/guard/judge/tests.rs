use std::sync::LazyLock;

use model::control::figures::UnsettledPeak;
use model::control::{Found, Print};
use model::evidence::Verdict;
use model::{Contract, Side};
use proptest::prelude::*;

use super::super::breach::Measure;
use super::*;

const SPAN: Duration = Duration::from_secs(30);

/// Ten seconds in which all is well: 300 comparisons, 300 reads of each side.
fn calm() -> GroupFigures {
    static CALM: LazyLock<GroupFigures> = LazyLock::new(|| {
        let mut figures = GroupFigures { unsettled: Some(UnsettledPeak::default()), ..GroupFigures::default() };
        *figures.verdicts.of(Verdict::Match) = 300;
        answer(&mut figures, Side::Modern, 300, 5);
        answer(&mut figures, Side::Legacy, 300, 6);
        figures
    });
    CALM.clone()
}

/// So many reads of clients, each of them put to both sides for its time.
fn answer(figures: &mut GroupFigures, side: Side, times: u64, millis: u64) {
    let took = Duration::from_millis(millis);
    (0..times).for_each(|_| figures.sides.get_mut(side).answered.count(took));
    let pairs = found(figures).pairs.get_mut(side);
    (0..times).for_each(|_| pairs.count(took));
}

fn found(figures: &mut GroupFigures) -> &mut Found {
    static PRINT: LazyLock<Print> = LazyLock::new(|| Print::of(&Contract::default(), &"inventory".into()));
    figures.found.entry(PRINT.clone()).or_default()
}

fn forget_times(figures: &mut GroupFigures) {
    figures.sides = Default::default();
    found(figures).pairs = Default::default();
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
        "confirmed mismatches of inventory: 15 of 915 records in 30 s (1.64 %), limit 0.10 %"
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
        "too little is known: 0 records of inventory compared in 30 s, 100 are needed\n\
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
    let compared = window(|_, slot| forget_times(slot));
    assert!(matches!(judged(&compared, &none()), Judgement::Thin(_)));
    assert!(matches!(judge(&compared, &none(), &Limits::default(), false), Judgement::Well { .. }));
}

#[test]
fn latency_is_that_of_questions_put_to_both_sides_and_of_nothing_else() {
    // GIVEN that nobody has put a question to both
    let alone = window(|_, slot| found(slot).pairs = Default::default());
    assert_eq!(judged(&alone, &none()), Judgement::Thin(vec![Thin::Pairs { have: 0, need: 30 }]));
    // WHEN clients' own reads of modern take long, by its own queue or by the load of one of them
    let loaded = window(|_, slot| {
        let pairs = found(slot).pairs;
        answer(slot, Side::Modern, 3_000, 900);
        found(slot).pairs = pairs;
    });
    // THEN that is not modern's slowness, without baseline and with one
    assert!(matches!(judged(&loaded, &none()), Judgement::Well { .. }), "{}", sentences(&loaded, &none()));
    assert!(matches!(judged(&loaded, &quiet()), Judgement::Well { .. }), "{}", sentences(&loaded, &quiet()));
    // AND one or two slow questions of a few are nobody's trend
    let few = |slow| {
        window(move |place, slot| {
            found(slot).pairs = Default::default();
            if place == 0 {
                for (count, millis) in [(40 - slow, 5), (slow, 2_000)] {
                    (0..count).for_each(|_| found(slot).pairs.modern.count(Duration::from_millis(millis)));
                }
                (0..40).for_each(|_| found(slot).pairs.legacy.count(Duration::from_millis(5)));
            }
        })
    };
    assert!(matches!(judged(&few(2), &none()), Judgement::Well { .. }), "{}", sentences(&few(2), &none()));
    assert!(matches!(judged(&few(3), &none()), Judgement::Breach(_)), "{}", sentences(&few(3), &none()));
}

/// Three slots in which each of these records was compared so often.
fn compared(records: std::ops::Range<u64>, times: u64, wrong: std::ops::Range<u64>) -> Window {
    window(|_, slot| {
        let mark = |key: u64| model::control::Mark::of("Product", &key.to_string());
        let found = found(slot);
        found.records = model::control::Records::of_bits(model::control::records::BITS_OF_A_SLOT);
        records.clone().chain(wrong.clone()).for_each(|key| found.records.add(mark(key)));
        found.wrong = wrong.clone().map(mark).collect();
        let all = (records.end - records.start + wrong.end - wrong.start) * times;
        found.verdicts.mismatches = (wrong.end - wrong.start) * times;
        found.verdicts.matches = all - found.verdicts.mismatches;
        slot.verdicts = found.verdicts;
    })
}

#[test]
fn repeats_neither_add_to_what_is_wrong_nor_hide_it() {
    // One wrong record, asked a thousand times among two hundred good ones: one record decides nothing.
    let used = compared(0..200, 1, 900..901);
    let often = compared(0..200, 1_000, 900..901);
    assert_eq!(judged(&used, &none()), judged(&often, &none()));
    assert!(matches!(judged(&used, &none()), Judgement::Well { .. }), "{}", sentences(&used, &none()));
    // Four wrong records, and a flood of good answers about the same two hundred.
    for times in [1, 1_000_000] {
        let told = sentences(&compared(0..200, times, 900..904), &none());
        assert!(told.starts_with("confirmed mismatches of inventory: 4 of 2"), "{told}");
    }
}

#[test]
fn too_many_wrong_records_are_a_breach_however_many_good_ones_somebody_asks_for() {
    let limits = Limits { mismatches: 0.5, ..Limits::default() };
    let judged = |wrong: u64| judge(&compared(0..12_000, 3, 90_000..90_000 + wrong), &none(), &limits, true);
    assert!(matches!(judged(20), Judgement::Well { .. }));
    let Judgement::Breach(found) = judged(21) else { panic!("21 wrong records are too many") };
    assert_eq!(
        found[0].sentence(&"inventory".into()),
        "confirmed mismatches of inventory: 21 records in 30 s, limit 20 whatever the share"
    );
    assert_eq!(found[0].measure(), Measure::Mismatches);
    // Also where too little was compared for a share.
    let judged = judge(&compared(0..1, 1, 50..80), &none(), &limits, true);
    assert!(matches!(judged, Judgement::Breach(found) if matches!(found[0], Breach::Wrong { records: 30, .. })));
}

#[test]
fn a_group_of_few_records_is_judged_by_few() {
    let few = |records| compared(0..records, 50, 0..0);
    assert!(matches!(judged(&few(8), &none()), Judgement::Thin(_)), "nobody knows yet that there are no more");
    let past = few(12);
    let past = Baseline::new((0..60).map(|_| past.slots.iter().collect()), &Limits::default());
    assert!(matches!(judged(&few(8), &past), Judgement::Well { .. }), "{}", sentences(&few(8), &past));
    assert!(matches!(judged(&few(2), &past), Judgement::Thin(_)), "one record, or two, are nobody's trend");
}

#[test]
fn errors_of_clients_reads_alone_pause_and_those_that_shadow_reads_meet_too_are_a_breach() {
    let failing = |answered, unanswered| {
        window(move |_, slot| {
            slot.sides.modern.errors = 700;
            (found(slot).answered, found(slot).unanswered) = (answered, unanswered);
        })
    };
    let told = sentences(&failing(40, 0), &quiet());
    assert_eq!(
        told,
        "too little is known: 2 100 of 3 000 reads of inventory failed on modern in 30 s, and it answers shadow reads"
    );
    for (answered, unanswered) in [(0, 0), (2, 0), (40, 1), (0, 90)] {
        let judged = judged(&failing(answered, unanswered), &quiet());
        assert!(matches!(judged, Judgement::Breach(_)), "{answered} {unanswered}: {judged:?}");
    }
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
        forget_times(slot);
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
            let times = figures.sides.modern.answered;
            found(&mut figures).pairs = PerSide { legacy: times, modern: times };
            found(&mut figures).unanswered = times.total();
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
        // Their number has a limit of its own.
        let limits = Limits { wrong_records: 99, ..Limits::default() };
        let judged = judge(&Window::new(vec![figures], SPAN), &quiet(), &limits, true);
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
