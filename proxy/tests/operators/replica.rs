//! A replica in this process: rollout, follower, and a real admin port.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::control::ControlStore;
use model::{Contract, GroupName, Instant, PerSide, Percentage, Rollout};
use proxy::admin::{self, Admin, Health};
use proxy::read::breaker::{Breaker, BreakerSettings};
use proxy::rollout::fleet::Cache;
use proxy::rollout::{OpenError, RolloutHandle, Witness, open};
use proxy::state_dir::StateDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Generous: test machines are shared. What is promised is printed, not asserted to the millisecond.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn schema() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema.graphql")
}

pub(crate) fn contract() -> Arc<Contract> {
    proxy::contract::load(&std::fs::read_to_string(schema()).unwrap(), "schema.graphql").unwrap().contract
}

pub(crate) fn inventory() -> GroupName {
    "inventory".into()
}

pub(crate) fn witness(control: &Arc<dyn ControlStore>) -> Witness {
    Witness { control: Arc::clone(control), contract: contract(), primary: None }
}

pub(crate) struct Replica {
    pub(crate) rollout: RolloutHandle,
    pub(crate) address: String,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Replica {
    pub(crate) async fn start(control: &Arc<dyn ControlStore>, id: &str, state: &Path) -> Result<Self, OpenError> {
        let state = StateDir::open(state).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (rollout, follower) = open(witness(control), state.clone(), id, address.clone()).await?;
        let stop = CancellationToken::new();
        let breaker = || Arc::new(Breaker::new(BreakerSettings { failures: 5, pause: Duration::from_secs(1) }));
        let router = admin::router(Admin {
            replica: id.into(),
            groups: contract().groups(),
            rollout: rollout.clone(),
            metrics: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
            health: Arc::new(Health::new(PerSide { legacy: breaker(), modern: breaker() })),
            clock: || Instant::new(chrono::Utc::now()),
            schema: None,
        });
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let tasks = vec![
            tokio::spawn(follower.remembering(Cache::new(state)).run(stop.clone())),
            tokio::spawn(async move { serving.await.unwrap() }),
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
