//! What is tried exhaustively, and holds.

use protocol_model::{Goal, Kind, Op, Scenario, Side};

use super::check;

pub(crate) fn set(key: usize) -> Op {
    Op { key, kind: Kind::Set }
}

pub(crate) fn writes() -> Scenario {
    Scenario {
        name: "writes",
        ops: vec![set(0), set(0), set(1)],
        handovers: vec![],
        reverse: false,
        baselines: 0,
        crashes: 1,
        losses: 1,
        outsiders: vec![],
        restores: 0,
        only_on_legacy: false,
        flaws: vec![],
    }
}

pub(crate) fn deletes() -> Scenario {
    Scenario {
        name: "deletes, repair, baseline",
        ops: vec![set(0), Op { key: 0, kind: Kind::Delete }, Op { key: 0, kind: Kind::Touch }],
        baselines: 2,
        only_on_legacy: true,
        losses: 0,
        ..writes()
    }
}

pub(crate) fn handover() -> Scenario {
    Scenario { name: "handover", ops: vec![set(0), set(0)], handovers: vec![Goal::To(Side::Modern)], ..writes() }
}

pub(crate) fn there_and_back() -> Scenario {
    Scenario {
        name: "there and back",
        ops: vec![set(0), set(1)],
        handovers: vec![Goal::To(Side::Modern), Goal::To(Side::Legacy)],
        losses: 0,
        crashes: 0,
        ..writes()
    }
}

pub(crate) fn two_coordinators() -> Scenario {
    Scenario {
        name: "two coordinators",
        handovers: vec![Goal::To(Side::Modern), Goal::To(Side::Modern)],
        ..there_and_back()
    }
}

pub(crate) fn a_coordinator_dies() -> Scenario {
    Scenario { name: "a coordinator dies", ops: vec![set(0)], crashes: 1, ..there_and_back() }
}

pub(crate) fn baseline_and_handover() -> Scenario {
    Scenario {
        name: "baseline and handover",
        ops: vec![set(0), Op { key: 0, kind: Kind::Delete }],
        handovers: vec![Goal::To(Side::Modern)],
        crashes: 0,
        ..deletes()
    }
}

pub(crate) fn transfer() -> Scenario {
    Scenario {
        name: "a write of two keys and a handover",
        ops: vec![Op { key: 0, kind: Kind::Transfer }, set(0)],
        losses: 0,
        ..handover()
    }
}

pub(crate) fn outsider() -> Scenario {
    Scenario {
        name: "somebody outside, a baseline and a handover",
        ops: vec![set(1)],
        baselines: 1,
        handovers: vec![Goal::To(Side::Modern)],
        only_on_legacy: true,
        outsiders: vec![0],
        losses: 0,
        ..writes()
    }
}

pub(crate) fn two_contracts() -> Scenario {
    Scenario {
        name: "two contracts",
        ops: vec![set(0), Op { key: 0, kind: Kind::Narrow }, set(0)],
        losses: 0,
        ..writes()
    }
}

pub(crate) fn end_of_dual_write() -> Scenario {
    Scenario {
        name: "the end of dual write beside a handover",
        ops: vec![set(0), set(1)],
        handovers: vec![Goal::Alone, Goal::To(Side::Legacy)],
        reverse: true,
        ..there_and_back()
    }
}

pub(crate) fn end_of_dual_write_and_a_crash() -> Scenario {
    Scenario {
        name: "the end of dual write and a crash",
        ops: vec![set(0), set(0)],
        handovers: vec![Goal::Alone],
        reverse: true,
        ..writes()
    }
}

pub(crate) fn restore() -> Scenario {
    Scenario { name: "a restore", ops: vec![set(0), set(0)], restores: 1, crashes: 0, losses: 0, ..writes() }
}

fn holds(scenario: Scenario) {
    let checked = check(scenario, None);
    for (property, trace) in &checked.failed {
        eprintln!("fails: {property}\n{trace}");
    }
    assert!(checked.failed.is_empty(), "{:?}", checked.failed.iter().map(|(name, _)| name).collect::<Vec<_>>());
    assert!(checked.missing.is_empty(), "{:?}", checked.missing);
}

#[test]
fn writes_of_two_replicas_survive_lost_answers_and_a_crash() {
    holds(writes());
}

#[test]
fn deletes_repairs_and_baselines_level_both_sides_in_any_order() {
    holds(deletes());
}

#[test]
fn a_handover_under_writes_has_one_primary_and_loses_nothing() {
    holds(handover());
}

#[test]
fn a_handover_and_its_way_back_at_once_have_one_primary_and_lose_nothing() {
    holds(there_and_back());
}

#[test]
fn two_who_hand_over_at_once_have_one_primary_and_lose_nothing() {
    holds(two_coordinators());
}

#[test]
fn one_of_two_coordinators_may_die_anywhere() {
    holds(a_coordinator_dies());
}

#[test]
fn a_write_of_two_keys_stands_whole_through_a_handover() {
    holds(transfer());
}

#[test]
fn what_others_write_on_the_new_primary_is_overwritten_by_no_late_page() {
    holds(outsider());
}

#[test]
fn states_of_a_narrow_contract_lose_nothing_of_the_wider_one() {
    holds(two_contracts());
}

#[test]
fn the_end_of_dual_write_and_a_handover_at_once_have_one_primary_and_lose_nothing() {
    holds(end_of_dual_write());
}

#[test]
fn whoever_ends_the_dual_write_may_die_anywhere() {
    holds(end_of_dual_write_and_a_crash());
}

#[test]
fn a_restored_side_is_written_again_when_its_life_was_raised_and_its_keys_were_looked_at() {
    holds(restore());
}

#[test]
fn a_page_of_a_baseline_that_is_late_for_a_handover_changes_nothing() {
    holds(baseline_and_handover());
}
