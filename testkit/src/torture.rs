//! A torture run: three replicas of the real binary over two real databases, under load and random disturbances, and
//! then the question whether every promise was kept. `docs/torture.md` says how to read it.
//!
//! ```text
//! plan (from the seed) → chaos ─→ world: servers, wires, replicas
//!                        clients ↗            ↓ settled
//!                        journal ─→ verdict ← books
//! ```
//!
//! What decides is pure and tested apart: `plan`, `injected`, `linear`, `verdict`, the audit in `books`.
//!
//! Not here: asserting on speed; how many writes a second there are depends on the machine.

pub mod accounts;
pub mod asked;
pub mod books;
pub mod chaos;
pub mod client;
pub mod clock;
pub mod evidence;
pub mod injected;
pub mod inspect;
pub mod journal;
pub mod linear;
pub mod place;
pub mod plan;
pub mod promises;
pub mod releases;
pub mod report;
pub mod restore;
pub mod sagas;
pub mod standby;
pub mod truth;
pub mod verdict;
pub mod widen;
pub mod wire;
pub mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use model::{PerSide, Side};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use self::books::{Books, SideBooks};
use self::chaos::Chaos;
use self::client::{Client, Ground};
use self::clock::fake_clocks;
use self::evidence::Evidence;
use self::injected::orders_not_injected;
use self::plan::{Plan, Possible};
use self::promises::{LIVE, OBEYS};
use self::report::{Check, Report};
use self::world::{World, shelves};

/// Load goes on for so long after the last disturbance: beyond the grace, every error is the product's.
const AFTERMATH: Duration = Duration::from_secs(6);
/// How long the fleet may take to settle everything when it is left in peace.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
const UNSETTLED: &str = "SELECT entity || ' ' || key FROM strangler_ledger WHERE state = 'unsettled'
     UNION ALL SELECT 'saga ' || id FROM strangler_saga WHERE status IN ('running', 'compensating')";
const STUCK: &str = "SELECT id || ' is ' || status FROM strangler_saga WHERE status NOT IN ('done', 'undone')";
/// Clients that place orders; they are numbered behind the others.
const SHOPPERS: usize = 2;

/// What a run is.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary `strangler`.
    pub binary: PathBuf,
    /// The contract that we ship.
    pub contract: PathBuf,
    /// Decides on disturbances and on what clients ask.
    pub seed: u64,
    /// How long there are disturbances.
    pub length: Duration,
    /// Clients, each with one request at a time.
    pub clients: usize,
    /// Between two requests of one client.
    pub pause: Duration,
    /// Whether the authority is handed over and back meanwhile.
    pub handover: bool,
    /// Whether a kind of disturbance that is not possible here breaks the run.
    pub whole: bool,
    /// The kinds of disturbances; all, when none is named.
    pub only: Vec<String>,
    /// Where the replicas' logs are copied to.
    pub logs: Option<PathBuf>,
}

/// A run that is over.
#[derive(Debug, Clone)]
pub struct Run {
    /// What is known of it.
    pub evidence: Evidence,
    /// What came of it.
    pub report: Report,
}

/// Runs it all.
///
/// # Panics
/// When the world cannot be built, or the databases cannot be read at the end.
pub async fn run(options: &Options) -> Run {
    let clocks = fake_clocks();
    let possible = Possible { clocks: clocks.is_some(), handover: options.handover };
    let plan = Plan::draw(options.seed, options.length, possible).only(&options.only);
    let world = World::build(&options.binary, &options.contract, clocks.as_deref(), plan.standby).await;
    let ground = Arc::new(Ground {
        urls: world.urls(),
        lives: Default::default(),
        shelves: shelves(),
        seed: options.seed,
        epoch: Instant::now(),
        stop: AtomicBool::new(false),
        pause: options.pause,
        load: tokio::sync::RwLock::default(),
    });
    let shoppers =
        (options.clients..).take(SHOPPERS).map(|number| tokio::spawn(sagas::shop(Arc::clone(&ground), number)));
    let shoppers: Vec<_> = shoppers.collect();
    let clients = (0..options.clients).map(|number| tokio::spawn(Client::new(Arc::clone(&ground), number).run()));
    let clients: Vec<_> = clients.collect();
    let chaos = Chaos {
        world: &world,
        ground: &ground,
        done: Mutex::default(),
        orders: tokio::sync::Mutex::default(),
        planted: AtomicUsize::new(0),
        length: options.length,
    };
    let answered = Mutex::new(PerSide { legacy: 0, modern: 0 });
    let disturbed = async {
        Box::pin(chaos.run(&plan)).await;
        sleep(AFTERMATH).await;
    };
    tokio::select! {
        () = disturbed => {}
        () = count(&world, &answered) => {}
    }
    let (mut done, planted) = (chaos.done.into_inner(), chaos.planted.into_inner());
    ground.stop.store(true, Ordering::Relaxed);
    let operations: Vec<_> = join_all(clients).await.into_iter().flat_map(Result::unwrap).collect();
    let orders: Vec<_> = join_all(shoppers).await.into_iter().flat_map(Result::unwrap).collect();
    let length = ground.epoch.elapsed();
    let unsettled = settle(&world).await;
    let ended = ground.epoch.elapsed();
    let books = read(&world).await;
    let stuck = look(&world, STUCK).await;
    let shop = PerSide {
        legacy: sagas::Stands::read(Side::Legacy, &world.connect(Side::Legacy).await.unwrap()).await.unwrap(),
        modern: sagas::Stands::read(Side::Modern, &world.connect(Side::Modern).await.unwrap()).await.unwrap(),
    };
    // After the books: it levels what nobody else may.
    if unsettled.is_empty() {
        world.inspect_in_peace(planted..planted + 3, &mut done.said).await;
    }
    let evidence = Evidence { operations, books, orders, shop, stuck, done, unsettled, ended, length };
    let mut report = evidence.judge(options.seed);
    if clocks.is_none() {
        report.skipped.push("no clock jumps: libfaketime is not installed (apt install faketime)".into());
    }
    report.checks.push(obeys(&evidence, &plan, clocks.is_none() && options.whole));
    report.checks.push(asked::spread(*answered.lock()));
    report.checks.push(replicas_live(&world).await);
    if let Some(folder) = &options.logs {
        std::fs::create_dir_all(folder).unwrap();
        for (name, log) in world.logs() {
            std::fs::write(folder.join(format!("{name}.log")), log).unwrap();
        }
    }
    world.end().await.unwrap();
    Run { evidence, report }
}

/// Counts who answers reads, for ever. A replica that was killed has forgotten: the most that was seen counts.
async fn count(world: &World, answered: &Mutex<PerSide<u64>>) {
    loop {
        let now = world.answered().await;
        {
            let mut most = answered.lock();
            for side in Side::BOTH {
                let known = *most.get(side);
                *most.get_mut(side) = known.max(*now.get(side));
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Whether the fleet obeyed, and whether everything was done to it that was planned.
fn obeys(evidence: &Evidence, plan: &Plan, clocks_lack: bool) -> Check {
    let done = &evidence.done;
    let refused = orders_not_injected(&done.orders_refused, &done.disturbances, &done.authority);
    let refused = refused.into_iter().map(|order| order.said.clone());
    let planned: BTreeSet<_> = plan.lanes.iter().flatten().map(|planned| planned.fault.kind()).collect();
    let missing = planned.into_iter().filter(|kind| !done.came.contains(kind));
    let missing = missing.map(|kind| format!("{kind}: planned, and never came to anything"));
    let clocks = clocks_lack.then(|| "clocks cannot be moved on this machine".to_owned());
    Check {
        promise: OBEYS,
        of: format!("{} orders refused, {} disturbances", done.orders_refused.len(), done.disturbances.len()),
        broken_by: refused.chain(missing).chain(clocks).collect(),
    }
}

/// Waits until nothing is unsettled on either side; else what is.
async fn settle(world: &World) -> Vec<String> {
    let began = Instant::now();
    loop {
        let waiting = look(world, UNSETTLED).await;
        if waiting.is_empty() || began.elapsed() > SETTLED_WITHIN {
            return waiting;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// What both sides answer to a question with one column.
async fn look(world: &World, question: &str) -> Vec<String> {
    let mut found = Vec::new();
    for side in Side::BOTH {
        let rows = world.connect(side).await.unwrap().query(question, &[]).await.unwrap();
        found.extend(rows.iter().map(|row| format!("{side}: {}", row.get::<_, String>(0))));
    }
    found
}

async fn read(world: &World) -> Books {
    let read = async |side: Side| SideBooks::read(side, &world.connect(side).await.unwrap()).await.unwrap();
    PerSide { legacy: read(Side::Legacy).await, modern: read(Side::Modern).await }
}

async fn replicas_live(world: &World) -> Check {
    let ended = world.ended_by_themselves().await;
    let panics = world.logs().flat_map(|(name, log)| {
        let lines = log.lines().filter(|line| line.contains("panicked at"));
        lines.map(|line| format!("{name}: {line}")).collect::<Vec<_>>()
    });
    let ended = (ended > 0).then(|| format!("{ended} processes are gone though nobody killed them"));
    Check {
        promise: LIVE,
        of: format!("{} replicas", plan::REPLICAS),
        broken_by: ended.into_iter().chain(panics).collect(),
    }
}
