//! An ERP that becomes ten times slower and recovers, under clients' reads, clients' writes and shadow reads that go on
//! coming at the same rates.
//!
//! Every round trip to the stand-in takes as long as one to a busy ERP may ([`USUAL`]); then ten times that.

use std::fs;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use adapters::Lane;
use adapters::oracle::{OracleStore, Track};
use model::{Side, Store, StoreError};
use testkit::contract::{Subject, adjust, entity};
use testkit::inventory::level_key;
use testkit::load::Seen;
use testkit::oracle::plan_faults;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::report::{Phase, Report};
use crate::settings::Settings;
use crate::site::{LEVELS, LOCATION, Site, sku};

/// A round trip as always, and when the ERP is slow.
const USUAL: &str = "5ms";
const SLOW: &str = "50ms";

const PHASES: [&str; 3] = ["before", "slow", "after"];

/// Calls per second; clients' reads that eight sessions can still answer at 50 ms each, and those that they cannot.
const LOADS: [(&str, [u32; 3]); 2] = [("moderate", [100, 15, 200]), ("too much", [400, 15, 200])];

const STREAMS: [(&str, Track, Duration); 3] = [
    ("client reads", Track::Read, Duration::from_secs(1)),
    ("client writes", Track::Write, Duration::from_secs(2)),
    ("shadow reads", Track::Shadow, Duration::from_secs(1)),
];

/// Pages of the kernel, on all that we run on.
const PAGE: f64 = 4_096.0;

type Asked = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// One call: when it began, how long it took, and what came of it.
struct Call {
    began: Duration,
    took: Duration,
    error: Option<StoreError>,
}

/// What was seen of the process at one moment.
struct Sample {
    at: Duration,
    waiting: [usize; 3],
    resident_mib: f64,
}

/// Both loads, one after the other.
pub(crate) async fn run(site: &Site, settings: &Settings, report: &mut Report) {
    for (load, rates) in LOADS {
        under_load(site, settings, report, load, rates).await;
    }
}

async fn under_load(site: &Site, settings: &Settings, report: &mut Report, load: &'static str, rates: [u32; 3]) {
    let store = site.oracle(8);
    plan(site, USUAL);
    let began = Instant::now();
    let [before, slow, after] = settings.phases;
    let ends = [before, before + slow, before + slow + after];
    let (stop, stopped) = watch::channel(());
    let watching = tokio::spawn(watch_over(store.clone(), began, stopped));
    let streams = rates.into_iter().enumerate();
    let streams: Vec<_> =
        streams.map(|(place, rate)| tokio::spawn(stream(store.clone(), place, rate, began, ends[2]))).collect();
    for (end, latency) in [(ends[0], SLOW), (ends[1], USUAL)] {
        tokio::time::sleep_until(began + end).await;
        tokio::task::block_in_place(|| plan(site, latency));
    }
    let mut calls = Vec::new();
    for stream in streams {
        calls.push(stream.await.expect("a stream that fails has said why"));
    }
    drop(stop);
    let samples = watching.await.expect("it only looks");
    plan(site, "0ms");
    for (number, phase) in PHASES.into_iter().enumerate() {
        let from = if number == 0 { Duration::ZERO } else { ends[number - 1] };
        let within = |at: Duration| from <= at && at < ends[number];
        let seen: Vec<_> = samples.iter().filter(|sample| within(sample.at)).collect();
        for (place, calls) in calls.iter().enumerate() {
            let (stream, _, limit) = STREAMS[place];
            let calls: Vec<_> = calls.iter().filter(|call| within(call.began)).collect();
            let waiting = seen.iter().map(|sample| sample.waiting[place]).max().unwrap_or_default();
            report.phase(outcome([load, phase, stream], &calls, limit, waiting, ends[number] - from));
        }
        let resident = seen.iter().map(|sample| sample.resident_mib).fold(0.0, f64::max);
        report.note(&format!("{load}, {phase}: resident memory, most (MiB)"), resident);
    }
}

fn plan(site: &Site, latency: &str) {
    plan_faults(&site.settings(1), &format!("exec:latency={latency}; commit:latency={latency}"));
}

/// Calls at a steady rate, whatever becomes of those before.
async fn stream(store: OracleStore, place: usize, rate: u32, began: Instant, end: Duration) -> Vec<Call> {
    let limit = STREAMS[place].2;
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    for number in 0.. {
        let at = ticks.tick().await.duration_since(began);
        if at >= end {
            break;
        }
        let asked = ask(&store, place, number, limit);
        calls.spawn(async move {
            let start = Instant::now();
            let error = asked.await.err();
            Call { began: at, took: start.elapsed(), error }
        });
    }
    calls.join_all().await
}

fn ask(store: &OracleStore, place: usize, number: usize, limit: Duration) -> Asked {
    if place == 1 {
        // A key of its own for each write in flight: what is measured is the ERP, not its row locks.
        let store: Subject = Arc::new(store.clone());
        return Box::pin(async move {
            let command = adjust(&store, &sku(LEVELS - 1 - number % (LEVELS / 2)), LOCATION, -1);
            store.execute(&command, limit).await.map(drop)
        });
    }
    let store = if place == 2 { store.lane(Lane::Shadow) } else { store.clone() };
    Box::pin(async move {
        let key = level_key(&sku(number * 7), LOCATION);
        let entity = entity(&key);
        store.fetch(&entity, &[key], entity.all_fields(), limit).await.map(drop)
    })
}

fn outcome(name: [&'static str; 3], calls: &[&Call], limit: Duration, waiting: usize, length: Duration) -> Phase {
    let kind = |call: &Call| match &call.error {
        None => 0,
        // Well before the limit: it was turned away.
        Some(StoreError::Unreachable { side: Side::Legacy, .. }) if call.took < limit / 2 => 1,
        Some(error) if error.is_outage() => 2,
        Some(error) => panic!("not because of the time: {error}"),
    };
    let of = |wanted: u8| {
        let calls = calls.iter().filter(|call| kind(call) == wanted);
        Seen::new(calls.map(|call| call.took).collect(), length)
    };
    Phase { name, calls: calls.len(), answered: of(0), turned_away: of(1), late: of(2), waiting }
}

async fn watch_over(store: OracleStore, began: Instant, mut stopped: watch::Receiver<()>) -> Vec<Sample> {
    let mut ticks = interval(Duration::from_millis(5));
    let mut samples = Vec::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.changed() => break,
        }
        let figures = store.figures();
        let waiting = STREAMS
            .map(|(_, track, _)| figures.iter().find(|(of, _)| *of == track).map_or(0, |(_, figures)| figures.waiting));
        samples.push(Sample { at: began.elapsed(), waiting, resident_mib: resident_mib() });
    }
    samples
}

/// Of this process, with the stand-in in it. Zero where there is no /proc.
fn resident_mib() -> f64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or_default() * PAGE / (1024.0 * 1024.0)
}
