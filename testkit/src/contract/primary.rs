//! Promises of a store as primary.

use std::collections::HashMap;

use model::life::{Mark, Memory};
use model::write::{Claim, Work};
use model::{Applied, EntityKey, Epoch, GroupName, Incarnation, Position, Record, Side, StoreError, Value, Written};

use super::{
    Subject, WITHIN, adjust, change, command, entity, now, on_hand, read, refusal, set_level, unsettled, with_key,
    write_id,
};
use crate::inventory::{self, level_key, product_key};

/// Set makes what is missing; of what is there it changes the given fields only.
pub async fn a_set_makes_a_record_and_then_changes_only_what_is_given(store: Subject) {
    let key = level_key("A", "BER");
    let entity = entity(&key);
    set_level(&store, "A", "BER", 5).await;
    let counted = Value::Instant(model::Instant::parse("2026-01-31T08:00:00.5Z").expect("a time"));
    let part = Record::of(&entity, [("countedAt", counted.clone())]);
    let changes = now(store.execute(&command(Work::Set(part), vec![key.clone()]), WITHIN).await);
    let whole = Record::of(
        &entity,
        [("sku", "A".into()), ("location", "BER".into()), ("onHand", 5.into()), ("countedAt", counted)],
    );
    assert_eq!(changes[0].state.as_ref(), Some(&whole));
    assert_eq!(read(&store, &key).await, Some(whole));
    // A new record from a part: the rest has the store's own defaults.
    let part = Record::of(&entity, [("onHand", 7.into())]);
    let set = command(Work::Set(part), vec![level_key("B", "BER")]);
    now(store.execute(&set, WITHIN).await);
    assert_eq!(on_hand(&store, "B", "BER").await, Some(7));
}

/// The post-image of every touched record, in the order of the touches, under one version.
pub async fn a_run_reads_back_every_touched_record(store: Subject) {
    for location in ["BER", "HAM"] {
        set_level(&store, "A", location, 5).await;
    }
    let mut transfer = adjust(&store, "A", "HAM", -2);
    transfer.touches.push(level_key("A", "BER"));
    let changes = now(store.execute(&transfer, WITHIN).await);
    let found: Vec<_> = changes.iter().map(|c| (c.ordinal, c.key.clone())).collect();
    assert_eq!(found, [(0, level_key("A", "HAM")), (1, level_key("A", "BER"))]);
    assert_eq!(changes[0].state, Some(inventory::level("A", "HAM", 3)));
    assert_eq!(changes[1].state, Some(inventory::level("A", "BER", 5)));
    assert_eq!(changes[0].version, changes[1].version);
    assert_eq!(changes[0].version.epoch, Epoch(1));
    let keys = store.unsettled_keys(&inventory::group(), 10, WITHIN).await.expect("keys");
    assert!(keys.contains(&(level_key("A", "BER"), transfer.write)));
}

/// A refused write has the contract's code, and neither rows nor ledger keep a trace of it.
pub async fn a_refusal_leaves_nothing_behind(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let before = unsettled(&store).await;
    let mut twice = adjust(&store, "A", "BER", -3);
    if let Work::Run { statements, .. } = &mut twice.work {
        let again = statements[0].clone();
        statements.push(again);
    }
    // The first statement would do, the second finds too little.
    assert_eq!(refusal(store.execute(&twice, WITHIN).await), "INSUFFICIENT_STOCK");
    assert_eq!(on_hand(&store, "A", "BER").await, Some(5));
    assert_eq!(unsettled(&store).await, before);
    let stands = store.standing(&[twice.write], WITHIN).await.expect("an answer");
    assert!(stands.is_empty());
}

/// A deletion is a change without state; what is missing cannot be deleted.
pub async fn a_deletion_is_a_change_and_deleting_nothing_is_refused(store: Subject) {
    let key = level_key("A", "BER");
    let set = set_level(&store, "A", "BER", 5).await;
    let delete = command(Work::Delete, vec![key.clone()]);
    let changes = now(store.execute(&delete, WITHIN).await);
    assert_eq!((changes.len(), changes[0].state.as_ref()), (1, None));
    assert!(changes[0].version > set.version);
    assert_eq!(read(&store, &key).await, None);
    let again = command(Work::Delete, vec![key.clone()]);
    assert_eq!(refusal(store.execute(&again, WITHIN).await), "NOT_FOUND");
    let back = set_level(&store, "A", "BER", 6).await;
    assert!(back.version > changes[0].version);
}

/// A statement that deletes leaves a deletion only of what was there.
pub async fn a_touched_key_that_never_was_is_no_change(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let mut first = None;
    for expected in [1, 0] {
        let work =
            Work::Run { statements: vec![inventory::remove(store.side())], params: inventory::at("A", "BER", 0) };
        let remove = command(work, vec![level_key("A", "BER")]);
        let changes = now(store.execute(&remove, WITHIN).await);
        assert_eq!(changes.len(), expected);
        assert!(changes.iter().all(|change| change.state.is_none()));
        let claim = store.claim(remove.write, WITHIN).await.expect("a claim");
        assert_eq!(claim, Claim::Stands(changes));
        first = first.or(Some(remove.write));
    }
    // The same without a word that gives a deletion away.
    set_level(&store, "A", "BER", 5).await;
    let mut other = adjust(&store, "A", "BER", 1);
    other.touches.push(level_key("GHOST", "BER"));
    assert_eq!(now(store.execute(&other, WITHIN).await).len(), 1);
}

/// A touch changes no row, and its changes are newer than all before: the state of what is there, the
/// deletion of what is not, also of what never was.
pub async fn a_touch_states_anew_what_stands_and_what_does_not(store: Subject) {
    let set = set_level(&store, "A", "BER", 5).await;
    let touch = command(Work::Touch, vec![level_key("A", "BER"), level_key("GHOST", "BER")]);
    let changes = now(store.execute(&touch, WITHIN).await);
    let states: Vec<_> = changes.iter().map(|change| (change.key.clone(), change.state.clone())).collect();
    let expected = [(level_key("A", "BER"), set.state.clone()), (level_key("GHOST", "BER"), None)];
    assert_eq!(states, expected);
    assert!(changes.iter().all(|change| change.version > set.version && change.version == changes[0].version));
    assert_eq!(on_hand(&store, "A", "BER").await, Some(5));
    let keys = store.unsettled_keys(&inventory::group(), 10, WITHIN).await.expect("keys");
    assert!(keys.contains(&(level_key("GHOST", "BER"), touch.write)));
    // Whoever writes afterwards is newer than the tombstone.
    let later = set_level(&store, "GHOST", "BER", 1).await;
    assert!(later.version > changes[1].version);
}

/// A touch under another epoch writes nothing, nor does one of a state that the other side cannot hold.
pub async fn a_touch_proves_the_fence_and_what_must_fit(store: Subject) {
    // More than an integer holds, where the side can.
    let most = if store.side() == Side::Legacy { i64::from(i32::MAX) + 1 } else { i64::from(i32::MAX) };
    set_level(&store, "A", "BER", most).await;
    let before = unsettled(&store).await;
    let mut stale = command(Work::Touch, vec![level_key("A", "BER")]);
    stale.epoch = Epoch(2);
    let result = store.execute(&stale, WITHIN).await;
    assert!(matches!(result, Err(StoreError::Fenced { .. })), "{result:?}");
    let mut touch = command(Work::Touch, vec![level_key("A", "BER")]);
    touch.must_fit = &Side::BOTH;
    let touched = store.execute(&touch, WITHIN).await;
    if store.side() == Side::Legacy {
        assert_eq!(refusal(touched), model::fit::OUT_OF_RANGE);
        assert_eq!(unsettled(&store).await, before);
    } else {
        assert_eq!(now(touched).len(), 1);
    }
}

/// Nobody makes what must be there; whoever has changed it is told so again, also when it is gone.
pub async fn what_must_exist_is_refused_without_it_and_a_repeat_is_not(store: Subject) {
    set_level(&store, "HERE", "BER", 1).await;
    let before = unsettled(&store).await;
    let of = |work: Work, sku: &str| {
        let mut command = command(work, vec![level_key(sku, "BER")]);
        command.must_exist = command.touches.clone();
        command
    };
    let set = |sku: &str| of(Work::Set(inventory::level(sku, "BER", 2)), sku);
    assert_eq!(refusal(store.execute(&set("GONE"), WITHIN).await), "NOT_FOUND");
    assert_eq!((on_hand(&store, "GONE", "BER").await, unsettled(&store).await), (None, before));
    // One of several that is missing keeps the others from being changed.
    let mut both = adjust(&store, "HERE", "BER", 5);
    both.touches.push(level_key("GONE", "BER"));
    both.must_exist = both.touches.clone();
    assert_eq!(refusal(store.execute(&both, WITHIN).await), "NOT_FOUND");
    assert_eq!(on_hand(&store, "HERE", "BER").await, Some(1));
    let changed = now(store.execute(&with_key(set("HERE"), "set", "f"), WITHIN).await);
    let deleted = now(store.execute(&with_key(of(Work::Delete, "HERE"), "delete", "f"), WITHIN).await);
    for (work, key, first) in [(set("HERE"), "set", changed), (of(Work::Delete, "HERE"), "delete", deleted)] {
        match store.execute(&with_key(work, key, "f"), WITHIN).await {
            Ok(Written::Before(changes)) => assert_eq!(changes, first, "{key}"),
            other => panic!("{key}: {other:?}"),
        }
    }
}

/// The fence: another epoch, or a group that has none, and nothing is written.
pub async fn another_epoch_or_group_writes_nothing(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    for (epoch, group) in [(2, inventory::group()), (0, inventory::group()), (1, GroupName::from("other"))] {
        let mut stale = adjust(&store, "A", "BER", -1);
        (stale.epoch, stale.group) = (Epoch(epoch), group);
        let result = store.execute(&stale, WITHIN).await;
        assert!(matches!(result, Err(StoreError::Fenced { .. })), "{result:?}");
        // Not even a refusal: a stale side has no say.
        let mut refused = adjust(&store, "A", "BER", -100);
        (refused.epoch, refused.group) = (stale.epoch, stale.group.clone());
        let result = store.execute(&refused, WITHIN).await;
        assert!(matches!(result, Err(StoreError::Fenced { .. })), "{result:?}");
    }
    assert_eq!(on_hand(&store, "A", "BER").await, Some(5));
}

/// A repeat gets the first result, even when it would be refused now; another question is an error.
pub async fn a_repeated_idempotency_key_gives_the_first_result(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let first = with_key(adjust(&store, "A", "BER", -5), "key", "print");
    let changes = now(store.execute(&first, WITHIN).await);
    assert_eq!(changes[0].idempotency, first.idempotency);
    let repeat = with_key(adjust(&store, "A", "BER", -5), "key", "print");
    assert_eq!(store.execute(&repeat, WITHIN).await.expect("a repeat"), Written::Before(changes));
    let other = with_key(adjust(&store, "A", "BER", 1), "key", "another");
    let result = store.execute(&other, WITHIN).await;
    assert!(matches!(result, Err(StoreError::KeyReused)), "{result:?}");
    assert_eq!(on_hand(&store, "A", "BER").await, Some(0));
    // A refused attempt uses no key up.
    let refused = with_key(adjust(&store, "A", "BER", -1), "later", "print");
    refusal(store.execute(&refused, WITHIN).await);
    set_level(&store, "A", "BER", 1).await;
    let later = with_key(adjust(&store, "A", "BER", -1), "later", "print");
    now(store.execute(&later, WITHIN).await);
}

/// Eight repeats at once: one writes, all tell the same.
pub async fn concurrent_repeats_write_once(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let many: Vec<_> = (0..8)
        .map(|_| {
            let (store, repeat) = (store.clone(), with_key(adjust(&store, "A", "BER", -4), "key", "print"));
            tokio::spawn(async move { store.execute(&repeat, WITHIN).await })
        })
        .collect();
    let (mut written, mut told) = (0, Vec::new());
    for one in many {
        match one.await.expect("no panic").expect("written once") {
            Written::Now(changes) => {
                written += 1;
                told.push(changes);
            }
            Written::Before(changes) => told.push(changes),
        }
    }
    assert_eq!(written, 1);
    assert!(told.iter().all(|changes| *changes == told[0]));
    assert_eq!(on_hand(&store, "A", "BER").await, Some(1));
}

/// The same command again writes nothing.
pub async fn a_repeated_write_id_writes_once(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let adjust = adjust(&store, "A", "BER", -1);
    let changes = now(store.execute(&adjust, WITHIN).await);
    let again = store.execute(&adjust, WITHIN).await.expect("a repeat");
    assert_eq!(again, Written::Before(changes));
    assert_eq!(on_hand(&store, "A", "BER").await, Some(4));
}

/// After `Abandoned` the write is refused for ever, and claiming again says the same.
pub async fn a_claimed_write_can_never_stand(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let late = adjust(&store, "A", "BER", -1);
    for _ in 0..2 {
        let claim = store.claim(late.write, WITHIN).await.expect("a claim");
        assert_eq!(claim, Claim::Abandoned);
    }
    let result = store.execute(&late, WITHIN).await;
    assert!(matches!(result, Err(StoreError::Conflict { .. })), "{result:?}");
    assert_eq!(on_hand(&store, "A", "BER").await, Some(5));
    let stands = store.standing(&[late.write], WITHIN).await.expect("an answer");
    assert!(stands.is_empty());
}

/// A side that has gone back may have lost the write: that it never stood is not known there.
pub async fn a_suspended_side_says_of_no_write_that_it_never_stood(store: Subject) {
    let lost = adjust(&store, "A", "BER", 1);
    let life = store.life(&[], WITHIN).await.expect("a look").life.expect("a life");
    store.suspend(life.incarnation, "a test", WITHIN).await.expect("suspended");
    let claim = store.claim(lost.write, WITHIN).await;
    assert!(matches!(claim, Err(StoreError::Unwritable { .. })), "{claim:?}");
    let mark = Mark { counter: life.mark.counter + 1, random: 3 };
    let to = Memory { incarnation: Incarnation(life.incarnation.0 + 1), mark };
    assert!(store.raise(life.incarnation, to, WITHIN).await.expect("an answer"));
    store.resume(to.incarnation, WITHIN).await.expect("an answer");
    assert_eq!(store.claim(lost.write, WITHIN).await.expect("a claim"), Claim::Abandoned);
}

/// A write that stands is not abandoned by a claim.
pub async fn a_claim_of_a_standing_write_gives_its_changes(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let adjust = with_key(adjust(&store, "A", "BER", -1), "key", "print");
    let changes = now(store.execute(&adjust, WITHIN).await);
    let claim = store.claim(adjust.write, WITHIN).await.expect("a claim");
    assert_eq!(claim, Claim::Stands(changes));
    let asked = [adjust.write, write_id()];
    let stands = store.standing(&asked, WITHIN).await.expect("an answer");
    assert_eq!(stands, [adjust.write]);
}

/// The log went back, or a type came from a group of a later epoch: on the other side the write would be stale for ever.
pub async fn a_write_behind_what_is_recorded_of_its_key_is_not_written(store: Subject) {
    set_level(&store, "B", "BER", 7).await;
    let mut later = change("A", "BER", u64::MAX >> 2, Some(5));
    later.version.incarnation = Incarnation(77);
    assert_eq!(super::bring(&store, std::slice::from_ref(&later)).await.expect("an apply"), [Applied::Newer]);
    let before = unsettled(&store).await;
    let mut both = adjust(&store, "A", "BER", -1);
    both.touches = vec![level_key("B", "BER"), level_key("A", "BER")];
    for command in [adjust(&store, "A", "BER", -1), command(Work::Delete, vec![level_key("A", "BER")]), both] {
        let refused = store.execute(&command, WITHIN).await;
        assert!(matches!(refused, Err(StoreError::Misfit { .. })), "{refused:?}");
        assert!(refused.expect_err("refused").to_string().contains("StockLevel"));
        let claimed = store.claim(command.write, WITHIN).await.expect("a claim");
        assert_eq!(claimed, Claim::Abandoned, "it stands nowhere");
    }
    assert_eq!(on_hand(&store, "A", "BER").await, Some(5));
    assert_eq!(unsettled(&store).await, before);
    set_level(&store, "B", "BER", 8).await;
}

/// Eight writers on two hot keys: the order of versions is the order of states.
pub async fn positions_rise_strictly_per_key_under_concurrent_writers(store: Subject) {
    for sku in ["A", "B"] {
        set_level(&store, sku, "BER", 0).await;
    }
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut changes = Vec::new();
                for turn in 0..25 {
                    let sku = if (writer + turn) % 2 == 0 { "A" } else { "B" };
                    changes.extend(now(store.execute(&adjust(&store, sku, "BER", 1), WITHIN).await));
                }
                changes
            })
        })
        .collect();
    let mut by_key: HashMap<EntityKey, Vec<(Position, Option<Record>)>> = HashMap::new();
    for writer in writers {
        for change in writer.await.expect("no panic") {
            by_key.entry(change.key).or_default().push((change.version.position, change.state));
        }
    }
    assert_eq!(by_key.len(), 2);
    for (key, mut states) in by_key {
        states.sort_by_key(|(position, _)| *position);
        assert!(states.windows(2).all(|pair| pair[0].0 < pair[1].0), "two states at one position");
        let sku = match &key.parts()[0] {
            Value::Text(sku) => sku.clone(),
            other => panic!("{other:?}"),
        };
        // Every writer added one: the states count up in the order of their positions.
        let expected = (1..).map(|on_hand| Some(inventory::level(&sku, "BER", on_hand)));
        assert!(states.iter().map(|(_, state)| state.clone()).eq(expected.take(states.len())));
    }
}

/// What the side's columns cannot hold is refused with a code; the text names no value.
pub async fn what_does_not_fit_is_refused_and_the_value_is_not_told(store: Subject) {
    let key = product_key("A");
    let entity = entity(&key);
    let decimal = |text: &str| Value::Decimal(text.parse().expect("a decimal"));
    let long = "4711-".repeat(20);
    let cases = [
        ("name", Value::text(long.clone()), "TOO_LONG"),
        ("name", "4711\0".into(), "BAD_CHARACTER"),
        ("weight", decimal("47110000000"), "OUT_OF_RANGE"),
        ("weight", decimal("0.47111"), "TOO_PRECISE"),
    ];
    for (field, value, code) in cases {
        let record = Record::of(&entity, [(field, value)]);
        let set = command(Work::Set(record), vec![key.clone()]);
        let error = store.execute(&set, WITHIN).await.expect_err("does not fit");
        assert!(!error.to_string().contains("4711"), "{error}");
        assert_eq!(refusal::<Written>(Err(error)), code, "{field}");
    }
    let set = command(Work::Set(Record::empty(&entity)), vec![product_key(&long)]);
    assert_eq!(refusal(store.execute(&set, WITHIN).await), "TOO_LONG");
    assert_eq!(read(&store, &key).await, None);
}

/// A post-image that one of the sides cannot hold is refused on the primary, whichever side that is.
pub async fn what_one_side_cannot_hold_stands_on_neither(store: Subject) {
    let most = i64::from(i32::MAX);
    set_level(&store, "A", "BER", most).await;
    let before = unsettled(&store).await;
    let mut one_more = adjust(&store, "A", "BER", 1);
    one_more.must_fit = &Side::BOTH;
    let refused = refusal(store.execute(&one_more, WITHIN).await);
    assert_eq!(refused, model::fit::OUT_OF_RANGE);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(most));
    assert_eq!(unsettled(&store).await, before);
}
