//! A saga under way while the contract changes: done, or left to who knows its plan, or stuck; never told undone while a
//! step of it stands.

use std::time::Duration;

use contract::Loaded;
use data_plane::saga::plan::strangers;
use data_plane::saga::{SagaSettings, operate};
use model::saga::{Begun, key_of_saga};
use model::write::{Command, Fingerprint, Work};
use model::{
    EntityKey, Epoch, IdempotencyKey, Instant, PerSide, SagaId, SagaLog, SagaRow, SagaStatus, Side, Stage, Store,
    WriteId,
};
use serde_json::json;
use testkit::faults::{Call, Fault};
use testkit::postgres::Database;
use uuid::Uuid;

use super::crash::life;
use super::shop::{self, Shop, Told};
use super::{PLACED, pace, place};
use crate::rig::{Pace, Replica, WITHIN, until};

/// Sagas that nobody knows are stuck after so long.
const LIMIT: Duration = Duration::from_secs(20);

fn limited() -> Pace {
    Pace { sagas: SagaSettings { limit: LIMIT, ..pace().sagas }, ..pace() }
}

/// Begins an order of three pieces whose replica dies when so many steps stand, before the last of them is noted.
async fn left_after(shop: &Shop, steps: usize) {
    let replica = Replica::ready(&shop.ground, &Pace { resumes: false, ..limited() }).await;
    shop.ground.stores.legacy.on(Call::Execute, steps, Fault::CrashAfter);
    tokio::select! {
        _ = place(&replica, 3) => panic!("it was not to be answered"),
        () = shop.ground.stores.legacy.crashed() => {}
    }
}

async fn problem(shop: &Shop) -> Option<String> {
    operate::list(&shop.stores(), None, 1).await.unwrap().remove(0).problem
}

/// A later contract, how many steps stand when it comes, and what stands then.
type Case = (fn() -> Loaded, usize, Told);

const CASES: [Case; 4] = [
    (shop::renamed, 1, (7, 3, 0, 0)),
    (shop::mapped, 1, (7, 3, 0, 0)),
    (shop::mapped, 2, (7, 3, 1, 0)),
    (shop::removed, 2, (7, 3, 1, 0)),
];

#[tokio::test(start_paused = true)]
async fn a_saga_of_another_contract_is_left_to_replicas_that_know_it() {
    for (later, steps, stands) in CASES {
        let shop = Shop::in_memory().await;
        left_after(&shop, steps).await;
        let later = shop.ground.under(later());
        let _new = Replica::ready(&later, &limited()).await;
        tokio::time::sleep(LIMIT / 2).await;
        assert_eq!(shop.statuses().await, [SagaStatus::Running]);
        assert_eq!(shop.told(Side::Legacy).await, stands);
        let said = strangers(&shop.ground.stores.legacy, Side::Legacy, &later.loaded.contract, WITHIN).await.unwrap();
        assert!(said.len() == 1 && said[0].contains("Mutation.placeOrder"), "{said:?}");
        // One of the contract that it began with, beside the new one.
        let old = Replica::ready(&shop.ground, &limited()).await;
        assert_eq!(shop.rests().await, (7, 3, 1, 1));
        assert_eq!(shop.statuses().await, [SagaStatus::Done]);
        assert_eq!(place(&old, 3).await.text, PLACED);
        let said = strangers(&shop.ground.stores.legacy, Side::Legacy, &later.loaded.contract, WITHIN).await.unwrap();
        assert!(said.is_empty(), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_no_replica_knows_any_more_is_stuck_and_ends_when_its_contract_is_back() {
    for (later, steps, stands) in CASES {
        let shop = Shop::in_memory().await;
        left_after(&shop, steps).await;
        {
            let _new = Replica::ready(&shop.ground.under(later()), &limited()).await;
            // A contract without sagas looks for them once a minute.
            tokio::time::sleep(Duration::from_secs(180)).await;
        }
        assert_eq!(shop.statuses().await, [SagaStatus::Stuck]);
        assert_eq!(problem(&shop).await.as_deref(), Some("CONTRACT_CHANGED"));
        assert_eq!(shop.told(Side::Legacy).await, stands, "nothing is undone that somebody else must judge");
        let _old = Replica::ready(&shop.ground, &limited()).await;
        let saga = operate::list(&shop.stores(), None, 1).await.unwrap().remove(0);
        operate::retry(&shop.stores(), saga).await.unwrap();
        assert_eq!(shop.rests().await, (7, 3, 1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_of_the_contract_before_leaves_a_new_saga_alone() {
    let shop = Shop::in_memory().await;
    let later = shop.ground.under(shop::renamed());
    let _old = Replica::ready(&shop.ground, &limited()).await;
    let new = Replica::ready(&later, &Pace { resumes: false, ..limited() }).await;
    // Not answered, nor is its claim: the saga is left for whoever takes it up.
    shop.ground.stores.legacy.on(Call::Execute, 2, Fault::Late);
    shop.ground.stores.legacy.always(Call::Claim, Fault::Hang);
    let _ = place(&new, 3).await;
    shop.ground.stores.legacy.heal();
    tokio::time::sleep(LIMIT / 2).await;
    assert_eq!(shop.statuses().await, [SagaStatus::Running], "the old one cannot know what stands");
    let _resumes = Replica::ready(&later, &limited()).await;
    assert_eq!(shop.rests().await, (7, 3, 1, 1));
    assert_eq!(place(&new, 3).await.text, PLACED);
}

#[test]
fn a_saga_in_real_databases_is_left_to_its_contract_when_the_next_one_comes() {
    let keeper = tokio::runtime::Runtime::new().unwrap();
    let databases: PerSide<Database> = keeper.block_on(Shop::databases());
    life(async { left_after(&Shop::over(&databases).await, 1).await });
    life(async {
        let shop = Shop::over(&databases).await;
        let _new = Replica::ready(&shop.ground.under(shop::renamed()), &limited()).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((shop.statuses().await, shop.told(Side::Legacy).await), (vec![SagaStatus::Running], (7, 3, 0, 0)));
    });
    life(async {
        let shop = Shop::over(&databases).await;
        let old = Replica::ready(&shop.ground, &limited()).await;
        assert_eq!(shop.rests().await, (7, 3, 1, 1));
        assert_eq!(place(&old, 3).await.text, PLACED);
    });
}

/// A saga's row as a replica would have written it: the first `done` steps stand, the one after as `state` says.
async fn row(shop: &Shop, nonce: Option<&str>, done: usize, state: serde_json::Value) -> SagaId {
    let id = SagaId::new("crafted").unwrap();
    let standing = json!({ "done": { "write": null, "states": [] } });
    let step = |(place, name): (usize, &str)| {
        let state = match place {
            _ if place < done => standing.clone(),
            _ if place == done => state.clone(),
            _ => json!("open"),
        };
        json!({ "name": name, "state": state })
    };
    let steps: Vec<_> = ["stock", "order", "parcel"].into_iter().enumerate().map(step).collect();
    let arguments = json!({ "id": "O-1", "sku": "A", "quantity": 3 });
    let document = json!({ "arguments": arguments, "fingerprint": "", "steps": steps, "attempts": 0, "problem": null,
        "halted": null, "nonce": nonce });
    let row = SagaRow {
        id: id.clone(),
        route: "Mutation.placeOrder".into(),
        status: SagaStatus::Running,
        revision: 0,
        document: document.to_string(),
        began_at: Instant::new(chrono::DateTime::UNIX_EPOCH),
    };
    let begun = shop.ground.stores.legacy.begin_saga(&row, Duration::ZERO, WITHIN).await.unwrap();
    assert_eq!(begun, Begun::Now);
    id
}

/// Uses the key of a step for something that this contract does not say.
async fn uses_the_key(shop: &Shop, (id, step, nonce): (&SagaId, &str, Option<&str>), scope: &str, print: &str) {
    let name = &blake3::hash(step.as_bytes()).to_hex()[..16];
    let what = nonce.map_or(name.to_owned(), |nonce| format!("{name} {nonce}"));
    let key = IdempotencyKey::new(&key_of_saga(id, &what), scope).unwrap();
    let command = Command {
        write: WriteId(Uuid::now_v7()),
        group: "stock".into(),
        epoch: Epoch(1),
        work: Work::Touch,
        touches: vec![EntityKey::new("Stock".into(), vec!["A".into()])],
        must_fit: &[],
        must_exist: Vec::new(),
        idempotency: Some((key, Fingerprint(print.to_owned()))),
    };
    shop.ground.stores.legacy.execute(&command, WITHIN).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_used_in_other_words_makes_a_saga_stuck_and_never_undone() {
    let refusing = json!({ "refusing": { "code": "NO", "message": "no" } });
    let refused = json!({ "refused": { "code": "NO", "message": "no" } });
    // A step, its closing, a compensation; with a beginning in the key, in the words, and in neither.
    for (nonce, done, state, step, in_key, scope, print) in [
        (Some("n"), 1, json!("open"), "order", Some("n"), "saga:do", "others"),
        (Some("n"), 0, json!("open"), "stock", None, "saga:do", "n others"),
        (None, 0, json!("open"), "stock", None, "saga:do", "others"),
        (Some("n"), 1, refusing, "order", Some("n"), "saga:do", "others"),
        (Some("n"), 1, refused, "stock", Some("n"), "saga:undo", "others"),
    ] {
        let shop = Shop::in_memory().await;
        let id = row(&shop, nonce, done, state.clone()).await;
        uses_the_key(&shop, (&id, step, in_key), scope, print).await;
        let _replica = Replica::ready(&shop.ground, &pace()).await;
        until("it is stuck", async || shop.statuses().await == [SagaStatus::Stuck]).await;
        assert_eq!(problem(&shop).await.as_deref(), Some("CONTRACT_CHANGED"), "{state} {scope}");
        assert_eq!(shop.told(Side::Legacy).await, (10, 0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_closing_is_known_for_what_it_is() {
    for (nonce, step, in_key, done, print) in [
        (Some("n"), "stock", None, 0, "n closed"),
        (None, "stock", None, 0, "closed"),
        (Some("n"), "order", Some("n"), 1, "closed"),
    ] {
        let shop = Shop::in_memory().await;
        if done == 1 {
            shop.meddle(3);
        }
        let id = row(&shop, nonce, done, json!("open")).await;
        uses_the_key(&shop, (&id, step, in_key), "saga:do", print).await;
        let _replica = Replica::ready(&shop.ground, &pace()).await;
        until("it is undone", async || shop.statuses().await == [SagaStatus::Undone]).await;
        let saga = operate::list(&shop.stores(), None, 1).await.unwrap().remove(0);
        assert_eq!(saga.refused.as_deref(), Some("SAGA_UNDONE"));
    }
}

#[tokio::test(start_paused = true)]
async fn documents_that_cannot_be_read_keep_nobody_from_the_others() {
    let shop = Shop::in_memory().await;
    let legacy = &shop.ground.stores.legacy;
    for number in 0..50 {
        let row = SagaRow {
            id: SagaId::new(&format!("newer-{number}")).unwrap(),
            route: "Mutation.placeOrder".into(),
            status: SagaStatus::Running,
            revision: 0,
            document: "{\"of\":\"a newer release\"}".to_owned(),
            began_at: Instant::new(chrono::DateTime::UNIX_EPOCH),
        };
        legacy.begin_saga(&row, Duration::ZERO, WITHIN).await.unwrap();
    }
    left_after(&shop, 1).await;
    let _replica = Replica::ready(&shop.ground, &pace()).await;
    until("the order is placed", async || shop.told(Side::Legacy).await == (7, 3, 1, 1)).await;
    let sagas = legacy.sagas(Some(SagaStatus::Running), 100, WITHIN).await.unwrap();
    assert_eq!(sagas.len(), 50, "what cannot be read is left as it is");
    assert!(sagas.iter().all(|saga| saga.document.contains("a newer release")));
    let said = strangers(legacy, Side::Legacy, &shop.ground.loaded.contract, WITHIN).await.unwrap();
    assert!(said.len() == 1 && said[0].starts_with("50 of"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_stood_when_more_did_fit_is_never_called_undone() {
    // GIVEN orders whose ids fit only legacy, at a stage that writes nothing else
    let id = r#"modern: { column: "id", type: "varchar(40)" }"#;
    let narrow = shop::changed(|text| text.replacen(id, r#"modern: { column: "id", type: "varchar(2)" }"#, 1));
    let shop = Shop::in_memory().await;
    let ground = shop.ground.under(narrow);
    let first = Replica::ready(&ground, &Pace { resumes: false, ..limited() }).await;
    ground.set(Stage::Legacy, 0.0, 0.0);
    // WHEN the order stands and nobody is told, and both sides are written when it is asked for again
    shop.ground.stores.legacy.on(Call::Execute, 2, Fault::FailAfter);
    shop.ground.stores.legacy.always(Call::Claim, Fault::Hang);
    assert_eq!(place(&first, 3).await.code(), "SAGA_UNDER_WAY");
    ground.set(Stage::DualWrite, 0.0, 0.0);
    shop.ground.stores.legacy.heal();
    let _resumes = Replica::ready(&ground, &limited()).await;
    // THEN a person is asked, and the stock is not given back under an order that stands
    until("it is stuck", async || shop.statuses().await == [SagaStatus::Stuck]).await;
    assert_eq!(problem(&shop).await.as_deref(), Some("TOO_LONG"));
    assert_eq!(shop.told(Side::Legacy).await, (7, 3, 1, 0));
}
