//! One unit per sentence, and nothing said of a part that holds of everything only.

use model::control::EvidenceFilter;
use model::evidence::InAll;

use super::*;
use crate::words::GAP;

/// The number that stands right before `place` in `text`.
fn before(text: &str, place: usize) -> u64 {
    let digits: Vec<char> = text[..place].chars().rev().take_while(|c| c.is_ascii_digit() || *c == GAP).collect();
    let digits: String = digits.into_iter().rev().filter(|c| *c != GAP).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number before {place} in {text}"))
}

fn number_before(text: &str, what: &str) -> Option<u64> {
    text.find(what).map(|place| before(text, place))
}

/// What stands alone between parentheses: the answers of a kind.
fn parts(text: &str) -> Vec<u64> {
    let inside = text.split('(').skip(1).filter_map(|rest| rest.split(')').next());
    let part = |text: &str| text.trim_start_matches("in ").trim_end_matches(" of them").replace(GAP, "").parse().ok();
    inside.filter_map(part).collect()
}

fn checked(answer: &str) -> Result<(), TestCaseError> {
    prop_assert!(!answer.contains("rows") && !answer.contains("comparisons"), "another unit: {answer}");
    let chars: Vec<char> = answer.chars().collect();
    // Three digits behind a plain space belong to the number before it; a time of day has two.
    let is_group =
        |five: &[char]| five[1] == ' ' && five.iter().enumerate().all(|(at, c)| at == 1 || c.is_ascii_digit());
    let breaks = chars.windows(5).any(is_group);
    prop_assert!(!breaks, "a number breaks: {answer}");
    if let Some(whole) = number_before(answer, " answers differ").or_else(|| number_before(answer, " answer differ")) {
        let part = number_before(answer, " of ").unwrap_or(0);
        prop_assert!(part <= whole || answer.contains("is not known"), "{answer}");
        for kind in parts(answer) {
            prop_assert!(kind <= part, "{kind} of {part}: {answer}");
        }
    }
    Ok(())
}

prop_compose! {
    fn any_tally()(
        route in 0..3_usize, field in prop::option::of(0..2_usize), cause in 0..3_usize, excused in any::<bool>(),
        count in 0..2_000_000_u64, answers in prop::option::of(0..2_000_000_u64),
    ) -> Tally {
        let causes = [Cause::TimeZone, Cause::Rounding, Cause::ForeignWrite];
        let verdict = if excused { Verdict::Excused } else { Verdict::Mismatch };
        let field = field.map(|field| ["bookedAt", "unitPrice"][field]);
        Tally { answers, ..tally(ROUTES[route], field, causes[cause], verdict, count) }
    }
}

const ROUTES: [&str; 3] = ["Query.movementsOfProduct", "Query.product", "Query.lowStock"];

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let counts = prop::collection::vec(prop::array::uniform4(0..2_000_000_u64), 3);
    let narrowed = (any::<bool>(), any::<bool>(), prop::option::of(0..100_000_i64));
    (counts, prop::collection::vec(any_tally(), 0..8), narrowed).prop_map(|(counts, tallies, (field, cause, ago))| {
        let verdicts = |counts: [u64; 4]| Verdict::ALL.into_iter().zip(counts).collect::<Vec<_>>();
        let coverage = ROUTES.iter().zip(counts).map(|(route, counts)| coverage(route, &verdicts(counts), &["weight"]));
        let since = ago.map(|ago| Instant::new(now().to_utc() - chrono::TimeDelta::seconds(ago)));
        let filter = EvidenceFilter {
            routes: None,
            field: field.then(|| "bookedAt".into()),
            cause: cause.then_some(Cause::Rounding),
            since,
        };
        let in_all = since.map(|_| InAll { answers: 25_551, last: Some(now()) });
        Evidence { coverage: coverage.collect(), tallies, filter, in_all, ..Evidence::default() }
    })
}

proptest! {
    #[test]
    fn a_part_is_never_larger_than_its_whole_and_counts_the_same_thing(evidence in any_evidence()) {
        let report = Report::of(&evidence, now());
        checked(&report.answer)?;
        for route in &report.routes {
            checked(&route.answer)?;
        }
        let json: Json = serde_json::from_str(&report.json()).unwrap();
        let list: Json = serde_json::from_str(&report.list_json()).unwrap();
        for told in [json["answer"].as_str(), list["answer"].as_str()] {
            prop_assert_eq!(told, Some(report.answer.as_str()));
        }
        for text in [report.text(), report.list_text(), report.html()] {
            prop_assert!(text.contains(&report.answer), "{}", text);
        }
    }

    #[test]
    fn never_and_yet_are_not_said_of_a_part(evidence in any_evidence()) {
        prop_assume!(evidence.filter.since.is_some());
        let report = Report::of(&evidence, now());
        for text in [report.answer.clone(), report.text(), report.list_text(), report.html()] {
            let told = text.replace("not found", "");
            for word in ["never", " yet", "ever compared yet"] {
                prop_assert!(!told.contains(word), "{word}: {told}");
            }
        }
    }
}

#[test]
fn what_differs_is_counted_in_answers_and_its_rows_stand_in_the_table() {
    let route = "Query.movementsOfProduct";
    let rows = tally(route, Some("bookedAt"), Cause::TimeZone, Verdict::Mismatch, 305);
    let coverage = vec![coverage(route, &[(Verdict::Match, 1_241), (Verdict::Mismatch, 116)], &[])];
    let told = |answers| {
        let tallies = vec![Tally { answers, ..rows.clone() }];
        Report::of(&Evidence { coverage: coverage.clone(), tallies, ..Evidence::default() }, now())
    };
    let report = told(Some(98));
    assert_eq!(
        report.answer,
        "116 of 1\u{a0}357 answers differ: time zone in bookedAt of Query.movementsOfProduct (in 98 of them)."
    );
    let listed = report.list_text();
    let heading = listed.lines().find(|line| line.starts_with("ROUTE")).unwrap();
    assert!(heading.contains("ANSWERS  ROWS"), "{heading}");
    assert!(listed.contains("     98   305"), "{listed}");
    // Counted by a release that knew rows only: it says nothing rather than the wrong number.
    let older = told(None);
    assert_eq!(older.answer, "116 of 1\u{a0}357 answers differ: time zone in bookedAt of Query.movementsOfProduct.");
    let json: Json = serde_json::from_str(&older.list_json()).unwrap();
    assert_eq!((&json["differences"][0]["answers"], &json["differences"][0]["rows"]), (&Json::Null, &json!(305)));
}

#[test]
fn nothing_in_a_part_of_the_time_says_what_there_is_in_all() {
    let second = EvidenceFilter { since: Some(at("2026-01-31T11:59:59Z")), ..EvidenceFilter::default() };
    let empty = coverage("Query.product", &[], &["sku"]);
    let told = |in_all| {
        let evidence =
            Evidence { coverage: vec![empty.clone()], filter: second.clone(), in_all, ..Evidence::default() };
        Report::of(&evidence, now())
    };
    let report = told(Some(InAll { answers: 25_551, last: Some(at("2026-01-30T23:05:00Z")) }));
    let said = "Nothing was compared in the last 1 s, so nothing is known of it. \
                In all: 25\u{a0}551 answers, the last at 2026-01-30 23:05:00Z.";
    assert_eq!(report.answer, said);
    assert!(report.text().contains("1 not: sku") || report.text().contains("not: sku"), "{}", report.text());
    assert!(report.html().contains("Fields not compared in the last 1 s"));
    let json: Json = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(
        (&json["asked"]["inAll"]["answers"], &json["asked"]["time"]),
        (&json!(25_551), &json!("in the last 1 s"))
    );
    assert!(told(Some(InAll { answers: 0, last: None })).answer.ends_with("Nothing else has been compared either."));
}

#[test]
fn a_kind_that_was_asked_for_and_not_found_does_not_hide_that_others_were() {
    let counts = [(Verdict::Match, 90), (Verdict::Mismatch, 10)];
    let filter = EvidenceFilter { cause: Some(Cause::Rounding), ..EvidenceFilter::default() };
    let evidence = Evidence { coverage: vec![coverage("Query.product", &counts, &[])], filter, ..Evidence::default() };
    assert_eq!(
        Report::of(&evidence, now()).answer,
        "10 of 100 answers differ, none of them in the way that was asked for (cause rounding)."
    );
}

#[test]
fn a_sample_shows_what_was_asked_of_both_sides_only() {
    let legacy = json!({ "sku": "A", "onHand": 7, "blocked": 0, "reserved": 2, "updatedAt": "2026-01-31T08:00:00Z" });
    let modern = json!({ "sku": "A", "onHand": 9, "shelf": "B1" });
    let sample = sample("1", "Query.stockLevel", Some("onHand"), Cause::ForeignWrite, (legacy, modern));
    let report = SampleReport::of(&sample);
    for text in [report.text(), report.html()] {
        assert!(text.contains("Not asked of modern, so not compared: blocked, reserved, updatedAt."), "{text}");
        assert!(text.contains("Not asked of legacy, so not compared: shelf."), "{text}");
        assert!(!text.contains("no record") && !text.contains("~"), "{text}");
        assert_eq!(text.matches("reserved").count(), 1, "in the note and nowhere else: {text}");
    }
    assert_eq!(report.records.legacy, json!({ "onHand": 7, "sku": "A" }));
    assert_eq!(report.not_asked.modern, ["blocked", "reserved", "updatedAt"]);
}

#[test]
fn that_there_is_no_record_is_said_once() {
    let record = json!({ "sku": "A", "onHand": 7, "blocked": 0 });
    let gone = sample("1", "Query.stockLevel", None, Cause::MissingRow, (record, Json::Null));
    for text in [SampleReport::of(&gone).text(), SampleReport::of(&gone).html()] {
        assert_eq!(text.matches("there is no record").count(), 1, "{text}");
    }
}
