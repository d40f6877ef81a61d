//! A replica in this process: rollout, follower, and a real admin port.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adapters::Lanes;
use adapters::memory::MemoryStore;
use admin::serve::Door;
use admin::settings::AdminSettings;
use admin::{Admin, Health};
use control_plane::breakeven::Given;
use control_plane::desk::{ApprovalRules, Desk, Here};
use control_plane::promotion::{GateLimits, PromotionRules};
use control_plane::rollout::fleet::Cache;
use control_plane::rollout::{OpenError, RolloutHandle, Witness, open};
use data_plane::breaker::{Breaker, BreakerSettings};
use data_plane::state_dir::StateDir;
use model::control::ControlStore;
use model::{Contract, GroupName, Instant, PerSide, Percentage, Rollout, Side, Store};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Generous: test machines are shared. What is promised is printed, not asserted to the millisecond.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn schema() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema.graphql")
}

pub(crate) fn contract() -> Arc<Contract> {
    contract::load(&std::fs::read_to_string(schema()).unwrap(), "schema.graphql").unwrap().contract
}

pub(crate) fn inventory() -> GroupName {
    "inventory".into()
}

pub(crate) fn witness(control: &Arc<dyn ControlStore>) -> Witness {
    Witness { control: Arc::clone(control), contract: contract(), sides: None }
}

fn given() -> Given {
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

/// A desk over empty stores.
pub(crate) fn desk(control: &Arc<dyn ControlStore>) -> Desk {
    let contract = contract();
    let lanes = |side| {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(side, Arc::clone(&contract)));
        Lanes::of(move |_| Arc::clone(&store))
    };
    let limits = GateLimits {
        objective: 0.9999,
        evidence: SOON,
        comparisons_per_route: 1,
        keys_ratio: 0.1,
        reconciled_within: None,
        unsettled_age: SOON,
        cdc_lag: SOON,
        error_rate: 0.1,
    };
    Desk {
        control: Arc::clone(control),
        sides: PerSide { legacy: lanes(Side::Legacy), modern: lanes(Side::Modern) },
        witness: witness(control),
        approvals: ApprovalRules { stages: BTreeSet::new(), open_for: SOON },
        promotions: PromotionRules { steps: Vec::new(), limits },
        reconcile: None,
        handover: control_plane::handover::coordinate::HandoverSettings::default(),
        breakeven: given(),
        secret: None,
        fleet: Arc::default(),
        state: None,
        here: None,
        guard: None,
        notices: Default::default(),
        clock: || Instant::new(chrono::Utc::now()),
        contract,
    }
}

pub(crate) struct Replica {
    pub(crate) rollout: RolloutHandle,
    pub(crate) address: String,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Replica {
    pub(crate) async fn start(control: &Arc<dyn ControlStore>, id: &str, state: &Path) -> Result<Self, OpenError> {
        let settings = AdminSettings { listen: "127.0.0.1:0".parse().unwrap(), tls: None, auth: None };
        let door = Door::open(&settings, || Instant::new(chrono::Utc::now())).unwrap();
        Self::start_behind(door, control, id, state).await
    }

    pub(crate) async fn start_behind(
        door: Door,
        control: &Arc<dyn ControlStore>,
        id: &str,
        state: &Path,
    ) -> Result<Self, OpenError> {
        let state = StateDir::open(state).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = door.address(listener.local_addr().unwrap());
        let (rollout, follower) = open(witness(control), state.clone(), id, address.clone()).await?;
        let stop = CancellationToken::new();
        let breaker = || Arc::new(Breaker::new(BreakerSettings { failures: 5, pause: Duration::from_secs(1) }));
        let here = Here { id: id.into(), address: address.clone(), rollout: rollout.clone() };
        let api = admin::schema::schema(Desk { here: Some(here), ..desk(control) });
        let admin = Admin {
            api,
            replica: id.into(),
            groups: contract().groups(),
            rollout: rollout.clone(),
            metrics: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
            health: Arc::new(Health::new(PerSide { legacy: breaker(), modern: breaker() })),
            clock: || Instant::new(chrono::Utc::now()),
        };
        let tasks = vec![
            tokio::spawn(follower.remembering(Cache::new(state)).run(stop.clone())),
            tokio::spawn(door.serve(admin, listener.into_std().unwrap(), Handle::current(), stop.clone())),
        ];
        Ok(Self { rollout, address, stop, tasks })
    }

    pub(crate) fn reads(&self) -> Percentage {
        self.rollout.current().policy(&inventory()).reads()
    }

    /// Waits until the rollout is as `wanted` says.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Rollout) -> bool) {
        let waited = tokio::time::timeout(SOON, async {
            while !wanted(&self.rollout.current()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what}: still {:?}", self.rollout.current());
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }

    /// As a crash: nobody is told.
    pub(crate) fn kill(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Waits until `wanted` says so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, wanted: impl Fn() -> F) {
    let waited = tokio::time::timeout(SOON, async {
        while !wanted().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}
