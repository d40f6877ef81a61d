//! `strangler demo`: the whole migration on one machine, with real databases and real traffic.
//!
//! Nothing is acted: the databases are real servers, the traffic goes through the public endpoint, the
//! figures at the end are measured, and a broken promise makes the demo say no.

pub mod audit;
pub mod defects;
pub mod narrator;
pub mod report;
pub mod seed;
pub mod storefront;
pub mod story;
pub mod traffic;
pub mod world;

use std::sync::Arc;

use narrator::Narrator;
use report::DemoReport;
use world::{DemoError, World};

/// What `strangler demo` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Tell the story without a terminal, print the figures as JSON and end
    #[arg(long)]
    pub headless: bool,
    /// Port of the GraphQL endpoint; 0: any free one
    #[arg(long, default_value_t = 8080)]
    pub graphql_port: u16,
    /// Port of health, metrics and the admin API; 0: any free one
    #[arg(long, default_value_t = 9090)]
    pub admin_port: u16,
    /// Makes another ERP and other customers
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Runs the demo; whether every promise was kept.
///
/// # Errors
/// [`DemoError`] when the story cannot be told to its end.
pub async fn run(arguments: &DemoArgs) -> Result<bool, DemoError> {
    let narrator = Arc::new(Narrator::new(arguments.headless));
    narrator.chapter("A retailer with a 15-year-old ERP, and an empty new store");
    let world = World::build(arguments, &narrator).await?;
    let told = story::tell(&world, &narrator, arguments.seed).await;
    narrator.finish();
    let kept = told.as_ref().map(|report| verdict(&narrator, report));
    if !arguments.headless && kept.is_ok() {
        stay(&narrator, &world).await;
    }
    let World { running, legacy, modern, .. } = world;
    running.stop().await;
    let (legacy, modern) = tokio::join!(legacy.stop(), modern.stop());
    legacy?;
    modern?;
    let report = told?;
    if arguments.headless {
        let json = serde_json::to_string(&report).map_err(|error| DemoError::Other(error.to_string()))?;
        narrator.line(&json);
    }
    Ok(report.broken_promises().is_empty())
}

fn verdict(narrator: &Narrator, report: &DemoReport) {
    let broken = report.broken_promises();
    if broken.is_empty() {
        narrator.chapter("Every promise was kept: no client error, no lost write, both sides equal");
        return;
    }
    narrator.chapter("Promises were broken:");
    for promise in broken {
        narrator.say(&promise);
    }
}

/// Stays up until Ctrl-C, so that people can try things.
async fn stay(narrator: &Narrator, world: &World) {
    let config = world.config_file.display();
    narrator.chapter("Still running. Ctrl-C ends it and leaves nothing behind");
    narrator.line(&format!(
        "
  GraphQL    http://{}/graphql   (open it in a browser to explore)
  Admin      http://{}/

  Try, in another terminal:
    strangler --config {config} groups show {group}
    strangler --config {config} diffs report
    strangler --config {config} groups set {group} --reads 50 --reason 'I like it'
",
        world.running.graphql,
        world.running.admin,
        group = world::GROUP,
    ));
    // No signal to wait for means nobody could end the demo; then it ends at once.
    let _ = tokio::signal::ctrl_c().await;
}
