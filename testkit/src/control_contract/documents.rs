//! What every control store promises of audit, proposals and promotions.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use model::control::audit::{Verifier, agrees};
use model::control::{
    Action, AuditEntry, Author, ControlStore, Decision, Deed, Progress, Promotion, Proposal, ProposalId, Publication,
    Step, next_rollout,
};
use model::{Instant, Rollout, RolloutVersion};
use serde_json::json;
use tokio::join;
use uuid::Uuid;

use super::{group, publication, shifted};

fn author(who: &str) -> Author {
    Author { who: who.into(), origin: "desk".into(), reason: Some("a reason with \"quotes\" and a line\nbreak".into()) }
}

fn deed(who: &str, about: Option<&str>) -> Deed {
    Deed {
        action: Action::Excused,
        group: about.map(group),
        author: author(who),
        rollout: None,
        detail: json!({ "z": 0.1, "a": null }),
    }
}

fn verified(entries: &[AuditEntry]) -> Verifier {
    let mut verifier = Verifier::default();
    entries.iter().try_for_each(|entry| verifier.take(entry)).unwrap();
    verifier
}

/// Every rollout and every deed is an entry; the chain holds, also under writers at once.
pub async fn every_change_is_noted_in_one_chain(store: &dyn ControlStore) {
    let first = Rollout::initial([group("inventory")]);
    let evidence = json!({ "comparisons": { "match": 7, "rate": 1.0e-7 }, "unsettled": null });
    let sent = Publication { evidence, approved_by: Some("bob".into()), ..publication(None, first.clone()) };
    store.publish(&sent).await.unwrap();
    let next = next_rollout(&first, &[(group("inventory"), shifted(12.34))].into());
    let sent = publication(Some(1), next);
    let (a, b) = (deed("ada", Some("inventory")), deed("bob", None));
    let (one, two, three) = join!(store.note(&a), store.publish(&sent), store.note(&b));
    one.unwrap();
    two.unwrap();
    three.unwrap();
    // A publication that lost notes nothing.
    store.publish(&sent).await.unwrap_err();

    let entries = store.audit(0, 100).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.place).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(verified(&entries).head().unwrap().0, 4);
    for record in store.history(None, 10).await.unwrap() {
        let noted = entries.iter().find(|entry| entry.rollout == Some(record.rollout.version)).unwrap();
        assert!(agrees(noted, &record), "{noted:?} {record:?}");
        let mut other = record.clone();
        other.approved_by = Some("eve".into());
        assert!(!agrees(noted, &other));
    }
    assert_eq!(store.audit(2, 1).await.unwrap(), entries[2..3]);
    let about = store.newest_audit(Some(&group("inventory")), None, 10).await.unwrap();
    assert_eq!(about.len(), 3);
    assert!(about.windows(2).all(|pair| pair[0].place > pair[1].place));
    assert_eq!(store.newest_audit(None, None, 1).await.unwrap(), entries[3..]);
    // Page by page, each begins where the one before ended.
    let page = store.newest_audit(None, Some(entries[3].place), 2).await.unwrap();
    assert_eq!(page, [entries[2].clone(), entries[1].clone()]);
    assert_eq!(store.newest_audit(None, Some(page[1].place), 9).await.unwrap(), entries[..1]);
    assert!(store.newest_audit(None, Some(1), 9).await.unwrap().is_empty());
    assert_eq!(store.newest_audit(Some(&group("inventory")), Some(about[0].place), 9).await.unwrap(), about[1..]);
}

/// A proposal comes back as it was kept, and is decided once.
pub async fn a_proposal_is_decided_once(store: &dyn ControlStore) {
    let now = Utc::now();
    let proposal = |who: &str, seconds: i64| Proposal {
        id: ProposalId(Uuid::new_v4()),
        group: group("inventory"),
        from: shifted(1.0),
        to: shifted(50.0),
        steps: vec![Step { reads: 50.0.try_into().unwrap(), hold: Duration::from_secs(60) }],
        author: author(who),
        at: Instant::new(now + TimeDelta::seconds(seconds)),
        expires: Instant::new(now + TimeDelta::hours(1)),
        decision: None,
    };
    let (older, newer) = (proposal("ada", 0), proposal("bob", 1));
    for kept in [&older, &newer, &older] {
        store.keep_proposal(kept).await.unwrap();
    }
    assert_eq!(store.proposals(10).await.unwrap(), [newer.clone(), older.clone()]);
    assert_eq!(store.proposals(1).await.unwrap(), [newer]);
    let approved = Decision::Approved { by: author("eve"), rollout: RolloutVersion(3) };
    let withdrawn = Decision::Withdrawn { by: author("ada") };
    let (one, two) = join!(store.decide_proposal(older.id, &approved), store.decide_proposal(older.id, &withdrawn));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one != two, "one of two decisions stands");
    let kept = store.proposals(10).await.unwrap().remove(1);
    assert_eq!(kept.decision, Some(if one { approved.clone() } else { withdrawn }));
    assert!(!store.decide_proposal(ProposalId(Uuid::new_v4()), &approved).await.unwrap());
}

/// Of two replicas that take the same step of a promotion, one wins.
pub async fn a_promotion_moves_on_from_its_last_revision_only(store: &dyn ControlStore) {
    let begun = Promotion {
        group: group("inventory"),
        steps: vec![Step { reads: 1.5.try_into().unwrap(), hold: Duration::from_millis(1_500) }],
        at_step: None,
        since: Instant::parse("2026-01-31T08:00:00.123456Z").unwrap(),
        author: author("ada"),
        approved_by: Some("bob".into()),
        progress: Progress::Running,
        said: "begins".into(),
        revision: 1,
    };
    assert!(!store.save_promotion(&Promotion { revision: 2, ..begun.clone() }).await.unwrap());
    assert!(store.save_promotion(&begun).await.unwrap());
    assert!(!store.save_promotion(&begun).await.unwrap());
    let stopped = Progress::Stopped { why: "rolled back".into() };
    let next = |progress| Promotion { progress, at_step: Some(0), revision: 2, ..begun.clone() };
    let (stop, finish) = (next(stopped), next(Progress::Finished));
    let (one, two) = join!(store.save_promotion(&stop), store.save_promotion(&finish));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one != two, "one of two replicas wins");
    assert_eq!(store.promotions().await.unwrap(), [if one { stop } else { finish }]);
    let other = Promotion { group: group("another"), ..begun };
    assert!(store.save_promotion(&other).await.unwrap());
    assert_eq!(store.promotions().await.unwrap()[0], other);
}
