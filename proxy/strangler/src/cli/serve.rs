//! `strangler serve`: one replica, until it is asked to end (SIGTERM or Ctrl-C); then it drains.

use std::io::IsTerminal;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::Stop;
use super::log_filter::{is_told, spelt_out};
use crate::app;
use crate::config::{Config, Log};
use control_plane::rollout::OpenError;
use request::error::with_root;
use telemetry::traces::{self, Exporting, Traces};

pub(super) async fn run(config: &Path) -> Result<(), Stop> {
    let config = Config::load(config).map_err(|error| Stop::BadConfig(error.to_string()))?;
    let exporting = log(&config.log, config.traces.as_ref())?;
    let no = |error: &dyn std::fmt::Display| Stop::No(error.to_string());
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| no(&error))?;
    let metrics = telemetry::install().map_err(|error| no(&error))?;
    let running = app::start(&config, metrics).await.map_err(|error| match &error {
        app::StartError::NoContract { .. } | app::StartError::Contract(_) | app::StartError::NoGroup { .. } => {
            Stop::BadConfig(error.to_string())
        }
        // Why the control store did not tell is what can be mended.
        app::StartError::Rollout(OpenError::NothingKnown(control) | OpenError::Damaged { control, .. }) => {
            Stop::No(format!("{error}: {}", with_root(control)))
        }
        app::StartError::Tls(_) | app::StartError::Admin(_) => Stop::BadConfig(error.to_string()),
        app::StartError::Store(_)
        | app::StartError::Shapes(_)
        | app::StartError::Control(_)
        | app::StartError::Bookkeeping(_)
        | app::StartError::Rollout(_)
        | app::StartError::State(_)
        | app::StartError::Waiting(_)
        | app::StartError::NotMine(_)
        | app::StartError::Listen { .. } => Stop::No(error.to_string()),
    })?;
    tracing::info!(
        graphql = %running.graphql,
        admin = %running.admin,
        "serving GraphQL on {} and the admin port on {}, rollout {}",
        running.graphql,
        running.admin,
        running.rollout.version()
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("asked to end: no new requests, those under way are finished");
    running.stop().await;
    if let Some(exporting) = exporting {
        exporting.end().await;
    }
    tracing::info!("ended");
    Ok(())
}

/// Sends the log to standard error, one line or one JSON object per event, and traces to a collector if there is one.
fn log(log: &Log, traces: Option<&Traces>) -> Result<Option<Exporting>, Stop> {
    let bad = || {
        Stop::BadConfig(format!("`log.filter`: `{}` is no filter; try `info` or `info,strangler=debug`", log.filter))
    };
    let filter = EnvFilter::try_new(spelt_out(&log.filter)).map_err(|_| bad())?.and(filter_fn(is_told));
    // Colours are for people: a file or a collector would keep their codes.
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
    let lines = if log.json {
        lines.json().flatten_event(true).with_filter(filter).boxed()
    } else {
        lines.with_filter(filter).boxed()
    };
    let mut layers = vec![lines];
    let mut exporting = None;
    if let Some(settings) = traces {
        let unusable = |error: &dyn std::fmt::Display| Stop::BadConfig(format!("`telemetry.otlp_endpoint`: {error}"));
        let (layer, task) = traces::layer(settings).map_err(|error| unusable(&error))?;
        layers.push(layer.boxed());
        exporting = Some(task);
    }
    tracing_subscriber::registry().with(layers).try_init().map_err(|error| Stop::No(error.to_string()))?;
    Ok(exporting)
}

/// The log of `strangler demo`: only what should not happen, so that the story can be read.
pub(super) fn quiet_log() -> Result<(), Stop> {
    log(&Log { json: false, filter: "error".into() }, None).map(|_| ())
}
