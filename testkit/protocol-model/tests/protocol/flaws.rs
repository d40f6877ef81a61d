//! Wrong turns, each of which must be found: else the model would not see it in the program either.

use protocol_model::properties::{ENDED, EQUAL, FENCED, FORWARD, ONCE, ONE_PRIMARY, OUTSIDERS, STANDS, WHOLE};
use protocol_model::{Flaw, Scenario};

use super::check;
use super::scenarios::{
    baseline_and_handover, deletes, end_of_dual_write, handover, outsider, restore, transfer, two_contracts,
    two_coordinators, writes,
};

/// `scenario` with `flaws` breaks `property`.
fn is_caught(scenario: Scenario, flaws: &[Flaw], property: &'static str) {
    let checked = check(Scenario { flaws: flaws.to_vec(), ..scenario }, Some(property));
    let found = checked.failed.iter().find(|(name, _)| *name == property);
    let (_, trace) = found.unwrap_or_else(|| panic!("{flaws:?} does not break `{property}`"));
    eprintln!("{flaws:?} breaks `{property}`:\n{trace}");
}

#[test]
fn a_missing_fence_is_caught() {
    is_caught(handover(), &[Flaw::NoFence], STANDS);
}

#[test]
fn a_position_taken_before_the_lock_is_caught() {
    is_caught(writes(), &[Flaw::PositionBeforeLock], EQUAL);
}

#[test]
fn a_missing_tombstone_is_caught() {
    is_caught(deletes(), &[Flaw::NoTombstone], EQUAL);
}

#[test]
fn a_look_in_place_of_a_claim_is_caught() {
    is_caught(writes(), &[Flaw::LookInsteadOfClaim], ONCE);
}

#[test]
fn a_freeze_that_does_not_wait_for_writers_in_flight_is_caught() {
    is_caught(handover(), &[Flaw::FreezeWithoutWaiting], STANDS);
}

#[test]
fn an_undoing_that_does_not_raise_the_other_fence_is_caught() {
    is_caught(two_coordinators(), &[Flaw::UndoWithoutRaising], ONE_PRIMARY);
}

#[test]
fn a_backlog_read_before_the_freeze_is_caught() {
    is_caught(handover(), &[Flaw::DrainBeforeFreeze], STANDS);
}

#[test]
fn a_handover_without_drain_is_caught() {
    is_caught(handover(), &[Flaw::NoDrain], STANDS);
}

#[test]
fn versions_compared_without_their_epoch_are_caught() {
    is_caught(handover(), &[Flaw::PositionWithoutEpoch], EQUAL);
}

#[test]
fn a_primary_that_records_no_version_is_overwritten_by_a_late_page_and_caught() {
    is_caught(baseline_and_handover(), &[Flaw::PrimaryRecordsNothing, Flaw::ApplyPastFence], STANDS);
}

#[test]
fn a_write_left_behind_by_force_overwrites_nothing_when_the_primary_records_its_versions() {
    is_caught(handover(), &[Flaw::Force, Flaw::PrimaryRecordsNothing, Flaw::ApplyPastFence], FORWARD);
    // By force alone the write is lost, as the order says; no other write is.
    let forced = check(Scenario { flaws: vec![Flaw::Force], ..handover() }, Some(FORWARD));
    assert!(forced.failed.iter().all(|(name, _)| *name != FORWARD), "{:?}", forced.failed);
    is_caught(handover(), &[Flaw::Force], STANDS);
}

#[test]
fn a_fence_read_in_a_snapshot_from_before_its_lock_is_caught() {
    is_caught(handover(), &[Flaw::OldSnapshot], FENCED);
    is_caught(handover(), &[Flaw::OldSnapshot], STANDS);
}

#[test]
fn half_of_a_write_that_force_left_behind_is_caught_on_the_new_primary() {
    is_caught(transfer(), &[Flaw::Force, Flaw::ApplyPastFence], WHOLE);
    is_caught(transfer(), &[Flaw::Force, Flaw::ApplyPastFence], FENCED);
    // What proves the fence changes nothing there afterwards.
    let forced = check(Scenario { flaws: vec![Flaw::Force], ..transfer() }, Some(FENCED));
    assert!(forced.failed.iter().all(|(name, _)| *name != FENCED), "{:?}", forced.failed);
    // But a later write of one of its keys, which did come over, holds its half: states hold what came before them. Who
    // forces a handover must look at every key of what is left behind.
    is_caught(transfer(), &[Flaw::Force], WHOLE);
}

#[test]
fn a_page_that_comes_after_the_side_was_opened_is_caught() {
    is_caught(outsider(), &[Flaw::ApplyPastFence], OUTSIDERS);
}

#[test]
fn a_state_that_lacks_a_field_and_is_applied_as_if_it_were_whole_is_caught() {
    is_caught(two_contracts(), &[Flaw::NarrowApplied], EQUAL);
}

#[test]
fn a_replica_that_trusts_its_own_memory_of_a_restored_side_is_caught() {
    is_caught(restore(), &[Flaw::OwnMemory], EQUAL);
}

#[test]
fn a_raised_life_without_a_look_at_what_the_other_side_has_is_caught() {
    is_caught(restore(), &[Flaw::RaiseWithoutLooking], EQUAL);
}

#[test]
fn an_end_of_dual_write_that_does_not_bar_legacy_is_caught() {
    is_caught(end_of_dual_write(), &[Flaw::AloneWithoutBar], ONE_PRIMARY);
}

#[test]
fn an_end_of_dual_write_without_drain_is_caught() {
    is_caught(end_of_dual_write(), &[Flaw::NoDrain], ENDED);
}
