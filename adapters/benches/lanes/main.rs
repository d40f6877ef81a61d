//! What the Oracle adapter's lanes cost, and what they do when the ERP slows down:
//! `cargo bench -p adapters --bench lanes`.
//!
//! One private PostgreSQL server. The Oracle adapter reaches it through the stand-in for Oracle's client library, in
//! this process; the bare `oracle` crate does the same without us, and the PostgreSQL adapter asks the same tables.
//! They take turns in short rounds; a ratio is taken within a round, and medians over the rounds are shown. **No
//! absolute figure says anything of an Oracle.**
//!
//! `-- --quick` (or STRANGLER_BENCH_QUICK=1): half a minute. `-- --only calls|hop|slow`, `-- --json`. It never fails by a
//! figure.

mod calls;
mod report;
mod settings;
mod site;
mod slow;

use std::io::Write;

use report::Report;
use settings::Settings;
use site::Site;

#[tokio::main]
async fn main() {
    let Some(settings) = Settings::from_arguments() else { return };
    let mut report = Report::new(settings.rounds);
    let site = Site::build().await;
    if settings.wants("calls") {
        calls::fetches(&site, &settings, &mut report).await;
    }
    if settings.wants("hop") {
        calls::hop(&site, &settings, &mut report).await;
    }
    if settings.wants("slow") {
        slow::run(&site, &settings, &mut report).await;
    }
    site.end().await;
    let text = if settings.json { report.json().to_string() } else { report.text() };
    // Nobody left to tell when standard output is closed.
    let _ = writeln!(std::io::stdout(), "{text}");
}
