use std::sync::Arc;

use adapters::Lane;
use model::control::{AuditStore as _, ProposalStore as _};
use model::{Percentage, Role, Side};
use testkit::begin::Begin as _;

use super::*;
use crate::desk::scene::laid;

fn author(who: &str) -> Author {
    Author { who: who.into(), origin: "desk".into(), reason: Some("a try".into()) }
}

#[tokio::test]
async fn what_was_withdrawn_while_somebody_approved_it_never_comes_into_force() {
    let (desk, control) = laid(&[Stage::Shift], Stage::Shadow).await;
    let group = GroupName::from("inventory");
    let wish = SetPolicy { stage: Some(Stage::Shift), reads: Percentage::try_from(25.0).ok(), shadow: None };
    desk.set(&group, &wish, &Knowing::past_everything(), &author("ada")).await.unwrap();
    let seen = control.proposals(1).await.unwrap().remove(0);
    desk.withdraw(&seen.id.to_string(), &author("ada")).await.unwrap();
    let (before, audited) = (control.newest().await.unwrap(), control.audit(0, 99).await.unwrap().len());
    // WHEN the approval goes on with what it saw before
    let refused = desk.approve_seen(seen, &Knowing::past_everything(), &author("bob")).await.unwrap_err();
    // THEN it is told, nothing is published, and nothing is noted as approved
    assert_eq!(refused.code(), "OVERTAKEN");
    assert_eq!(control.newest().await.unwrap(), before);
    assert_eq!(control.audit(0, 99).await.unwrap().len(), audited);
    let decision = control.proposals(1).await.unwrap().remove(0).decision;
    assert!(matches!(decision, Some(Decision::Withdrawn { .. })));
}

#[tokio::test]
async fn dual_write_ends_by_two_persons_and_no_order_leads_back() {
    let (desk, control) = laid(&[], Stage::Shift).await;
    let group = GroupName::from("inventory");
    let modern = Arc::clone(desk.sides.modern.get(Lane::Admin));
    modern.begin_as(std::slice::from_ref(&group), Role::Secondary, Duration::from_secs(1)).await.unwrap();
    let stage = |stage| SetPolicy { stage: Some(stage), ..SetPolicy::default() };
    let early = desk.set(&group, &stage(Stage::Modern), &Knowing::past_everything(), &author("ada")).await.unwrap_err();
    assert!(early.code() == "NOT_POSSIBLE" && early.to_string().contains("handover"), "{early}");
    let full = SetPolicy { reads: Some(Percentage::FULL), ..SetPolicy::default() };
    desk.set(&group, &full, &Knowing::past_everything(), &author("ada")).await.unwrap();
    desk.hand_over(&group, Side::Modern, false, &author("ada")).await.unwrap();
    let end = desk.dual_write_end(&group).await.unwrap();
    assert_eq!((end.stage, end.unsettled, end.left_behind), (Stage::Reverse, 0, 0));
    // WHEN one asks for it, it waits, whatever the rules of approval say
    let asked = desk.set(&group, &stage(Stage::Modern), &Knowing::past_everything(), &author("ada")).await.unwrap();
    let SetOutcome::Proposed(proposal) = asked else { panic!("{asked:?}") };
    let id = proposal.id.to_string();
    assert_eq!(desk.approve(&id, &Knowing::past_everything(), &author("ada")).await.unwrap_err().code(), "SAME_PERSON");
    // and another one ends it.
    let (_, outcome) = desk.approve(&id, &Knowing::past_everything(), &author("bob")).await.unwrap();
    let SetOutcome::HandedOver { done, before } = outcome else { panic!("{outcome:?}") };
    assert_eq!((before.stage(), done.policy.stage(), done.policy.epoch().0), (Stage::Reverse, Stage::Modern, 4));
    assert!(done.handed.alone && !done.handed.steps.is_empty() && done.version.is_some(), "{done:?}");
    let record = control.newest().await.unwrap().unwrap();
    assert_eq!((record.author.who.as_str(), record.approved_by.as_deref()), ("ada", Some("bob")));
    assert!(record.summary.contains("end of dual write"), "{}", record.summary);
    // THEN every order that leaves it is refused, and says what it would take.
    for to in [Stage::Legacy, Stage::Shift, Stage::Reverse] {
        let refused = desk.set(&group, &stage(to), &Knowing::past_everything(), &author("ada")).await.unwrap_err();
        assert!(refused.to_string().contains("filled anew from modern"), "{refused}");
    }
    let refused = desk.hand_over(&group, Side::Legacy, true, &author("ada")).await.unwrap_err();
    assert!(refused.to_string().contains("filled anew from modern"), "{refused}");
    let again = desk.set(&group, &stage(Stage::Modern), &Knowing::past_everything(), &author("ada")).await.unwrap();
    assert!(matches!(again, SetOutcome::AlreadySo { .. }), "{again:?}");
}
