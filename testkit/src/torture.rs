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

pub mod books;
pub mod chaos;
pub mod client;
pub mod clock;
pub mod injected;
pub mod journal;
pub mod linear;
pub mod plan;
pub mod report;
pub mod verdict;
pub mod wire;
pub mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use model::{PerSide, Side};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use self::books::{Books, SideBooks};
use self::chaos::{Chaos, Done};
use self::client::{Client, Ground};
use self::clock::fake_clocks;
use self::injected::{calm, not_injected};
use self::journal::{Operation, Outcome};
use self::plan::{Plan, Possible};
use self::report::{Check, Report};
use self::world::{INITIAL, World, shelves};

/// Load goes on for so long after the last disturbance: beyond the grace, every error is the product's.
const AFTERMATH: Duration = Duration::from_secs(6);
/// How long the fleet may take to settle everything when it is left in peace.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// What ended so long before an error is told with it.
const NEAR: Duration = Duration::from_secs(10);
const UNSETTLED: &str = "SELECT entity || ' ' || key FROM strangler_ledger WHERE state = 'unsettled'";

/// The promises that are checked.
pub const SETTLES: &str = "when the trouble is over everything settles";
/// Nothing acknowledged is lost or doubled.
pub const ONCE: &str = "every acknowledged write stands once on both sides, and what failed stands nowhere";
/// Nothing else is different either.
pub const EQUAL: &str = "both sides are equal, row by row";
/// Nobody was told what was not so.
pub const LINEARIZABLE: &str = "the history of every key is linearizable, with reads as far as they are promised";
/// Trouble stays where it was made.
pub const INJECTED: &str = "clients see no error that was not injected";
/// Processes hold.
pub const LIVE: &str = "replicas live until they are killed, and nothing in them panics";

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
    let plan =
        Plan::draw(options.seed, options.length, Possible { clocks: clocks.is_some(), handover: options.handover });
    let world = World::build(&options.binary, &options.contract, clocks.as_deref()).await;
    let ground = Arc::new(Ground {
        urls: world.urls(),
        lives: Default::default(),
        shelves: shelves(),
        seed: options.seed,
        epoch: Instant::now(),
        stop: AtomicBool::new(false),
        pause: options.pause,
    });
    let clients = (0..options.clients).map(|number| tokio::spawn(Client::new(Arc::clone(&ground), number).run()));
    let clients: Vec<_> = clients.collect();
    let chaos = Chaos { world: &world, ground: &ground, done: Mutex::default() };
    chaos.run(&plan).await;
    let done = chaos.done.into_inner();
    sleep(AFTERMATH).await;
    ground.stop.store(true, Ordering::Relaxed);
    let operations: Vec<_> = join_all(clients).await.into_iter().flat_map(Result::unwrap).collect();
    let length = ground.epoch.elapsed();
    let unsettled = settle(&world).await;
    let ended = ground.epoch.elapsed();
    let books = read(&world).await;
    let evidence = Evidence { operations, books, done, unsettled, ended, length };
    let mut report = evidence.judge(options.seed);
    if clocks.is_none() {
        report.skipped.push("no clock jumps: libfaketime is not installed (apt install faketime)".into());
    }
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

/// Waits until nothing is unsettled on either side; else what is.
async fn settle(world: &World) -> Vec<String> {
    let began = Instant::now();
    loop {
        let mut waiting = Vec::new();
        for side in Side::BOTH {
            let rows = world.connect(side).await.unwrap().query(UNSETTLED, &[]).await.unwrap();
            waiting.extend(rows.iter().map(|row| format!("{side}: {}", row.get::<_, String>(0))));
        }
        if waiting.is_empty() || began.elapsed() > SETTLED_WITHIN {
            return waiting;
        }
        sleep(Duration::from_millis(100)).await;
    }
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

/// Everything that is known after a run.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// What clients did.
    pub operations: Vec<Operation>,
    /// What stands.
    pub books: Books,
    /// What was done to the fleet.
    pub done: Done,
    /// What did not settle.
    pub unsettled: Vec<String>,
    /// When the books were read.
    pub ended: Duration,
    /// When the load ended.
    pub length: Duration,
}

impl Evidence {
    /// Checks every promise. Pure.
    pub fn judge(&self, seed: u64) -> Report {
        let histories = verdict::search(&self.operations, &self.books, INITIAL, self.ended);
        let mut disturbances = BTreeMap::new();
        for disturbance in &self.done.disturbances {
            *disturbances.entry(disturbance.fault.kind()).or_default() += 1;
        }
        let (mut operations, mut errors) = (BTreeMap::new(), BTreeMap::new());
        for operation in &self.operations {
            *operations.entry((operation.action.name(), operation.outcome.name())).or_default() += 1;
            for failure in &operation.failures {
                *errors.entry(failure.trouble.to_string()).or_default() += 1;
            }
        }
        Report {
            seed,
            length: self.length,
            disturbances,
            skipped: Vec::new(),
            orders_refused: self.done.orders_refused.clone(),
            starts_repeated: self.done.starts_repeated,
            operations,
            errors,
            acknowledged: self.acknowledged(),
            calm: calm(&self.done.disturbances, &self.done.authority, self.length),
            histories: (histories.shelves, histories.calls, histories.longest),
            settled_after: self.ended.saturating_sub(self.length),
            checks: vec![self.settled(), self.once(), self.equal(), linearizable(histories), self.injected()],
        }
    }

    fn acknowledged(&self) -> usize {
        let acknowledged = |it: &&Operation| matches!(it.outcome, Outcome::Acknowledged { .. });
        self.operations.iter().filter(acknowledged).count()
    }

    fn settled(&self) -> Check {
        let broken_by = self.done.lost.iter().chain(&self.unsettled).cloned().collect();
        Check { promise: SETTLES, of: format!("within {SETTLED_WITHIN:?}"), broken_by }
    }

    fn once(&self) -> Check {
        let findings = books::audit(&self.operations, &self.books);
        let by_mark: BTreeMap<_, _> = self.operations.iter().map(|it| (it.mark.as_str(), it)).collect();
        let told = |finding: books::Finding| {
            let operation = by_mark.get(finding.mark.as_str());
            let told = operation.map_or_else(|| finding.mark.clone(), |it| it.to_string());
            format!("{:?} on {}: {told}", finding.wrong, finding.side)
        };
        let nothing = (self.acknowledged() == 0).then(|| "nothing was acknowledged: nothing is shown".to_owned());
        Check {
            promise: ONCE,
            of: format!("{} writes", self.operations.iter().filter(|it| it.action.writes()).count()),
            broken_by: findings.into_iter().map(told).chain(nothing).collect(),
        }
    }

    fn equal(&self) -> Check {
        Check {
            promise: EQUAL,
            of: format!("{} rows", self.books.legacy.rows.len()),
            broken_by: books::differing_rows(&self.books),
        }
    }

    /// The disturbances of about that time.
    fn near(&self, began: Duration, ended: Duration) -> String {
        let near = self.done.disturbances.iter().filter(|it| it.began <= ended && began <= it.ended + NEAR);
        let near = near.map(|it| format!("{} {:.3?} to {:.3?}", it.fault, it.began, it.ended));
        near.collect::<Vec<_>>().join(", ")
    }

    fn injected(&self) -> Check {
        let ours = not_injected(&self.operations, &self.done.disturbances, &self.done.authority);
        let told = |(operation, failure): (&Operation, &journal::Failure)| {
            let journal::Failure { replica, began, ended, trouble } = failure;
            let (mark, asked) = (&operation.mark, operation.action.name());
            let near = self.near(*began, *ended);
            format!(
                "{trouble} from replica {replica} between {began:.3?} and {ended:.3?}: {mark} {asked}; near: {near}"
            )
        };
        let failures: usize = self.operations.iter().map(|operation| operation.failures.len()).sum();
        Check {
            promise: INJECTED,
            of: format!("{failures} errors in {} operations", self.operations.len()),
            broken_by: ours.into_iter().map(told).collect(),
        }
    }
}

fn linearizable(histories: verdict::Histories) -> Check {
    Check {
        promise: LINEARIZABLE,
        of: format!("{} keys, {} calls", histories.shelves, histories.calls),
        broken_by: histories.told,
    }
}
