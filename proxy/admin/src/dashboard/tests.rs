use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use axum::{Extension, Router};
use http_body_util::BodyExt;
use model::control::{BatchId, ControlStore, Sums};
use model::evidence::{Cause, Difference, Sample};
use model::{Epoch, Instant, PerSide, Percentage, ReplicaId, Rollout, RolloutVersion, Stage};
use serde_json::json;
use tower::ServiceExt;

use super::*;
use crate::auth::{CsrfToken, Identity, Role, Via};
use crate::schema::schema;
use crate::schema::tests::scene::laid;
use crate::{Admin, Health};
use control_plane::desk::{Desk, Here};
use control_plane::rollout::RolloutHandle;
use data_plane::breaker::{Breaker, BreakerSettings};

mod at_rest;
mod confirm;
mod evidence;
mod handover;
mod sagas;
mod sentences;
mod sides;

const PAGES: [&str; 8] =
    ["/", "/groups/inventory", "/diffs", "/rest", "/sagas", "/sides", "/history", "/history/verify"];
const SCRIPT: &str = "<script>alert(1)</script>";
const SCRIPT_IN_A_FORM: &str = "%3Cscript%3Ealert(1)%3C/script%3E";

struct Scene {
    router: Router,
    rollout: RolloutHandle,
    control: Arc<adapters::memory::control::MemoryControl>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

/// A group in `stage`, at 0 %; this replica works under 100 %, as if it had not heard yet.
async fn scene(needs_second: &[Stage], stage: Stage) -> Scene {
    scene_with(needs_second, stage, |_| {}).await
}

/// The same over a desk that was prepared in some way.
async fn scene_with(needs_second: &[Stage], stage: Stage, prepare: impl FnOnce(&mut Desk)) -> Scene {
    let (mut desk, control) = laid(needs_second, stage).await;
    prepare(&mut desk);
    let full = Policy::new(Stage::Shift, Percentage::FULL, Percentage::ZERO, Epoch(1)).unwrap();
    let rollout = Rollout { version: RolloutVersion(1), policies: [("inventory".into(), full)].into() };
    let rollout = RolloutHandle::fixed(rollout);
    desk.here = Some(Here { id: "r1".into(), address: "127.0.0.1:1".into(), rollout: rollout.clone() });
    let breaker = || Arc::new(Breaker::new(BreakerSettings { failures: 1, pause: Duration::from_secs(60) }));
    let admin = Admin {
        replica: ReplicaId::new("r1"),
        groups: vec!["inventory".into()],
        rollout: rollout.clone(),
        metrics: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
        health: Arc::new(Health::new(PerSide { legacy: breaker(), modern: breaker() })),
        clock: || Instant::parse("2026-01-31T08:00:00Z").unwrap(),
        api: schema(desk),
    };
    Scene { router: super::super::router(admin), rollout, control }
}

impl Scene {
    async fn send(&self, who: Option<(&str, Role)>, request: Request<Body>) -> Answer {
        let mut router = self.router.clone();
        if let Some((who, role)) = who {
            let identity = Identity { who: who.into(), role, via: Via::Session };
            router = router.layer(Extension(identity)).layer(Extension(CsrfToken("token-of-the-session".into())));
        }
        let answer = router.oneshot(request).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, role: Role, path: &str) -> Answer {
        self.send(Some(("ada", role)), Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post_as(&self, who: &str, role: Role, path: &str, form: &str) -> Answer {
        self.send(Some((who, role)), posted(path, form)).await
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        self.post_as("ada", Role::Operator, path, form).await
    }

    async fn changes(&self) -> usize {
        self.control.history(None, 100).await.unwrap().len()
    }
}

fn posted(path: &str, form: &str) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    request.header("host", "localhost:9090").body(Body::from(form.to_owned())).unwrap()
}

fn led_to(answer: &Answer) -> &str {
    let to = answer.headers.get("location").map_or("nowhere", |to| to.to_str().unwrap());
    // How long it took differs.
    to.split("&millis=").next().unwrap()
}

const ORDERS: [&str; 13] = [
    "/rest/inventory",
    "/groups/inventory/undo",
    "/sagas/one/retry",
    "/sagas/one/abandon",
    "/excuses",
    "/excuses/0",
    "/groups/inventory/set",
    "/groups/inventory/promote",
    "/groups/inventory/stop",
    "/groups/inventory/rollback",
    "/groups/inventory/handover",
    "/groups/inventory/proposals/0?decision=approve",
    "/groups/inventory/proposals/0",
];
/// A form that asks for 25 %, from what the scene begins with.
const SHIFT: &str = "was=shift/0/100&stage=shift&reads=25&shadow=100&decision=approve&to=modern&past=all&reason=";

#[tokio::test]
async fn every_page_renders_for_each_role_under_a_strict_policy() {
    let scene = scene(&[], Stage::Shift).await;
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        for path in PAGES {
            let Answer { status, headers, text } = scene.get(role, path).await;
            assert_eq!(status, 200, "{path}: {text}");
            assert_eq!(headers["content-security-policy"], SECURITY, "{path}");
            assert_eq!(headers["cache-control"], "no-store");
            assert!(text.contains("<main") && text.contains(role.as_str()), "{path}: {text}");
            assert!(!text.contains("style=") && !text.contains("onclick"), "{path} would need an exception: {text}");
            assert_eq!(text.matches("<script").count(), 1, "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn only_who_may_act_sees_buttons_and_every_form_sends_the_csrf_token() {
    let scene = scene(&[], Stage::Shift).await;
    let group = scene.get(Role::Viewer, "/groups/inventory").await.text;
    // What is left is signing out.
    assert_eq!(group.matches("method=\"post\"").count(), 1, "{group}");
    assert!(group.contains("takes the role operator"));
    let group = scene.get(Role::Operator, "/groups/inventory").await.text;
    for action in ["set", "promote", "rollback"] {
        assert!(group.contains(&format!("action=\"/groups/inventory/{action}\"")), "{action}: {group}");
    }
    assert_eq!(group.matches("method=\"post\"").count(), group.matches("value=\"token-of-the-session\"").count());
}

#[tokio::test]
async fn strangers_see_nothing_and_viewers_change_nothing() {
    let scene = scene(&[], Stage::Shift).await;
    for path in PAGES {
        let answer = scene.send(None, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(!answer.text.contains("inventory"), "{path}: {}", answer.text);
    }
    for path in ORDERS {
        let form = format!("{SHIFT}because");
        assert_eq!(scene.send(None, posted(path, &form)).await.status, 401, "{path}");
        let answer = scene.post_as("vic", Role::Viewer, path, &form).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text);
        let approves = path.contains("proposals/0");
        let role = if approves { "admin" } else { "operator" };
        assert!(answer.text.contains(&format!("This takes the role {role}")), "{path}: {}", answer.text);
    }
    assert_eq!((scene.changes().await, scene.rollout.pending().len()), (1, 0));
}

#[tokio::test]
async fn a_shift_is_published_with_who_and_why_and_nothing_that_was_typed_can_act() {
    let scene = scene(&[], Stage::Shift).await;
    let answer = scene.post("/groups/inventory/set", &format!("{SHIFT}{SCRIPT_IN_A_FORM}")).await;
    assert_eq!((answer.status, led_to(&answer)), (303, "/groups/inventory?done=published"), "{}", answer.text);
    let record = scene.control.newest().await.unwrap().unwrap();
    assert_eq!(f64::from(record.rollout.policy(&"inventory".into()).reads()), 25.0);
    assert_eq!((record.author.who.as_str(), record.author.reason.as_deref()), ("ada", Some(SCRIPT)));
    for path in ["/groups/inventory", "/history"] {
        let page = scene.get(Role::Viewer, path).await.text;
        assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains(SCRIPT), "{path}: {page}");
    }
    let done = scene.get(Role::Viewer, "/groups/inventory?done=published").await.text;
    assert!(done.contains("every live replica works under it"), "{done}");
    let made_up = scene.get(Role::Viewer, &format!("/groups/inventory?done={SCRIPT_IN_A_FORM}")).await.text;
    assert!(!made_up.contains("role=\"status\"") && !made_up.contains(SCRIPT));
}

#[tokio::test]
async fn what_is_refused_says_why_changes_nothing_and_loses_nothing_that_was_typed() {
    let scene = scene(&[], Stage::Shift).await;
    let reason = "my%20%22%3E%3Cb%3Ereason";
    let cases = [
        ("set", SHIFT.to_owned(), 422, "The reason is empty"),
        ("promote", "reason=%20".to_owned(), 422, "The reason is empty"),
        ("stop", "reason=x".to_owned(), 422, "not being promoted"),
        ("handover", "to=nobody&reason=x".to_owned(), 422, "Choose: legacy or modern"),
        ("handover", "to=modern&reason=%20".to_owned(), 422, "The reason is empty"),
        ("proposals/0", "decision=approve&reason=x".to_owned(), 404, "No proposal `0` waits"),
        ("proposals/0", "decision=both&reason=x".to_owned(), 422, "Choose: approve or withdraw"),
        ("set", format!("{SHIFT}{reason}").replace("reads=25", "reads=25,5"), 422, "`25,5` is no percentage"),
        ("set", format!("{SHIFT}{reason}").replace("reads=25", "reads=101"), 422, "Reads:"),
        ("set", format!("{SHIFT}{reason}").replace("reads=25", "reads=0"), 422, "Nothing is different"),
        ("set", format!("{SHIFT}{reason}").replace("stage=shift", "stage=modern"), 422, "modern"),
        ("set", format!("{SHIFT}{reason}").replace("was=shift/0", "was=shift/5"), 409, "meanwhile"),
    ];
    for (order, form, status, words) in cases {
        let answer = scene.post_as("ada", Role::Admin, &format!("/groups/inventory/{order}"), &form).await;
        let alert = answer.text.split("role=\"alert\"").nth(1).unwrap_or("no alert");
        let alert = alert.split("</div>").next().unwrap().replace("<code>", "`").replace("</code>", "`");
        assert!(answer.status == status && alert.contains(words), "{order} {form}: {} {alert}", answer.status);
        if form.contains(reason) {
            assert!(answer.text.contains("value=\"my &quot;&gt;&lt;b&gt;reason\""), "{form}: {}", answer.text);
        }
    }
    let typed = scene.post("/groups/inventory/set", SHIFT).await.text;
    assert!(typed.contains("value=\"25\""), "{typed}");
    assert_eq!(scene.changes().await, 1);
}

#[tokio::test]
async fn an_unknown_group_is_a_page_and_not_found() {
    let scene = scene(&[], Stage::Shift).await;
    let page = scene.get(Role::Admin, &format!("/groups/{}", SCRIPT_IN_A_FORM.replace('/', "%2F"))).await;
    assert!(page.status == 404 && page.text.contains("there are: inventory") && !page.text.contains(SCRIPT));
    for order in ["set", "undo", "promote", "stop", "rollback", "handover", "proposals/0"] {
        let answer = scene.post(&format!("/groups/nobody/{order}"), &format!("{SHIFT}x")).await;
        assert!(
            answer.status == 404 && answer.text.contains("There is no group <code>nobody</code>"),
            "{order}: {}",
            answer.text
        );
    }
    assert_eq!(scene.get(Role::Viewer, "/diffs/nothing").await.status, 404);
}

#[tokio::test]
async fn a_rollback_takes_one_post_and_works_while_the_control_store_is_down() {
    let scene = scene(&[], Stage::Shift).await;
    scene.control.set_down(true);
    for path in ["/", "/groups/inventory"] {
        let page = scene.get(Role::Operator, path).await;
        assert!(page.status == 503 && page.text.contains("olling back works all the same"), "{path}: {}", page.text);
    }
    let group = scene.get(Role::Operator, "/groups/inventory").await.text;
    assert!(group.contains("action=\"/groups/inventory/rollback\"") && group.contains("<b>100 %</b>"), "{group}");
    let answer = scene.post("/groups/inventory/rollback", "reason=prices%20are%20wrong").await;
    assert_eq!((answer.status, led_to(&answer)), (303, "/groups/inventory?done=rolled-back"));
    assert_eq!(scene.rollout.policy(&"inventory".into()).reads(), Percentage::ZERO);
    let told = scene.rollout.pending().remove(0);
    assert_eq!((told.author.who.as_str(), told.author.reason.as_deref()), ("ada", Some("prices are wrong")));
    assert_eq!(told.author.origin, "this machine");
}

#[tokio::test]
async fn a_page_of_another_site_orders_nothing() {
    let scene = scene(&[], Stage::Shift).await;
    let foreign = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ];
    for (name, value) in foreign {
        let mut request = posted("/groups/inventory/rollback", "reason=x");
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(scene.send(Some(("ada", Role::Admin)), request).await.status, 403, "{name}: {value}");
    }
    assert_eq!(scene.rollout.pending().len(), 0);
    let mut own = posted("/groups/inventory/rollback", "reason=x");
    own.headers_mut().insert("origin", "http://localhost:9090".parse().unwrap());
    own.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
    assert_eq!(scene.send(Some(("ada", Role::Admin)), own).await.status, 303);
    // As HTTP/2 says it.
    let mut own = posted("https://strangler.example/groups/inventory/rollback", "reason=x");
    own.headers_mut().remove("host");
    own.headers_mut().insert("origin", "https://strangler.example".parse().unwrap());
    assert_eq!(scene.send(Some(("ada", Role::Admin)), own).await.status, 303);
}

#[tokio::test]
async fn a_change_that_takes_two_is_proposed_and_approved_on_the_page() {
    let scene = scene(&[Stage::Shift], Stage::Shadow).await;
    let wish = "was=shadow/0/100&stage=shift&reads=5&shadow=100&past=all&reason=first";
    let answer = scene.post("/groups/inventory/set", wish).await;
    assert_eq!(led_to(&answer), "/groups/inventory?done=proposed", "{}", answer.text);
    let page = scene.get(Role::Operator, "/groups/inventory").await.text;
    let id = page.split("/groups/inventory/proposals/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let decide = format!("/groups/inventory/proposals/{id}");
    assert!(page.contains("Approving it takes the role admin") && !page.contains("value=\"approve\""), "{page}");
    let page = scene.get(Role::Admin, "/groups/inventory").await.text;
    assert!(page.contains("value=\"approve\""), "{page}");
    let same = scene.post_as("ada", Role::Admin, &decide, "decision=approve&past=all&reason=seen").await;
    assert!(same.status == 409 && same.text.contains("somebody else must approve"), "{}", same.text);
    let answer = scene.post_as("bob", Role::Admin, &decide, "decision=approve&past=all&reason=seen").await;
    assert_eq!(led_to(&answer), "/groups/inventory?done=published", "{}", answer.text);
    let history = scene.get(Role::Viewer, "/history?group=inventory").await.text;
    assert!(history.contains("approved by bob"), "{history}");
}

#[tokio::test]
async fn a_promotion_that_takes_two_begins_when_it_is_approved() {
    let scene = scene(&[Stage::Shift], Stage::Shadow).await;
    let answer = scene.post("/groups/inventory/promote", "reason=go").await;
    assert_eq!(led_to(&answer), "/groups/inventory?done=proposed", "{}", answer.text);
    let page = scene.get(Role::Operator, "/groups/inventory").await.text;
    let id = page.split("/groups/inventory/proposals/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let decide = format!("/groups/inventory/proposals/{id}");
    let answer = scene.post_as("bob", Role::Admin, &decide, "decision=approve&past=all&reason=seen").await;
    assert_eq!(led_to(&answer), "/groups/inventory?done=approved", "{}", answer.text);
    let page = scene.get(Role::Operator, "/groups/inventory?done=approved").await.text;
    assert!(page.contains("action=\"/groups/inventory/stop\""), "{page}");
}

#[tokio::test]
async fn a_promotion_begins_and_is_stopped_on_the_page() {
    let scene = scene(&[], Stage::Shadow).await;
    let answer = scene.post("/groups/inventory/promote", "reason=go").await;
    assert_eq!(led_to(&answer), "/groups/inventory?done=promoting", "{}", answer.text);
    let page = scene.get(Role::Operator, "/groups/inventory").await.text;
    assert!(page.contains("action=\"/groups/inventory/stop\"") && page.contains("Under way"), "{page}");
    let answer = scene.post("/groups/inventory/stop", "reason=enough").await;
    assert_eq!(led_to(&answer), "/groups/inventory?done=stopped", "{}", answer.text);
}

#[tokio::test]
async fn a_wrong_filter_says_so_and_stays_to_be_mended() {
    let scene = scene(&[], Stage::Shift).await;
    let page = scene.get(Role::Viewer, "/diffs?route=&field=onHand&cause=roundin&since=2h").await;
    assert!(page.status == 422 && page.text.contains("There is no cause <code>roundin</code>"), "{}", page.text);
    assert!(page.text.contains("value=\"onHand\"") && page.text.contains("value=\"2h\""), "{}", page.text);
    let page = scene.get(Role::Viewer, "/diffs?route=Query.stockLevel&field=&cause=").await;
    assert!(page.status == 200 && page.text.contains("href=\"/diffs?route=Query.stockLevel\""), "{}", page.text);
}

#[tokio::test]
async fn what_a_side_has_stored_is_shown_and_cannot_act() {
    let scene = scene(&[], Stage::Shift).await;
    let difference = Difference {
        field: Some("name".into()),
        cause: Cause::Different,
        key: json!([SCRIPT]).to_string(),
        values: PerSide { legacy: json!(SCRIPT), modern: json!("nut") },
        records: PerSide { legacy: json!({ "name": SCRIPT }), modern: json!({ "name": "nut" }) },
        excused: false,
        explained: Vec::new(),
    };
    let sample = Sample {
        id: "5a".into(),
        route: "Query.product".into(),
        seen_at: Instant::parse("2026-01-31T07:00:00Z").unwrap(),
        difference,
    };
    let sums = Sums { samples: vec![sample], ..Sums::default() };
    scene.control.add_evidence(BatchId(uuid::Uuid::now_v7()), &sums).await.unwrap();
    for path in ["/diffs/5a", "/diffs?field=name"] {
        let page = scene.get(Role::Viewer, path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        assert!(page.text.contains("&lt;script&gt;") && !page.text.contains(SCRIPT), "{path}: {}", page.text);
    }
    let page = scene.get(Role::Viewer, "/diffs/5a").await.text;
    assert!(page.contains("<td class=\"legacy\">") && page.contains("<td class=\"modern\">"), "{page}");
}

#[tokio::test]
async fn assets_are_kept_for_ever_under_the_address_of_their_content() {
    let scene = scene(&[], Stage::Shift).await;
    for asset in [&assets::STYLE, &assets::SCRIPT, &assets::ICON] {
        let answer = scene.get(Role::Viewer, &asset.address()).await;
        assert_eq!(answer.status, 200);
        assert!(answer.headers["cache-control"].to_str().unwrap().contains("immutable"));
    }
    assert_eq!(scene.get(Role::Viewer, "/assets/style.css").await.status, 404);
}
