use adapters::{Lane, Lanes};
use testkit::faults::{Call, Fault, FaultyStore};

use super::*;
use crate::schema::tests::sagas::stuck;

/// A scene with two stuck sagas, called `one` and `two`.
async fn with_stuck() -> Scene {
    let mut kept = None;
    let scene = scene_with(&[], Stage::Shift, |desk| kept = Some(desk.clone())).await;
    let desk = kept.unwrap();
    stuck(&desk, "one").await;
    stuck(&desk, "two").await;
    scene
}

#[tokio::test]
async fn stuck_sagas_are_seen_from_the_first_page_on_down_to_their_steps() {
    let calm = scene(&[], Stage::Shift).await;
    assert!(!calm.get(Role::Viewer, "/").await.text.contains("stuck"));
    assert!(calm.get(Role::Viewer, "/sagas").await.text.contains("There is no such saga"));
    let scene = with_stuck().await;
    let overview = scene.get(Role::Viewer, "/").await.text;
    assert!(overview.contains("href=\"/sagas?status=stuck\"") && overview.contains("2 sagas are stuck"), "{overview}");
    let list = scene.get(Role::Viewer, "/sagas?status=stuck").await.text;
    assert!(list.contains("href=\"/sagas/one\"") && list.contains("NOT_RESERVED"), "{list}");
    assert!(list.contains("<option value=\"stuck\" selected"), "{list}");
    assert!(scene.get(Role::Viewer, "/sagas?status=done").await.text.contains("There is no such saga"));
    let one = scene.get(Role::Viewer, "/sagas/one").await.text;
    for known in ["Mutation.placeOrder", "NOT_RESERVED", "TOO_MANY", "stock", "2026-01-31 07:59:00 UTC"] {
        assert!(one.contains(known), "{known}: {one}");
    }
    assert!(!one.contains("4711") && !list.contains("4711"), "no field's value is on a page");
    assert!(!one.contains("/sagas/one/retry") && one.contains("takes the role operator"), "{one}");
}

#[tokio::test]
async fn a_stuck_saga_is_retried_and_another_abandoned_on_its_page_on_the_record() {
    let scene = with_stuck().await;
    let page = scene.get(Role::Operator, "/sagas/one").await.text;
    assert!(page.contains("action=\"/sagas/one/retry\"") && page.contains("action=\"/sagas/one/abandon\""), "{page}");
    assert_eq!(page.matches("method=\"post\"").count(), page.matches("value=\"token-of-the-session\"").count());
    for (path, to) in [("one/retry", "/sagas/one?done=retried"), ("two/abandon", "/sagas/two?done=abandoned")] {
        let answer = scene.post(&format!("/sagas/{path}"), "reason=it%20is%20mended").await;
        assert_eq!((answer.status, led_to(&answer)), (303, to), "{}", answer.text);
        let page = scene.get(Role::Operator, to).await.text;
        assert!(page.contains("role=\"status\"") && !page.contains("-reason\""), "{page}");
    }
    let history = scene.get(Role::Viewer, "/history").await.text;
    assert!(history.contains("saga-retried") && history.contains("saga-abandoned"), "{history}");
    assert!(history.contains("it is mended"), "{history}");
}

#[tokio::test]
async fn an_order_about_a_saga_that_is_refused_says_why_and_keeps_what_was_typed() {
    let scene = with_stuck().await;
    let blank = scene.post("/sagas/one/retry", "reason=%20").await;
    assert!(blank.status == 422 && blank.text.contains("The reason is empty"), "{}", blank.text);
    assert_eq!(led_to(&scene.post("/sagas/two/abandon", "reason=mine").await), "/sagas/two?done=abandoned");
    let late = scene.post("/sagas/two/retry", "reason=mended").await;
    assert!(late.status == 409 && late.text.contains("only a stuck one"), "{}", late.text);
    scene.control.set_down(true);
    let down = scene.post("/sagas/one/abandon", "reason=mine%20%3Cb%3E").await;
    assert!(down.status == 503 && down.text.contains("value=\"mine &lt;b&gt;\""), "{}", down.text);
    assert!(scene.get(Role::Operator, "/sagas/one").await.text.contains("/sagas/one/retry"), "it is stuck still");
    for (path, status) in
        [("/sagas/nobody", 404), (&format!("/sagas/{SCRIPT_IN_A_FORM}"), 404), ("/sagas?status=odd", 422)]
    {
        let answer = scene.get(Role::Viewer, &path.replace("%3C/", "%3C%2F")).await;
        assert!(answer.status == status && !answer.text.contains(SCRIPT), "{path}: {} {}", answer.status, answer.text);
    }
    assert_eq!(scene.post("/sagas/nobody/retry", "reason=x").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_side_that_hangs_keeps_nobody_from_the_groups() {
    let scene = scene_with(&[], Stage::Shift, |desk| {
        desk.sides = desk.sides.clone().map(|_, lanes| {
            let store = FaultyStore::new(Arc::clone(lanes.get(Lane::Admin)));
            store.always(Call::CountSagas, Fault::Hang);
            Lanes::of(move |_| Arc::new(store.clone()))
        });
    });
    let scene = scene.await;
    let began = tokio::time::Instant::now();
    let page = scene.get(Role::Viewer, "/").await.text;
    assert!(page.contains("Whether sagas are stuck is not known") && page.contains("/groups/inventory"), "{page}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
