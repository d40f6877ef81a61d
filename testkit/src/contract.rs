//! The suite that every store passes: one promise of `model::Store` per function.
//!
//! `testkit::store_contract!(make)` makes a test of each; `make` returns a store of an empty [`inventory`]
//! database that is prepared as primary, and whatever must be held meanwhile.

pub mod bare;
pub mod bases;
pub mod checksum;
pub mod fence;
pub mod foreign;
pub mod ledger;
pub mod left;
pub mod life;
pub mod lost;
pub mod own_keys;
pub mod primary;
pub mod reads;
pub mod rehearsal;
pub mod sagas;
pub mod secondary;
pub mod shapes;
pub mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use model::fence::{Fence, Move};
use model::write::Work;
use model::{
    Applied, Change, Command, EntityKey, EntityType, Epoch, Fingerprint, IdempotencyKey, Incarnation, Position, Record,
    Stand, Store, StoreError, Value, Version, WriteId, Written,
};
use uuid::Uuid;

use crate::inventory;

/// A limit that no healthy call comes near.
pub const WITHIN: Duration = Duration::from_secs(20);

/// Makes one test per promise.
#[macro_export]
macro_rules! store_contract {
    ($make:path) => {
        $crate::store_contract!(@each $make:
            reads::answers_are_aligned_with_the_keys_and_repeats_are_allowed,
            reads::only_the_fields_asked_for_and_the_key_are_read,
            reads::a_key_that_fits_no_row_names_no_record,
            reads::a_list_query_takes_lists_and_keeps_its_order,
            reads::a_scan_visits_every_record_once_in_one_order,
            reads::records_are_counted_roughly,
            reads::values_survive_the_round_trip,
            reads::a_prepared_store_has_nothing_to_complain_about,
            reads::preparing_can_be_repeated_by_many_at_once,
            checksum::sums_are_those_of_the_specification,
            checksum::a_changed_record_is_found_by_its_chunks,
            checksum::any_text_has_the_number_of_the_specification,
            snapshot::a_snapshot_stays_as_it_was,
            snapshot::snapshots_are_of_different_moments,
            primary::a_set_makes_a_record_and_then_changes_only_what_is_given,
            primary::a_run_reads_back_every_touched_record,
            primary::a_refusal_leaves_nothing_behind,
            primary::a_deletion_is_a_change_and_deleting_nothing_is_refused,
            primary::a_touched_key_that_never_was_is_no_change,
            primary::a_touch_states_anew_what_stands_and_what_does_not,
            primary::a_touch_proves_the_fence_and_what_must_fit,
            primary::what_must_exist_is_refused_without_it_and_a_repeat_is_not,
            primary::another_epoch_or_group_writes_nothing,
            primary::a_repeated_idempotency_key_gives_the_first_result,
            primary::concurrent_repeats_write_once,
            primary::a_repeated_write_id_writes_once,
            primary::a_claimed_write_can_never_stand,
            primary::a_claim_of_a_standing_write_gives_its_changes,
            primary::a_suspended_side_says_of_no_write_that_it_never_stood,
            primary::a_write_behind_what_is_recorded_of_its_key_is_not_written,
            primary::positions_rise_strictly_per_key_under_concurrent_writers,
            primary::what_does_not_fit_is_refused_and_the_value_is_not_told,
            primary::what_one_side_cannot_hold_stands_on_neither,
            ledger::settled_writes_are_not_leased_and_settling_twice_is_harmless,
            ledger::leases_are_exclusive_until_they_are_over,
            ledger::old_states_are_kept_and_settled_ones_forgotten,
            bare::a_write_that_changed_nothing_waits_for_the_other_side_where_it_has_a_key,
            bare::what_changed_nothing_is_known_on_the_side_that_keeps_it,
            bare::a_key_that_another_write_has_is_an_answer,
            bare::a_side_that_takes_writes_keeps_no_repeat_of_another,
            fence::a_fence_moves_only_from_where_it_stands,
            fence::a_frozen_fence_stops_writes_and_an_opened_one_takes_those_of_its_epoch,
            fence::what_arrives_late_does_not_overwrite_what_this_side_took_as_primary,
            fence::whoever_freezes_waits_for_writers_and_none_commits_after_it,
            fence::behind_an_alone_fence_a_write_is_born_settled,
            fence::a_side_that_is_alone_takes_no_changes,
            life::a_prepared_side_has_a_life,
            life::a_mark_is_moved_by_one_of_many,
            life::a_suspended_side_commits_no_write_until_it_is_raised,
            life::a_suspended_side_is_not_opened,
            life::memory_of_another_side_never_goes_back,
            life::a_raise_that_ends_lets_go_of_nothing_else,
            life::a_suspended_side_gives_nothing_to_a_relay,
            life::what_was_written_since_is_told_and_can_be_brought_again,
            lost::what_was_lost_is_brought_back_while_the_side_is_suspended,
            lost::what_somebody_changed_on_the_copy_is_not_overwritten_unasked,
            lost::what_nobody_knows_is_not_overwritten_unasked_either,
            lost::whoever_raises_waits_for_what_is_brought_back_and_none_comes_after_it,
            lost::the_key_of_a_lost_write_that_changed_nothing_is_brought_back,
            lost::what_was_given_up_holds_no_idempotency_key,
            fence::a_fence_is_born_closed_and_nothing_is_written_behind_it,
            fence::a_side_remembers_under_which_epochs_a_groups_types_were_written,
            left::a_write_is_given_only_behind_the_fence_that_stands_as_it_must,
            left::what_was_written_before_the_other_side_had_the_authority_is_left_behind_whole,
            left::what_the_other_side_has_lost_is_brought_again_whatever_epoch_it_is_of,
            left::a_write_is_its_types_groups_whatever_its_group_was_called,
            sagas::a_saga_begins_once_and_is_found_as_it_began,
            sagas::copies_are_in_no_list_and_are_given_in_pages,
            sagas::a_suspended_side_begins_no_saga_and_takes_back_what_it_has_lost,
            sagas::a_saga_is_saved_only_by_whoever_knows_its_revision,
            sagas::a_leased_saga_is_nobody_elses_until_its_time_is_over,
            sagas::concurrent_takers_share_the_sagas_that_are_due,
            sagas::sagas_are_listed_counted_and_forgotten_by_their_status,
            sagas::what_open_sagas_have_left_is_not_forgotten,
            sagas::open_sagas_are_named,
            secondary::newer_wins_and_the_same_again_is_stale,
            secondary::any_order_with_repeats_converges,
            secondary::a_tombstone_outlives_older_states,
            secondary::deletions_and_upserts_that_race_converge,
            secondary::one_call_takes_changes_of_several_types_and_shapes,
            secondary::a_call_with_one_bad_change_changes_nothing,
            secondary::the_ledger_is_carried_along,
            secondary::what_came_too_late_is_not_sworn_to_before_it_is_proven,
            secondary::a_write_that_came_too_late_in_part_is_carried_as_a_whole_or_not_at_all,
            secondary::another_write_under_the_same_idempotency_key_is_an_answer,
            secondary::a_side_that_takes_writes_takes_no_changes,
            secondary::what_an_old_instance_of_the_primary_brings_is_barred,
            secondary::whoever_opens_the_fence_waits_for_applies_and_none_comes_after_it,
            secondary::what_is_recorded_is_told_for_each_key,
            shapes::a_shape_is_raised_by_one_of_many_and_only_from_what_he_saw,
            shapes::a_state_that_is_not_whole_is_applied_by_nobody,
            shapes::who_does_not_know_the_registered_shape_only_writes,
            rehearsal::a_rehearsal_leaves_nothing_behind,
            rehearsal::a_rehearsal_tells_what_the_write_then_does,
            rehearsal::what_a_side_would_refuse_is_told_and_leaves_nothing,
            rehearsal::a_rehearsal_proves_no_fence,
            rehearsal::a_repeat_begins_with_nothing,
            rehearsal::rehearsals_that_race_with_applies_change_nothing,
            foreign::what_somebody_else_changed_is_left_and_told,
            foreign::a_row_that_is_what_we_would_leave_is_no_conflict,
            foreign::what_is_overwritten_is_told,
            foreign::a_write_with_one_foreign_key_is_not_half_applied,
            foreign::a_row_of_which_nothing_is_known_is_taken_as_it_is,
            bases::a_copy_overwrites_nothing_that_nobody_knows,
            bases::what_the_primary_had_says_whose_a_row_is_that_we_never_wrote,
            bases::a_write_that_never_comes_makes_no_row_somebody_elses,
            bases::a_write_carries_what_the_other_side_can_have,
            foreign::a_baseline_is_remembered,
            foreign::what_a_side_wrote_as_primary_is_not_foreign_after_a_handover,
            foreign::no_value_that_a_primary_wrote_is_foreign_after_a_handover,
            foreign::a_change_past_a_primary_is_met_after_a_handover,
            foreign::applies_of_the_same_key_at_once_are_not_foreign_to_each_other,
            foreign::a_script_that_races_with_an_apply_is_never_lost,
        );
    };
    (@each $make:path: $($module:ident::$promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (store, _held) = $make().await;
                $crate::contract::$module::$promise(store).await;
            }
        )*
    };
}

/// A store under test.
pub type Subject = Arc<dyn Store>;

/// The entity type of a key.
pub fn entity(key: &EntityKey) -> Arc<EntityType> {
    let contract = inventory::contract();
    contract.entity(key.entity()).expect("a type of the inventory").clone()
}

/// A new write id.
pub fn write_id() -> WriteId {
    WriteId(Uuid::now_v7())
}

/// A command of the inventory's group under epoch 1.
pub fn command(work: Work, touches: Vec<EntityKey>) -> Command {
    Command {
        write: write_id(),
        group: inventory::group(),
        epoch: Epoch(1),
        work,
        touches,
        must_fit: &[],
        must_exist: Vec::new(),
        idempotency: None,
    }
}

/// Adjusts one stock level.
pub fn adjust(store: &Subject, sku: &str, location: &str, delta: i64) -> Command {
    let work =
        Work::Run { statements: vec![inventory::adjust(store.side())], params: inventory::at(sku, location, delta) };
    command(work, vec![inventory::level_key(sku, location)])
}

/// The same with the client's key and a fingerprint.
pub fn with_key(mut command: Command, key: &str, fingerprint: &str) -> Command {
    let key = IdempotencyKey::new(key, "field").expect("a good key");
    command.idempotency = Some((key, Fingerprint(fingerprint.into())));
    command
}

/// Sets a stock level and returns its change.
pub async fn set_level(store: &Subject, sku: &str, location: &str, on_hand: i64) -> Change {
    let work = Work::Set(inventory::level(sku, location, on_hand));
    let command = command(work, vec![inventory::level_key(sku, location)]);
    now(store.execute(&command, WITHIN).await).remove(0)
}

/// The changes of a write that stands now.
///
/// # Panics
/// When it does not.
pub fn now(written: Result<Written, StoreError>) -> Vec<Change> {
    match written {
        Ok(Written::Now(changes)) => changes,
        other => panic!("should stand: {other:?}"),
    }
}

/// How many writes wait for the other side.
pub async fn unsettled(store: &Subject) -> u64 {
    store.backlog(&inventory::group(), WITHIN).await.expect("a backlog").writes
}

/// One whole record.
pub async fn read(store: &Subject, key: &EntityKey) -> Option<Record> {
    let entity = entity(key);
    let keys = std::slice::from_ref(key);
    let found = store.fetch(&entity, keys, entity.all_fields(), WITHIN).await;
    found.expect("a fetch").remove(0)
}

/// What a stock level has on hand.
pub async fn on_hand(store: &Subject, sku: &str, location: &str) -> Option<i64> {
    let key = inventory::level_key(sku, location);
    let record = read(store, &key).await?;
    match record.get(entity(&key).index("onHand").expect("a field")) {
        Some(Value::Int(number)) => Some(*number),
        other => panic!("not a number: {other:?}"),
    }
}

/// A change of a stock level at a position; `None` deletes it.
pub fn change(sku: &str, location: &str, position: u64, on_hand: Option<i64>) -> Change {
    Change {
        write: write_id(),
        ordinal: 0,
        key: inventory::level_key(sku, location),
        version: Version { epoch: Epoch(1), incarnation: Incarnation(1), position: Position(position) },
        state: on_hand.map(|on_hand| inventory::level(sku, location, on_hand)),
        idempotency: None,
        base: None,
    }
}

/// Closes the group's fence, if it is open; how it stood before.
pub async fn close(store: &Subject) -> Option<Fence> {
    let group = inventory::group();
    let before = store.fence(&group, WITHIN).await.expect("a fence").fence;
    if before.stand != Stand::Open {
        return None;
    }
    let step =
        Move { side: store.side(), from: before, to: Fence::new(before.epoch, Stand::Closed), takes_over: false };
    store.move_fence(&group, &step, WITHIN).await.expect("a move");
    Some(before)
}

/// Opens the group's fence under this epoch.
pub async fn open(store: &Subject, epoch: Epoch) {
    let group = inventory::group();
    let from = store.fence(&group, WITHIN).await.expect("a fence").fence;
    let step = Move { side: store.side(), from, to: Fence::new(epoch, Stand::Open), takes_over: false };
    store.move_fence(&group, &step, WITHIN).await.expect("a move");
}

/// Applies changes as to a secondary: an open fence is closed for them, and opened again.
///
/// # Errors
/// As `Store::apply`.
pub async fn bring(store: &Subject, changes: &[Change]) -> Result<Vec<Applied>, StoreError> {
    let before = close(store).await;
    let applied = store.apply(changes, WITHIN).await;
    if let Some(fence) = before {
        open(store, fence.epoch).await;
    }
    applied
}

/// As [`bring`], over what somebody else has made of the rows.
///
/// # Errors
/// As `Store::apply_over`.
pub async fn bring_over(store: &Subject, changes: &[Change]) -> Result<Vec<Applied>, StoreError> {
    let before = close(store).await;
    let applied = store.apply_over(changes, WITHIN).await;
    if let Some(fence) = before {
        open(store, fence.epoch).await;
    }
    applied
}

/// The write that has overtaken a change.
///
/// # Panics
/// When it came to something else.
pub fn overtaken_by(applied: &Applied) -> WriteId {
    match applied {
        Applied::Stale(winner) => winner.write,
        other => panic!("should have come too late: {other:?}"),
    }
}

/// The code of a refusal.
///
/// # Panics
/// When it is something else.
pub fn refusal<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Refused { refusal, .. }) => refusal.code,
        other => panic!("should be refused: {other:?}"),
    }
}
