//! Databases that go back to an older copy.

use model::Side;
use serde_json::json;

use super::{Kept, back_up, put_back};

/// Legacy's copy is the older one: what modern has of its lost writes is listed, and is brought back by order.
#[tokio::test(flavor = "multi_thread")]
async fn both_sides_restored_with_the_secondary_ahead_lose_only_what_neither_copy_has_and_say_so() {
    // GIVEN copies of two moments, and writes between and after them
    let kept = Kept::new().await;
    kept.stands("A", 1).await;
    let legacy = back_up(&kept.legacy).await;
    kept.stands("A", 2).await;
    kept.stands("B", 2).await;
    let modern = back_up(&kept.modern).await;
    kept.stands("B", 3).await;
    kept.until_remembered(Side::Legacy).await;
    kept.until_remembered(Side::Modern).await;

    // WHEN both are put back, while the replica serves
    put_back(&kept.legacy, &legacy).await;
    put_back(&kept.modern, &modern).await;

    // THEN nothing is acknowledged, and what is missing is told: what stands on modern only, and since when neither has it
    kept.until_suspended(Side::Legacy, true).await;
    kept.until_suspended(Side::Modern, true).await;
    let refused = kept.put("C", 1).await.unwrap_err();
    assert!(["UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&&*refused), "{refused}");
    assert_eq!(kept.show(Side::Legacy).await["lost"], 2);
    let (shown, well) = kept.site.run(&["sides", "show"]).await;
    assert!(!well && shown.contains("is on neither side"), "{shown}");
    for shelf in ["[\"A\"]", "[\"B\"]"] {
        assert!(shown.contains(&format!("Shelf {shelf}")), "{shown}");
    }
    let (undecided, raised) = kept.site.run(&["sides", "raise", "legacy", "--reason", "x", "--who", "ada"]).await;
    assert!(!raised && undecided.contains("say what becomes of 2 lost writes"), "{undecided}");

    // AND after the two orders both have what either copy had
    kept.raise(Side::Legacy, &["--lost", "bring-back"]).await;
    kept.raise(Side::Modern, &[]).await;
    kept.stands("C", 4).await;
    kept.both_have(&[("A", 2), ("B", 2), ("C", 4)]).await;
}

/// Modern's copy is the older one: legacy's ledger knows what it has to bring again.
#[tokio::test(flavor = "multi_thread")]
async fn both_sides_restored_with_the_primary_ahead_are_level_after_two_orders() {
    let kept = Kept::new().await;
    kept.stands("A", 1).await;
    let modern = back_up(&kept.modern).await;
    kept.stands("A", 2).await;
    kept.stands("B", 2).await;
    let legacy = back_up(&kept.legacy).await;
    kept.stands("B", 3).await;
    kept.until_remembered(Side::Legacy).await;
    kept.until_remembered(Side::Modern).await;
    put_back(&kept.legacy, &legacy).await;
    put_back(&kept.modern, &modern).await;

    kept.until_suspended(Side::Legacy, true).await;
    kept.until_suspended(Side::Modern, true).await;
    assert_eq!(kept.show(Side::Legacy).await["lost"], 0);
    kept.raise(Side::Legacy, &[]).await;
    // Of the last write the copy may lack that it is settled: then the relay brings it anyway.
    assert!(kept.show(Side::Modern).await["toBring"].as_u64() >= Some(1));
    kept.raise(Side::Modern, &[]).await;
    kept.stands("C", 4).await;
    kept.both_have(&[("A", 2), ("B", 2), ("C", 4)]).await;
}

/// One moment, as a snapshot of the whole machine room has it: neither side accuses the other, the control database does.
#[tokio::test(flavor = "multi_thread")]
async fn both_sides_restored_to_one_moment_take_writes_again_after_two_orders() {
    let kept = Kept::new().await;
    kept.stands("A", 1).await;
    let (legacy, modern) = (back_up(&kept.legacy).await, back_up(&kept.modern).await);
    kept.stands("A", 2).await;
    kept.until_remembered(Side::Legacy).await;
    kept.until_remembered(Side::Modern).await;
    put_back(&kept.legacy, &legacy).await;
    put_back(&kept.modern, &modern).await;

    kept.until_suspended(Side::Legacy, true).await;
    kept.until_suspended(Side::Modern, true).await;
    let (shown, well) = kept.site.run(&["sides", "show"]).await;
    assert!(!well && shown.contains("is on neither side"), "{shown}");
    kept.raise(Side::Legacy, &[]).await;
    kept.raise(Side::Modern, &[]).await;
    kept.stands("B", 3).await;
    kept.both_have(&[("A", 1), ("B", 3)]).await;
}

/// It remembers less than the others, which accuses nobody; and nothing is lost by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_control_database_restored_to_an_older_moment_stops_no_write() {
    let kept = Kept::new().await;
    kept.stands("A", 1).await;
    let control = back_up(&kept.control).await;
    kept.stands("A", 2).await;
    kept.until_remembered(Side::Legacy).await;
    put_back(&kept.control, &control).await;

    kept.stands("A", 3).await;
    kept.until_remembered(Side::Legacy).await;
    kept.until_suspended(Side::Legacy, false).await;
    let life = kept.show(Side::Legacy).await;
    assert_eq!(life["life"]["incarnation"], json!(1), "{life}");
    kept.both_have(&[("A", 3)]).await;
}

/// What the copy says of the authority is older than two handovers: whoever was primary in between has given it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_restored_to_before_two_handovers_takes_writes_again_and_nothing_is_lost() {
    // GIVEN writes before, between and after two handovers, and a copy of before both
    let kept = Kept::new().await;
    for shelf in ["A", "B", "C"] {
        kept.stands(shelf, 1).await;
    }
    let copy = back_up(&kept.legacy).await;
    kept.stands("A", 2).await;
    let hand_over = async |to: &str| {
        kept.site.must_run(&["groups", "handover", "stock", "--to", to, "--reason", "x", "--who", "ada"]).await;
    };
    let set = [
        "groups",
        "set",
        "stock",
        "--past-gates",
        "--stage",
        "shift",
        "--reads",
        "100",
        "--reason",
        "x",
        "--who",
        "ada",
    ];
    kept.site.must_run(&set).await;
    hand_over("modern").await;
    kept.stands("B", 2).await;
    hand_over("legacy").await;
    kept.stands("C", 2).await;
    kept.until_remembered(Side::Legacy).await;
    kept.until_remembered(Side::Modern).await;

    // WHEN it is put back
    put_back(&kept.legacy, &copy).await;
    kept.until_suspended(Side::Legacy, true).await;
    assert!(kept.put("A", 9).await.is_err());
    let told = kept.raise(Side::Legacy, &["--lost", "bring-back"]).await;
    assert!(told.contains("legacy takes writes again"), "{told}");

    // THEN it is primary again, all that was acknowledged stands on both sides, and what is written now is newer
    kept.both_have(&[("A", 2), ("B", 2), ("C", 2)]).await;
    for shelf in ["A", "B", "C"] {
        kept.stands(shelf, 3).await;
    }
    kept.both_have(&[("A", 3), ("B", 3), ("C", 3)]).await;
    let set = [
        "groups",
        "set",
        "stock",
        "--past-gates",
        "--stage",
        "shift",
        "--reads",
        "100",
        "--reason",
        "x",
        "--who",
        "ada",
    ];
    kept.site.must_run(&set).await;
    hand_over("modern").await;
    kept.stands("B", 4).await;
    hand_over("legacy").await;
    kept.both_have(&[("A", 3), ("B", 4), ("C", 3)]).await;
}
