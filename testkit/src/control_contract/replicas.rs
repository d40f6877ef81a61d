//! What every control store promises of replicas.

use std::time::Duration;

use model::RolloutVersion;
use model::control::{ControlStore, Heard, LIVE_WITHIN, Replica};
use uuid::Uuid;

/// Two that live are never one row of the list, and one that is gone does not keep its name.
pub async fn of_two_replicas_with_one_name_the_second_is_told(store: &dyn ControlStore) {
    let replica = |place: u16, version| Replica {
        id: "a".into(),
        admin_address: format!("host-{place}:9090"),
        rollout: RolloutVersion(version),
        instance: Uuid::from_u128(place.into()),
        saved: place == 1,
    };
    assert_eq!(store.heartbeat(&replica(1, 1)).await.unwrap(), Heard::Noted);
    for version in 2..5 {
        assert_eq!(store.heartbeat(&replica(2, version)).await.unwrap(), Heard::Taken("host-1:9090".into()));
        assert_eq!(store.heartbeat(&replica(1, version)).await.unwrap(), Heard::Noted);
        assert_eq!(store.replicas(LIVE_WITHIN).await.unwrap(), [replica(1, version)]);
    }
    // WHEN a run goes on with the folder of another one, which is not the first, or is
    assert!(!store.succeed(&"a".into(), Uuid::from_u128(7)).await.unwrap());
    assert!(store.succeed(&"a".into(), Uuid::from_u128(1)).await.unwrap());
    assert_eq!(store.heartbeat(&replica(2, 5)).await.unwrap(), Heard::Noted);
    // THEN the first, should it live, is the one that is told
    assert_eq!(store.heartbeat(&replica(1, 5)).await.unwrap(), Heard::Taken("host-2:9090".into()));
    assert!(store.succeed(&"a".into(), Uuid::from_u128(2)).await.unwrap());
    assert_eq!(store.heartbeat(&replica(1, 6)).await.unwrap(), Heard::Noted);
    // WHEN the first one is silent
    tokio::time::sleep(LIVE_WITHIN + Duration::from_millis(100)).await;
    assert_eq!(store.heartbeat(&replica(2, 9)).await.unwrap(), Heard::Noted);
    assert_eq!(store.replicas(LIVE_WITHIN).await.unwrap(), [replica(2, 9)]);
}

/// Promise.
pub async fn replicas_are_live_while_they_are_heard_of(store: &dyn ControlStore) {
    let replica = |id: &str, version| Replica {
        id: id.into(),
        admin_address: format!("{id}:9090"),
        rollout: RolloutVersion(version),
        instance: Uuid::nil(),
        saved: true,
    };
    store.heartbeat(&replica("b", 1)).await.unwrap();
    store.heartbeat(&replica("a", 1)).await.unwrap();
    store.heartbeat(&replica("b", 2)).await.unwrap();
    assert_eq!(store.replicas(LIVE_WITHIN).await.unwrap(), [replica("a", 1), replica("b", 2)]);
    store.retire(&"a".into()).await.unwrap();
    store.retire(&"nobody".into()).await.unwrap();
    assert_eq!(store.replicas(LIVE_WITHIN).await.unwrap(), [replica("b", 2)]);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(store.replicas(Duration::from_millis(50)).await.unwrap().is_empty());
}
