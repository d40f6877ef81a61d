//! What is made of the evidence: the balance, excuses, and the history of a key.

use model::control::ExcuseStore;
use model::evidence::{Observation, Verdict};
use model::{RouteName, Rule};

use super::*;
use control_plane::breakeven::{Amount, Given};

const KIND: &str = "/diffs?route=Query.product&field=unitPrice&cause=rounding";
/// What the form of the proposal sends, without the reason.
const EXCUSE: &str = "route=Query.product&field=unitPrice&cause=rounding&rule=scale%3A+2&owner=pricing\
                      &until=2026-03-31&about=%40compare%28scale%3A+2%29&reason=";

fn at() -> Instant {
    Instant::parse("2026-01-31T07:00:00Z").unwrap()
}

/// Comparisons of a product: `count` with a price that one side rounds, of the last of which a sample is kept, and
/// as many that match.
async fn compare(scene: &Scene, count: u64) {
    let route = RouteName::from("Query.product");
    let difference = Difference {
        field: Some("unitPrice".into()),
        cause: Cause::Rounding,
        key: json!(["P-1"]).to_string(),
        values: PerSide { legacy: json!("1.23"), modern: json!("1.2345") },
        records: PerSide { legacy: json!({ "unitPrice": "1.23" }), modern: json!({ "unitPrice": "1.2345" }) },
        excused: false,
        explained: vec![Rule::Scale(2)],
    };
    let seen = |verdict, differences| Observation {
        route: route.clone(),
        verdict,
        reason: None,
        differences,
        fields: Vec::new(),
        keys: Vec::new(),
    };
    let mut sums = Sums::default();
    for _ in 0..count {
        sums.absorb(&seen(Verdict::Mismatch, vec![difference.clone()]), at());
        sums.absorb(&seen(Verdict::Match, Vec::new()), at());
    }
    sums.samples = vec![Sample { id: "5a".into(), route: route.clone(), seen_at: at(), difference }];
    scene.control.add_evidence(BatchId(uuid::Uuid::now_v7()), &sums).await.unwrap();
}

pub(super) fn all_given(desk: &mut Desk) {
    let amount = |number| Amount::try_from(number).ok();
    desk.breakeven = Given {
        currency: "<EUR>".into(),
        daily_transactions: amount(120_000.0),
        cost_per_error: amount(18.0),
        licences_per_day: amount(2_400.0),
        missed_revenue_per_day: amount(9_000.0),
        team_per_day: amount(3_600.0),
        horizon_days: 365,
        sources: std::collections::BTreeMap::new(),
    };
}

#[tokio::test]
async fn the_balance_begins_with_plain_sentences_and_has_a_row_for_each_assumption() {
    let scene = scene_with(&[], Stage::Shift, all_given).await;
    compare(&scene, 250).await;
    let page = scene.get(Role::Viewer, "/breakeven").await;
    assert_eq!(page.status, 200, "{}", page.text);
    let found = |words: &str| page.text.find(words).unwrap_or_else(|| panic!("{words}: {}", page.text));
    let (told, plain) = (found("What you told us"), found("a customer would get a wrong answer"));
    assert!(told < found("was not measured;") && found("was not measured;") < plain, "{}", page.text);
    assert!(plain < found("Errors cost at least"), "{}", page.text);
    for words in [
        "250 of 500 answers differ",
        "measured × 10",
        "15\u{a0}000 &lt;EUR&gt; a day",
        "upper bound (95 %)",
        "120\u{a0}000",
        "<code>breakeven.cost_per_error</code>",
    ] {
        found(words);
    }
    assert!(!page.text.contains("<EUR>") && page.text.contains("href=\"/breakeven\" aria-current"), "{}", page.text);
    let groups = scene.get(Role::Viewer, "/").await.text;
    assert!(groups.contains("a customer would get a wrong answer") && !groups.contains("<EUR>"), "{groups}");
}

#[tokio::test]
async fn without_figures_or_comparisons_nothing_is_concluded() {
    let nothing_compared = scene_with(&[], Stage::Shift, all_given).await;
    let too_few = scene_with(&[], Stage::Shift, all_given).await;
    compare(&too_few, 1).await;
    for (scene, words) in [
        (nothing_compared, "Nothing has been compared, so the probability of an error is not known"),
        (too_few, "Too few: 2 of about 432 answers"),
    ] {
        let page = scene.get(Role::Viewer, "/breakeven").await;
        assert!(page.status == 409 && page.text.contains(words), "{}: {}", page.status, page.text);
        assert!(!page.text.contains("Assumed") && !page.text.contains("Waiting costs"), "{}", page.text);
        let groups = scene.get(Role::Viewer, "/").await;
        assert!(groups.status == 200 && groups.text.contains(words), "{}", groups.text);
    }
    let scene = scene_with(&[], Stage::Shift, all_given).await;
    let page = scene.get(Role::Viewer, &format!("/breakeven?since={SCRIPT_IN_A_FORM}")).await;
    assert!(page.status == 422 && !page.text.contains(SCRIPT), "{}", page.text);
    assert!(page.text.contains("value=\"&lt;script&gt;"), "{}", page.text);
}

#[tokio::test]
async fn a_page_without_figures_is_a_form_and_what_is_typed_is_weighed() {
    let scene = scene(&[], Stage::Shift).await;
    compare(&scene, 250).await;
    let page = scene.get(Role::Viewer, "/breakeven").await;
    assert!(page.status == 200 && !page.text.contains("role=\"alert\""), "{}", page.text);
    for words in ["Say what a wrong answer costs", "name=\"cost_per_error\"", "name=\"team_per_day\""] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    assert!(!page.text.contains("--"), "no words of the command line: {}", page.text);
    let groups = scene.get(Role::Viewer, "/").await.text;
    assert!(groups.contains("Not weighed: nobody has said") && !groups.contains("daily_transactions"), "{groups}");
    let figures = "daily_transactions=120+000&cost_per_error=18&licences_per_day=2400&missed_revenue_per_day=9000\
                   &team_per_day=3600&currency=CHF&since=&horizon_days=";
    let page = scene.get(Role::Viewer, &format!("/breakeven?{figures}")).await;
    assert!(page.status == 200 && page.text.contains("15\u{a0}000 CHF a day"), "{}", page.text);
    assert!(page.text.contains("<code>asked for</code>") && page.text.contains("value=\"120 000\""), "{}", page.text);
    for wrong in ["NaN", "inf", "-1", "1e13", "%3Cscript%3E"] {
        let figures = figures.replace("cost_per_error=18", &format!("cost_per_error={wrong}"));
        let page = scene.get(Role::Viewer, &format!("/breakeven?{figures}")).await;
        assert!(page.status == 422 && page.text.contains("role=\"alert\""), "{wrong}: {}", page.text);
        assert!(page.text.contains("value=\"3600\"") && !page.text.contains("Assumed"), "{wrong}: {}", page.text);
    }
}

#[tokio::test]
async fn a_proposed_rule_is_accepted_and_taken_back_on_the_page() {
    let scene = scene(&[], Stage::Shift).await;
    compare(&scene, 3).await;
    let kind = scene.get(Role::Operator, KIND).await.text;
    for words in [
        "3 of 3 rows are explained by",
        "<code>@compare(scale: 2)</code>",
        "action=\"/excuses\"",
        "value=\"scale: 2\"",
        "name=\"until\" type=\"date\"",
    ] {
        assert!(kind.contains(words), "{words}: {kind}");
    }
    assert!(!kind.contains("id=\"excuses\""), "there is none yet: {kind}");
    let answer = scene.post("/excuses", &format!("{EXCUSE}{SCRIPT_IN_A_FORM}")).await;
    let to = led_to(&answer).to_owned();
    assert_eq!((answer.status, to.as_str()), (303, format!("{KIND}&done=excused").as_str()), "{}", answer.text);
    let page = scene.get(Role::Operator, &to).await.text;
    for words in ["role=\"status\"", "rounding in unitPrice of Query.product (scale: 2)", "in force", "2026-03-31"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(page.contains("ada: &lt;script&gt;") && !page.contains(SCRIPT), "{page}");
    let record = scene.control.excuses().await.unwrap().remove(0);
    assert_eq!((record.excuse.scope.rule, record.excuse.owner.as_str()), (Some(Rule::Scale(2)), "pricing"));
    let back = format!("/excuses/{}", record.excuse.id);
    assert!(page.contains(&format!("action=\"{back}\"")), "{page}");
    let other = scene.get(Role::Operator, "/diffs?route=Query.stockLevel").await.text;
    assert!(!other.contains(&back), "of another route: {other}");

    let empty = scene.post(&back, "route=Query.product&reason=%20").await;
    assert!(empty.status == 422 && empty.text.contains("The reason is empty"), "{}", empty.text);
    let answer = scene.post(&back, "route=Query.product&reason=mended").await;
    assert_eq!(led_to(&answer), "/diffs?route=Query.product&done=unexcused", "{}", answer.text);
    let page = scene.get(Role::Operator, "/diffs").await.text;
    assert!(page.contains("withdrawn") && !page.contains(&back), "{page}");
    assert_eq!(scene.post(&back, "reason=again").await.status, 409);
    assert_eq!(scene.post("/excuses/nothing", "reason=x").await.status, 404);
}

#[tokio::test]
async fn an_excuse_that_is_refused_says_why_and_loses_nothing_that_was_typed() {
    let scene = scene(&[], Stage::Shift).await;
    compare(&scene, 3).await;
    let cases = [
        (EXCUSE.to_owned(), "The reason is empty"),
        (format!("{EXCUSE}why").replace("owner=pricing", "owner=+"), "An excuse needs an owner"),
        (format!("{EXCUSE}why").replace("2026-03-31", "2026-01-30"), "2026-01-30 is over"),
        (format!("{EXCUSE}why").replace("2026-03-31", "soon"), "Until: give a day such as 2026-12-31"),
        (format!("{EXCUSE}why").replace("rule=scale%3A+2", "rule=guess"), "no rule: give <code>scale: 2</code>"),
    ];
    for (form, words) in cases {
        let answer = scene.post("/excuses", &form).await;
        let alert = answer.text.split("role=\"alert\"").nth(1).and_then(|rest| rest.split("</div>").next());
        assert!(answer.status == 422 && alert.is_some_and(|alert| alert.contains(words)), "{form}: {}", answer.text);
    }
    let wide = EXCUSE.replace("&rule=scale%3A+2", "&rule=");
    let page = scene.post("/excuses", &wide).await.text;
    for words in ["value=\"pricing\"", "value=\"2026-03-31\"", "<option value=\"\" selected>every difference"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(scene.control.excuses().await.unwrap().is_empty());
}

#[tokio::test]
async fn viewers_see_proposals_and_excuses_and_no_forms() {
    let scene = scene(&[], Stage::Shift).await;
    compare(&scene, 3).await;
    assert_eq!(scene.post("/excuses", &format!("{EXCUSE}why")).await.status, 303);
    let page = scene.get(Role::Viewer, KIND).await.text;
    assert!(page.contains("are explained by") && page.contains("in force"), "{page}");
    // What is left is signing out.
    assert_eq!(page.matches("method=\"post\"").count(), 1, "{page}");
    let answer = scene.post_as("vic", Role::Viewer, "/excuses", &format!("{EXCUSE}why")).await;
    assert!(answer.status == 403 && answer.text.contains("This takes the role operator"), "{}", answer.text);
    assert_eq!(scene.control.excuses().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_sample_has_the_history_of_its_key_or_says_why_not() {
    let no_secret = scene(&[], Stage::Shift).await;
    compare(&no_secret, 1).await;
    let page = no_secret.get(Role::Viewer, "/diffs/5a").await;
    assert!(page.status == 200 && page.text.contains("No secret for hashes of sensitive values"), "{}", page.text);
    assert!(page.text.contains("<td class=\"legacy\">"), "the sample itself is shown: {}", page.text);
    let scene = scene_with(&[], Stage::Shift, |desk| desk.secret = Some(b"a secret of the test".to_vec())).await;
    compare(&scene, 1).await;
    let page = scene.get(Role::Viewer, "/diffs/5a").await.text;
    let history = page.split("id=\"history\"").nth(1).unwrap();
    assert_eq!(history.matches("nothing was ever written here").count(), 2, "{history}");
    assert!(history.contains("What legacy remembers") && history.contains("no record"), "{history}");
}
