//! Receivers are told what stands in the audit: signed, in order, at least once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use adapters::memory::control::MemoryControl;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use control_plane::webhooks::{self, Pauses, Secret, Webhook};
use model::control::{Action, AuditStore, Author, ControlStore, Deed, Event, OverrideId};
use model::{GroupName, Instant, ReplicaId, Rollout, WebhookName};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use telemetry::tasks::Tasks;

use crate::replica::{eventually, inventory, witness};

pub(crate) const KEY: &[u8] = b"a key of at least 24 bytes, known to both";

/// What a receiver does with its next requests; when nothing is left, it takes them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Does {
    Answer(u16),
    Hang,
}

#[derive(Clone, Default)]
pub(crate) struct Receiver {
    pub(crate) told: Arc<Mutex<Vec<Json>>>,
    tries: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<VecDeque<Does>>>,
}

impl Receiver {
    pub(crate) async fn start(script: &[Does]) -> (Self, String) {
        let receiver = Self { script: Arc::new(Mutex::new(script.iter().copied().collect())), ..Self::default() };
        let router = Router::new().route("/hook", post(take)).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, url)
    }

    fn places(&self) -> Vec<u64> {
        self.told.lock().iter().map(|body| body["data"]["place"].as_u64().unwrap()).collect()
    }

    pub(crate) fn types(&self) -> Vec<String> {
        self.told.lock().iter().map(|body| body["type"].as_str().unwrap().to_owned()).collect()
    }

    async fn has(&self, count: usize) {
        eventually("the receiver was told", || async { self.told.lock().len() >= count }).await;
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let (id, timestamp, signature) = (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature"));
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &body].concat();
    assert_eq!(signature, format!("v1,{}", STANDARD.encode(hmac_sha256(KEY, &signed))));
    assert!((Utc::now().timestamp() - timestamp.parse::<i64>().unwrap()).abs() < 60);
    receiver.tries.lock().push(id.clone());
    let does = receiver.script.lock().pop_front().unwrap_or(Does::Answer(204));
    let status = match does {
        Does::Hang => std::future::pending().await,
        Does::Answer(status) => StatusCode::from_u16(status).unwrap(),
    };
    if status.is_success() {
        let body: Json = serde_json::from_slice(&body).unwrap();
        assert_eq!(id, format!("strangler-audit-{}", body["data"]["place"]));
        receiver.told.lock().push(body);
    }
    status
}

/// As RFC 2104 has it, without the crate that the sender uses. For keys of at most one block.
fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |pad: u8, text: &[u8]| Sha256::digest([&block.map(|byte| byte ^ pad)[..], text].concat()).to_vec();
    padded(0x5c, &padded(0x36, text))
}

fn now() -> Instant {
    Instant::new(Utc::now())
}

fn webhook(url: &str, events: &[Event]) -> Webhook {
    Webhook {
        name: WebhookName::new("chat"),
        url: url.parse().unwrap(),
        secret: Secret::parse(std::str::from_utf8(KEY).unwrap()).unwrap(),
        events: events.iter().copied().collect(),
        within: Duration::from_millis(400),
        pauses: Pauses { first: Duration::from_millis(20), longest: Duration::from_millis(100) },
        give_up: Duration::from_secs(3_600),
    }
}

/// One replica's couriers; they end with it.
struct Telling(Tasks);

impl Telling {
    fn start(control: &Arc<dyn ControlStore>, webhooks: &[Webhook], replica: &str) -> Self {
        Self::at(control, webhooks, replica, now)
    }

    fn at(control: &Arc<dyn ControlStore>, webhooks: &[Webhook], replica: &str, clock: fn() -> Instant) -> Self {
        let tasks = Tasks::default();
        webhooks::start(webhooks, control, &ReplicaId::new(replica), clock, &tasks);
        Self(tasks)
    }

    async fn end(self) {
        self.0.end().await;
    }
}

fn author(who: &str) -> Author {
    Author { who: who.into(), origin: "desk".into(), reason: Some("a reason".into()) }
}

async fn note(control: &Arc<dyn ControlStore>, action: Action) {
    let deed = Deed { action, group: Some(inventory()), author: author("ada"), rollout: None, detail: json!({}) };
    control.note(&deed).await.unwrap();
}

/// A control store of whose audit "chat" was told everything so far.
async fn control() -> Arc<dyn ControlStore> {
    let control: Arc<dyn ControlStore> = Arc::new(MemoryControl::new());
    let begun = control.lease_webhook(&WebhookName::new("chat"), &ReplicaId::new("before"), Duration::ZERO).await;
    assert_eq!(begun.unwrap(), Some(0));
    control
}

#[tokio::test]
async fn a_receiver_is_told_what_it_asks_for_in_order_and_signed() {
    let (receiver, url) = Receiver::start(&[]).await;
    let control = control().await;
    let first = Rollout::initial([inventory(), GroupName::new("catalog")]);
    control.publish(&testkit::control_contract::publication(None, first)).await.unwrap();
    let told = |who: &str| control_plane::rollout::Override {
        id: OverrideId(uuid::Uuid::new_v4()),
        group: inventory(),
        author: author(who),
        at: now(),
        idle_under: None,
    };
    for who in ["ada", "guard"] {
        control_plane::rollout::publish::publish_rollback(&witness(&control), &told(who), None).await.unwrap();
        note(&control, Action::PromotionStopped).await;
    }
    let asked_for = [Event::RolledBack, Event::GuardRolledBack, Event::PromotionStopped];
    let telling = Telling::start(&control, &[webhook(&url, &asked_for)], "a");
    receiver.has(4).await;
    assert_eq!(receiver.types(), ["rolled-back", "promotion-stopped", "guard-rolled-back", "promotion-stopped"]);
    assert_eq!(receiver.places(), [2, 3, 4, 5], "the first rollout was not asked for");
    let body = receiver.told.lock()[0].clone();
    assert_eq!((&body["data"]["who"], &body["data"]["group"]), (&json!("ada"), &json!("inventory")));
    assert!(body["data"]["detail"]["summary"].as_str().unwrap().starts_with("rollback inventory"), "{body}");
    assert_eq!(body["data"]["hash"], json!(control.audit(1, 1).await.unwrap()[0].hash));

    // What comes later is told too.
    note(&control, Action::Proposed).await;
    note(&control, Action::PromotionStopped).await;
    receiver.has(5).await;
    assert_eq!(receiver.places()[4], 7);
    telling.end().await;
}

#[tokio::test]
async fn what_was_not_taken_is_sent_again_and_delays_no_other_webhook() {
    let script = [Does::Answer(500), Does::Answer(302), Does::Hang, Does::Answer(404)];
    let (slow, slow_url) = Receiver::start(&script).await;
    let (quick, quick_url) = Receiver::start(&[]).await;
    let control = control().await;
    let other = Webhook { name: WebhookName::new("pager"), ..webhook(&quick_url, &[Event::Repaired]) };
    control.lease_webhook(&other.name, &ReplicaId::new("before"), Duration::ZERO).await.unwrap();
    for _ in 0..3 {
        note(&control, Action::Repaired).await;
    }
    // Slower than the test waits: the other one must not wait for it.
    let slow_pauses = Pauses { first: Duration::from_millis(300), longest: Duration::from_millis(300) };
    let first = Webhook { pauses: slow_pauses, ..webhook(&slow_url, &[Event::Repaired]) };
    let telling = Telling::start(&control, &[first, other], "a");
    quick.has(3).await;
    assert!(slow.told.lock().is_empty());
    slow.has(3).await;
    assert_eq!((slow.places(), quick.places()), (vec![1, 2, 3], vec![1, 2, 3]));
    let tries = slow.tries.lock().clone();
    assert_eq!(tries.len(), 3 + script.len(), "each failure is one more try, under the same id");
    assert!(tries[..5].iter().all(|id| id == "strangler-audit-1"), "{tries:?}");
    telling.end().await;
}

#[tokio::test]
async fn a_restart_goes_on_where_the_last_one_stopped() {
    let (receiver, url) = Receiver::start(&[]).await;
    let control = control().await;
    let chat = [webhook(&url, &[Event::Repaired])];
    note(&control, Action::Repaired).await;
    let telling = Telling::start(&control, &chat, "a");
    receiver.has(1).await;
    eventually("its place is noted", || async { place(&control, "a").await == Some(1) }).await;
    telling.end().await;
    note(&control, Action::Repaired).await;
    note(&control, Action::Repaired).await;
    let telling = Telling::start(&control, &chat, "b");
    receiver.has(3).await;
    assert_eq!(receiver.places(), [1, 2, 3], "nothing twice, nothing left out");
    telling.end().await;
}

/// How far "chat" was told, if `replica` tells it.
async fn place(control: &Arc<dyn ControlStore>, replica: &str) -> Option<u64> {
    let term = Duration::from_secs(10);
    control.lease_webhook(&WebhookName::new("chat"), &ReplicaId::new(replica), term).await.unwrap()
}

#[tokio::test]
async fn of_two_replicas_one_tells_and_the_other_takes_over() {
    let (receiver, url) = Receiver::start(&[]).await;
    let control = control().await;
    let chat = [webhook(&url, &[Event::Repaired])];
    let (a, b) = (Telling::start(&control, &chat, "a"), Telling::start(&control, &chat, "b"));
    for place in 1..=20 {
        note(&control, Action::Repaired).await;
        receiver.has(place).await;
    }
    a.end().await;
    for place in 21..=40 {
        note(&control, Action::Repaired).await;
        receiver.has(place).await;
    }
    b.end().await;
    assert_eq!(receiver.places(), (1..=40).collect::<Vec<_>>(), "in order, and nothing twice");
}

#[tokio::test]
async fn two_replicas_of_one_name_tell_each_entry_once() {
    let (receiver, url) = Receiver::start(&[]).await;
    let control = control().await;
    let chat = [webhook(&url, &[Event::Repaired])];
    let holder = || webhooks::holder(&ReplicaId::new("a")).to_string();
    let (one, copy) = (Telling::start(&control, &chat, &holder()), Telling::start(&control, &chat, &holder()));
    for place in 1..=40 {
        note(&control, Action::Repaired).await;
        receiver.has(place).await;
    }
    one.end().await;
    copy.end().await;
    assert_eq!(receiver.places(), (1..=40).collect::<Vec<_>>(), "in order, and nothing twice");
}

#[tokio::test]
async fn what_is_too_old_is_given_up_after_one_more_try() {
    let (receiver, url) = Receiver::start(&[Does::Answer(500), Does::Answer(500)]).await;
    let control = control().await;
    for _ in 0..3 {
        note(&control, Action::Repaired).await;
    }
    let soon: fn() -> Instant = || Instant::new(Utc::now() + chrono::TimeDelta::seconds(50));
    let impatient = Webhook { give_up: Duration::from_secs(40), ..webhook(&url, &[Event::Repaired]) };
    let telling = Telling::at(&control, &[impatient], "a", soon);
    receiver.has(1).await;
    assert_eq!(receiver.places(), [3]);
    assert_eq!(*receiver.tries.lock(), ["strangler-audit-1", "strangler-audit-2", "strangler-audit-3"]);
    telling.end().await;
}

#[tokio::test]
async fn without_the_control_store_nothing_is_sent_and_later_everything() {
    let (receiver, url) = Receiver::start(&[]).await;
    let memory = Arc::new(MemoryControl::new());
    let control: Arc<dyn ControlStore> = memory.clone();
    place(&control, "a").await;
    memory
        .note(&Deed { action: Action::Repaired, group: None, author: author("ada"), rollout: None, detail: json!({}) })
        .await
        .unwrap();
    memory.set_down(true);
    let telling = Telling::start(&control, &[webhook(&url, &[Event::Repaired])], "a");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(receiver.tries.lock().is_empty());
    memory.set_down(false);
    receiver.has(1).await;
    telling.end().await;
}
