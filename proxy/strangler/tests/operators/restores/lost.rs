//! What becomes of acknowledged writes that a restored primary has lost, by order, while clients go on and repeat.

use std::cell::Cell;
use std::process::Stdio;
use std::time::Duration;

use model::Side;
use serde_json::Value as Json;

use super::{Kept, back_up, connect, eventually, put_back};

/// One write of each kind, with the key that its client gives it.
const LOST: [(&str, &str); 8] = [
    ("k1", "adjust(id: \"P0\", by: -3) { id onHand }"),
    ("k2", "move(from: \"P1\", to: \"P2\", quantity: 4) { id onHand }"),
    ("k3", "put(id: \"NEW\", onHand: 1) { id onHand }"),
    ("k4", "drop(id: \"P3\")"),
    ("k5", "carry(from: \"P4\", to: \"P5\", off: -2, on: 2) { id onHand }"),
    ("k6", "clear(id: \"NONE\")"),
    // Made, removed and made again.
    ("k7", "drop(id: \"P6\")"),
    ("k8", "put(id: \"P6\", onHand: 77) { id onHand }"),
];

const AFTER: [(&str, i64); 7] = [("NEW", 1), ("P0", 7), ("P1", 6), ("P2", 14), ("P4", 8), ("P5", 12), ("P6", 77)];
const BEFORE: [(&str, i64); 7] = [("P0", 10), ("P1", 10), ("P2", 10), ("P3", 10), ("P4", 10), ("P5", 10), ("P6", 10)];

impl Kept {
    /// Legacy is a copy from before the writes of [`LOST`], which modern has; and what their clients were answered. More
    /// shelves than these hold what they are given here.
    async fn restored(more: &[(&str, i64)]) -> (Self, Vec<Json>) {
        let kept = Self::with(include_str!("lost.graphql")).await;
        for (shelf, on_hand) in BEFORE.iter().chain(more) {
            kept.stands(shelf, *on_hand).await;
        }
        let copy = back_up(&kept.legacy).await;
        eventually("it takes writes", || async { kept.put("P0", 10).await.is_ok() }).await;
        for (shelf, on_hand) in more {
            kept.done(&format!("put(id: \"{shelf}\", onHand: {}) {{ id }}", on_hand - 10), shelf).await;
        }
        let mut answers = Vec::new();
        for (key, mutation) in LOST {
            answers.push(kept.done(mutation, key).await);
        }
        kept.until_settled().await;
        kept.until_remembered(Side::Legacy).await;
        put_back(&kept.legacy, &copy).await;
        kept.until_suspended(Side::Legacy, true).await;
        (kept, answers)
    }

    /// Asks until it is acknowledged.
    async fn done(&self, mutation: &str, key: &str) -> Json {
        let begin = tokio::time::Instant::now();
        loop {
            let answer = self.ask(mutation, Some(key)).await;
            if answer.get("errors").is_none() {
                return answer;
            }
            assert!(begin.elapsed() < Duration::from_secs(40), "{mutation}: {answer}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A client that takes one off, again and again, until it is told to stop; how often it did.
    async fn takes_one_off(&self, shelf: &str, stop: &Cell<bool>) -> i64 {
        let mut taken = 0;
        while !stop.get() {
            self.done(&format!("adjust(id: \"{shelf}\", by: -1) {{ id }}"), &format!("{shelf} {taken}")).await;
            taken += 1;
        }
        taken
    }

    /// Each repeat is told its first result, that of a saga whose log was lost, too.
    async fn repeats_are_told(&self, answers: &[Json]) {
        for ((key, mutation), first) in LOST.iter().zip(answers) {
            assert_eq!(self.done(mutation, key).await, *first);
        }
        self.until_settled().await;
    }

    /// Gives the order, and kills it after so long; whether it was at its end before.
    async fn killed_after(&self, order: &[&str], millis: u64) -> bool {
        let mut command = tokio::process::Command::new(&self.site.binary);
        command.arg("--config").arg(self.site.config("operator", 1, 1)).args(order);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        match tokio::time::timeout(Duration::from_millis(millis), child.wait()).await {
            Ok(ended) => ended.unwrap().success(),
            Err(_) => {
                child.kill().await.unwrap();
                false
            }
        }
    }

    async fn hand_over_and_back(&self) {
        let set = [
            "groups",
            "set",
            "stock",
            "--stage",
            "shift",
            "--reads=100",
            "--past-gates",
            "--reason",
            "x",
            "--who",
            "ada",
        ];
        self.site.must_run(&set).await;
        for side in ["modern", "legacy"] {
            self.site.must_run(&["groups", "handover", "stock", "--to", side, "--reason", "x", "--who", "ada"]).await;
        }
    }
}

const ORDER: [&str; 7] = ["sides", "raise", "legacy", "--reason", "restored", "--who", "ada"];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_is_back_with_its_keys_before_a_client_writes_however_often_the_order_is_killed() {
    // GIVEN a copy that lacks acknowledged writes, and clients that try all the while
    let hot = [("H0", 500), ("H1", 500)];
    let (kept, answers) = Kept::restored(&hot).await;
    let (stop, bring_back) = (Cell::new(false), [&ORDER[..], &["--lost", "bring-back"]].concat());

    // WHEN the order is killed at any point, and repeated
    let order = async {
        for millis in [60, 120, 180, 240, 300, 400, 600] {
            if kept.killed_after(&bring_back, millis).await {
                break;
            }
        }
        eventually("the order is at its end", || async {
            let (told, done) = kept.site.run(&bring_back).await;
            done || told.contains("needs no raise")
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.set(true);
    };
    let clients = async { tokio::join!(kept.takes_one_off("H0", &stop), kept.takes_one_off("H1", &stop)) };
    let ((), (first, second)) = tokio::join!(order, clients);
    assert!(first > 0 && second > 0, "{first} {second}");

    // THEN every acknowledged write is on both sides once, and a repeat is told its first result and changes nothing
    kept.until_settled().await;
    let all = [&[("H0", 490 - first), ("H1", 490 - second)][..], &AFTER].concat();
    kept.both_have(&all).await;
    kept.repeats_are_told(&answers).await;
    kept.both_have(&all).await;
    kept.hand_over_and_back().await;
    kept.repeats_are_told(&answers).await;
    kept.both_have(&all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_erps_users_did_on_the_copy_is_named_and_left_unless_the_order_says_otherwise() {
    // GIVEN users of the ERP who work on the copy at once: they change, remove and make rows that lost writes touched
    let (kept, answers) = Kept::restored(&[]).await;
    let users = "UPDATE SHELF SET QTY = 500 WHERE ID = 'P0'; DELETE FROM SHELF WHERE ID = 'P1'; \
                 INSERT INTO SHELF VALUES ('NEW', 77, NULL); UPDATE SHELF SET QTY = 300 WHERE ID = 'P3'; \
                 UPDATE SHELF SET QTY = 400 WHERE ID = 'P6'";
    let erp = connect(&kept.legacy).await.unwrap();
    erp.batch_execute(users).await.unwrap();

    // WHEN it is ordered: each of these rows is named, none is changed, and nobody writes; all else is back
    let bring_back = [&ORDER[..], &["--lost", "bring-back"]].concat();
    for _ in 0..2 {
        let output = kept.site.call(&bring_back).await;
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        let named: Vec<&str> = told.lines().filter(|line| line.contains("\"]: ")).collect();
        assert_eq!(named.len(), 5, "{told}");
        for shelf in ["P0", "P1", "NEW", "P3", "P6"] {
            assert!(named.iter().any(|line| line.contains(&format!("[\"{shelf}\"]"))), "{told}");
        }
        assert!(told.contains("stays suspended"), "{told}");
        let rows = erp.query("SELECT trim(ID), QTY::int8 FROM SHELF ORDER BY 1", &[]).await.unwrap();
        let rows: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let wanted = [("NEW", 77), ("P0", 500), ("P2", 10), ("P3", 300), ("P4", 8), ("P5", 12), ("P6", 400)];
        assert_eq!(rows, wanted.map(|(id, qty)| (id.to_owned(), qty)), "a write of two keys is whole or not at all");
        assert!(kept.put("P4", 1).await.is_err());
    }

    // THEN what nobody knows is overwritten by an order of its own, and the rest by the other one
    let (told, done) = kept.site.run(&[&bring_back[..], &["--over-unproven"]].concat()).await;
    assert!(!done && told.contains("1 rows were overwritten that we had never written"), "{told}");
    let (told, done) = kept.site.run(&[&bring_back[..], &["--over-foreign"]].concat()).await;
    assert!(done && told.contains("4 rows that somebody else had changed were overwritten"), "{told}");
    kept.repeats_are_told(&answers).await;
    kept.both_have(&AFTER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_what_was_given_up_is_executed_settles_and_bars_no_handover() {
    let (kept, _) = Kept::restored(&[]).await;
    let give_up = [&ORDER[..], &["--lost", "give-up"]].concat();
    for millis in [100, 200, 300] {
        kept.killed_after(&give_up, millis).await;
    }
    eventually("the order is at its end", || async {
        let (told, done) = kept.site.run(&give_up).await;
        done || told.contains("needs no raise")
    })
    .await;
    kept.both_have(&BEFORE).await;
    for (key, mutation) in LOST {
        if !mutation.starts_with("carry") {
            kept.done(mutation, key).await;
            continue;
        }
        // What was given up of a saga is undone: under its key it has an end.
        eventually("the saga has ended", || async {
            let told = kept.ask(mutation, Some(key)).await;
            told["errors"][0]["extensions"]["code"] == "SAGA_GIVEN_UP"
        })
        .await;
    }
    kept.until_settled().await;
    let after = AFTER.map(|(shelf, on_hand)| (shelf, if ["P4", "P5"].contains(&shelf) { 10 } else { on_hand }));
    kept.both_have(&after).await;
    kept.hand_over_and_back().await;
    kept.both_have(&after).await;
}
