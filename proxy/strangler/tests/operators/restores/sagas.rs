//! Sagas of which a restored side has lost something: their log, or a step. Each is in another state when the server dies.
//! Whatever a person decides, each ends whole or undone, or is shown as stuck; no step stands twice; and a repeat is told
//! the truth.

use std::time::Duration;

use model::Side;
use serde_json::Value as Json;

use super::{Kept, back_up, connect, eventually, number, put_back, rows};

/// Each with the key and the name of its slip, from where, and to where a piece goes.
const DONE: [&str; 3] = ["S1", "A0", "A1"];
const UNDONE: [&str; 3] = ["S2", "B0", "NOWHERE"];
const BETWEEN: [&str; 3] = ["S3", "C0", "C1"];
const TURNED: [&str; 3] = ["S4", "D0", "D1"];
const BEGUN: [&str; 3] = ["S5", "F0", "F1"];
const ALL: [[&str; 3]; 5] = [DONE, UNDONE, BETWEEN, TURNED, BEGUN];

/// Two groups, the log of whose sagas is on `log`: it is primary of the shelves, and the other side of the slips.
struct Scene {
    kept: Kept,
    log: Side,
}

impl Scene {
    async fn new(log: Side) -> Self {
        let kept = Kept::with(include_str!("sagas.graphql")).await;
        let set = ["groups", "set", "slips", "--stage", "dual-write", "--reason", "x", "--who", "ada"];
        kept.site.must_run(&set).await;
        let moved = match log {
            Side::Legacy => "slips",
            Side::Modern => "stock",
        };
        let set = [
            "groups",
            "set",
            moved,
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
        kept.site.must_run(&["groups", "handover", moved, "--to", "modern", "--reason", "x", "--who", "ada"]).await;
        let scene = Self { kept, log };
        for shelf in ["A0", "A1", "B0", "C0", "C1", "D0", "D1", "F0", "F1"] {
            eventually("a write is acknowledged", || async { scene.kept.put(shelf, 10).await.is_ok() }).await;
        }
        scene.settled().await;
        scene
    }

    async fn settled(&self) {
        let unsettled = "SELECT count(*) FROM strangler_ledger WHERE state = 'unsettled'";
        for side in Side::BOTH {
            let none = || async { number(self.kept.server(side), unsettled).await == Some(0) };
            eventually("all is settled", none).await;
        }
    }

    async fn ship(&self, [slip, from, to]: [&str; 3]) -> Json {
        let ship = format!("ship(id: \"{slip}\", from: \"{from}\", to: \"{to}\", off: -1, on: 1) {{ id pieces }}");
        self.kept.ask(&ship, Some(slip)).await
    }

    /// What the client is told at last: nothing, or the code of the refusal.
    async fn ends(&self, saga: [&str; 3]) -> Option<String> {
        let begin = tokio::time::Instant::now();
        loop {
            let told = self.ship(saga).await;
            let code = told["errors"][0]["extensions"]["code"].as_str().map(str::to_owned);
            let waits = ["SAGA_UNDER_WAY", "UNAVAILABLE", "DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN"];
            if !code.as_deref().is_some_and(|code| waits.contains(&code)) {
                if code.is_none() {
                    assert_eq!(told["data"]["ship"]["pieces"], 1, "{told}");
                }
                return code;
            }
            assert!(begin.elapsed() < Duration::from_secs(80), "{saga:?}: {told}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A session that holds the row of a shelf, where the authority is.
    async fn holding(&self, shelf: &str) -> tokio_postgres::Client {
        let session = connect(self.kept.server(self.log)).await.unwrap();
        let lock = format!("BEGIN; SELECT FROM shelf WHERE id = '{shelf}' FOR UPDATE");
        session.batch_execute(&lock).await.unwrap();
        session
    }

    async fn counts(&self, side: Side, text: &str, wanted: i64) {
        let counted = || async { number(self.kept.server(side), text).await == Some(wanted) };
        eventually(text, counted).await;
    }

    /// Has each saga in its state. What is returned holds the locks that keep them there.
    async fn sagas_under_way(&self) -> Vec<tokio_postgres::Client> {
        assert_eq!(self.ends(DONE).await, None);
        assert_eq!(self.ends(UNDONE).await.as_deref(), Some("NOT_FOUND"));
        let (between, turned, begun) =
            tokio::join!(self.holding(BETWEEN[2]), self.holding(TURNED[2]), self.holding(BEGUN[1]));
        let (one, two, three) = tokio::join!(self.ship(BETWEEN), self.ship(TURNED), self.ship(BEGUN));
        for told in [one, two, three] {
            let code = told["errors"][0]["extensions"]["code"].as_str().unwrap_or_default();
            assert!(["SAGA_UNDER_WAY", "DEADLINE_EXCEEDED"].contains(&code), "{told}");
        }
        // It waits to give; now that shelf goes away, and the one from which it has taken is held.
        self.counts(self.log.other(), "SELECT count(*) FROM slip WHERE id IN ('S1', 'S3', 'S4')", 3).await;
        let taken = self.holding(TURNED[1]).await;
        turned.batch_execute(&format!("DELETE FROM shelf WHERE id = '{}'; COMMIT", TURNED[2])).await.unwrap();
        self.counts(self.log.other(), "SELECT count(*) FROM slip WHERE id IN ('S1', 'S3', 'S4')", 2).await;
        self.settled().await;
        vec![between, begun, taken]
    }

    /// As `sagas_under_way`, and then the side goes back to a copy of before. Where the log's own side did not, the locks
    /// still hold.
    async fn restored(log: Side, side: Side) -> (Self, Vec<tokio_postgres::Client>) {
        let scene = Self::new(log).await;
        let copy = back_up(scene.kept.server(side)).await;
        eventually("it takes writes", || async { scene.kept.put("Z", 1).await.is_ok() }).await;
        eventually("both take sagas", || async { scene.ship(["S0", "Z", "Z"]).await.get("errors").is_none() }).await;
        let locks = scene.sagas_under_way().await;
        scene.kept.until_remembered(side).await;
        put_back(scene.kept.server(side), &copy).await;
        scene.kept.until_suspended(side, true).await;
        (scene, locks)
    }

    async fn raise(&self, side: Side, decision: &str) -> String {
        self.kept.raise(side, &["--lost", decision]).await
    }

    async fn both_hold(&self, shelves: &[(&str, i64)], slips: &[&str]) {
        self.settled().await;
        for side in Side::BOTH {
            let (quantity, pieces) = match side {
                Side::Legacy => ("qty", "qty"),
                Side::Modern => ("on_hand", "pieces"),
            };
            let server = self.kept.server(side);
            let found = rows(server, &format!("SELECT trim(id), {quantity}::int8 FROM shelf WHERE id <> 'Z'")).await;
            let wanted = shelves.iter().map(|(id, on_hand)| ((*id).to_owned(), *on_hand)).collect();
            assert_eq!(found, wanted, "{side}");
            let found = rows(server, &format!("SELECT trim(id), {pieces}::int8 FROM slip WHERE id <> 'S0'")).await;
            let wanted = slips.iter().map(|id| ((*id).to_owned(), 1)).collect();
            assert_eq!(found, wanted, "{side}");
        }
    }
}

const WHOLE: [(&str, i64); 8] =
    [("A0", 9), ("A1", 11), ("B0", 10), ("C0", 9), ("C1", 11), ("D0", 10), ("F0", 9), ("F1", 11)];

/// The log went back with all steps on its side; what they have left on the other side stands.
async fn a_lost_log_is_back(log: Side) {
    let (scene, _) = Scene::restored(log, log).await;
    // A repeat meanwhile begins nothing
    for saga in ALL {
        let told = scene.ship(saga).await;
        let code = told["errors"][0]["extensions"]["code"].as_str().unwrap_or_default();
        assert!(["UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&code), "{saga:?}: {told}");
    }
    let told = scene.raise(log, "bring-back").await;
    assert!(told.contains("sagas that the log of"), "{told}");
    // Each ends by itself, without its client
    let open = "SELECT count(*) FROM strangler_saga WHERE status IN ('running', 'compensating', 'stuck')";
    scene.counts(log, open, 0).await;
    scene.both_hold(&WHOLE, &["S1", "S3", "S5"]).await;
    // and tells its client how, as often as it asks
    for _ in 0..2 {
        for (saga, code) in ALL.into_iter().zip([None, Some("NOT_FOUND"), None, Some("NOT_FOUND"), None]) {
            assert_eq!(scene.ends(saga).await.as_deref(), code, "{saga:?}");
        }
    }
    scene.both_hold(&WHOLE, &["S1", "S3", "S5"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sagas_whose_log_legacy_has_lost_go_on_and_tell_their_clients() {
    a_lost_log_is_back(Side::Legacy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sagas_whose_log_modern_has_lost_go_on_and_tell_their_clients() {
    a_lost_log_is_back(Side::Modern).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sagas_of_which_steps_are_given_up_are_undone_on_the_side_that_lost_nothing_too() {
    let (scene, _) = Scene::restored(Side::Legacy, Side::Legacy).await;
    scene.raise(Side::Legacy, "give-up").await;
    let codes = [Some("SAGA_GIVEN_UP"), Some("NOT_FOUND"), Some("SAGA_GIVEN_UP"), Some("NOT_FOUND"), None];
    for (saga, code) in ALL.into_iter().zip(codes) {
        assert_eq!(scene.ends(saga).await.as_deref(), code, "{saga:?}");
    }
    let back: Vec<(&str, i64)> = ["A0", "A1", "B0", "C0", "C1", "D0", "D1"].map(|shelf| (shelf, 10)).into();
    scene.both_hold(&[&back[..], &[("F0", 9), ("F1", 11)]].concat(), &["S5"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_its_side_has_lost_is_back_or_its_saga_is_undone_or_a_person_is_shown_it() {
    for decision in ["bring-back", "give-up"] {
        // GIVEN a log that lost nothing, on the other side than the slips
        let (scene, locks) = Scene::restored(Side::Legacy, Side::Modern).await;
        // WHEN what modern has lost of the slips is back, or given up
        scene.raise(Side::Modern, decision).await;
        drop(locks);
        if decision == "bring-back" {
            for (saga, code) in ALL.into_iter().zip([None, Some("NOT_FOUND"), None, Some("NOT_FOUND"), None]) {
                assert_eq!(scene.ends(saga).await.as_deref(), code, "{saga:?}");
            }
            scene.both_hold(&WHOLE, &["S1", "S3", "S5"]).await;
            continue;
        }
        // THEN a saga that was told to be done, and is so no more, waits for a person, and one that was undone stays so.
        assert_eq!(scene.ends(DONE).await.as_deref(), Some("SAGA_STUCK"));
        assert_eq!(scene.ends(UNDONE).await.as_deref(), Some("NOT_FOUND"));
        // Of one under way, a late attempt at its last step may stand, which has no undo: then it waits for a person, too.
        let told = scene.ends(BETWEEN).await;
        assert!(["SAGA_GIVEN_UP", "SAGA_STUCK"].contains(&told.as_deref().unwrap_or_default()), "{told:?}");
    }
}
