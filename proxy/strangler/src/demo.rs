//! `strangler demo`: the whole migration on one machine, with real databases and real traffic.
//!
//! Nothing is acted: the databases are real servers, the traffic goes through the public endpoint, the
//! figures at the end are measured, and a broken promise makes the demo say no.

pub mod audit;
pub mod defects;
pub mod erp;
pub mod narrator;
pub mod night;
pub mod report;
pub mod seed;
pub mod storefront;
pub mod story;
pub mod traffic;
pub mod world;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use erp::Erp;
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
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    pub graphql_port: u16,
    /// Port of health, metrics and the admin API; 0: any free one
    #[arg(long, default_value_t = 9090, value_name = "PORT")]
    pub admin_port: u16,
    /// Makes another ERP and other customers
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// How many articles the ERP has; with fewer the copies take less time
    #[arg(long, value_name = "NUMBER", default_value_t = seed::ITEMS, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    pub items: u64,
    /// What the ERP runs on
    #[arg(long, value_enum, default_value_t = Erp::Postgres)]
    pub erp: Erp,
    /// With `--erp oracle`: the folder of the stand-in, libclntsh.so [default: where cargo builds it]
    #[arg(long, value_name = "DIR")]
    pub oracle_client: Option<PathBuf>,
}

/// Runs the demo; whether every promise was kept.
///
/// # Errors
/// [`DemoError`] when the story cannot be told to its end.
pub async fn run(arguments: &DemoArgs) -> Result<bool, DemoError> {
    erp::guard(arguments)?;
    let narrator = Arc::new(Narrator::new(arguments.headless));
    let end = asked_to_end();
    tokio::pin!(end);
    narrator.chapter("A retailer with a 15-year-old ERP, and an empty new store");
    let world = tokio::select! {
        world = Box::pin(World::build(arguments, &narrator)) => world?,
        () = &mut end => return Ok(false),
    };
    let told = tokio::select! {
        told = Box::pin(story::tell(&world, &narrator, arguments.seed)) => told.map(Some),
        () = &mut end => Ok(None),
    };
    narrator.finish();
    match &told {
        Ok(Some(report)) => {
            verdict(&narrator, report);
            if !arguments.headless {
                invite(&narrator, &world);
                end.await;
            }
        }
        Ok(None) => narrator.chapter("Ended before the story was over"),
        Err(_) => {}
    }
    let World { running, legacy, modern, .. } = world;
    running.stop().await;
    let (legacy, modern) = tokio::join!(legacy.stop(), modern.stop());
    legacy?;
    modern?;
    let Some(report) = told? else { return Ok(false) };
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

/// Says what people can try while everything is still up.
fn invite(narrator: &Narrator, world: &World) {
    narrator.chapter("Still running. Ctrl-C ends it and leaves nothing behind");
    narrator.line(&format!(
        "
  GraphQL    http://{}/graphql   (open it in a browser to explore)
  Admin      http://{}/

  Try, in another terminal:
    export STRANGLER_CONFIG={}
    {program} groups show {group}
    {program} diffs report
    {program} groups set {group} --reads 50 --reason 'I like it' --who me
",
        world.running.graphql,
        world.running.admin,
        world.config_file.display(),
        program = program(),
        group = world::GROUP,
    ));
}

/// How the reader calls this program: from here if it lies below, as after `cargo run`.
fn program() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "strangler".into());
    let here = std::env::current_dir().unwrap_or_default();
    match program.strip_prefix(here) {
        // With the dot: a bare name would be looked for in the PATH.
        Ok(below) => format!("./{}", below.display()),
        Err(_) => program.display().to_string(),
    }
}

/// Returns when somebody ends the demo: Ctrl-C or SIGTERM.
async fn asked_to_end() {
    // Without a signal to wait for nobody could end the demo; then it ends at once.
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
