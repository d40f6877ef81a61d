//! Servers that come back without the last second: on the same log, with every mark that anybody remembers.

use model::Side;

use super::{Kept, connect, copy_folder, data, eventually, number, put_back};

/// What a crash of the whole machine would leave of a side now, and a lull in which no mark is made: the connection holds
/// them up until the server dies.
async fn last_moment(kept: &Kept, side: Side) -> (std::path::PathBuf, tokio_postgres::Client) {
    let server = kept.server(side);
    let holds_up = connect(server).await.unwrap();
    holds_up.batch_execute("BEGIN; LOCK TABLE strangler_mark IN EXCLUSIVE MODE").await.unwrap();
    // All that it knows is remembered elsewhere, so that its marks accuse nobody.
    let copy = server.folder().join("moment");
    server.pause().await.unwrap();
    copy_folder(&data(server), &copy);
    server.resume().await.unwrap();
    (copy, holds_up)
}

/// Nobody remembers a mark that it lacks. The first write would have been made from an old row, and have buried the lost one
/// on both sides.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_comes_back_without_its_last_writes_takes_none_before_a_person_has_decided() {
    let kept = Kept::new().await;
    kept.stands("A", 10).await;
    let (moment, holds_up) = last_moment(&kept, Side::Legacy).await;
    kept.stands("A", 7).await;
    kept.stands("B", 1).await;
    put_back(&kept.legacy, &moment).await;
    drop(holds_up);

    kept.until_suspended(Side::Legacy, true).await;
    let refused = kept.put("A", 9).await.unwrap_err();
    assert!(["UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&&*refused), "{refused}");
    assert_eq!(kept.show(Side::Legacy).await["lost"], 2);
    let (shown, well) = kept.site.run(&["sides", "show"]).await;
    assert!(!well && shown.contains("lacks 2 acknowledged writes"), "{shown}");

    kept.raise(Side::Legacy, &["--lost", "bring-back"]).await;
    kept.stands("C", 1).await;
    kept.both_have(&[("A", 7), ("B", 1), ("C", 1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_comes_back_without_its_last_writes_gets_them_by_itself() {
    let kept = Kept::new().await;
    kept.stands("A", 10).await;
    let (moment, holds_up) = last_moment(&kept, Side::Modern).await;
    kept.stands("A", 7).await;
    kept.stands("B", 1).await;
    put_back(&kept.modern, &moment).await;
    drop(holds_up);

    eventually("it was raised", || async { kept.show(Side::Modern).await["life"]["incarnation"] == 2 }).await;
    kept.until_settled().await;
    kept.both_have(&[("A", 7), ("B", 1)]).await;
}

/// Standing still until the secondary is back would make its outage one of the clients.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_started_while_the_secondary_is_down_goes_on_and_says_what_it_owes() {
    let kept = Kept::new().await;
    kept.stands("A", 10).await;
    kept.modern.kill().await.unwrap();
    kept.legacy.kill().await.unwrap();
    kept.legacy.restart().await.unwrap();

    eventually("a write is acknowledged", || async { kept.put("A", 9).await.is_ok() }).await;
    assert!(
        kept.site.log("a").contains("legacy was started anew, and modern cannot be asked"),
        "{}",
        kept.site.log("a")
    );

    let (shown, well) = kept.site.run(&["sides", "show"]).await;
    for told in
        ["It was started anew, and modern could not be asked", "What it lacks is not known", "modern: modern could not"]
    {
        assert!(!well && shown.contains(told), "{told}: {shown}");
    }

    kept.modern.restart().await.unwrap();
    eventually("nothing is owed", || async {
        kept.show(Side::Legacy).await["life"]["unasked"].is_null() && kept.site.run(&["sides", "show"]).await.1
    })
    .await;
    kept.stands("B", 2).await;
    kept.both_have(&[("A", 9), ("B", 2)]).await;
}

/// It went on without what it had lost, and a client has written from there. The lost write is not brought back beneath that,
/// by half or whole, and what the other side shows of it stays there until it was asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_before_a_later_write_is_named_and_can_only_be_given_up() {
    let kept = Kept::new().await;
    kept.stands("A", 10).await;
    kept.stands("B", 10).await;
    let (moment, holds_up) = last_moment(&kept, Side::Legacy).await;
    kept.stands("A", 7).await;
    kept.stands("B", 7).await;
    kept.modern.kill().await.unwrap();
    put_back(&kept.legacy, &moment).await;
    drop(holds_up);
    eventually("it goes on", || async { kept.put("A", 9).await.is_ok() }).await;
    kept.modern.restart().await.unwrap();
    kept.until_suspended(Side::Legacy, true).await;
    assert_eq!(number(&kept.modern, "SELECT on_hand::int8 FROM shelf WHERE id = 'A'").await, Some(7));

    let order = ["sides", "raise", "legacy", "--reason", "x", "--who", "ada", "--lost"];
    let (told, well) = kept.site.run(&[&order[..], &["bring-back"]].concat()).await;
    assert!(!well && told.contains("1 rows are in the way") && told.contains("a later write since"), "{told}");
    assert!(kept.put("C", 1).await.is_err(), "it stays suspended");
    kept.raise(Side::Legacy, &["--lost", "give-up"]).await;
    kept.stands("C", 1).await;
    kept.both_have(&[("A", 9), ("B", 7), ("C", 1)]).await;
}
