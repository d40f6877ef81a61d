//! What benches share: clients that ask one thing after the other, on tasks or on threads, and what they saw.

use std::future::Future;
use std::thread;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// One client.
pub trait Worker: Send + 'static {
    /// Does its work once.
    fn once(&mut self) -> impl Future<Output = ()> + Send;
}

/// What the clients of one turn saw.
#[derive(Debug)]
pub struct Seen {
    /// In rising order.
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Seen {
    /// What was seen within `elapsed`.
    pub fn new(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        Self { latencies, elapsed }
    }

    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.count() / self.elapsed.as_secs_f64()
    }

    /// Requests.
    pub fn count(&self) -> f64 {
        self.latencies.len() as f64
    }

    /// The latency that `share` of the requests stay below, in milliseconds.
    pub fn millis(&self, share: f64) -> f64 {
        let place = (self.latencies.len() as f64 * share) as usize;
        let latency = self.latencies.get(place.min(self.latencies.len().saturating_sub(1)));
        latency.copied().unwrap_or_default().as_secs_f64() * 1e3
    }
}

/// The middle one; of two in the middle the higher.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Work that blocks, each on a thread of its own, again as soon as it is done, for `turn`.
///
/// # Panics
/// When one of them does.
pub fn blocking<W: FnMut() + Send>(workers: &mut [W], turn: Duration) -> Seen {
    let began = Instant::now();
    let end = began + turn;
    let latencies = thread::scope(|scope| {
        let threads: Vec<_> =
            workers.iter_mut().map(|worker| scope.spawn(move || work_blocking(worker, end))).collect();
        let seen = threads.into_iter().map(|thread| thread.join().expect("a worker that fails has said why"));
        seen.flatten().collect()
    });
    Seen::new(latencies, began.elapsed())
}

fn work_blocking(worker: &mut impl FnMut(), end: Instant) -> Vec<Duration> {
    let mut seen = Vec::with_capacity(16 * 1024);
    loop {
        let began = Instant::now();
        if began >= end {
            return seen;
        }
        worker();
        seen.push(began.elapsed());
    }
}

/// Every worker asks again as soon as it is answered, for `turn`.
///
/// # Panics
/// When one of them does.
pub async fn closed<W: Worker>(workers: &mut Vec<W>, turn: Duration) -> Seen {
    run(workers, turn, None).await
}

/// Every worker asks once per `every`, for `turn`.
///
/// # Panics
/// When one of them does.
pub async fn paced<W: Worker>(workers: &mut Vec<W>, turn: Duration, every: Duration) -> Seen {
    run(workers, turn, Some(every)).await
}

async fn run<W: Worker>(workers: &mut Vec<W>, turn: Duration, every: Option<Duration>) -> Seen {
    let began = Instant::now();
    let end = began + turn;
    let count = u32::try_from(workers.len()).expect("few workers");
    let tasks = (0..).zip(workers.drain(..)).map(|(place, worker): (u32, W)| {
        // Evenly apart, not all at once.
        let ticks = every.map(|every| interval_at(began + every * place / count, every));
        tokio::spawn(work(worker, end, ticks))
    });
    let tasks: Vec<_> = tasks.collect();
    let mut latencies = Vec::new();
    for task in tasks {
        let (worker, seen) = task.await.expect("a worker that fails has said why");
        workers.push(worker);
        latencies.extend(seen);
    }
    Seen::new(latencies, began.elapsed())
}

async fn work<W: Worker>(mut worker: W, end: Instant, mut ticks: Option<tokio::time::Interval>) -> (W, Vec<Duration>) {
    let mut seen = Vec::with_capacity(16 * 1024);
    if let Some(ticks) = &mut ticks {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let began = Instant::now();
        if began >= end {
            return (worker, seen);
        }
        worker.once().await;
        seen.push(began.elapsed());
    }
}
