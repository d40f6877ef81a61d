//! A handover whose coordinator, or a replica, is killed at each step: somebody runs it again and it is done, or nobody
//! does and the replicas end it. Clients wait meanwhile and see no error.

use std::time::Duration;

use adapters::postgres::fence_lock;
use model::{Authority, Epoch, Side};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value as Json;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::shop::Shop;
use crate::erp::connect;
use crate::rig::until;

/// Replicas undo what is left frozen after this. Well below a client's deadline of 5 s, so that customers only wait.
const LIMIT: &str = "[handover]\nlimit_ms = 1500\n";

/// Where a coordinator is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// It waits for a writer in flight.
    Freeze,
    /// No side takes writes, and modern lacks some.
    Drain,
    /// No rollout says who has the authority from now on.
    Publish,
    /// A rollout says that it is modern, which does not take writes yet.
    Open,
}

/// What holds the coordinator up at a step. Ending it lets go.
struct Obstacle(Client);

impl Obstacle {
    async fn put(shop: &Shop, at: At) -> Self {
        let (side, sql) = match at {
            At::Freeze => {
                let lock = fence_lock(&"inventory".into());
                (Side::Legacy, format!("BEGIN; SELECT pg_advisory_xact_lock_shared({lock})"))
            }
            // Nothing of the contract: its statements are tried before a handover begins.
            At::Drain => (Side::Modern, "BEGIN; LOCK TABLE strangler_version IN EXCLUSIVE MODE".to_owned()),
            At::Publish => (Side::Modern, "BEGIN; LOCK TABLE strangler_rollout IN EXCLUSIVE MODE".to_owned()),
            At::Open => {
                let lock = fence_lock(&"inventory".into());
                (Side::Modern, format!("BEGIN; SELECT pg_advisory_xact_lock_shared({lock})"))
            }
        };
        let client = connect(shop.fleet.erp.databases.get(side)).await;
        client.batch_execute(&sql).await.unwrap();
        Self(client)
    }

    async fn take_away(self) {
        self.0.batch_execute("COMMIT").await.unwrap();
    }
}

async fn is_at(shop: &Shop, at: At) -> bool {
    let fence = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' \
                 AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                 AND pid IN (SELECT pid FROM pg_stat_activity WHERE query LIKE '%lock_timeout%')";
    match at {
        At::Freeze => shop.count(Side::Legacy, fence).await > 0,
        At::Drain => matches!(shop.authority().await, Authority::Frozen { last: Side::Legacy, .. }),
        At::Publish => {
            let waiting =
                "SELECT count(*) FROM pg_locks WHERE relation = 'strangler_rollout'::regclass AND NOT granted";
            shop.count(Side::Modern, waiting).await > 0
        }
        At::Open => shop.count(Side::Modern, fence).await > 0,
    }
}

/// GIVEN a coordinator that was killed at a step on the way to `to`, under load.
async fn killed(at: At, to: Side) -> Shop {
    let shop = Shop::open(LIMIT).await;
    if to == Side::Legacy {
        shop.hand_over(Side::Modern).await;
    }
    let obstacle = Obstacle::put(&shop, at).await;
    let mut coordinator = shop.begin_handover(to);
    until(&format!("the handover is at {at:?}"), async || is_at(&shop, at).await).await;
    coordinator.kill().await.unwrap();
    obstacle.take_away().await;
    shop
}

async fn shown(shop: &Shop) -> Json {
    let text = shop.fleet.site.must_run(&["--json", "groups", "show", "inventory"]).await;
    serde_json::from_str(&text).unwrap()
}

async fn done_when_run_again(at: At) {
    let shop = killed(at, Side::Modern).await;
    let told = shop.hand_over(Side::Modern).await;
    assert_eq!(told["policy"]["stage"], "reverse", "{at:?}: {told}");
    assert!(matches!(shop.authority().await, Authority::Held { by: Side::Modern, .. }), "{at:?}");
    shop.writes_go_on(10).await;
    shop.close().await;
}

/// The side that has the authority when nobody runs it again.
async fn left_alone(at: At, to: Side) -> Side {
    let shop = killed(at, to).await;
    let began = Instant::now();
    // The killed one's session in the database may still carry out what was sent; then that is undone too.
    tokio::time::sleep(Duration::from_millis(200)).await;
    until("one side takes writes", async || matches!(shop.authority().await, Authority::Held { .. })).await;
    // The limit, and a machine that is busy with other things.
    assert!(began.elapsed() < Duration::from_millis(1_500) + Duration::from_secs(3), "{at:?} {:?}", began.elapsed());
    let Authority::Held { by, epoch } = shop.authority().await else { panic!("{at:?}") };
    until("a rollout says so", async || {
        let policy = shown(&shop).await;
        policy["epoch"] == epoch.0 && policy["stage"] == if by == Side::Modern { "reverse" } else { "shift" }
    })
    .await;
    shop.writes_go_on(10).await;
    shop.close().await;
    by
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_whose_coordinator_is_killed_in_the_freeze_is_done_by_the_next() {
    done_when_run_again(At::Freeze).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_whose_coordinator_is_killed_in_the_drain_is_done_by_the_next() {
    done_when_run_again(At::Drain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_whose_coordinator_is_killed_before_it_publishes_is_published_by_the_next() {
    done_when_run_again(At::Publish).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_whose_coordinator_is_killed_before_it_opens_is_done_by_the_next() {
    done_when_run_again(At::Open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_that_nobody_goes_on_with_is_undone_by_the_replicas() {
    assert_eq!(left_alone(At::Freeze, Side::Modern).await, Side::Legacy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_nobody_goes_on_with_is_undone_by_the_replicas() {
    assert_eq!(left_alone(At::Drain, Side::Modern).await, Side::Legacy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_rollout_says_yet_is_undone_by_the_replicas() {
    assert_eq!(left_alone(At::Publish, Side::Modern).await, Side::Legacy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_side_that_no_rollout_names_is_published_by_the_replicas() {
    assert_eq!(left_alone(At::Publish, Side::Legacy).await, Side::Legacy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_rollout_says_and_nobody_opens_ends_with_one_side_that_takes_writes_and_a_rollout_that_says_so() {
    left_alone(At::Open, Side::Modern).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_killed_at_any_moment_leaves_what_the_next_one_finishes() {
    let seed = std::env::var("STRANGLER_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(11);
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let shop = Shop::open("").await;
    // How long one takes here, the start of the process included.
    let began = Instant::now();
    shop.hand_over(Side::Modern).await;
    let whole = began.elapsed();
    let mut in_between = 0;
    for round in 1..=10 {
        let to = if round % 2 == 1 { Side::Legacy } else { Side::Modern };
        // WHEN it is killed at a random moment
        let mut coordinator = shop.begin_handover(to);
        tokio::time::sleep(whole.mul_f64(random.random_range(0.3..1.1))).await;
        coordinator.kill().await.unwrap();
        in_between += i32::from(!matches!(shop.authority().await, Authority::Held { .. }));
        // THEN the next one finishes it, whatever it finds
        shop.hand_over(to).await;
        assert!(matches!(shop.authority().await, Authority::Held { by, .. } if by == to));
        shop.writes_go_on(3).await;
    }
    println!("{in_between} of 10 were killed while no side took writes");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_killed_in_the_middle_of_a_handover_costs_its_own_connections_and_no_write() {
    // GIVEN a handover that is held up while it drains
    let mut shop = Shop::open("").await;
    let obstacle = Obstacle::put(&shop, At::Drain).await;
    let mut coordinator = shop.begin_handover(Side::Modern);
    until("the handover drains", async || is_at(&shop, At::Drain).await).await;
    // WHEN a replica with unsettled writes is killed
    shop.replicas[2].kill();
    obstacle.take_away().await;
    // THEN the handover is done, and nothing that was acknowledged is lost
    assert!(coordinator.wait().await.unwrap().success());
    assert_eq!(shop.authority().await, Authority::Held { by: Side::Modern, epoch: Epoch(2) });
    let before = shop.tally(0).acknowledged.load(std::sync::atomic::Ordering::Relaxed);
    until("writes go on", async || shop.tally(0).acknowledged.load(std::sync::atomic::Ordering::Relaxed) > before + 15)
        .await;
    shop.close_but(2).await;
}
