//! What every control store promises of webhooks.

use std::time::Duration;

use model::control::{Action, Author, ControlStore, Deed};
use model::{ReplicaId, WebhookName};
use serde_json::json;
use tokio::join;

const LONG: Duration = Duration::from_secs(600);

async fn note(store: &dyn ControlStore) {
    let author = Author { who: "ada".into(), origin: "desk".into(), reason: None };
    let deed = Deed { action: Action::Repaired, group: None, author, rollout: None, detail: json!({}) };
    store.note(&deed).await.unwrap();
}

/// One replica at a time tells a webhook; it goes on where the last one stopped.
pub async fn a_webhook_is_told_by_one_replica_at_a_time(store: &dyn ControlStore) {
    let (chat, pager) = (WebhookName::new("chat"), WebhookName::new("pager"));
    let (a, b) = (ReplicaId::new("a"), ReplicaId::new("b"));
    note(store).await;
    note(store).await;

    // The past is not told. Of two that begin at once, one does.
    let (one, two) = join!(store.lease_webhook(&chat, &a, LONG), store.lease_webhook(&chat, &b, LONG));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!([(Some(2), None), (None, Some(2))].contains(&(one, two)), "{one:?} {two:?}");
    let (holder, other) = if one.is_some() { (a, b) } else { (b, a) };
    note(store).await;
    assert_eq!(store.lease_webhook(&pager, &other, LONG).await.unwrap(), Some(3), "each has its own place");

    // Only who holds the lease, and knows the place, moves on.
    assert_eq!(store.lease_webhook(&chat, &holder, LONG).await.unwrap(), Some(2));
    assert!(!store.advance_webhook(&chat, &other, 2, 3).await.unwrap());
    assert!(!store.advance_webhook(&chat, &holder, 1, 3).await.unwrap());
    assert!(store.advance_webhook(&chat, &holder, 2, 3).await.unwrap());
    assert!(!store.advance_webhook(&chat, &holder, 2, 3).await.unwrap());
    assert!(!store.advance_webhook(&WebhookName::new("unknown"), &holder, 0, 1).await.unwrap());
    assert_eq!(store.lease_webhook(&chat, &other, LONG).await.unwrap(), None);

    // Given back, or run out: the other one goes on from there.
    assert_eq!(store.lease_webhook(&chat, &holder, Duration::ZERO).await.unwrap(), Some(3));
    assert!(!store.advance_webhook(&chat, &holder, 3, 4).await.unwrap());
    assert_eq!(store.lease_webhook(&chat, &other, Duration::from_millis(50)).await.unwrap(), Some(3));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!store.advance_webhook(&chat, &other, 3, 4).await.unwrap());
    assert_eq!(store.lease_webhook(&chat, &holder, LONG).await.unwrap(), Some(3));
}
