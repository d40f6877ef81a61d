//! What somebody without a login may try: to roll a group back, to blind the guard, or to fill our memory with it.
//! `docs/operate/attacks.md` lists these; each is one test here.

use std::cell::Cell;
use std::time::Duration;

use control_plane::guard::GuardState;
use data_plane::read::shadow::ShadowSettings;
use model::evidence::Verdict;
use model::{PerSide, Percentage, Side, Stage};
use testkit::faults::{Call, Fault};

use crate::guard::{Fleet, Guarded, reads, state};
use crate::rig::{Pace, Replica, until};
use crate::shelves::{MANY, Shelves, key, name, shelf, shelf_type};

impl Fleet {
    /// Asks this so often, on one replica, as one client does.
    async fn attack(&self, times: usize, query: impl Fn(usize) -> String) {
        for place in 0..times {
            self.replicas[0].replica.ask(&query(place)).await;
        }
    }

    /// While others read on, for longer than a window: modern still answers everything, and `is` is what guards find.
    async fn stands(&self, is: GuardState) {
        self.stands_while(is, |_| {}).await;
    }

    /// The same while somebody goes on.
    async fn stands_while(&self, is: GuardState, goes_on: impl Fn(&Guarded)) {
        // Long enough for a difference to be confirmed.
        let looks = Cell::new(0);
        self.read_until("other clients read on", |guarded| {
            goes_on(guarded);
            looks.set(looks.get() + 1);
            looks.get() > 60
        })
        .await;
        for guarded in &self.replicas {
            assert_eq!(reads(guarded), Percentage::FULL, "rolled back: {}", sentence(guarded));
            assert_eq!(state(guarded), Some(is), "{}", sentence(guarded));
        }
        assert!(self.recorded().await.is_empty());
    }
}

fn sentence(guarded: &Guarded) -> String {
    guarded.guard.views().first().map(|view| view.sentence.clone()).unwrap_or_default()
}

fn called(id: &str) -> String {
    format!("{{ shelvesCalled(id: {id:?}) {{ id onHand }} }}")
}

fn look(id: &str) -> String {
    format!("{{ shelf(id: {id:?}) {{ onHand }} }}")
}

#[tokio::test(start_paused = true)]
async fn a_blank_at_the_end_or_another_case_rolls_nothing_back() {
    let fleet = Fleet::well().await;
    // WHEN one client asks for every shelf in spellings that only legacy takes for the same
    fleet.attack(MANY, |place| called(&format!("{} ", name(place)))).await;
    fleet.attack(MANY, |place| called(&name(place).to_lowercase())).await;
    fleet.attack(20, |_| called("")).await;
    fleet.attack(MANY, |place| look(&format!("{} ", name(place)))).await;
    // THEN that is a matter of how it was asked
    fleet.stands(GuardState::Well).await;
    let observed = fleet.replicas[0].replica.observed.lock();
    assert!(observed.iter().all(|seen| seen.verdict != Verdict::Mismatch));
    let spelled = observed.iter().filter(|seen| seen.reason.as_deref() == Some("spelling")).count();
    assert!(spelled >= MANY, "{spelled} were left out");
}

#[tokio::test(start_paused = true)]
async fn one_wrong_record_decides_nothing_however_often_and_under_however_many_names_it_is_asked() {
    let fleet = Fleet::well().await;
    fleet.lie(1);
    fleet.attack(600, |_| look(&name(0))).await;
    let aliases: Vec<String> =
        (0..40).map(|alias| format!("a{alias}: shelf(id: {:?}) {{ onHand }}", name(0))).collect();
    fleet.attack(10, |_| format!("{{ {} }}", aliases.join(" "))).await;
    fleet.attack(100, |place| called(&format!("{}{}", name(0), " ".repeat(place)))).await;
    fleet.stands(GuardState::Well).await;
}

#[tokio::test(start_paused = true)]
async fn a_good_record_that_is_repeated_hides_no_wrong_ones() {
    let fleet = Fleet::well().await;
    fleet.lie(4);
    // Each wrong record is one of some hundred and fifty; one good record, asked for as often as one connection can, is one more.
    fleet.attack(3_000, |_| look("A")).await;
    fleet.rolled_back().await;
    let reason = fleet.recorded().await[0].author.reason.clone().unwrap();
    assert!(reason.starts_with("confirmed mismatches of "), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_do_not_exist_are_no_evidence_and_no_cover() {
    let fleet = Fleet::well().await;
    fleet.attack(1_500, |place| look(&format!("X{}", place * 7_919 % 9_973))).await;
    fleet.stands(GuardState::Well).await;
    fleet.lie(4);
    fleet.attack(1_500, |place| look(&format!("Y{}", place * 7_919 % 9_973))).await;
    fleet.rolled_back().await;
}

#[tokio::test(start_paused = true)]
async fn the_wait_of_one_client_for_our_own_connections_is_not_the_slowness_of_modern() {
    let fleet = Fleet::well().await;
    // One value of the stick header and many connections: all of it waits for modern's connections, and only there.
    let group = fleet.shelves.ground.group();
    let waits = |guarded: &Guarded| {
        (0..1_000).for_each(|_| guarded.replica.figures.answered(&group, Side::Modern, Duration::from_millis(900)));
    };
    fleet.stands_while(GuardState::Well, waits).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_errors_that_others_do_not_meet_pauses_the_guard_and_rolls_nothing_back() {
    let fleet = Fleet::well().await;
    let group = fleet.shelves.ground.group();
    let fails = |guarded: &Guarded| {
        (0..1_000).for_each(|_| guarded.replica.figures.failed(&group, Side::Modern));
    };
    fleet.stands_while(GuardState::Paused, fails).await;
    assert!(sentence(&fleet.replicas[0]).contains("it answers shadow reads"), "{}", sentence(&fleet.replicas[0]));
    // What others meet too is rolled back all the same.
    fleet.shelves.ground.stores.modern.always(Call::Fetch, Fault::Down);
    fleet.rolled_back().await;
}

#[tokio::test(start_paused = true)]
async fn one_expensive_question_that_times_out_again_and_again_is_one_question() {
    let fleet = Fleet::well().await;
    // Longer than a client waits for modern, and not too long for a shadow.
    fleet.shelves.ground.stores.modern.always(Call::List, Fault::Latency(Duration::from_millis(1_500)));
    fleet.attack(40, |_| called(&name(7))).await;
    fleet.read_until("the guards have looked", |guarded| state(guarded).is_some()).await;
    for guarded in &fleet.replicas {
        assert_eq!(reads(guarded), Percentage::FULL, "rolled back: {}", sentence(guarded));
    }
}

#[tokio::test(start_paused = true)]
async fn good_records_of_the_whole_catalogue_do_not_cover_many_wrong_ones() {
    let fleet = Fleet::well().await;
    let group = fleet.shelves.ground.group();
    let observed = |key: usize| model::evidence::Observation {
        route: "Query.shelf".into(),
        verdict: Verdict::Match,
        reason: None,
        differences: Vec::new(),
        fields: Vec::new(),
        keys: vec![format!("[\"elsewhere-{key}\"]")],
    };
    // A catalogue of a hundred thousand, walked by somebody within seconds: 21 wrong of them are no share to speak of.
    (0..100_000).for_each(|key| fleet.replicas[0].replica.figures.observed(&observed(key)));
    assert!(fleet.replicas[0].replica.figures.print(&group).is_some());
    fleet.lie(30);
    fleet.rolled_back().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_floods_the_shadows_drops_its_own() {
    // GIVEN room for ten that wait and one under way, and a modern side that takes its time
    let shelves = Shelves::many().await;
    shelves.ground.set(Stage::Shadow, 0.0, 100.0);
    let per_side = PerSide { legacy: 1, modern: 1 };
    let shadow = ShadowSettings { queue: 10, in_flight: 1, per_side, ..ShadowSettings::default() };
    let replica = Replica::ready(&shelves.ground, &Pace { shadow, relay: None, ..Pace::default() }).await;
    shelves.ground.stores.modern.always(Call::Fetch, Fault::Latency(Duration::from_millis(100)));
    // WHEN one floods, and five others ask one thing each
    for place in 0..300 {
        let flood = look(&name(place % 100));
        replica.ask_with(&flood, &serde_json::json!({}), &[("x-customer-id", "mallory")]).await;
        if place % 60 == 30 {
            let (who, what) = (format!("customer-{place}"), look(&name(100 + place / 60)));
            replica.ask_with(&what, &serde_json::json!({}), &[("x-customer-id", &who)]).await;
        }
    }
    // THEN all of the others were compared
    let compared = |place: usize| {
        let wanted = key(&name(place)).as_text().to_owned();
        replica.observed.lock().iter().any(|seen| seen.keys.contains(&wanted))
    };
    until("the others' questions are compared", async || (100..105).all(compared)).await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_only_for_what_modern_answers_finds_no_more_than_there_is() {
    let fleet = Fleet::well().await;
    let entity = shelf_type(&fleet.shelves.ground.loaded);
    // Two wrong records, known to somebody who asks for nothing else, on every replica.
    fleet.shelves.memory.modern.meddle(|rows| {
        ["A", "B"].into_iter().for_each(|id| drop(rows.insert(key(id), shelf(&entity, id, 1))));
    });
    for guarded in &fleet.replicas {
        for id in ["A", "B"].repeat(200) {
            guarded.replica.ask(&look(id)).await;
        }
    }
    fleet.stands(GuardState::Well).await;
}
