//! A rollback works while the control store, modern, or both are down: the real command, over real HTTP.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use adapters::memory::control::MemoryControl;
use model::control::ControlStore;
use model::{Percentage, Rollout};
use serde_json::Value as Json;
use testkit::postgres::Database;

use crate::follow::{postgres, set};
use crate::replica::{Replica, eventually, inventory, schema};

const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";

/// Runs `strangler --json groups rollback inventory`; what it printed, and its exit code.
async fn command(folder: &Path, control: &str, replicas: &[&str], arguments: &[&str]) -> (Json, i32) {
    let config = folder.join("operator.toml");
    let text = format!(
        "contract = {:?}\nstate_dir = {:?}\n[sides.legacy]\nurl = {NOWHERE:?}\n[sides.modern]\nurl = {NOWHERE:?}\n\
         [control]\nurl = {control:?}\n[fleet]\nreplicas = {replicas:?}\n",
        schema(),
        folder.join("operator")
    );
    std::fs::write(&config, text).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_strangler"))
        .args(["--json", "--config"])
        .arg(&config)
        .args(["groups", "rollback", "inventory", "--who", "ada"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}\n{error}"));
    (json, output.status.code().unwrap())
}

fn rolled_back(rollout: &Rollout) -> bool {
    rollout.policy(&inventory()).reads() == Percentage::ZERO
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_without_control_store_reaches_every_replica_and_is_recorded_once() {
    let memory = Arc::new(MemoryControl::new());
    let control: Arc<dyn ControlStore> = memory.clone();
    let folder = tempfile::tempdir().unwrap();
    let states = ["a", "b"].map(|name| folder.path().join(name));
    let a = Replica::start(&control, "a", &states[0]).await.unwrap();
    let b = Replica::start(&control, "b", &states[1]).await.unwrap();
    set(&control, 50.0).await;
    let half = |rollout: &Rollout| !rolled_back(rollout);
    tokio::join!(a.until("50 %", half), b.until("50 %", half));

    // GIVEN no control store, neither for the replicas nor for the command
    memory.set_down(true);
    let (printed, code) =
        command(folder.path(), NOWHERE, &[&a.address, &b.address], &["--reason", "wrong prices"]).await;
    assert_eq!((code, &printed["done"]), (0, &Json::Bool(true)), "{printed:#}");
    println!("rolled back after {} ms", printed["millis"]);
    // THEN both answer from legacy already
    assert!(rolled_back(&a.rollout.current()) && rolled_back(&b.rollout.current()));

    // AND still do after a restart, without and with a control store that knows only the old percentage
    a.kill();
    let a = Replica::start(&control, "a", &states[0]).await.unwrap();
    assert!(rolled_back(&a.rollout.current()));
    a.kill();
    b.kill();
    memory.set_down(false);
    let a = Replica::start(&control, "a", &states[0]).await.unwrap();
    let b = Replica::start(&control, "b", &states[1]).await.unwrap();
    assert!(rolled_back(&a.rollout.current()) && rolled_back(&b.rollout.current()));

    // AND the control store is told, once, with who and why
    let settled = || async { a.rollout.pending().is_empty() && b.rollout.pending().is_empty() };
    eventually("the rollback is recorded", settled).await;
    let records = control.history(Some(&inventory()), 10).await.unwrap();
    assert_eq!(records.iter().filter(|record| !record.overrides.is_empty()).count(), 1);
    assert_eq!(records[0].author.who, "ada");
    assert_eq!(records[0].author.reason.as_deref(), Some("wrong prices"));
    assert!(rolled_back(&records[0].rollout));

    // AND what is set afterwards stands: the override is over
    set(&control, 10.0).await;
    tokio::join!(a.until("10 %", half), b.until("10 %", half));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_with_control_store_needs_no_list_of_replicas() {
    let database = Database::fresh("rollback").await;
    let control = postgres(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let a = Replica::start(&control, "a", &folder.path().join("a")).await.unwrap();
    let b = Replica::start(&control, "b", &folder.path().join("b")).await.unwrap();
    set(&control, 50.0).await;
    let half = |rollout: &Rollout| !rolled_back(rollout);
    tokio::join!(a.until("50 %", half), b.until("50 %", half));
    let acknowledged = || async { control.replicas(model::control::LIVE_WITHIN).await.unwrap().len() == 2 };
    eventually("both are on the list", acknowledged).await;
    let (printed, code) = command(folder.path(), &database.url(), &[], &[]).await;
    assert_eq!(code, 0, "{printed:#}");
    println!("rolled back and recorded after {} ms", printed["millis"]);
    let confirmed: BTreeSet<_> = printed["confirmed"].as_array().unwrap().iter().filter_map(Json::as_str).collect();
    assert_eq!(confirmed, BTreeSet::from([a.address.as_str(), b.address.as_str()]));
    assert!(rolled_back(&a.rollout.current()) && rolled_back(&b.rollout.current()));
    let settled = || async { a.rollout.pending().is_empty() && b.rollout.pending().is_empty() };
    eventually("the overrides are over", settled).await;
    let overrides = control.history(None, 10).await.unwrap();
    assert_eq!(overrides.iter().filter(|record| !record.overrides.is_empty()).count(), 1);

    // AND the command remembers whom it met: without control store it finds them again
    set(&control, 20.0).await;
    tokio::join!(a.until("20 %", half), b.until("20 %", half));
    let (printed, code) = command(folder.path(), NOWHERE, &[], &[]).await;
    assert_eq!(code, 0, "{printed:#}");
    assert!(rolled_back(&a.rollout.current()) && rolled_back(&b.rollout.current()));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_reaches_nobody_says_no() {
    let folder = tempfile::tempdir().unwrap();
    let (printed, code) = command(folder.path(), NOWHERE, &[], &[]).await;
    assert_eq!((code, &printed["done"]), (1, &Json::Bool(false)), "{printed:#}");
    let (printed, code) = command(folder.path(), NOWHERE, &["127.0.0.1:1"], &[]).await;
    assert_eq!(code, 1);
    assert_eq!(printed["open"]["127.0.0.1:1"], "could not be reached; it may still serve");
}
