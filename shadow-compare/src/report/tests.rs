use model::contract::Excuse;
use model::control::{AcceptedExcuse, Author, ExcuseId, ExcuseRecord, ExcuseScope, Period, Width, Withdrawal};
use model::evidence::{DeclaredExcuse, Difference};
use model::{PerSide, Rule};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

mod units;

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
        answers: Some(count),
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
        explained: Vec::new(),
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
    let (explained, excuses, trend) = (explained(), excuses(), Some(trend()));
    let declared = declared();
    Evidence {
        coverage: coverages(),
        tallies,
        samples: samples(),
        explained,
        excuses,
        declared,
        trend,
        ..Evidence::default()
    }
}

fn explained() -> Vec<Explained> {
    let of = |rule, count| Explained {
        route: "Query.product".into(),
        field: "unitPrice".into(),
        cause: Cause::Rounding,
        verdict: Verdict::Mismatch,
        rule,
        count,
    };
    vec![of(Rule::Cut(1), 1), of(Rule::Cut(2), 2)]
}

/// One in force, one that expired yesterday, one taken back.
fn excuses() -> Vec<ExcuseRecord> {
    let author =
        |who: &str| Author { who: who.into(), origin: "desk".into(), reason: Some("<the ERP's habit>".into()) };
    let record = |number: u128, field: Option<&str>, cause, rule, until: &str| ExcuseRecord {
        excuse: AcceptedExcuse {
            id: ExcuseId(uuid::Uuid::from_u128(number << 96)),
            scope: ExcuseScope { route: "Query.product".into(), field: field.map(Into::into), cause, rule },
            owner: "pricing & tax".into(),
            until: until.parse().unwrap(),
            author: author("ada"),
        },
        at: at("2026-01-02T08:00:00Z"),
        withdrawn: None,
    };
    let mut withdrawn = record(0xc0ff_ee03, None, Cause::MissingRow, None, "2026-12-31");
    withdrawn.withdrawn = Some(Withdrawal { author: author("bob"), at: at("2026-01-03T08:00:00Z") });
    vec![
        record(0xc0ff_ee01, Some("checkedAt"), Cause::TimeZone, Some(Rule::Offset(-60)), "2026-01-31"),
        record(0xc0ff_ee02, Some("unitPrice"), Cause::Rounding, None, "2026-01-30"),
        withdrawn,
    ]
}

fn declared() -> Vec<DeclaredExcuse> {
    let excuse = Excuse { reason: "tax tables".into(), owner: "finance".into(), until: "2026-01-29".parse().unwrap() };
    vec![DeclaredExcuse { route: "Query.lowStock".into(), field: "unitPrice".into(), excuse }]
}

fn trend() -> (Span, Trend) {
    let span = Span { since: at("2026-01-31T07:30:00Z"), until: now(), width: Width::Hour };
    let hour = |hour: u32| Period(at(&format!("2026-01-31T{hour:02}:00:00Z")));
    let mut trend = Trend::default();
    let route = || "Query.product".into();
    trend.comparisons.insert((route(), Verdict::Match), [7, 8, 10, 11, 12].map(|h| (hour(h), 400)).into());
    trend.comparisons.insert((route(), Verdict::Mismatch), [(hour(8), 1), (hour(11), 2)].into());
    trend.comparisons.insert((route(), Verdict::Excused), [(hour(11), 12)].into());
    trend.comparisons.insert(("Query.lowStock".into(), Verdict::Mismatch), [(hour(9), 1)].into());
    let kind = DifferenceKind {
        route: route(),
        field: Some("unitPrice".into()),
        cause: Cause::Rounding,
        verdict: Verdict::Mismatch,
    };
    trend.differences.insert(kind, [(hour(11), 2)].into());
    (span, trend)
}

#[test]
fn what_was_excused_and_is_so_no_longer_is_said_to_have_expired() {
    let states = |day: &str| -> Vec<String> {
        let report = Report::of(&evidence(), at(&format!("{day}T12:00:00Z")));
        let product = report.routes.iter().find(|route| route.route.as_str() == "Query.product").unwrap();
        product.excuses.iter().map(|excuse| excuse.state.as_str().to_owned()).collect()
    };
    assert_eq!(states("2026-01-30"), ["in force", "in force", "withdrawn"]);
    assert_eq!(states("2026-01-31"), ["in force", "expired", "withdrawn"]);
    assert_eq!(states("2026-02-01"), ["expired", "expired", "withdrawn"]);
}

#[test]
fn a_trend_shows_gaps_as_gaps_and_rare_mismatches_at_all() {
    let (span, mut trend) = trend();
    let of = |trend: &Trend| {
        TrendReport::of(&span, trend.comparisons.iter().map(|((_, verdict), counts)| (*verdict, counts)))
    };
    assert_eq!(of(&trend).bars(), "▁▂█▁▂▁");
    trend.comparisons.retain(|(route, _), _| route.as_str() == "Query.product");
    assert_eq!(of(&trend).bars(), "▁▅·▁█▁");
    assert_eq!(of(&trend).points[2].mismatch_ratio, None);
    assert!(of(&trend).answer.contains("In 1 of 6 hours nothing was compared"), "{}", of(&trend).answer);
    let nothing = of(&Trend::default());
    assert_eq!((nothing.bars().as_str(), nothing.answer.contains("there is no trend")), ("······", true));
}

#[test]
fn the_history_of_a_key_stands_side_by_side_in_time() {
    let evidence = evidence();
    let mut shown = SampleReport::of(&evidence.samples[0]);
    let state = |minute: u32, price: &str| StateReport {
        at: at(&format!("2026-01-31T08:{minute:02}:00Z")),
        version: format!("1.1.{minute}"),
        write: format!("write-{minute}"),
        record: json!({ "sku": "SKU-17", "unitPrice": price }),
    };
    let mut deleted = state(5, "");
    deleted.record = Json::Null;
    let legacy = SideHistory {
        present: json!({ "unitPrice": "12.345" }),
        states: vec![state(20, "12.345"), deleted, state(1, "9")],
        ..SideHistory::default()
    };
    let modern = SideHistory { recorded: Some("1.1.20".into()), ..SideHistory::default() };
    shown.history = Some(PerSide { legacy, modern });
    insta::assert_snapshot!("history_text", shown.text());
    shown.history = Some(PerSide {
        legacy: SideHistory::unknown("legacy could not be reached, nothing was sent".into()),
        modern: SideHistory::default(),
    });
    assert!(shown.text().contains("legacy: not known, legacy could not be reached"), "{}", shown.text());
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
        coverage.keys_compared = 0;
        coverage.reasons = reasons.iter().map(|(r, n)| ((*r).to_owned(), *n)).collect();
        let evidence = Evidence { coverage: vec![coverage], ..Evidence::default() };
        Report::of(&evidence, now()).answer
    };
    let nothing = "Nothing has been compared yet, so nothing is known.";
    assert_eq!(Report::of(&Evidence::default(), now()).answer, nothing);
    assert_eq!(answer(&[], &[]), nothing);
    assert_eq!(
        answer(&[(Verdict::Inconclusive, 14)], &[("side-error", 10), ("timed-out", 4)]),
        "Nothing is known: all 14 answers compared were inconclusive (side-error 10, timed-out 4)."
    );
    assert_eq!(answer(&[(Verdict::Match, 1)], &[]), "The only answer compared matches.");
    assert_eq!(answer(&[(Verdict::Match, 12_400)], &[]), "All 12\u{a0}400 answers match.");
    assert_eq!(
        answer(&[(Verdict::Match, 9), (Verdict::Excused, 1), (Verdict::Inconclusive, 1)], &[]),
        "9 of 10 answers match, 1 differs in ways that are excused. 1 more was inconclusive."
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
