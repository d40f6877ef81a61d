//! Moves that something stands against are looked at on a page of their own; what is safe goes through at once.

use super::*;

const RAISE: &str = "was=shift/0/100&stage=shift&reads=25&shadow=100&reason=because";

/// The form of the page that asks, filled as it was shown.
fn shown_form(page: &str) -> String {
    let form = page.split("class=\"confirm\"").nth(1).unwrap().split("</form>").next().unwrap();
    let field = |input: &str| {
        let value = |what: &str| input.split(&format!("{what}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        Some(format!("{}={}", value("name")?, value("value").unwrap_or_default().replace(' ', "+")))
    };
    form.split("<input").skip(1).filter_map(field).collect::<Vec<_>>().join("&")
}

#[tokio::test]
async fn raising_past_closed_gates_takes_a_second_page_that_names_them() {
    let scene = scene(&[], Stage::Shift).await;
    let asked = scene.post("/groups/inventory/set", RAISE).await;
    assert_eq!((asked.status, scene.changes().await), (200, 1), "{}", asked.text);
    for words in [
        "Nothing has changed yet",
        "gates do not hold",
        "<b>mismatches</b>",
        "<b>25 %</b>",
        "Publish it all the same",
        "Modern answers 25 % of keys",
        "Leave it as it is",
    ] {
        assert!(asked.text.contains(words), "{words}: {}", asked.text);
    }
    let form = shown_form(&asked.text);
    assert!(form.contains("after=1") && form.contains("past=mismatches,"), "{form}");
    let answer = scene.post("/groups/inventory/set", &form).await;
    assert!(answer.headers["location"].to_str().unwrap().contains("done=published&millis="), "{}", answer.text);
    // AND the page says the change and how long it took
    let page = scene.get(Role::Operator, answer.headers["location"].to_str().unwrap()).await.text;
    assert!(page.contains("Reads 0 % → 25 %"), "{page}");
}

#[tokio::test]
async fn what_was_shown_is_what_is_confirmed_and_nothing_that_came_since() {
    let scene = scene(&[], Stage::Shift).await;
    let form = shown_form(&scene.post("/groups/inventory/set", RAISE).await.text);
    // A gate that was not named leads back to the page.
    let less = form.replace("past=mismatches,", "past=");
    let again = scene.post("/groups/inventory/set", &less).await;
    assert!(again.status == 200 && again.text.contains("More stands against it"), "{}", again.text);
    // Somebody else's change, which leaves the percentages as they were, refuses it.
    scene
        .post_as(
            "bob",
            Role::Operator,
            "/groups/inventory/set",
            "was=shift/0/100&stage=shift&reads=0&shadow=50&reason=x",
        )
        .await;
    scene
        .post_as(
            "bob",
            Role::Operator,
            "/groups/inventory/set",
            "was=shift/0/50&stage=shift&reads=0&shadow=100&reason=x",
        )
        .await;
    let stale = scene.post("/groups/inventory/set", &form).await;
    assert!(stale.status == 409 && stale.text.contains("Bob has changed group"), "{}", stale.text);
    let reads = scene.control.newest().await.unwrap().unwrap().rollout.policy(&"inventory".into()).reads();
    assert_eq!(reads, Percentage::ZERO);
}

#[tokio::test]
async fn leaving_the_dual_write_takes_a_second_page_and_lowering_none() {
    let scene = scene(&[], Stage::Shift).await;
    let leave = "was=shift/0/100&stage=legacy&reads=0&shadow=0&reason=enough";
    let asked = scene.post("/groups/inventory/set", leave).await;
    assert!(asked.status == 200 && asked.text.contains("Writes stop reaching modern"), "{}", asked.text);
    assert!(shown_form(&asked.text).contains("past=dual+write"));
    assert_eq!(scene.post("/groups/inventory/set", &format!("{RAISE}&past=all")).await.status, 303);
    for lower in ["was=shift/25/100&stage=shift&reads=5&shadow=100", "was=shift/5/100&stage=shadow&reads=0&shadow=100"]
    {
        let answer = scene.post("/groups/inventory/set", &format!("{lower}&reason=less")).await;
        assert_eq!(answer.status, 303, "{lower}: {}", answer.text);
    }
    // A look changes nothing, needs no reason, and shows what would be.
    let look = "was=shadow/0/100&stage=dual-write&reads=0&shadow=0&look=yes&reason=";
    let answer = scene.post("/groups/inventory/set", look).await;
    assert!(answer.status == 200 && answer.text.contains("Publish the change</button>"), "{}", answer.text);
    assert_eq!(scene.changes().await, 4);
}

#[tokio::test]
async fn an_undo_takes_back_the_change_that_was_shown_and_asks_where_it_raises() {
    let scene = scene(&[], Stage::Shift).await;
    assert_eq!(scene.post("/groups/inventory/set", &format!("{RAISE}&past=all")).await.status, 303);
    let lower = "was=shift/25/100&stage=shift&reads=5&shadow=100&reason=less";
    assert_eq!(scene.post("/groups/inventory/set", lower).await.status, 303);
    // Back up to 25 %: gates are asked as for any raise.
    let asked = scene.post("/groups/inventory/undo", "rollout=3&reason=back").await;
    assert!(asked.status == 200 && asked.text.contains("gates do not hold"), "{}", asked.text);
    let form = shown_form(&asked.text);
    // What is garbled binds the order to nothing, and is refused: it would undo, or overrun, what nobody was shown.
    let garbled = scene.post("/groups/inventory/undo", &form.replace("rollout=3", "rollout=3x")).await;
    assert!(garbled.status == 422 && garbled.text.contains("<code>3x</code> is no rollout"), "{}", garbled.text);
    for order in ["set", "handover"] {
        let unbound = "was=shift/5/100&stage=shift&reads=0&shadow=100&to=modern&reason=x&after=-1";
        let answer = scene.post(&format!("/groups/inventory/{order}"), unbound).await;
        assert!(
            answer.status == 422 && answer.text.contains("<code>-1</code> is no rollout"),
            "{order}: {}",
            answer.text
        );
    }
    let late = scene.post("/groups/inventory/undo", &form.replace("rollout=3", "rollout=2")).await;
    assert!(late.status == 409 && late.text.contains("rollout 3 by ada"), "{}", late.text);
    assert_eq!(scene.post("/groups/inventory/undo", &form).await.status, 303);
    let record = scene.control.newest().await.unwrap().unwrap();
    assert_eq!(f64::from(record.rollout.policy(&"inventory".into()).reads()), 25.0);
    assert_eq!(record.author.reason.as_deref(), Some("undo of rollout 3: back"));
}

#[tokio::test]
async fn what_orders_would_do_is_shown_without_ordering_it() {
    let scene = scene(&[], Stage::Shift).await;
    for (order, words) in [("rollback", "Legacy answers every read"), ("promote", "Each step is taken only while")] {
        let page = scene.get(Role::Viewer, &format!("/groups/inventory/preview?order={order}")).await;
        assert!(page.status == 200 && page.text.contains(words), "{order}: {}", page.text);
    }
    assert_eq!(scene.get(Role::Viewer, "/groups/inventory/preview?order=nothing").await.status, 422);
    assert_eq!(scene.changes().await, 1);
}
