//! What every control store promises of audit, proposals and promotions.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use model::control::audit::{Verifier, agrees};
use model::control::{
    Action, Approval, AuditEntry, Author, ControlError, ControlStore, Decision, Deed, Progress, Promotion, Proposal,
    ProposalId, Publication, Step, next_rollout,
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
    let (older, newer) = (proposal_by("ada", 0), proposal_by("bob", 1));
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

/// A proposal is approved by what is published, or not at all: of approving and withdrawing it at once, one wins, and
/// nothing is published for the one that lost.
pub async fn a_proposal_is_approved_by_what_is_published(store: &dyn ControlStore) {
    store.publish(&publication(None, rollout(1, 1.0))).await.unwrap();
    let (mut approved, mut version) = (0, 1);
    for round in 0..30 {
        let proposal = proposal_by("ada", round);
        store.keep_proposal(&proposal).await.unwrap();
        let approval = Approval { proposal: proposal.id, by: author("bob") };
        let next = rollout(version + 1, 2.0 + f64::from(u32::try_from(version).unwrap()));
        let sent = Publication { approves: Some(approval.clone()), ..publication(Some(version), next) };
        let withdrawn = Decision::Withdrawn { by: author("ada") };
        let (published, withdrew) = match round % 3 {
            0 => join!(store.publish(&sent), store.decide_proposal(proposal.id, &withdrawn)),
            1 => {
                let (withdrew, published) = join!(store.decide_proposal(proposal.id, &withdrawn), store.publish(&sent));
                (published, withdrew)
            }
            _ => {
                let withdrew = store.decide_proposal(proposal.id, &withdrawn).await;
                (store.publish(&sent).await, withdrew)
            }
        };
        let withdrew = withdrew.unwrap();
        assert_ne!(published.is_ok(), withdrew, "round {round}: {published:?}");
        match published {
            Ok(_) => (approved, version) = (approved + 1, version + 1),
            Err(error) => assert!(matches!(error, ControlError::Decided), "{error}"),
        }
        let newest = store.newest().await.unwrap().unwrap().rollout.version;
        assert_eq!(newest, RolloutVersion(version), "round {round}");
        let kept = store.proposals(1).await.unwrap().remove(0).decision;
        let stands = if withdrew { withdrawn } else { approval.under(newest) };
        assert_eq!(kept, Some(stands), "round {round}");
    }
    assert!(approved > 0);
    // A promotion likewise.
    let (first, second) = (proposal_by("ada", 100), proposal_by("ada", 101));
    for proposal in [&first, &second] {
        store.keep_proposal(proposal).await.unwrap();
    }
    store.decide_proposal(first.id, &Decision::Withdrawn { by: author("ada") }).await.unwrap();
    let begun = promotion();
    let seen = RolloutVersion(version);
    let approval = |proposal: &Proposal| Approval { proposal: proposal.id, by: author("bob") };
    let refused = store.begin_approved(&begun, &approval(&first), seen).await;
    assert!(matches!(refused, Err(ControlError::Decided)), "{refused:?}");
    assert_eq!(store.promotions().await.unwrap(), []);
    assert!(store.begin_approved(&begun, &approval(&second), seen).await.unwrap());
    assert_eq!(store.promotions().await.unwrap(), std::slice::from_ref(&begun));
    assert_eq!(store.proposals(1).await.unwrap()[0].decision, Some(approval(&second).under(seen)));
    // One that does not follow the last promotion approves nothing.
    let third = proposal_by("ada", 102);
    store.keep_proposal(&third).await.unwrap();
    assert!(!store.begin_approved(&begun, &approval(&third), seen).await.unwrap());
    assert_eq!(store.proposals(1).await.unwrap()[0].decision, None);
}

fn rollout(version: u64, percent: f64) -> Rollout {
    let policies = [(group("inventory"), shifted(percent))].into();
    Rollout { version: RolloutVersion(version), policies }
}

fn proposal_by(who: &str, seconds: i64) -> Proposal {
    let now = Utc::now();
    Proposal {
        id: ProposalId(Uuid::new_v4()),
        group: group("inventory"),
        from: shifted(1.0),
        to: shifted(50.0),
        steps: vec![Step { reads: 50.0.try_into().unwrap(), hold: Duration::from_secs(60) }],
        author: author(who),
        seen: Some(RolloutVersion(2)),
        at: Instant::new(now + TimeDelta::seconds(seconds)),
        expires: Instant::new(now + TimeDelta::hours(1)),
        decision: None,
    }
}

fn promotion() -> Promotion {
    Promotion {
        group: group("inventory"),
        steps: vec![Step { reads: 1.5.try_into().unwrap(), hold: Duration::from_millis(1_500) }],
        at_step: None,
        since: Instant::parse("2026-01-31T08:00:00.123456Z").unwrap(),
        since_rollout: Some(RolloutVersion(7)),
        author: author("ada"),
        approved_by: Some("bob".into()),
        progress: Progress::Running,
        said: "begins".into(),
        revision: 1,
    }
}

/// Of two replicas that take the same step of a promotion, one wins.
pub async fn a_promotion_moves_on_from_its_last_revision_only(store: &dyn ControlStore) {
    let begun = promotion();
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
