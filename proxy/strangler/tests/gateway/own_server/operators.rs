//! Operators move a running fleet.

use testkit::fleet::Replica;

use super::fleet::{Fleet, reads};

async fn all_read(replicas: &[Replica], share: f64) {
    for replica in replicas {
        assert!((reads(replica).await - share).abs() < 1e-9, "{} instead of {share}", reads(replica).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_reaches_every_replica_within_a_second_and_survives_restarts() {
    let fleet = Fleet::new().await;
    let mut replicas =
        vec![fleet.site.start("one").await, fleet.site.start("two").await, fleet.site.start("three").await];
    // WHEN an operator shifts reads, up and down
    for (percent, share) in [("25", 0.25), ("100", 1.0), ("12.5", 0.125)] {
        let told = fleet.set(&["--stage", "shift", "--reads", percent]).await;
        // THEN the command saw all replicas work under it, within a second
        assert_eq!(told["acknowledged"].as_array().map(Vec::len), Some(3), "{told}");
        assert!(told["millis"].as_u64() < Some(1_000), "{told}");
        all_read(&replicas, share).await;
    }
    // and neither a power cut nor a deploy changes a percentage
    let first = &mut replicas[0];
    first.kill();
    *first = fleet.site.start("one").await;
    assert!(replicas[1].terminate().await);
    replicas[1] = fleet.site.start("two").await;
    all_read(&replicas, 0.125).await;
    // and the way back asks nothing
    let text = fleet.site.must_run(&["--json", "groups", "rollback", "inventory", "--who", "tester"]).await;
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["done"], true, "{told}");
    assert!(told["millis"].as_u64() < Some(1_000), "{told}");
    all_read(&replicas, 0.0).await;
    let history = fleet.site.must_run(&["groups", "history", "inventory"]).await;
    assert!(history.contains("tester") && history.contains("a test"), "{history}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_percentage_or_group_is_changes_nothing() {
    let fleet = Fleet::new().await;
    fleet.set(&["--stage", "shift", "--reads", "25"]).await;
    let before = fleet.site.must_run(&["--json", "groups", "show", "inventory"]).await;
    for wrong in [
        ["inventory", "--reads", "101"],
        ["inventory", "--reads", "-1"],
        ["inventory", "--reads", "12.345"],
        ["inventory", "--stage", "reverse"],
        ["inventory", "--stage", "later"],
        ["inventery", "--reads", "50"],
    ] {
        let set = [&["groups", "set", "--reason", "a test", "--who", "tester"], wrong.as_slice()].concat();
        let (text, ok) = fleet.site.run(&set).await;
        assert!(!ok, "{wrong:?}: {text}");
    }
    assert_eq!(fleet.site.must_run(&["--json", "groups", "show", "inventory"]).await, before);
}
