//! What tests stand on that ask a desk: stores in memory behind the demo's contract, and a published rollout.
//!
//! Included by the tests of the admin port too, which is why it names this crate from outside.

use std::sync::Arc;
use std::time::Duration;

use adapters::Lanes;
use adapters::memory::MemoryStore;
use adapters::memory::control::MemoryControl;
use control_plane::breakeven::Given;
use control_plane::desk::{ApprovalRules, Desk};
use control_plane::handover::coordinate::HandoverSettings;
use control_plane::promotion::{GateLimits, PromotionRules};
use control_plane::rollout::Witness;
use model::contract::{TrialOf, trials};
use model::control::{ControlStore, Publication, Step};
use model::{Epoch, Instant, PerSide, Percentage, Policy, Role, Rollout, RolloutVersion, Side, Stage, Store};
use serde_json::Value as Json;
use testkit::begin::Begin as _;

const WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn at() -> Instant {
    Instant::parse("2026-01-31T08:00:00Z").unwrap()
}

pub(crate) fn limits() -> GateLimits {
    GateLimits {
        objective: 0.9999,
        evidence: Duration::from_secs(86_400),
        comparisons_per_route: 100,
        keys_ratio: 0.1,
        reconciled_within: None,
        unsettled_age: Duration::from_secs(10),
        cdc_lag: Duration::from_millis(500),
        error_rate: 0.001,
    }
}

pub(crate) fn given() -> Given {
    Given {
        currency: "EUR".into(),
        daily_transactions: None,
        cost_per_error: None,
        licences_per_day: None,
        missed_revenue_per_day: None,
        team_per_day: None,
        horizon_days: 365,
        sources: std::collections::BTreeMap::new(),
    }
}

/// A desk over empty stores and `control`; changes into `needs_second` need a second person.
pub(crate) fn desk(needs_second: &[Stage], control: &Arc<MemoryControl>) -> Desk {
    let text = include_str!("../../../../schema.graphql");
    let contract = ::contract::load(text, "schema.graphql").unwrap().contract;
    let store = |side| {
        let store = MemoryStore::new(side, Arc::clone(&contract));
        // What the contract says would run there; nobody runs it here.
        for trial in trials(&contract, side) {
            match trial.of {
                TrialOf::Sql { sql, columns: Some(_), .. } => store.teach_list(sql.clone(), |_, _| Vec::new()),
                TrialOf::Sql { sql, columns: None, .. } => store.teach(sql.clone(), |_, _| Ok(0)),
                TrialOf::Type(_) => {}
            }
        }
        Arc::new(store) as Arc<dyn Store>
    };
    let stores = PerSide { legacy: store(Side::Legacy), modern: store(Side::Modern) };
    let control = Arc::clone(control) as Arc<dyn ControlStore>;
    Desk {
        witness: Witness {
            control: Arc::clone(&control),
            contract: Arc::clone(&contract),
            sides: Some(stores.clone()),
        },
        contract,
        control,
        sides: stores.map(|_, store| Lanes::of(move |_| Arc::clone(&store))),
        approvals: ApprovalRules {
            stages: needs_second.iter().copied().collect(),
            open_for: Duration::from_secs(3_600),
        },
        promotions: PromotionRules {
            steps: [1.0, 100.0].map(|percent| Step { reads: percent.try_into().unwrap(), hold: WITHIN }).to_vec(),
            limits: limits(),
        },
        reconcile: None,
        handover: HandoverSettings::default(),
        breakeven: given(),
        secret: None,
        fleet: Arc::default(),
        state: None,
        here: None,
        guard: None,
        notices: Default::default(),
        clock: at,
    }
}

/// Publishes the first rollout: `inventory` in `stage`.
pub(crate) async fn publish(control: &MemoryControl, stage: Stage) {
    let shadow = if stage.shadows() { Percentage::FULL } else { Percentage::ZERO };
    let policy = Policy::new(stage, Percentage::ZERO, shadow, Epoch(1)).unwrap();
    let publication = Publication {
        expected: None,
        rollout: Rollout { version: RolloutVersion(1), policies: [("inventory".into(), policy)].into() },
        author: model::control::Author { who: "init".into(), origin: "desk".into(), reason: None },
        summary: "first".into(),
        groups: vec!["inventory".into()],
        evidence: Json::Null,
        overrides: Vec::new(),
        approved_by: None,
        approves: None,
    };
    control.publish(&publication).await.unwrap();
}

/// A desk over one published rollout.
pub(crate) async fn laid(needs_second: &[Stage], stage: Stage) -> (Desk, Arc<MemoryControl>) {
    let control = Arc::new(MemoryControl::new());
    publish(&control, stage).await;
    let desk = desk(needs_second, &control);
    let legacy = desk.witness.sides.clone().unwrap().legacy;
    legacy.begin_as(&desk.contract.groups(), Role::Primary, WITHIN).await.unwrap();
    (desk, control)
}
