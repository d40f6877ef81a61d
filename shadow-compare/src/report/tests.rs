use model::PerSide;
use model::evidence::Difference;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn now() -> Instant {
    at("2026-01-31T12:00:00Z")
}

fn coverage(route: &str, verdicts: &[(Verdict, u64)], never: &[&str]) -> Coverage {
    Coverage {
        route: route.into(),
        verdicts: verdicts.iter().copied().collect(),
        reasons: BTreeMap::new(),
        keys_compared: 4_812,
        keys_total: Some(20_000),
        fields_compared: vec!["sku".into(), "name".into(), "unitPrice".into()],
        fields_never: never.iter().map(|name| (*name).into()).collect(),
    }
}

fn tally(route: &str, field: Option<&str>, cause: Cause, verdict: Verdict, count: u64) -> Tally {
    Tally {
        route: route.into(),
        field: field.map(Into::into),
        cause,
        verdict,
        count,
        first_seen: at("2026-01-30T08:15:00Z"),
        last_seen: at("2026-01-31T11:58:30Z"),
    }
}

fn sample(id: &str, route: &str, field: Option<&str>, cause: Cause, records: (Json, Json)) -> Sample {
    let records = PerSide { legacy: records.0, modern: records.1 };
    let values = match field {
        None => records.clone(),
        Some(field) => records.clone().map(|_, record| record[field].clone()),
    };
    let difference = Difference {
        field: field.map(Into::into),
        cause,
        key: r#"["SKU-17"]"#.into(),
        values,
        records,
        excused: false,
    };
    Sample { id: id.into(), route: route.into(), seen_at: at("2026-01-31T11:58:30Z"), difference }
}

fn coverages() -> Vec<Coverage> {
    let verdicts =
        [(Verdict::Match, 11_985), (Verdict::Mismatch, 3), (Verdict::Excused, 12), (Verdict::Inconclusive, 14)];
    let mut products = coverage("Query.product", &verdicts, &["weight", "description"]);
    products.reasons = [("side-error".to_owned(), 10), ("timed-out".to_owned(), 4)].into();
    let mut never = coverage("Query.never", &[], &["sku"]);
    never.keys_compared = 0;
    never.keys_total = None;
    never.fields_compared.clear();
    vec![
        coverage("Query.lowStock", &[(Verdict::Match, 79), (Verdict::Mismatch, 1)], &[]),
        products,
        coverage("Query.movements", &[(Verdict::Match, 20)], &[]),
        never,
    ]
}

fn product(price: &str, checked: &str) -> Json {
    json!({
        "sku": "SKU-17", "name": "Hexagon bolt <script>alert('x')</script> M8", "unitPrice": price,
        "checkedAt": checked, "discontinued": false,
    })
}

fn samples() -> Vec<Sample> {
    let route = "Query.product";
    let legacy = product("12.345", "2026-01-31T08:00:00Z");
    let modern = product("12.34", "2026-01-31T07:00:00Z");
    let gone = (legacy.clone(), Json::Null);
    let mut order = sample("4", "Query.lowStock", None, Cause::Order, (Json::Null, Json::Null));
    order.difference.key = r#"{"location":"BER"}"#.into();
    let keys = (json!([["A"], ["B"]]), json!([["B"], ["A"]]));
    order.difference.values = PerSide { legacy: keys.0, modern: keys.1 };
    vec![
        sample("17", route, Some("unitPrice"), Cause::Rounding, (legacy, modern)),
        sample("18", route, None, Cause::MissingRow, gone),
        order,
    ]
}

fn evidence() -> Evidence {
    let (route, mismatch) = ("Query.product", Verdict::Mismatch);
    let tallies = vec![
        tally(route, Some("unitPrice"), Cause::Rounding, mismatch, 2),
        tally(route, None, Cause::MissingRow, mismatch, 1),
        tally(route, Some("checkedAt"), Cause::TimeZone, Verdict::Excused, 12),
        tally("Query.lowStock", None, Cause::Order, mismatch, 1),
    ];
    Evidence { coverage: coverages(), tallies, samples: samples() }
}

#[test]
fn the_text_forms_are_as_people_know_them() {
    let evidence = evidence();
    let report = Report::of(&evidence, now());
    insta::assert_snapshot!("list_text", report.list_text());
    insta::assert_snapshot!("report_text", report.text());
    let shown: Vec<_> = evidence.samples.iter().map(|s| SampleReport::of(s).text()).collect();
    insta::assert_snapshot!("show_text", shown.join("\n==========\n"));
}

#[test]
fn the_json_forms_are_as_scripts_know_them() {
    let evidence = evidence();
    let report = Report::of(&evidence, now());
    insta::assert_snapshot!("list_json", report.list_json());
    insta::assert_snapshot!("report_json", report.json());
    insta::assert_snapshot!("show_json", SampleReport::of(&evidence.samples[0]).json());
}

#[test]
fn the_page_is_as_browsers_know_it() {
    let page = Report::of(&evidence(), now()).html();
    // Look at it: REPORT_PAGE=/tmp/report.html cargo test -p shadow-compare the_page
    if let Ok(path) = std::env::var("REPORT_PAGE") {
        std::fs::write(path, &page).unwrap();
    }
    let body = page.split_once("</style>").unwrap().1;
    insta::assert_snapshot!("report_html", body);
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let page = Report::of(&evidence(), now()).html();
    assert!(!page.contains("<script"));
    assert!(page.contains("&lt;script&gt;"));
    for outside in ["http:", "https:", "url(", "@import", "src=", "<link", "javascript:"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn no_comparisons_are_not_reported_as_no_differences() {
    let answer = |verdicts: &[(Verdict, u64)], reasons: &[(&str, u64)]| {
        let mut coverage = coverage("Query.product", verdicts, &[]);
        coverage.reasons = reasons.iter().map(|(r, n)| ((*r).to_owned(), *n)).collect();
        let evidence = Evidence { coverage: vec![coverage], ..Evidence::default() };
        Report::of(&evidence, now()).answer
    };
    let nothing = "Nothing has been compared yet, so nothing is known.";
    assert_eq!(Report::of(&Evidence::default(), now()).answer, nothing);
    assert_eq!(answer(&[], &[]), nothing);
    assert_eq!(
        answer(&[(Verdict::Inconclusive, 14)], &[("side-error", 10), ("timed-out", 4)]),
        "Nothing is known: all 14 comparisons were inconclusive (side-error 10, timed-out 4)."
    );
    assert_eq!(answer(&[(Verdict::Match, 1)], &[]), "The only comparison matches.");
    assert_eq!(answer(&[(Verdict::Match, 12_400)], &[]), "All 12 400 comparisons match.");
    assert_eq!(
        answer(&[(Verdict::Match, 9), (Verdict::Excused, 1), (Verdict::Inconclusive, 1)], &[]),
        "9 of 10 comparisons match, 1 differs in ways that the contract excuses. 1 more was inconclusive."
    );
    let empty = Report::of(&Evidence::default(), now());
    assert!(empty.html().contains("class=\"unknown\""));
    assert_eq!(empty.list_text(), format!("{nothing}\n"));
}

#[test]
fn a_value_cannot_drive_the_terminal_that_shows_it() {
    let record = |name: &str| json!({"name": name});
    let mut sample =
        sample("1", "Query.product", Some("name"), Cause::Different, (record("\u{9b}2J"), record("\u{202e}b")));
    sample.difference.key = "\u{1b}]0;x\u{7}".into();
    let text = SampleReport::of(&sample).text();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(!text.contains('\u{202e}'));
    assert!(text.contains("\\u{9b}"));
}

#[test]
fn shares_are_never_rounded_to_all_or_nothing() {
    assert_eq!(answer::percent(0.99999), "99.9 %");
    assert_eq!(answer::percent(0.0001), "below 0.1 %");
    assert_eq!(answer::percent(1.0), "100 %");
    assert_eq!(answer::percent(0.0), "0 %");
    assert_eq!(answer::number(1_234_567), "1 234 567");
}

proptest! {
    #[test]
    fn whatever_a_value_holds_the_page_stays_well_formed(
        legacy in ".{0,40}", modern in ".{0,40}", key in ".{0,20}", id in ".{0,8}", route in ".{0,12}", field in ".{1,12}",
    ) {
        let record = |value: &str| json!({ field.as_str(): value });
        let mut sample = sample(&id, &route, Some(&field), Cause::Different, (record(&legacy), record(&modern)));
        sample.difference.key = key;
        let evidence = Evidence { samples: vec![sample], ..Evidence::default() };
        let page = Report::of(&evidence, now()).html();
        let body = page.split_once("</style>").unwrap().1;
        // Escaped, no value adds a tag: there are as many as in a page of harmless values.
        for tag in ["section", "details", "table", "tr", "td", "th", "code", "pre", "span", "del", "ins"] {
            let open = body.matches(&format!("<{tag}>")).count() + body.matches(&format!("<{tag} ")).count();
            prop_assert_eq!(open, body.matches(&format!("</{tag}>")).count(), "{}", tag);
        }
        prop_assert_eq!(body.matches("<script").count(), 0);
        prop_assert_eq!(body.matches("<details>").count(), 1);
    }
}
