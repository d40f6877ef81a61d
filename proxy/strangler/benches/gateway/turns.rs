//! The rows of the table: which turns are taken, and what is made of them.

use std::time::Duration;

use testkit::load::{self, Seen, Worker, median};

use crate::client::{GatewayRead, GatewayWrite};
use crate::cost::Cpu;
use crate::direct::{DirectRead, DirectWrite, pool};
use crate::report::{Report, Row};
use crate::settings::Settings;
use crate::site::Bench;

/// Clients at once.
const CLIENTS: [usize; 3] = [1, 16, 32];
/// Look-ups are also measured with more: batches grow with the number of clients.
const READERS: [usize; 4] = [1, 16, 32, 96];
/// Turns that connect, prepare and warm caches, and do not count.
const WARM: Duration = Duration::from_millis(300);
/// A load that leaves cores free: so many clients, each once per so long.
const CALM: (usize, Duration) = (4, Duration::from_millis(16));

/// All turns of one kind.
#[derive(Default)]
struct Turns {
    seen: Vec<Seen>,
    cpu: Cpu,
}

impl Turns {
    async fn take<W: Worker>(&mut self, bench: &Bench, workers: &mut Vec<W>, turn: Duration, every: Option<Duration>) {
        let before = Cpu::now(bench);
        let seen = match every {
            None => load::closed(workers, turn).await,
            Some(every) => load::paced(workers, turn, every).await,
        };
        self.cpu = self.cpu.and(Cpu::now(bench).since(before));
        self.seen.push(seen);
    }

    /// CPU microseconds per request: client, replica, legacy's server, modern's server.
    fn cpu_micros(&self) -> [f64; 4] {
        let count: f64 = self.seen.iter().map(Seen::count).sum();
        [self.cpu.client, self.cpu.replica, self.cpu.legacy, self.cpu.modern].map(|seconds| seconds * 1e6 / count)
    }

    fn median(&self, of: impl Fn(&Seen) -> f64) -> f64 {
        median(self.seen.iter().map(of))
    }

    fn row(&self, name: &str, clients: usize) -> Row {
        Row {
            name: name.to_owned(),
            clients,
            rate: self.median(Seen::rate),
            p50: self.median(|seen| seen.millis(0.5)),
            p99: self.median(|seen| seen.millis(0.99)),
            cpu: self.cpu_micros(),
        }
    }
}

/// The median over rounds of `b` / `a`, each taken within one round.
fn ratio(a: &Turns, b: &Turns, of: impl Fn(&Seen) -> f64) -> f64 {
    median(a.seen.iter().zip(&b.seen).map(|(a, b)| of(b) / of(a)))
}

/// Rounds of `a` and `b` in turn; who begins changes from round to round.
async fn rounds<A: Worker, B: Worker>(
    bench: &Bench,
    settings: &Settings,
    mut a: Vec<A>,
    mut b: Vec<B>,
) -> (Turns, Turns) {
    load::closed(&mut a, WARM).await;
    load::closed(&mut b, WARM).await;
    let (mut of_a, mut of_b) = (Turns::default(), Turns::default());
    for round in 0..settings.rounds {
        if round % 2 == 0 {
            of_a.take(bench, &mut a, settings.turn, None).await;
            of_b.take(bench, &mut b, settings.turn, None).await;
        } else {
            of_b.take(bench, &mut b, settings.turn, None).await;
            of_a.take(bench, &mut a, settings.turn, None).await;
        }
    }
    (of_a, of_b)
}

/// Look-ups by key: direct `SELECT`, and `stockLevel` through the gateway.
pub(crate) async fn reads(bench: &Bench, settings: &Settings, report: &mut Report) {
    for clients in READERS {
        let pool = pool(&bench.legacy.url("erp"), clients);
        let direct = (0..clients).map(|_| DirectRead::new(pool.clone(), bench)).collect();
        let mut ours = Vec::new();
        for _ in 0..clients {
            ours.push(GatewayRead::new(bench).await);
        }
        let (direct, ours) = rounds(bench, settings, direct, ours).await;
        report.row(direct.row("SELECT, direct", clients));
        report.row(ours.row("stockLevel, gateway", clients));
        if clients == 1 {
            let added = |share| {
                let added = direct.seen.iter().zip(&ours.seen).map(|(a, b)| b.millis(share) - a.millis(share));
                median(added)
            };
            report.at_most("key read, 1 client: added p50 (ms)", added(0.5), 0.35);
            report.note("key read, 1 client: added p99 (ms)", added(0.99));
        } else {
            let what = format!("key read, {clients} clients: throughput, gateway / direct");
            report.at_least(&what, ratio(&direct, &ours, Seen::rate), 1.0);
            let legacy = |turns: &Turns| turns.cpu_micros()[2];
            let what = format!("key read, {clients} clients: CPU of the ERP's server, gateway / direct");
            report.note(&what, legacy(&ours) / legacy(&direct));
        }
    }
}

/// Upserts on both sides: direct, one after the other, and `upsertProduct` through the gateway.
pub(crate) async fn writes(bench: &Bench, settings: &Settings, report: &mut Report) {
    for clients in CLIENTS {
        let legacy = pool(&bench.legacy.url("erp"), clients);
        let modern = pool(&bench.modern.url("shop"), clients);
        let direct = (0..clients).map(|_| DirectWrite::new(legacy.clone(), modern.clone(), bench)).collect();
        let mut ours = Vec::new();
        for _ in 0..clients {
            ours.push(GatewayWrite::new(bench).await);
        }
        let (direct, ours) = rounds(bench, settings, direct, ours).await;
        report.row(direct.row("two upserts, direct", clients));
        report.row(ours.row("upsertProduct, gateway", clients));
        let what = format!("dual write, {clients} clients: throughput, gateway / direct");
        report.at_least(&what, ratio(&direct, &ours, Seen::rate), 0.7);
    }
    let (_, metrics) = bench.replica.get("/metrics").await.expect("the replica answers");
    assert!(!metrics.contains("strangler_foreign_writes_total{"), "writes were held up, so the figures say nothing");
}

/// Look-ups through the gateway at a load that leaves cores free, with shadow reads off and on.
pub(crate) async fn shadow(bench: &Bench, settings: &Settings, report: &mut Report) {
    bench.set(&["--stage", "shadow", "--shadow", "0"]).await;
    let (clients, every) = CALM;
    let mut workers = Vec::new();
    for _ in 0..clients {
        workers.push(GatewayRead::new(bench).await);
    }
    load::closed(&mut workers, WARM).await;
    let (mut off, mut on) = (Turns::default(), Turns::default());
    for round in 0..settings.rounds * 2 {
        // off on, on off, …: what drifts hits both alike.
        let is_on = round % 4 == 1 || round % 4 == 2;
        bench.set(&["--shadow", if is_on { "100" } else { "0" }]).await;
        let turns = if is_on { &mut on } else { &mut off };
        load::paced(&mut workers, WARM, every).await;
        turns.take(bench, &mut workers, settings.shadow_turn, Some(every)).await;
    }
    bench.set(&["--stage", "dual-write"]).await;
    report.row(off.row("stockLevel, shadow off", clients));
    report.row(on.row("stockLevel, shadow 100 %", clients));
    let change = |share| {
        let of = |turns: &Turns| turns.median(|seen| seen.millis(share));
        (of(&on) / of(&off) - 1.0) * 100.0
    };
    report.note("shadow on: change of p50 (%)", change(0.5));
    report.at_most("shadow on: change of p99 (%)", change(0.99), 5.0);
}
