//! What pages say is true of what they say it of: a change, an entry, a part of the time.

use model::control::reconciliation::{RepairCount, RepairOrder};
use model::control::{ExcuseStore, ReconciliationStore, RunId};
use model::evidence::{Observation, Verdict};

use super::*;

/// `count` answers of a product an hour before now, each with a price of three rows that differs.
async fn compare(scene: &Scene, count: u64) {
    let difference = Difference {
        field: Some("unitPrice".into()),
        cause: Cause::Rounding,
        key: json!(["P-1"]).to_string(),
        values: PerSide { legacy: json!("1.23"), modern: json!("1.2345") },
        records: PerSide { legacy: json!({ "unitPrice": "1.23" }), modern: json!({ "unitPrice": "1.2345" }) },
        excused: false,
        explained: Vec::new(),
    };
    let mut sums = Sums::default();
    for _ in 0..count {
        let observation = Observation {
            route: "Query.product".into(),
            verdict: Verdict::Mismatch,
            reason: None,
            differences: vec![difference.clone(); 3],
            fields: vec!["unitPrice".into()],
            keys: Vec::new(),
        };
        sums.absorb(&observation, Instant::parse("2026-01-31T07:00:00Z").unwrap());
    }
    scene.control.add_evidence(BatchId(uuid::Uuid::now_v7()), &sums).await.unwrap();
}

/// Look at it: DASHBOARD_PAGES=/tmp cargo nextest run --workspace -E 'test(/sentences/)'
fn kept(name: &str, page: String) -> String {
    if let Ok(folder) = std::env::var("DASHBOARD_PAGES") {
        std::fs::write(format!("{folder}/{name}.html"), &page).unwrap();
    }
    page
}

#[tokio::test]
async fn a_change_is_told_by_what_it_changed_with_the_gates_that_do_not_hold_and_the_way_back() {
    let scene = scene(&[], Stage::Shift).await;
    assert_eq!(scene.post("/groups/inventory/set", &format!("{SHIFT}because")).await.status, 303);
    let page = kept("group", scene.get(Role::Operator, "/groups/inventory?done=published").await.text);
    let told = page.split("aria-label=\"The newest change\"").nth(1).unwrap().split("</section>").next().unwrap();
    for words in ["Reads 0 % → 25 %, by ada (rollout 2)", "gates do not hold: ", "Back to 0 %"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let viewer = scene.get(Role::Viewer, "/groups/inventory?done=published").await.text;
    assert!(viewer.contains("Reads 0 % → 25 %") && !viewer.contains("Back to 0 %"), "{viewer}");
    let before = scene.get(Role::Operator, "/groups/inventory").await.text;
    assert!(!before.contains("The newest change"), "only after an order: {before}");
    // The button takes back that change, and no other.
    assert!(
        told.contains("action=\"/groups/inventory/undo\"") && told.contains("name=\"rollout\" value=\"2\""),
        "{told}"
    );
    assert_eq!(scene.post("/groups/inventory/undo", "rollout=2&reason=back").await.status, 303);
    let policy = scene.control.newest().await.unwrap().unwrap().rollout.policy(&"inventory".into());
    assert_eq!((policy.reads(), policy.stage()), (Percentage::ZERO, Stage::Shift));
}

#[tokio::test]
async fn the_record_says_what_was_excused_and_is_found_by_who_what_and_when() {
    let scene = scene(&[], Stage::Shift).await;
    let excuse = "route=Query.product&field=unitPrice&cause=rounding&rule=scale%3A+2&owner=pricing&until=2026-03-31\
                  &about=&reason=the+ERP+rounds";
    assert_eq!(scene.post("/excuses", excuse).await.status, 303);
    let id = scene.control.excuses().await.unwrap()[0].excuse.id;
    assert_eq!(scene.post(&format!("/excuses/{id}"), "reason=mended").await.status, 303);
    assert_eq!(scene.post("/groups/inventory/set", &format!("{SHIFT}because")).await.status, 303);
    let excused = "excused rounding in unitPrice of Query.product (scale: 2) until 2026-03-31, owner pricing";
    let page = kept("history", scene.get(Role::Viewer, "/history").await.text);
    for words in [
        excused,
        "unexcused rounding in unitPrice of Query.product (scale: 2): it counts again, was excused until 2026-03-31 by ada",
        "set inventory: reads 0 % → 25 %",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let only = scene.get(Role::Viewer, "/history?event=excused&who=ada").await.text;
    assert!(only.contains(excused) && !only.contains("unexcused rounding") && !only.contains("25 %"), "{only}");
    assert!(only.contains("<option value=\"excused\" selected>"), "{only}");
    for narrow in ["who=nobody", "before=1", "event=repaired", "since=2026-12-31T00:00:00Z&event=excused"] {
        let page = scene.get(Role::Viewer, &format!("/history?{narrow}")).await;
        assert!(
            page.status == 200 && page.text.contains("No entry of the record is like that"),
            "{narrow}: {}",
            page.text
        );
        assert!(!page.text.contains("Nothing was recorded yet"), "{narrow}: {}", page.text);
    }
    for wrong in ["event=excusd", "before=x", "since=soon"] {
        let page = scene.get(Role::Viewer, &format!("/history?{wrong}&who={SCRIPT_IN_A_FORM}")).await;
        assert!(page.status == 422 && page.text.contains("role=\"alert\""), "{wrong}: {}", page.text);
        assert!(page.text.contains("value=\"&lt;script&gt;") && !page.text.contains(SCRIPT), "{wrong}: {}", page.text);
    }
}

#[tokio::test]
async fn never_and_yet_are_not_said_of_a_second() {
    let scene = scene(&[], Stage::Shift).await;
    compare(&scene, 4).await;
    let page = kept("diffs", scene.get(Role::Viewer, "/diffs?since=1s").await.text);
    for words in [
        "Nothing was compared in the last 1 s, so nothing is known of it. In all: 4 answers, the last at 2026-01-31 \
         07:00:00Z.",
        "Not compared in this time",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("ever compared") && !page.contains(" yet"), "{page}");
    let all = kept("diffs-all", scene.get(Role::Viewer, "/diffs").await.text);
    assert!(all.contains("4 of 4 answers differ: rounding in unitPrice of Query.product (in 4 of them)."), "{all}");
    assert!(all.contains("<td class=\"number\">4</td><td class=\"number\">12</td>"), "answers and rows: {all}");
}

#[tokio::test]
async fn a_card_says_how_a_group_does_now_and_what_is_an_hour_old_is_no_alarm() {
    let scene = scene(&[], Stage::Shift).await;
    let card = scene.get(Role::Viewer, "/").await.text;
    assert!(card.contains("<span class=\"soft\">nothing compared, as far back as counts are kept</span>"), "{card}");
    compare(&scene, 4).await;
    for path in ["/", "/groups/inventory"] {
        let page = kept(&format!("card{}", path.len()), scene.get(Role::Viewer, path).await.text);
        let told = "nothing compared in the last 15 min, the last answer 60 min ago; last mismatch 60 min ago (24 h: 100 % \
                    of 4 answers)";
        assert!(page.contains(&format!("<span class=\"soft\">{told}</span>")), "{path}: {page}");
        assert!(!page.contains("<b class=\"bad\">4</b>"), "{path}: {page}");
    }
}

#[tokio::test]
async fn only_a_repair_that_left_every_key_level_begins_a_new_count() {
    let scene = scene_with(&[], Stage::Shift, super::evidence::all_given).await;
    compare(&scene, 500).await;
    let author = model::control::Author { who: "ada".into(), origin: "desk".into(), reason: None };
    let repair = async |refused: u64| {
        let id = RunId(uuid::Uuid::now_v7());
        let (group, entity, asked) = ("inventory".into(), "Product".into(), "one key".to_owned());
        scene.control.begin_repair(&RepairOrder { id, group, entity, author: author.clone(), asked }).await.unwrap();
        let refused = (refused > 0).then(|| ("a reason".to_owned(), refused)).into_iter().collect();
        scene.control.end_repair(id, &RepairCount { repaired: 1, refused, ..RepairCount::default() }).await.unwrap();
        (scene.get(Role::Viewer, "/breakeven").await.text, scene.get(Role::Viewer, "/groups/inventory").await.text)
    };
    let (weighed, group) = repair(1).await;
    assert!(
        weighed.contains("Errors cost at least as much as waiting") && !weighed.contains("last repair,"),
        "{weighed}"
    );
    assert!(!group.contains("before the repair"), "{group}");
    // Nothing was compared since: all time is weighed, and it is said why.
    let (weighed, group) = repair(0).await;
    assert!(weighed.contains("too few answers were compared: 0 of about 432. In all, errors cost"), "{weighed}");
    assert!(group.contains("last mismatch 60 min ago, before the repair of 20"), "{group}");
}
