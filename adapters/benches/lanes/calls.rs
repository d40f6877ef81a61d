//! Calls per second, and what the way to a thread and back costs.

use std::sync::Arc;
use std::time::Duration;

use adapters::oracle::OracleStore;
use model::Store;
use rustix::time::{ClockId, clock_gettime};
use testkit::contract::WITHIN;
use testkit::load::{self, Worker, median};

use crate::report::{Report, Row, Turn};
use crate::settings::Settings;
use crate::site::{Fetch, Site, bare};

/// Callers at once.
const CALLERS: [usize; 3] = [1, 8, 32];
/// Sessions for clients' reads unless configured otherwise.
const DEFAULT_SESSIONS: usize = 8;

/// Callers that await.
struct Tasks<W>(Vec<W>);

impl<W: Worker> Tasks<W> {
    async fn turn(&mut self, settings: &Settings) -> Turn {
        let before = cpu_micros();
        let seen = load::closed(&mut self.0, settings.turn).await;
        Turn { cpu_micros: cpu_micros() - before, seen }
    }
}

/// Callers that block, on threads of their own.
struct Threads<W>(Vec<W>);

impl<W: FnMut() + Send> Threads<W> {
    fn turn(&mut self, settings: &Settings) -> Turn {
        let before = cpu_micros();
        let seen = tokio::task::block_in_place(|| load::blocking(&mut self.0, settings.turn));
        Turn { cpu_micros: cpu_micros() - before, seen }
    }
}

/// What this process has used of the cores, the stand-in in it included and the database not.
fn cpu_micros() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or_default()).as_secs_f64() * 1e6
}

fn callers(store: &Arc<dyn Store>, count: usize) -> Tasks<Fetch> {
    Tasks((0..count).map(|number| Fetch::new(Arc::clone(store), number)).collect())
}

fn ratio(a: &[Turn], b: &[Turn], of: impl Fn(&Turn) -> f64) -> f64 {
    median(a.iter().zip(b).map(|(a, b)| of(b) / of(a)))
}

fn difference(a: &[Turn], b: &[Turn], share: f64) -> f64 {
    median(a.iter().zip(b).map(|(a, b)| (b.seen.millis(share) - a.seen.millis(share)) * 1e3))
}

/// Look-ups of one key: by the bare driver, through the lanes, and by the PostgreSQL adapter.
pub(crate) async fn fetches(site: &Site, settings: &Settings, report: &mut Report) {
    for count in CALLERS {
        let lanes: Arc<dyn Store> = Arc::new(site.oracle(count));
        let few: Arc<dyn Store> = Arc::new(site.oracle(DEFAULT_SESSIONS.min(count)));
        let postgres: Arc<dyn Store> = Arc::new(site.postgres(count));
        let mut bare = Threads((0..count).map(|number| bare(site.connection(), number)).collect());
        let (mut lanes, mut few, mut postgres) =
            (callers(&lanes, count), callers(&few, count), callers(&postgres, count));
        let mut seen: [Vec<Turn>; 4] = Default::default();
        let ways = if count > DEFAULT_SESSIONS { 4 } else { 3 };
        // The first round connects, prepares and warms caches, and does not count.
        for round in 0..=settings.rounds {
            // Who begins changes, so that what drifts hits all alike.
            for place in (0..ways).map(|place| (place + round) % ways) {
                let turn = match place {
                    0 => bare.turn(settings),
                    1 => lanes.turn(settings).await,
                    2 => postgres.turn(settings).await,
                    _ => few.turn(settings).await,
                };
                if round > 0 {
                    seen[place].push(turn);
                }
            }
        }
        let [bare, lanes, postgres, few] = seen;
        report.row(Row::of("oracle crate, bare", count, &bare));
        report.row(Row::of("OracleStore", count, &lanes));
        if count > DEFAULT_SESSIONS {
            report.row(Row::of("OracleStore, 8 sessions", count, &few));
        }
        report.row(Row::of("PostgresStore", count, &postgres));
        let of = |what: &str| format!("key fetch, {count} callers: {what}");
        report.note(&of("calls/s, lanes / bare driver"), ratio(&bare, &lanes, Turn::rate));
        if count > DEFAULT_SESSIONS {
            report.note(&of("calls/s, lanes of 8 sessions / bare driver"), ratio(&bare, &few, Turn::rate));
        }
        report.note(&of("calls/s, lanes / PostgresStore"), ratio(&postgres, &lanes, Turn::rate));
        report.note(&of("CPU of this process, lanes / bare driver"), ratio(&bare, &lanes, Turn::cpu));
        if count == 1 {
            report.note(&of("added p50 (us), lanes - bare driver"), difference(&bare, &lanes, 0.5));
            report.note(&of("added p99 (us), lanes - bare driver"), difference(&bare, &lanes, 0.99));
        }
    }
}

/// A call that does nothing on its session.
struct Nothing(OracleStore);

impl Worker for Nothing {
    async fn once(&mut self) {
        self.0.settle(&[], WITHIN).await.expect("nothing is broken");
    }
}

/// The least that blocking work costs anybody: tokio's own pool of threads.
struct Spawned;

impl Worker for Spawned {
    async fn once(&mut self) {
        tokio::task::spawn_blocking(|| ()).await.expect("it does nothing");
    }
}

/// The way to a lane's thread and back, with nothing done there.
pub(crate) async fn hop(site: &Site, settings: &Settings, report: &mut Report) {
    for count in [1, 8] {
        let store = site.oracle(count);
        let mut ours = Tasks((0..count).map(|_| Nothing(store.clone())).collect());
        let mut theirs = Tasks((0..count).map(|_| Spawned).collect());
        let (mut of_ours, mut of_theirs) = (Vec::new(), Vec::new());
        for round in 0..=settings.rounds {
            let (a, b) = (ours.turn(settings).await, theirs.turn(settings).await);
            if round > 0 {
                of_ours.push(a);
                of_theirs.push(b);
            }
        }
        report.row(Row::of("lane, nothing done", count, &of_ours));
        report.row(Row::of("spawn_blocking, nothing done", count, &of_theirs));
        let what = format!("thread hop, {count} callers: CPU, lane / spawn_blocking");
        report.note(&what, ratio(&of_theirs, &of_ours, Turn::cpu));
        let what = format!("thread hop, {count} callers: p50, lane / spawn_blocking");
        report.note(&what, ratio(&of_theirs, &of_ours, |turn| turn.seen.millis(0.5)));
    }
}
