//! The pause of a handover: three replicas, 500 writes a second, the authority there and back again and again.
//!
//! A client that is refused anything ends the bench: a handover is a pause and no error.

use std::time::Duration;

use model::Side;
use testkit::load::{self, Seen};
use tokio::time::Instant;

use crate::client::GatewayWrite;
use crate::report::Report;
use crate::settings::Settings;
use crate::site::Bench;

/// So many clients, each once per so long: 500 writes a second.
const LOAD: (usize, Duration) = (48, Duration::from_millis(96));
const WARM: Duration = Duration::from_secs(1);
/// Between two handovers.
const REST: Duration = Duration::from_millis(250);

/// Handovers under load.
pub(crate) async fn pause(bench: &Bench, settings: &Settings, report: &mut Report) {
    bench.set(&["--stage", "shift", "--reads", "100"]).await;
    let (two, three) = futures::join!(bench.another("two"), bench.another("three"));
    let replicas = [&bench.replica, &two, &three];
    let (clients, every) = LOAD;
    let mut workers = Vec::new();
    for client in 0..clients {
        workers.push(GatewayWrite::at(replicas[client % replicas.len()], bench).await);
    }
    load::paced(&mut workers, WARM, every).await;
    let (turn, began) = (settings.handover_turn, Instant::now());
    let handing = async {
        let mut pauses = Vec::new();
        while began.elapsed() < turn {
            // There and back: it ends where it began.
            for to in [Side::Modern, Side::Legacy] {
                tokio::time::sleep(REST).await;
                pauses.push(bench.hand_over(to).await);
            }
        }
        Seen::new(pauses, began.elapsed())
    };
    let (writes, pauses) = futures::join!(load::paced(&mut workers, turn, every), handing);
    report.note("handovers", pauses.count());
    report.note("handover, 3 replicas: writes/s meanwhile", writes.rate());
    report.note("handover, 3 replicas: pause p50 (ms)", pauses.millis(0.5));
    report.at_most("handover, 3 replicas: pause p99 (ms)", pauses.millis(0.99), 1_000.0);
    report.note("handover, 3 replicas: write p99 (ms)", writes.millis(0.99));
    report.note("handover, 3 replicas: longest write (ms)", writes.millis(1.0));
    bench.set(&["--stage", "dual-write"]).await;
}
