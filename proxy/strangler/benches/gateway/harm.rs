//! What a client that means harm does to another one: look-ups at a calm rate, quiet and under each bomb.
//!
//! The attacker is a process of this machine as the client is, and takes cores from both: on few of them much of what is
//! found is that.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use testkit::harm::{Attack, Bomb};
use testkit::load::{self, Seen, median};
use tokio::time::sleep;

use crate::client::GatewayRead;
use crate::report::Report;
use crate::settings::Settings;
use crate::site::Bench;

/// So many clients, each once per so long.
const CALM: (usize, Duration) = (4, Duration::from_millis(16));
/// Until an attack is under way, and until nothing is left of it.
const PAUSE: Duration = Duration::from_millis(500);
/// How many times as long the slowest in a hundred may take.
const TARGET: f64 = 10.0;

/// Look-ups under each bomb.
pub(crate) async fn harm(bench: &Bench, settings: &Settings, report: &mut Report) {
    let graphql: SocketAddr = bench.graphql();
    bench.set(&["--stage", "shift", "--reads", "100"]).await;
    let (clients, every) = CALM;
    let mut workers = Vec::new();
    for _ in 0..clients {
        workers.push(GatewayRead::new(bench).await);
    }
    load::closed(&mut workers, PAUSE).await;
    // Orders are not in the contract that we ship.
    for bomb in Bomb::ALL.into_iter().filter(|bomb| !bomb.needs_orders()) {
        let (mut quiet, mut harmed): (Vec<Seen>, Vec<Seen>) = Default::default();
        for _ in 0..settings.rounds.div_ceil(3) {
            quiet.push(load::paced(&mut workers, settings.shadow_turn, every).await);
            let attack = Attack::begin(bomb, graphql, Ipv4Addr::new(127, 0, 0, 2), &bench.skus);
            sleep(PAUSE).await;
            harmed.push(load::paced(&mut workers, settings.shadow_turn, every).await);
            drop(attack);
            sleep(PAUSE).await;
        }
        let p99 = |seen: &[Seen]| median(seen.iter().map(|seen| seen.millis(0.99)));
        report.note(&format!("{}: p99 quiet (ms)", bomb.name()), p99(&quiet));
        report.note(&format!("{}: p99 under attack (ms)", bomb.name()), p99(&harmed));
        report.at_most(&format!("{}: p99 under attack / quiet", bomb.name()), p99(&harmed) / p99(&quiet), TARGET);
    }
    bench.set(&["--stage", "dual-write"]).await;
}
