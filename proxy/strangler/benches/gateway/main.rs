//! What the fork in the road costs, next to PostgreSQL without us: `cargo bench -p strangler --bench gateway`.
//!
//! Two private databases and one real `strangler serve`. Direct and through the gateway take turns in
//! short rounds against the same servers; figures are medians over the rounds, so that what else the
//! machine does hits both alike. Client, replica and databases share the machine's cores.
//!
//! `-- --quick` (or STRANGLER_BENCH_QUICK=1): half a minute. `-- --only reads|writes|shadow|handover|harm`, `-- --fast-commit` (commits
//! do not wait for the disk), `-- --json`. It prints whether targets are met and never fails by them.

mod client;
mod cost;
mod direct;
mod harm;
mod pause;
mod report;
mod settings;
mod site;
mod turns;

use std::io::Write;

use report::Report;
use settings::Settings;
use site::Bench;

#[tokio::main]
async fn main() {
    let Some(settings) = Settings::from_arguments() else { return };
    let mut report = Report::new(&settings);
    let bench = Bench::build(&settings).await;
    if settings.wants("reads") {
        turns::reads(&bench, &settings, &mut report).await;
    }
    if settings.wants("writes") {
        turns::writes(&bench, &settings, &mut report).await;
    }
    if settings.wants("shadow") {
        turns::shadow(&bench, &settings, &mut report).await;
    }
    if settings.wants("handover") {
        pause::pause(&bench, &settings, &mut report).await;
    }
    // Minutes, and not what the gateway costs: only when it is asked for.
    if settings.asks_for("harm") {
        harm::harm(&bench, &settings, &mut report).await;
    }
    bench.end().await;
    let text = if settings.json { report.json().to_string() } else { report.text() };
    // Nobody left to tell when standard output is closed.
    let _ = writeln!(std::io::stdout(), "{text}");
}
