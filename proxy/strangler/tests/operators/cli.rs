//! The real binary: what is right is done and told, what is wrong is named and changes nothing.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::control::LIVE_WITHIN;
use model::{Percentage, RolloutVersion};
use serde_json::Value as Json;
use tempfile::TempDir;
use testkit::postgres::Database;

use crate::follow::postgres;
use crate::replica::{Replica, eventually, schema};

pub(crate) struct Bench {
    folder: TempDir,
    config: PathBuf,
    pub(crate) databases: [Database; 2],
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let databases = [Database::fresh("cli").await, Database::fresh("cli").await];
        let config = folder.path().join("strangler.toml");
        let text = format!(
            "contract = {:?}\nstate_dir = {:?}\n[sides.legacy]\nurl = {:?}\n[sides.modern]\nurl = {:?}\n",
            schema(),
            folder.path().join("state"),
            databases[0].url(),
            databases[1].url()
        );
        std::fs::write(&config, text).unwrap();
        Self { folder, config, databases }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> (String, String, i32) {
        run(&[&["--config", self.config.to_str().unwrap()], arguments].concat())
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Json {
        let (printed, error, code) = self.run(&[&["--json"], arguments].concat());
        assert_eq!(code, 0, "{printed}\n{error}");
        serde_json::from_str(&printed).unwrap()
    }
}

pub(crate) fn run(arguments: &[&str]) -> (String, String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_strangler"))
        .args(arguments)
        .env_remove("STRANGLER_WHO")
        .env("USER", "ada")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_set_up_changed_and_told_about() {
    let bench = Bench::new().await;
    let (_, error, code) = bench.run(&["groups", "list"]);
    assert_eq!(code, 1);
    assert!(error.contains("run `strangler init`"), "{error}");
    for _ in 0..2 {
        assert_eq!(bench.json(&["init"])["rollout"], 1);
    }
    let (printed, _, code) = bench.run(&["groups", "list"]);
    assert_eq!(code, 0);
    assert!(printed.contains("GROUP") && printed.contains("inventory"), "{printed}");

    let set = [
        "groups",
        "set",
        "inventory",
        "--stage",
        "shift",
        "--reads",
        "12.5",
        "--past-gates",
        "--shadow",
        "10",
        "--reason",
        "first step",
    ];
    let printed = bench.json(&set);
    assert_eq!((&printed["reads"], &printed["changed"], &printed["rollout"]), (&12.5.into(), &true.into(), &2.into()));
    assert_eq!(bench.json(&set)["changed"], false);
    let history = bench.json(&["groups", "history", "inventory"]);
    assert_eq!(history[0]["author"]["who"], "ada");
    assert_eq!(history[0]["author"]["reason"], "first step");
    assert_eq!(history[0]["summary"], "set inventory: stage legacy -> shift, reads 0 % -> 12.5 %, shadow 0 % -> 10 %");
    assert_eq!(history[0]["evidence"]["unsettled"]["writes"], 0);
    let (printed, error, code) = bench.run(&["groups", "rollback", "inventory"]);
    assert_eq!(code, 0, "{printed}{error}");
    assert_eq!(bench.json(&["groups", "show", "inventory"])["reads"], 0.0);
    let (printed, _, code) = bench.run(&["groups", "history"]);
    assert_eq!(code, 0);
    assert!(printed.contains("rollback inventory: reads 12.5 % -> 0 %"), "{printed}");
    let routes = bench.json(&["routes", "list"]);
    assert!(routes.as_array().unwrap().iter().any(|route| route["policy"]["stage"] == "shift"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_waits_for_every_live_replica_and_names_those_that_lag() {
    let bench = Bench::new().await;
    bench.json(&["init"]);
    let control = postgres(&bench.databases[1]).await;
    let (a, b) = (bench.folder.path().join("a"), bench.folder.path().join("b"));
    let a = Replica::start(&control, "a", &a).await.unwrap();
    let b = Replica::start(&control, "b", &b).await.unwrap();
    eventually("both are live", || async { control.replicas(LIVE_WITHIN).await.unwrap().len() == 2 }).await;
    let shift = ["groups", "set", "inventory", "--stage", "shift", "--reads", "25", "--past-gates", "--reason", "x"];
    let printed = bench.json(&shift);
    assert_eq!(printed["acknowledged"].as_array().unwrap().len(), 2);
    assert_eq!((a.reads(), b.reads()), (Percentage::try_from(25.0).unwrap(), Percentage::try_from(25.0).unwrap()));
    println!("both acknowledged after {} ms", printed["millis"]);

    // A replica that lives and does not follow. Its heartbeat is repeated, or it would count as gone.
    let stuck = model::control::Replica {
        id: "stuck".into(),
        admin_address: "127.0.0.1:1".into(),
        rollout: RolloutVersion(1),
        instance: uuid::Uuid::nil(),
        saved: true,
    };
    let beating = tokio::spawn({
        let control = Arc::clone(&control);
        async move {
            loop {
                control.heartbeat(&stuck).await.unwrap();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    });
    eventually("it is live", || async { control.replicas(LIVE_WITHIN).await.unwrap().len() == 3 }).await;
    let further = ["groups", "set", "inventory", "--reads", "50", "--past-gates", "--reason", "x", "--timeout", "1s"];
    let (printed, _, code) = bench.run(&further);
    assert_eq!(code, 1, "{printed}");
    assert!(
        printed.contains("In force on 2 of 3 replicas") && printed.contains("stuck at 127.0.0.1:1 (rollout 1)"),
        "{printed}"
    );
    beating.abort();
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_changes_nothing_and_is_named() {
    let bench = Bench::new().await;
    bench.json(&["init"]);
    let set = |rest: &[&'static str]| [&["groups", "set"], rest].concat();
    let cases: Vec<Vec<&str>> = vec![
        set(&["inventry", "--stage", "shadow", "--reason", "x"]),
        set(&["inventory", "--reads", "101", "--reason", "x"]),
        set(&["inventory", "--reads", "12.345", "--reason", "x"]),
        set(&["inventory", "--reads", "many", "--reason", "x"]),
        set(&["inventory", "--reads=-1", "--reason", "x"]),
        set(&["inventory", "--stage", "shifted", "--reason", "x"]),
        set(&["inventory", "--stage", "modern", "--reason", "x"]),
        set(&["inventory", "--stage", "shadow", "--reads", "5", "--reason", "x"]),
        set(&["inventory", "--stage", "dual-write", "--shadow", "5", "--reason", "x"]),
        set(&["inventory", "--reason", "x"]),
        set(&["inventory", "--stage", "shadow"]),
        set(&["inventory", "--stage", "shadow", "--reason", " "]),
        vec!["groups", "rollback", "nobody"],
        vec!["groups", "frobnicate"],
        vec!["diffs", "list", "--route", "Query.stockLevle"],
        vec!["diffs", "list", "--cause", "roundin"],
        vec!["diffs", "list", "--field", "onHnad"],
        vec!["diffs", "list", "--since", "yesterday"],
        vec!["diffs", "show", "nothing"],
        vec!["init", "--print-ddl", "both"],
    ];
    let mut report = String::new();
    for case in cases {
        let (printed, error, code) = bench.run(&case);
        assert_eq!(printed, "", "{case:?}");
        let first = error.lines().next().unwrap_or_default();
        report.push_str(&format!("$ strangler {}\n{first}\n  exit {code}\n", case.join(" ")));
    }
    insta::assert_snapshot!(report);
    let control = postgres(&bench.databases[1]).await;
    assert_eq!(control.history(None, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_is_wrong_and_says_no() {
    let bench = Bench::new().await;
    let (printed, _, code) = bench.run(&["check"]);
    assert_eq!(code, 1);
    for wrong in ["BAD  legacy", "BAD  modern", "BAD  control", "run `strangler init`"] {
        assert!(printed.contains(wrong), "{printed}");
    }
    let (printed, _, code) = bench.run(&["--json", "check"]);
    let report: Json = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &report["ok"]), (1, &false.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erp_on_an_oracle_is_reviewed_set_up_and_looked_over() {
    // GIVEN an ERP behind the stand-in for Oracle's client library
    let bench = Bench::new().await;
    let erp = testkit::oracle::settings_over(&bench.databases[0]);
    let (client, connection) = tokio_postgres::connect(&bench.databases[0].url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(strangler::demo::seed::ERP_TABLES).await.unwrap();
    let text = std::fs::read_to_string(&bench.config).unwrap();
    let url = format!("url = {:?}\n[sides.modern]", bench.databases[0].url());
    let oracle = format!(
        "kind = \"oracle\"\nconnect = {:?}\nuser = {:?}\npassword = {:?}\nclient_lib_dir = {:?}\n[sides.modern]",
        erp.connect,
        erp.user,
        erp.password,
        erp.client_lib_dir.unwrap()
    );
    assert!(text.contains(&url));
    std::fs::write(&bench.config, text.replace(&url, &oracle)).unwrap();

    // WHEN a DBA looks, and somebody prepares it
    let (ddl, error, code) = bench.run(&["init", "--print-ddl", "legacy"]);
    assert_eq!(code, 0, "{error}");
    assert!(ddl.contains("GRANT EXECUTE ON SYS.DBMS_LOCK") && ddl.contains("CREATE TABLE strangler_ledger"), "{ddl}");
    let (before, _, _) = bench.run(&["check"]);
    assert!(before.contains("there is no bookkeeping: run `strangler init`"), "{before}");
    bench.run(&["init"]);

    // THEN the doctor tells what is there, and that it is no Oracle
    let (after, _, _) = bench.run(&["check"]);
    for told in [
        "legacy: OCI stand-in over PostgreSQL",
        "not an Oracle server",
        "server version: 19.3",
        "client library: 19.3",
        "character set: AL32UTF8",
        "sorting: BINARY",
        "account's system rights: CREATE SESSION",
        "log mode: ARCHIVELOG",
        "supplemental logging: YES",
        "undo retention: 900 s",
    ] {
        assert!(after.contains(told), "{told} is not in:\n{after}");
    }
    assert!(!after.contains("strangler_ledger is missing"), "{after}");
}

#[test]
fn a_configuration_that_cannot_be_used_is_64_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("strangler.toml");
    let path = config.to_str().unwrap();
    assert_eq!(run(&["--config", path, "groups", "list"]).2, 64);
    for text in [
        "colour = 1\n",
        "[sides.legacy]\nurl = \"postgres://erp:s3cr3t@db/erp\"\nport = 5\n",
        "[sides.legacy]\nurl = \"postgres://erp:s3cr3t@db/erp\n",
    ] {
        std::fs::write(&config, text).unwrap();
        let (printed, error, code) = run(&["--config", path, "check"]);
        assert_eq!(code, 64, "{printed}{error}");
        assert!(!error.contains("s3cr3t"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_nothing_say_that_nothing_is_known() {
    let bench = Bench::new().await;
    let (printed, _, _) = bench.run(&["init", "--print-ddl", "control"]);
    assert!(printed.contains("CREATE TABLE IF NOT EXISTS strangler_rollout"));
    bench.json(&["init"]);
    let (printed, _, _) = bench.run(&["init", "--print-ddl", "control"]);
    assert!(printed.contains("nothing is missing"), "{printed}");
    let (printed, _, code) = bench.run(&["diffs", "report"]);
    assert_eq!(code, 0);
    assert!(!printed.to_lowercase().contains("no differences"), "{printed}");
    let page = bench.folder.path().join("report.html");
    assert_eq!(bench.run(&["diffs", "report", "--html", page.to_str().unwrap()]).2, 0);
    assert!(std::fs::read_to_string(page).unwrap().contains("<html"));
}

#[test]
fn the_schema_is_printed_without_our_directives() {
    let (printed, error, code) = run(&["schema", schema().to_str().unwrap()]);
    assert_eq!(code, 0, "{error}");
    assert!(printed.contains("type StockLevel") && !printed.contains("@entity"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commands_ask_a_replica_over_http_and_need_no_database() {
    let bench = Bench::new().await;
    bench.json(&["init"]);
    let control = postgres(&bench.databases[1]).await;
    let replica = Replica::start(&control, "a", &bench.folder.path().join("a")).await.unwrap();
    eventually("it is live", || async { control.replicas(LIVE_WITHIN).await.unwrap().len() == 1 }).await;
    let there = |arguments: &[&str]| {
        let (printed, error, code) = run(&[&["--admin", &replica.address, "--json"], arguments].concat());
        (serde_json::from_str::<Json>(&printed).unwrap_or_default(), error, code)
    };
    let set =
        ["groups", "set", "inventory", "--stage", "shift", "--reads", "25", "--past-gates", "--reason", "over http"];
    let (printed, error, code) = there(&set);
    assert_eq!((code, &printed["changed"], &printed["reads"]), (0, &true.into(), &25.0.into()), "{error}");
    assert_eq!(printed["acknowledged"][0]["id"], "a");
    let here = bench.json(&["groups", "show", "inventory"]);
    let (far, _, _) = there(&["groups", "show", "inventory"]);
    for field in ["group", "stage", "reads", "rollout", "changes"] {
        assert_eq!(far[field], here[field], "{field}");
    }
    assert_eq!(far["readiness"]["gates"].as_array().unwrap().len(), 10);
    let (printed, error, code) = there(&["groups", "rollback", "inventory", "--reason", "enough"]);
    assert_eq!((code, &printed["done"]), (0, &true.into()), "{error}");
    assert_eq!(replica.reads(), Percentage::ZERO);
    let (printed, error, code) = there(&["history", "verify"]);
    assert_eq!((code, &printed["ok"], &printed["rollouts"]), (0, &true.into(), &3.into()), "{error}");
    // What cannot be is refused with the same words and the same exit codes.
    assert_eq!(there(&["groups", "show", "nobody"]).2, 2);
    assert_eq!(run(&["--admin", "127.0.0.1:1", "groups", "list"]).2, 1);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_the_record_that_was_altered_is_found() {
    let bench = Bench::new().await;
    bench.json(&["init"]);
    bench.json(&["groups", "set", "inventory", "--stage", "shadow", "--reason", "first"]);
    bench.json(&["groups", "set", "inventory", "--stage", "shift", "--reason", "second"]);
    let verified = bench.json(&["history", "verify"]);
    assert_eq!((&verified["ok"], &verified["entries"], &verified["rollouts"]), (&true.into(), &3.into(), &3.into()));
    let (client, connection) = tokio_postgres::connect(&bench.databases[1].url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    // Whoever may do everything to the database, and switches its own guards off.
    let tampered = async |statement: &str| {
        client.batch_execute(&format!("SET session_replication_role = replica; BEGIN; {statement}")).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        let (printed, _, code) = bench.run(&["history", "verify"]);
        assert_eq!(code, 1, "{printed}");
        printed
    };
    let told = tampered("UPDATE strangler_rollout SET who = 'nobody' WHERE version = 2").await;
    assert!(told.contains("rollout 2 was altered"), "{told}");
    let told = tampered("DELETE FROM strangler_rollout WHERE version = 2").await;
    assert!(told.contains("rollout 2 was noted, and its row is gone"), "{told}");
    let told = tampered("UPDATE strangler_audit SET reason = 'another' WHERE place = 2").await;
    assert!(told.contains("entry 2 was altered"), "{told}");
    let told = tampered("DELETE FROM strangler_audit WHERE place = 2").await;
    assert!(told.contains("after entry 1 comes entry 3"), "{told}");
    let told = tampered("DELETE FROM strangler_audit WHERE place > 1").await;
    assert!(told.contains("rollout 3 stands in no entry"), "{told}");
    let ordinary = client.batch_execute("RESET session_replication_role; DELETE FROM strangler_audit").await;
    assert!(ordinary.unwrap_err().as_db_error().unwrap().message().contains("append-only"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_one_line_of_json_where_json_was_asked_for() {
    let bench = Bench::new().await;
    bench.json(&["init"]);
    let error = |arguments: &[&str]| {
        let (printed, error, code) = bench.run(&[&["--json"], arguments].concat());
        assert_eq!((printed.as_str(), error.lines().count()), ("", 1), "{arguments:?}: {printed}{error}");
        let error: Json = serde_json::from_str(&error).unwrap();
        assert!(error["error"]["message"].as_str().is_some_and(|message| message.len() > 10), "{error}");
        (error["error"]["code"].as_str().unwrap().to_owned(), code)
    };
    let shift = ["groups", "set", "inventory", "--stage", "shift", "--reads", "5", "--reason", "x"];
    assert_eq!(error(&shift), ("PAST_GATES".to_owned(), 1));
    assert_eq!(error(&["groups", "show", "inventry"]).1, 2);
    assert_eq!(error(&["groups", "set", "inventory", "--reads", "101", "--reason", "x"]).1, 2);
    assert_eq!(error(&["groups", "sett"]), ("BAD_USE".to_owned(), 2));
    assert_eq!(error(&["sagas", "show", "nowhere"]).1, 1);
    let (_, told, code) = run(&["--json", "--config", "/nowhere/strangler.toml", "groups", "list"]);
    let told: Json = serde_json::from_str(&told).unwrap();
    assert_eq!((told["error"]["code"].as_str(), code), (Some("BAD_CONFIG"), 64));
    // Nothing has changed by all that.
    assert_eq!(bench.json(&["groups", "show", "inventory"])["reads"], 0.0);
}
