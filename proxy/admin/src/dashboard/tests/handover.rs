use adapters::Lane;
use testkit::begin::Begin as _;

use super::*;

#[tokio::test]
async fn the_authority_changes_hands_on_the_page_and_then_the_way_back_takes_the_place_of_the_rollback() {
    let mut sides = None;
    let scene = scene_with(&[], Stage::Shift, |desk| sides = Some(desk.sides.clone())).await;
    let sides = sides.unwrap();
    let group = [model::GroupName::from("inventory")];
    let within = Duration::from_secs(1);
    sides.legacy.get(Lane::Admin).begin_as(&group, model::Role::Primary, within).await.unwrap();
    sides.modern.get(Lane::Admin).begin_as(&group, model::Role::Secondary, within).await.unwrap();
    scene.post("/groups/inventory/set", &format!("{}all", SHIFT.replace("reads=25", "reads=100"))).await;
    let page = scene.get(Role::Operator, "/groups/inventory").await.text;
    // The order is given where what it would cost was read.
    assert!(page.contains("Hand over to modern: what would be lost?") && page.contains("/groups/inventory/rollback"));
    assert!(!page.contains("Make modern primary"), "{page}");
    // What would be lost is shown to who may order it, and changes nothing.
    let look = "/groups/inventory/handover?to=modern";
    assert_eq!(scene.get(Role::Viewer, look).await.status, 403);
    let report = scene.get(Role::Operator, look).await;
    assert!(report.status == 200 && report.text.contains("Make modern primary</button>"), "{}", report.text);
    let after = report.text.split("name=\"after\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    // What somebody has changed since was not read: refused, with what would be lost now.
    scene.post("/groups/inventory/set", "was=shift/100/100&stage=shift&reads=100&shadow=50&reason=less").await;
    let stale = format!("to=modern&after={after}&reason=it%20is%20time");
    let refused = scene.post("/groups/inventory/handover", &stale).await;
    assert!(refused.status == 409 && refused.text.contains("has changed group"), "{}", refused.text);
    assert!(refused.text.contains("value=\"it is time\"") && refused.text.contains("Rows read"), "{}", refused.text);
    assert!(report.text.contains("Nothing would be lost.") && report.text.contains("Rows read"), "{}", report.text);
    assert_eq!(scene.get(Role::Operator, "/groups/inventory/handover?to=nobody").await.status, 422);
    assert_eq!(scene.get(Role::Operator, "/groups/none/handover?to=modern").await.status, 404);
    let answer = scene.post("/groups/inventory/handover", "to=modern&reason=it%20is%20time").await;
    assert_eq!((answer.status, led_to(&answer)), (303, "/groups/inventory?done=handed-over"), "{}", answer.text);
    let record = scene.control.newest().await.unwrap().unwrap();
    let policy = record.rollout.policy(&"inventory".into());
    assert_eq!(
        (policy.stage(), policy.epoch().0, record.author.reason.as_deref()),
        (Stage::Reverse, 2, Some("it is time"))
    );
    // The replica has heard it from the fences.
    let here = scene.rollout.policy(&"inventory".into());
    assert_eq!((here.stage(), here.epoch()), (Stage::Reverse, policy.epoch()));
    let page = scene.get(Role::Operator, "/groups/inventory").await.text;
    assert!(page.contains("writes waited") && page.contains("freeze "), "its steps: {page}");
    assert!(page.contains("Hand over to legacy") && !page.contains("/groups/inventory/rollback"), "{page}");
    let answer = scene.post("/groups/inventory/rollback", "reason=x").await;
    assert!(answer.status == 409 && answer.text.contains("handover inventory --to legacy"), "{}", answer.text);
    assert!(scene.rollout.pending().is_empty(), "nothing was ordered");
    let answer = scene.post("/groups/inventory/handover", "to=legacy&reason=back").await;
    assert_eq!(led_to(&answer), "/groups/inventory?done=handed-over", "{}", answer.text);
    assert_eq!(scene.rollout.policy(&"inventory".into()).stage(), Stage::Shift);
}
