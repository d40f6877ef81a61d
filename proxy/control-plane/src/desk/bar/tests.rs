//! A rollback, a withdrawal and a handover meet at every moment of it, one after the other: time is paused, and every call
//! to a side takes its share of it.

use std::sync::Arc;
use std::time::Duration;

use adapters::Lanes;
use adapters::memory::control::MemoryControl;
use model::control::{Author, ControlStore as _, ProposalStore as _};
use model::{Authority, GroupName, PerSide, Percentage, Policy, Role, Side, Stage, Store};
use testkit::begin::Begin as _;
use testkit::faults::{Call, Fault, FaultyStore};
use tokio_util::sync::CancellationToken;

use crate::desk::scene::laid;
use crate::desk::{Desk, DeskError, HandoverOutcome, Here, Knowing, RollbackOptions, SetOutcome};
use crate::rollout::SetPolicy;
use data_plane::state_dir::StateDir;

/// What one call to a side takes, and the step in which the moments are tried.
const CALL: Duration = Duration::from_millis(20);
const STEP: Duration = Duration::from_millis(10);
/// More than a handover takes.
const MOMENTS: u32 = 40;

struct Scene {
    desk: Desk,
    control: Arc<MemoryControl>,
    group: GroupName,
    _folder: tempfile::TempDir,
    _stop: tokio_util::sync::DropGuard,
}

fn author(who: &str) -> Author {
    Author { who: who.into(), origin: "desk".into(), reason: Some("a try".into()) }
}

impl Scene {
    /// A replica with a group of which modern answers all reads.
    async fn new(needs_second: &[Stage]) -> Self {
        let (desk, control) = laid(&[], Stage::Shift).await;
        let group = GroupName::from("inventory");
        let slow = desk.sides.clone().map(|_, lanes| {
            let store = FaultyStore::new(Arc::clone(lanes.get(adapters::Lane::Admin)));
            for call in [Call::LookAtFence, Call::MoveFence, Call::Backlog, Call::LeaseUnsettled] {
                store.always(call, Fault::Latency(CALL));
            }
            Arc::new(store) as Arc<dyn Store>
        });
        slow.modern.begin_as(std::slice::from_ref(&group), Role::Secondary, Duration::from_secs(1)).await.unwrap();
        let mut desk = Desk { sides: slow.clone().map(|_, store| Lanes::of(move |_| Arc::clone(&store))), ..desk };
        desk.witness.sides = Some(slow);
        let full = SetPolicy { reads: Some(Percentage::FULL), ..SetPolicy::default() };
        desk.set(&group, &full, &Knowing::past_everything(), &author("ada")).await.unwrap();
        desk.approvals.stages = needs_second.iter().copied().collect();
        // A replica that follows the control store, as all do.
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let opened = crate::rollout::open(desk.witness.clone(), state, "a", "127.0.0.1:1".into()).await;
        let (rollout, follower) = opened.unwrap();
        desk.here = Some(Here { id: "a".into(), address: "127.0.0.1:1".into(), rollout });
        let stop = CancellationToken::new();
        tokio::spawn(follower.run(stop.clone()));
        tokio::spawn(desk.clone().keep_rollbacks(stop.clone()));
        Self { desk, control, group, _folder: folder, _stop: stop.drop_guard() }
    }

    async fn hand_over(&self, to: Side) -> Result<HandoverOutcome, DeskError> {
        Box::pin(self.desk.hand_over(&self.group, to, false, &author("ada"))).await
    }

    /// Whether it said that it is done.
    async fn roll_back(&self) -> Result<bool, DeskError> {
        let options = RollbackOptions { token_file: None, within: Duration::from_secs(2) };
        let outcome = Box::pin(self.desk.roll_back(&self.group, author("bob"), &options, |_| {})).await?;
        Ok(outcome.is_done())
    }

    async fn authority(&self) -> Authority {
        let fence = async |side: Side| {
            let store = self.desk.sides.get(side).get(adapters::Lane::Admin);
            store.fence(&self.group, Duration::from_secs(1)).await.unwrap().fence
        };
        Authority::of(&PerSide { legacy: fence(Side::Legacy).await, modern: fence(Side::Modern).await })
    }

    async fn published(&self) -> Policy {
        self.control.newest().await.unwrap().unwrap().rollout.policy(&self.group)
    }

    fn works_under(&self) -> Policy {
        self.desk.here.as_ref().unwrap().rollout.policy(&self.group)
    }

    /// What must hold after a rollback said that it is done, and go on to hold.
    async fn is_rolled_back(&self, moment: u32) {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(15)).await;
            assert!(matches!(self.authority().await, Authority::Held { by: Side::Legacy, .. }), "moment {moment}");
            for policy in [self.published().await, self.works_under()] {
                assert_eq!((policy.primary(), policy.reads()), (Side::Legacy, Percentage::ZERO), "moment {moment}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_said_done_is_never_overrun_by_a_handover_at_whatever_moment_it_comes() {
    let (mut overtaken, mut late) = (0, 0);
    for moment in 0..MOMENTS {
        let scene = Scene::new(&[]).await;
        let rollback = async {
            tokio::time::sleep(STEP * moment).await;
            scene.roll_back().await
        };
        let (handed, rolled_back) = tokio::join!(scene.hand_over(Side::Modern), rollback);
        match rolled_back {
            Ok(true) => {
                let refused = handed.err().map(|error| error.code());
                assert!(matches!(refused, Some("OVERTAKEN" | "UNDONE" | "NOT_POSSIBLE")), "{moment}: {refused:?}");
                scene.is_rolled_back(moment).await;
                overtaken += 1;
            }
            // The replica had confirmed it when the handover was decided: the authority comes back.
            Ok(false) => {
                assert!(handed.is_ok(), "moment {moment}");
                scene.is_rolled_back(moment).await;
            }
            Err(refused) => {
                assert_eq!((refused.code(), handed.is_ok()), ("MODERN_IS_PRIMARY", true), "moment {moment}: {refused}");
                tokio::time::sleep(Duration::from_secs(15)).await;
                assert_eq!(scene.published().await.primary(), Side::Modern, "moment {moment}");
                late += 1;
            }
        }
    }
    assert!(overtaken > 5 && late > 5, "both orders were met: {overtaken}, {late}");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_told_while_the_control_store_was_away_is_not_overrun_either() {
    for moment in 0..MOMENTS {
        for away in [3, 12, 60] {
            let scene = Scene::new(&[]).await;
            let rollback = async {
                tokio::time::sleep(STEP * moment).await;
                scene.control.set_down(true);
                let told = scene.roll_back().await;
                tokio::time::sleep(STEP * away).await;
                scene.control.set_down(false);
                told
            };
            let (_, rolled_back) = tokio::join!(scene.hand_over(Side::Modern), rollback);
            if let Ok(true) = rolled_back {
                scene.is_rolled_back(moment).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_while_the_authority_comes_back_to_legacy_holds_or_is_refused() {
    let mut held = 0;
    for moment in 0..MOMENTS {
        let scene = Scene::new(&[]).await;
        scene.hand_over(Side::Modern).await.unwrap();
        let rollback = async {
            tokio::time::sleep(STEP * moment).await;
            scene.roll_back().await
        };
        let (handed, rolled_back) = tokio::join!(scene.hand_over(Side::Legacy), rollback);
        handed.unwrap();
        match rolled_back {
            Ok(done) => {
                assert!(done, "moment {moment}");
                scene.is_rolled_back(moment).await;
                held += 1;
            }
            Err(refused) => assert_eq!(refused.code(), "MODERN_IS_PRIMARY", "moment {moment}"),
        }
    }
    assert!(held > 5, "{held}");
}

#[tokio::test(start_paused = true)]
async fn of_approving_a_handover_and_withdrawing_it_one_wins_and_both_are_told_so() {
    let (mut approved, mut withdrawn) = (0, 0);
    for moment in 0..MOMENTS {
        let scene = Scene::new(&[Stage::Reverse]).await;
        let HandoverOutcome::Proposed(proposed) = scene.hand_over(Side::Modern).await.unwrap() else { panic!() };
        let SetOutcome::Proposed(proposal) = *proposed else { panic!() };
        let id = proposal.id.to_string();
        let withdraw = async {
            tokio::time::sleep(STEP * moment).await;
            // What a page showed a moment ago.
            scene.desk.withdraw_seen(proposal.as_ref().clone(), &author("ada")).await
        };
        let (bob, knowing) = (author("bob"), Knowing::past_everything());
        let (approval, withdrawal) = tokio::join!(Box::pin(scene.desk.approve(&id, &knowing, &bob)), withdraw);
        assert_ne!(approval.is_ok(), withdrawal.is_ok(), "moment {moment}: {approval:?} {withdrawal:?}");
        tokio::time::sleep(Duration::from_secs(15)).await;
        let primary = scene.published().await.primary();
        assert!(matches!(scene.authority().await, Authority::Held { by, .. } if by == primary), "moment {moment}");
        match withdrawal {
            Ok(_) => {
                assert_eq!((approval.unwrap_err().code(), primary), ("OVERTAKEN", Side::Legacy), "moment {moment}");
                withdrawn += 1;
            }
            Err(late) => {
                assert!(late.to_string().contains("bob has approved it meanwhile"), "{late}");
                assert_eq!(primary, Side::Modern, "moment {moment}");
                approved += 1;
            }
        }
        let kept = scene.control.proposals(1).await.unwrap().remove(0).decision;
        assert!(kept.is_some());
    }
    assert!(approved > 5 && withdrawn > 5, "both orders were met: {approved}, {withdrawn}");
}

#[tokio::test]
async fn what_was_proposed_before_a_rollback_is_not_approved_after_it_though_the_percentage_is_the_same() {
    let (desk, control) = laid(&[Stage::Shift], Stage::Shift).await;
    let group = GroupName::from("inventory");
    let wish = SetPolicy { reads: Percentage::try_from(25.0).ok(), ..SetPolicy::default() };
    let SetOutcome::Proposed(proposal) =
        desk.set(&group, &wish, &Knowing::past_everything(), &author("ada")).await.unwrap()
    else {
        panic!()
    };
    // GIVEN a rollback of reads that were at 0 % already
    let options = RollbackOptions { token_file: None, within: Duration::from_millis(10) };
    desk.roll_back(&group, author("bob"), &options, |_| {}).await.unwrap();
    let before = control.newest().await.unwrap();
    let refused =
        desk.approve(&proposal.id.to_string(), &Knowing::past_everything(), &author("eve")).await.unwrap_err();
    assert_eq!(refused.code(), "OVERTAKEN");
    assert!(refused.to_string().contains("bob has rolled group `inventory` back since"), "{refused}");
    assert_eq!(control.newest().await.unwrap(), before);
}
