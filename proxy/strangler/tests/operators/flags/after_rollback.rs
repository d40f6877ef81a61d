//! After a rollback a flag must stand before it raises anything, whoever answers for it. Time is paused.

use super::*;

#[tokio::test(start_paused = true)]
async fn after_a_rollback_the_flag_is_not_listened_to_until_another_value_has_stood() {
    for who in ["ada", "guard"] {
        let site = Site::new(&[]).await;
        let mut governor = site.governor("a").await;
        site.says(json!(25));
        governor.round().await.unwrap();
        assert_eq!(site.reads().await, 25.0);
        site.roll_back(who).await;
        for _ in 0..3 {
            governor.round().await.unwrap();
            site.later(SETTLE).await;
        }
        assert_eq!(site.reads().await, 0.0);
        // A replica that starts now has not seen what the flag said: it waits all the same.
        let mut fresh = site.governor("a").await;
        fresh.round().await.unwrap();
        assert_eq!(site.reads().await, 0.0);
        site.says(json!(5));
        governor.round().await.unwrap();
        site.later(SETTLE - Duration::from_secs(1)).await;
        governor.round().await.unwrap();
        assert_eq!(site.reads().await, 0.0, "it may be a slip");
        site.later(Duration::from_secs(1)).await;
        governor.round().await.unwrap();
        assert_eq!(site.reads().await, 5.0, "somebody has thought again");
    }
}

#[tokio::test(start_paused = true)]
async fn two_servers_behind_one_address_that_disagree_undo_no_rollback() {
    let site = Site::new(&[]).await;
    let mut governor = site.governor("a").await;
    for value in [25, 50] {
        site.says(json!(value));
        governor.round().await.unwrap();
    }
    site.roll_back("guard").await;
    let version = site.last().await.rollout.version;
    for round in 0..400 {
        site.says([json!(25), json!(50), json!(50)][round % 3].clone());
        governor.round().await.unwrap();
        site.later(Duration::from_secs(2)).await;
    }
    assert_eq!((site.reads().await, site.last().await.rollout.version), (0.0, version));
    let said = site.desk.notices.of(&inventory());
    assert!(said.len() == 1 && said[0].contains("is not listened to"), "{said:?}");
    // A look that finds no value begins the wait anew, too.
    site.says(json!(10));
    for _ in 0..3 {
        governor.round().await.unwrap();
        site.later(SETTLE * 2 / 3).await;
        std::fs::remove_file(site.file()).unwrap();
        governor.round().await.unwrap();
        site.says(json!(10));
    }
    assert_eq!(site.reads().await, 0.0);
    // and a person may do what the flag may not.
    site.set(25.0).await;
    assert_eq!(site.reads().await, 25.0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_with_its_old_value_does_not_undo_a_rollback() {
    let site = Site::new(&[]).await;
    let mut governor = site.governor("a").await;
    site.says(json!(25));
    governor.round().await.unwrap();
    site.roll_back("guard").await;
    governor.round().await.unwrap();
    // Somebody sets the flag to 0 as well; then the server restarts, and answers from its backup.
    for value in [0, 25, 25] {
        site.says(json!(value));
        governor.round().await.unwrap();
        site.later(SETTLE * 2).await;
        governor.round().await.unwrap();
    }
    assert_eq!(site.reads().await, 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_replicas_see_differently_raises_a_group_so_often_an_hour_and_ends_with_less_of_modern() {
    let site = Site::new(&[]).await;
    let (mut a, mut b) = (site.governor("a").await, site.governor("b").await);
    for _ in 0..40 {
        // The first replica is heard of, and is not, and is.
        site.later(Duration::from_secs(4)).await;
        site.says(json!(10));
        a.round().await.unwrap();
        site.control.retire(&"a".into()).await.unwrap();
        site.says(json!(50));
        b.round().await.unwrap();
    }
    let history = site.control.history(Some(&inventory()), 500).await.unwrap();
    let reads = |record: &RolloutRecord| record.rollout.policy(&inventory()).reads();
    let raised = history.windows(2).filter(|pair| reads(&pair[0]) > reads(&pair[1])).count();
    assert_eq!((raised, site.reads().await), (6, 10.0));
    let said = site.desk.notices.of(&inventory());
    assert!(said[0].contains("6 times within an hour"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flag_that_agreed_with_the_rollback_is_heard_when_something_else_has_stood() {
    let site = Site::new(&[]).await;
    let mut governor = site.governor("a").await;
    site.set(25.0).await;
    site.says(json!(0));
    site.roll_back("ada").await;
    governor.round().await.unwrap();
    site.says(json!(25));
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 0.0);
    site.later(SETTLE).await;
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 25.0);
}
