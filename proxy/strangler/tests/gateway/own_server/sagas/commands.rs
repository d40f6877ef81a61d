//! `strangler sagas …` against a replica that serves, and the databases behind it.

use model::Side;
use serde_json::Value as Json;
use testkit::fleet::Replica;

use super::super::fleet::metric;
use super::{Fleet, Order, json_of};
use crate::rig::until;

/// A compensation is refused twice, and the saga is stuck.
const CONFIG: &str = "[sagas]\nundo_attempts = 2\n";
const WHY: [&str; 4] = ["--who", "ada", "--reason", "the reservation is back"];

/// Orders too many of an article whose reservation vanishes meanwhile: it cannot be released. The id of the saga.
async fn stuck(fleet: &Fleet, replica: &Replica, order: &Order) -> String {
    let obstacle = fleet.connect(Side::Legacy).await;
    obstacle.batch_execute("BEGIN; LOCK TABLE ORDHDR IN EXCLUSIVE MODE").await.unwrap();
    let vanish = async {
        fleet.waits_for("ordhdr").await;
        fleet.run(Side::Legacy, &format!("UPDATE STK SET RSV = 0 WHERE SKU = '{}'", order.sku)).await;
        obstacle.batch_execute("COMMIT").await.unwrap();
    };
    let (told, ()) = tokio::join!(order.place(replica), vanish);
    assert!(matches!(&told, Some(Err(code)) if code.starts_with("SAGA_")), "{told:?}");
    until("it is stuck", async || order.place(replica).await == Some(Err("SAGA_STUCK".to_owned()))).await;
    let list = json_of(&fleet.site.call(&["--json", "sagas", "list", "--status", "stuck"]).await);
    list[0]["id"].as_str().unwrap().to_owned()
}

/// Runs a command that says no: its exit code, and what it says.
async fn refused(fleet: &Fleet, arguments: &[&str]) -> (Option<i32>, String) {
    let output = fleet.site.call(arguments).await;
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

async fn status(fleet: &Fleet, id: &str) -> Json {
    json_of(&fleet.site.call(&["--json", "sagas", "show", id]).await)["status"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stuck_sagas_are_listed_shown_retried_and_abandoned_by_commands_on_the_record() {
    let fleet = Fleet::new(CONFIG).await;
    let replica = fleet.site.start("one").await;
    let empty = fleet.site.must_run(&["sagas", "list", "--status", "stuck"]).await;
    assert!(empty.contains("There is no such saga."), "{empty}");
    // GIVEN a saga that is done, and two that are stuck
    let fine = Order { id: "fine".into(), sku: "C", quantity: 2 };
    assert_eq!(fine.place(&replica).await, Some(Ok(2)));
    let [first, second] = ["A", "B"].map(|sku| Order { id: format!("many-{sku}"), sku, quantity: 9 });
    let mended = stuck(&fleet, &replica, &first).await;
    let left = stuck(&fleet, &replica, &second).await;
    // THEN they are seen: in the metrics, in words and as JSON
    until("the gauge says so", async || metric(&replica, "strangler_sagas{state=\"stuck\"}").await == Some(2.0)).await;
    let words = fleet.site.must_run(&["sagas", "list", "--status", "stuck"]).await;
    assert!(words.contains(&mended) && words.contains(&left) && words.contains("stock=done order=refused"), "{words}");
    let all = json_of(&fleet.site.call(&["--json", "sagas", "list"]).await);
    let seen: Vec<_> = all.as_array().unwrap().iter().map(|saga| saga["status"].as_str().unwrap()).collect();
    assert_eq!(seen, ["stuck", "stuck", "done"], "newest first");
    let newest = json_of(&fleet.site.call(&["--json", "sagas", "list", "--limit", "1"]).await);
    assert_eq!((newest.as_array().unwrap().len(), &newest[0]["id"]), (1, &Json::from(left.as_str())));
    let shown = json_of(&fleet.site.call(&["--json", "sagas", "show", &mended]).await);
    assert_eq!((&shown["problem"], &shown["refused"]), (&"NOT_RESERVED".into(), &"TOO_MANY".into()), "{shown}");
    // Done once, and refused twice when it was to be undone.
    assert_eq!((&shown["steps"][0]["state"], &shown["steps"][0]["attempts"]), (&"done".into(), &3.into()), "{shown}");
    assert!(shown["steps"][0]["triedAt"].is_string() && shown["steps"][2]["triedAt"].is_null(), "{shown}");
    let words = fleet.site.must_run(&["sagas", "show", &mended]).await;
    assert!(words.contains("is stuck.") && words.contains("the last time NOT_RESERVED"), "{words}");

    // WHEN the cause of one is mended and it is tried again THEN it is undone, and its client is told why
    fleet.run(Side::Legacy, "UPDATE STK SET RSV = 9 WHERE SKU = 'A'").await;
    let told = fleet.site.call(&[&["--json", "sagas", "retry", &mended], &WHY[..]].concat()).await;
    assert_eq!((told.status.code(), &json_of(&told)["status"]), (Some(0), &"compensating".into()), "{told:?}");
    until("it is undone", async || status(&fleet, &mended).await == "undone").await;
    assert_eq!(first.place(&replica).await, Some(Err("TOO_MANY".to_owned())));
    // and the other one is left alone for good
    let told = fleet.site.must_run(&["sagas", "abandon", &left, "--who", "bob", "--reason", "booked by hand"]).await;
    assert!(told.contains("is abandoned."), "{told}");
    assert_eq!(second.place(&replica).await, Some(Err("SAGA_ABANDONED".to_owned())));
    until("the gauge falls", async || metric(&replica, "strangler_sagas{state=\"stuck\"}").await == Some(0.0)).await;
    // and both orders are on the record, with who and why
    let history = fleet.site.must_run(&["history", "list"]).await;
    for known in ["saga-retried", "ada", "the reservation is back", "saga-abandoned", "bob", "booked by hand"] {
        assert!(history.contains(known), "{known}: {history}");
    }
    // and neither can be ordered again
    for id in [&mended, &left] {
        for order in ["retry", "abandon"] {
            let (code, said) = refused(&fleet, &[&["sagas", order, id], &WHY[..]].concat()).await;
            assert!(code == Some(1) && said.contains("only a stuck one"), "{order} {id}: {code:?} {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_about_sagas_that_is_wrong_says_so_and_changes_nothing() {
    let fleet = Fleet::new(CONFIG).await;
    let replica = fleet.site.start("one").await;
    let order = Order { id: "many".into(), sku: "A", quantity: 9 };
    let id = stuck(&fleet, &replica, &order).await;
    let bad_use: [(&[&str], &str); 7] = [
        (&["sagas", "retry", &id, "--who", "ada"], "--reason"),
        (&["sagas", "abandon", &id, "--who", "ada"], "--reason"),
        (&["sagas", "retry", &id, "--who", "ada", "--reason", " "], "the reason is empty"),
        (&["sagas", "retry", &id, "--reason", "x"], "--who"),
        (&["sagas", "retry", "--who", "ada", "--reason", "x"], "<ID>"),
        (&["sagas", "list", "--status", "stack"], "`stack` is none of running"),
        (&["sagas", "drop", &id], "unrecognized subcommand"),
    ];
    for (arguments, words) in bad_use {
        let (code, said) = refused(&fleet, arguments).await;
        assert!(code == Some(2) && said.contains(words), "{arguments:?}: {code:?} {said}");
    }
    for unknown in ["nobody", "no such thing", "'; DROP TABLE strangler_saga"] {
        for arguments in [&["sagas", "show", unknown][..], &[&["sagas", "retry", unknown], &WHY[..]].concat()] {
            let (code, said) = refused(&fleet, arguments).await;
            assert!(code == Some(1) && said.contains("there is no saga"), "{arguments:?}: {code:?} {said}");
        }
    }
    let fine = Order { id: "fine".into(), sku: "C", quantity: 2 };
    assert_eq!(fine.place(&replica).await, Some(Ok(2)));
    let done = json_of(&fleet.site.call(&["--json", "sagas", "list", "--status", "done"]).await);
    let done = done[0]["id"].as_str().unwrap();
    let (code, said) = refused(&fleet, &[&["--json", "sagas", "retry", done], &WHY[..]].concat()).await;
    assert!(code == Some(1) && said.contains("is done; only a stuck one"), "{code:?} {said}");
    // Nothing was done, and nothing is on the record.
    assert_eq!((status(&fleet, &id).await, status(&fleet, done).await), ("stuck".into(), "done".into()));
    let history = fleet.site.must_run(&["history", "list"]).await;
    assert!(!history.contains("saga-"), "{history}");
}
