//! Promises of rehearsals: what they tell is what a write would do, and nothing of it stands.

use model::write::Work;
use model::{Applied, Command, Epoch, GroupName, Record, Rehearsal, Rehearsed, Side, States, StoreError, Written};

use super::{
    Subject, WITHIN, adjust, bring, change, close, command, entity, now, on_hand, read, refusal, set_level, unsettled,
    with_key,
};
use crate::inventory::{self, level_key, product_key};

async fn rehearse(store: &Subject, command: &Command) -> Rehearsal {
    store.rehearse(command, WITHIN).await.expect("a rehearsal")
}

fn level_states(on_hand: Option<i64>) -> States {
    vec![(level_key("A", "BER"), on_hand.map(|on_hand| inventory::level("A", "BER", on_hand)))]
}

/// Rows, ledger, versions and history are as they were, and the write itself is as new afterwards.
pub async fn a_rehearsal_leaves_nothing_behind(store: Subject) {
    let applied = bring(&store, &[change("A", "BER", 10, Some(5))]).await.expect("applied");
    assert_eq!(applied, [Applied::Newer]);
    let key = level_key("A", "BER");
    let (waiting, history) = (unsettled(&store).await, store.history(&key, 9, WITHIN).await.expect("a history"));
    let adjust = with_key(adjust(&store, "A", "BER", -2), "key", "print");
    for _ in 0..3 {
        let rehearsal = rehearse(&store, &adjust).await;
        let outcome = Rehearsed::Done(level_states(Some(3)));
        assert_eq!(rehearsal, Rehearsal { before: level_states(Some(5)), outcome });
    }
    assert_eq!(on_hand(&store, "A", "BER").await, Some(5));
    assert_eq!(unsettled(&store).await, waiting);
    assert!(store.standing(&[adjust.write], WITHIN).await.expect("an answer").is_empty());
    assert_eq!(store.history(&key, 9, WITHIN).await.expect("a history"), history);
    // No version that would keep the state out, no idempotency key that would make the write a repeat.
    let applied = bring(&store, &[change("A", "BER", 11, Some(4))]).await.expect("applied");
    assert_eq!(applied, [Applied::Newer]);
    let changes = now(store.execute(&adjust, WITHIN).await);
    assert_eq!(changes[0].state, Some(inventory::level("A", "BER", 2)));
}

/// Whatever the work: the states before and after are those that the write then has.
pub async fn a_rehearsal_tells_what_the_write_then_does(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let level = entity(&level_key("A", "BER"));
    let part = Record::of(&level, [("countedAt", model::Value::Null), ("onHand", 7.into())]);
    let run = |statement| Work::Run { statements: vec![statement], params: inventory::at("A", "BER", -1) };
    let two = vec![level_key("A", "BER"), level_key("GHOST", "BER")];
    let commands = [
        command(run(inventory::adjust(store.side())), two),
        command(Work::Set(part), vec![level_key("A", "BER")]),
        command(Work::Set(Record::of(&level, [("onHand", 1.into())])), vec![level_key("B", "BER")]),
        command(Work::Touch, vec![level_key("A", "BER")]),
        command(run(inventory::remove(store.side())), vec![level_key("A", "BER")]),
        command(Work::Delete, vec![level_key("B", "BER")]),
    ];
    for command in commands {
        let rehearsal = rehearse(&store, &command).await;
        let (written, before) = store.execute_seeing(&command, WITHIN).await.expect("a write");
        assert_eq!(rehearsal.before, before, "{command:?}");
        let Rehearsed::Done(after) = rehearsal.outcome else { panic!("{command:?} is refused") };
        let mut stands = States::new();
        for (key, _) in &after {
            stands.push((key.clone(), read(&store, key).await));
        }
        assert_eq!(after, stands, "{command:?}");
        let Written::Now(changes) = written else { panic!("{command:?} is repeated") };
        assert!(changes.iter().all(|change| after.contains(&(change.key.clone(), change.state.clone()))));
    }
}

/// A refusal by the contract, by the kind of work, by a rule of the columns: each is an answer, with the states before.
pub async fn what_a_side_would_refuse_is_told_and_leaves_nothing(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let mut halfway = adjust(&store, "A", "BER", -3);
    if let Work::Run { statements, .. } = &mut halfway.work {
        let again = statements[0].clone();
        statements.push(again);
    }
    let mut too_much = adjust(&store, "A", "BER", i64::from(i32::MAX) - 4);
    too_much.must_fit = &Side::BOTH;
    let cases = [
        (adjust(&store, "A", "BER", -6), "INSUFFICIENT_STOCK", level_states(Some(5))),
        (halfway, "INSUFFICIENT_STOCK", level_states(Some(5))),
        (too_much, model::fit::OUT_OF_RANGE, level_states(Some(5))),
        (command(Work::Delete, vec![product_key("GHOST")]), "NOT_FOUND", vec![(product_key("GHOST"), None)]),
    ];
    for (command, code, before) in cases {
        let rehearsal = rehearse(&store, &command).await;
        assert_eq!(rehearsal.before, before, "{code}");
        let Rehearsed::Refused(refusal) = rehearsal.outcome else { panic!("should be refused: {rehearsal:?}") };
        assert_eq!(refusal.code, code);
        assert_eq!(on_hand(&store, "A", "BER").await, Some(5));
    }
    let nowhere = command(Work::Delete, vec![level_key("A", "LOCATION-TOO-LONG")]);
    assert_eq!(refusal(store.rehearse(&nowhere, WITHIN).await), "TOO_LONG");
}

/// A side that is secondary has its fence closed, and is rehearsed on.
pub async fn a_rehearsal_proves_no_fence(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let mut elsewhere = adjust(&store, "A", "BER", -2);
    (elsewhere.epoch, elsewhere.group) = (Epoch(9), GroupName::from("unknown"));
    let fenced = store.execute_seeing(&elsewhere, WITHIN).await;
    assert!(matches!(fenced, Err(StoreError::Fenced { .. })), "{fenced:?}");
    assert_eq!(rehearse(&store, &elsewhere).await.outcome, Rehearsed::Done(level_states(Some(3))));
}

/// A repeat is told as `execute` tells it, without states before.
pub async fn a_repeat_begins_with_nothing(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let command = with_key(adjust(&store, "A", "BER", -1), "key", "print");
    let (first, before) = store.execute_seeing(&command, WITHIN).await.expect("a write");
    assert_eq!(before, level_states(Some(5)));
    let Written::Now(changes) = first else { panic!("repeated") };
    let again = store.execute_seeing(&command, WITHIN).await.expect("a repeat");
    assert_eq!(again, (Written::Before(changes), States::new()));
    assert_eq!(on_hand(&store, "A", "BER").await, Some(4));
}

/// Rehearsals and applies of one key race: no state is lost or made up, and every rehearsal tells a step of one.
pub async fn rehearsals_that_race_with_applies_change_nothing(store: Subject) {
    let most = 20_u64;
    close(&store).await;
    bring(&store, &[change("A", "BER", 1, Some(1))]).await.expect("applied");
    let applies = {
        let store = store.clone();
        tokio::spawn(async move {
            for position in 2..=most {
                let on_hand = i64::try_from(position).expect("small");
                let change = change("A", "BER", position, Some(on_hand));
                // To give way is allowed, to be applied again then is the rule.
                while let Err(error) = store.apply(std::slice::from_ref(&change), WITHIN).await {
                    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
                }
            }
        })
    };
    let rehearsals: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let told = match store.rehearse(&adjust(&store, "A", "BER", 100), WITHIN).await {
                        Err(StoreError::Conflict { .. }) => continue,
                        told => told.expect("a rehearsal"),
                    };
                    let level = |on_hand| Some(inventory::level("A", "BER", on_hand));
                    let fits = |n: i64| {
                        told.before[0].1 == level(n) && told.outcome == Rehearsed::Done(level_states(Some(n + 100)))
                    };
                    assert!((1..=20).any(fits), "{told:?}");
                }
            })
        })
        .collect();
    for rehearsal in rehearsals {
        rehearsal.await.expect("no panic");
    }
    applies.await.expect("no panic");
    assert_eq!(on_hand(&store, "A", "BER").await, Some(20));
}
