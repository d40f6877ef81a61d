//! What `check`, `init`, a dry run and the log say of sides that are not what they should be.

use std::time::Duration;

use model::Side;
use testkit::fleet::Site;

use super::{CONTRACT, Kept, NAME, back_up, connect, eventually, number, put_back};

/// What the command says; it must say that all is not well.
async fn complaint(kept: &Kept, arguments: &[&str]) -> String {
    let (text, well) = kept.site.run(arguments).await;
    assert!(!well, "{arguments:?}: {text}");
    text
}

const DRY: [&str; 6] = ["groups", "handover", "stock", "--to", "modern", "--dry-run"];

async fn set(kept: &Kept, more: &[&str]) {
    let order = ["groups", "set", "stock", "--past-gates", "--reason", "x", "--who", "ada"];
    kept.site.must_run(&[&order[..], more].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_a_suspended_side_and_fences_that_contradict_each_other() {
    let mut kept = Kept::new().await;
    kept.stands("A", 1).await;
    set(&kept, &["--stage", "shift", "--reads", "100"]).await;
    kept.site.must_run(&["check"]).await;
    kept.site.must_run(&DRY).await;

    kept.legacy.run(NAME, "UPDATE strangler_life SET suspended = 'a test'").await.unwrap();
    let told = complaint(&kept, &["check"]).await;
    assert!(told.contains("legacy is suspended (a test)") && told.contains("sides show"), "{told}");
    let told = kept.site.must_run(&["groups", "show", "stock"]).await;
    assert!(told.contains("not known: legacy is suspended") && !told.contains("is settled."), "{told}");
    // Nobody asks.
    assert!(kept.replica.terminate().await);
    kept.legacy.run(NAME, "UPDATE strangler_life SET suspended = NULL, unasked = now()").await.unwrap();
    let told = complaint(&kept, &["check"]).await;
    assert!(told.contains("legacy was started anew") && told.contains("could not be asked"), "{told}");
    kept.replica = kept.site.start("a").await;
    eventually("it was asked", || async { kept.site.run(&["check"]).await.1 }).await;

    kept.modern.run(NAME, "UPDATE strangler_fence SET state = 'open', epoch = epoch + 1").await.unwrap();
    for told in [complaint(&kept, &["check"]).await, complaint(&kept, &["init"]).await, complaint(&kept, &DRY).await] {
        assert!(
            told.contains("contradict each other (legacy open under epoch 1, modern open under epoch 2)"),
            "{told}"
        );
    }
}

/// A maintenance job, or a session that somebody forgot.
#[tokio::test(flavor = "multi_thread")]
async fn marks_that_stand_still_are_named_and_stop_no_write() {
    let kept = Kept::new().await;
    let holds_up = connect(&kept.legacy).await.unwrap();
    holds_up.batch_execute("BEGIN; LOCK TABLE strangler_mark IN EXCLUSIVE MODE").await.unwrap();
    eventually("check names it", || async {
        let (told, well) = kept.site.run(&["check"]).await;
        !well && told.contains("no mark was made for") && told.contains("strangler_mark")
    })
    .await;
    eventually("the log has it", || async { kept.site.log("a").contains("no mark of legacy was made for") }).await;
    let (_, metrics) = kept.replica.get("/metrics").await.unwrap();
    let age = metrics.lines().find_map(|line| line.strip_prefix("strangler_side_mark_age_seconds{side=\"legacy\"} "));
    assert!(age.unwrap().parse::<f64>().unwrap() > 10.0, "{age:?}");
    kept.stands("A", 1).await;

    holds_up.batch_execute("ROLLBACK").await.unwrap();
    eventually("all is well again", || async { kept.site.run(&["check"]).await.1 }).await;
}

async fn suspended(kept: &Kept) -> (Option<i64>, Option<i64>) {
    let text = "SELECT count(suspended) FROM strangler_life";
    (number(&kept.legacy, text).await, number(&kept.modern, text).await)
}

/// One replica, or a person, has the addresses the wrong way round, or twice the same: it uses neither, says so, and nobody
/// else hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn exchanged_addresses_are_named_and_touch_nothing() {
    let kept = Kept::new().await;
    kept.stands("A", 1).await;
    let (legacy, modern) = (kept.legacy.url(NAME), kept.modern.url(NAME));
    for (at_legacy, at_modern, wrong) in [
        (&modern, &legacy, "the address of legacy says that it is modern"),
        (&modern, &modern, "the address of legacy says that it is modern"),
        (&legacy, &legacy, "the address of modern says that it is legacy"),
    ] {
        let mut site = Site::new(env!("CARGO_BIN_EXE_strangler"), at_legacy.clone(), at_modern.clone(), CONTRACT);
        site.control = kept.control.url(NAME);
        for command in [&["check"][..], &["init"], &["sides", "show"], &["reconcile", "stock", "--who", "ada"]] {
            let (told, well) = site.run(command).await;
            assert!(!well && told.contains(wrong), "{command:?}: {told}");
        }
        let mut replica = site.launch("wrong", 0, 0);
        tokio::time::timeout(Duration::from_secs(90), async {
            while !replica.has_ended() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .expect("it ends");
        assert!(site.log("wrong").contains(wrong), "{}", site.log("wrong"));
        replica.kill();
    }
    assert_eq!(suspended(&kept).await, (Some(0), Some(0)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(suspended(&kept).await, (Some(0), Some(0)));
    kept.stands("A", 2).await;
    kept.both_have(&[("A", 2)]).await;
}

/// Legacy was primary when the copy was made, and is not now.
#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_restored_to_before_it_gave_the_authority_away_is_closed_by_its_raise() {
    let kept = Kept::new().await;
    kept.stands("A", 1).await;
    let copy = back_up(&kept.legacy).await;
    kept.stands("A", 2).await;
    set(&kept, &["--stage", "shift", "--reads", "100"]).await;
    let hand = ["groups", "handover", "stock", "--to", "modern", "--reason", "x", "--who", "ada"];
    kept.site.must_run(&hand).await;
    kept.until_remembered(Side::Legacy).await;
    put_back(&kept.legacy, &copy).await;
    kept.until_suspended(Side::Legacy, true).await;

    kept.raise(Side::Legacy, &[]).await;
    kept.site.must_run(&["check"]).await;
    eventually("a write is acknowledged", || async { kept.put("B", 3).await.is_ok() }).await;
    let waiting = "SELECT count(*) FROM strangler_ledger WHERE state = 'unsettled'";
    eventually("all is settled", || async { number(&kept.modern, waiting).await == Some(0) }).await;
    kept.both_have(&[("A", 2), ("B", 3)]).await;
}
