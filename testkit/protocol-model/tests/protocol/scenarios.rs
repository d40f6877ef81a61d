//! What is tried exhaustively, and holds.

use protocol_model::{Kind, Op, Scenario, Side};

use super::check;

pub(crate) fn set(key: usize) -> Op {
    Op { key, kind: Kind::Set }
}

pub(crate) fn writes() -> Scenario {
    Scenario {
        name: "writes",
        ops: vec![set(0), set(0), set(1)],
        handovers: vec![],
        baselines: 0,
        crashes: 1,
        losses: 1,
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
    Scenario { name: "handover", ops: vec![set(0), set(0)], handovers: vec![Side::Modern], ..writes() }
}

pub(crate) fn there_and_back() -> Scenario {
    Scenario {
        name: "there and back",
        ops: vec![set(0), set(1)],
        handovers: vec![Side::Modern, Side::Legacy],
        losses: 0,
        crashes: 0,
        ..writes()
    }
}

pub(crate) fn two_coordinators() -> Scenario {
    Scenario { name: "two coordinators", handovers: vec![Side::Modern, Side::Modern], ..there_and_back() }
}

pub(crate) fn a_coordinator_dies() -> Scenario {
    Scenario { name: "a coordinator dies", ops: vec![set(0)], crashes: 1, ..there_and_back() }
}

pub(crate) fn baseline_and_handover() -> Scenario {
    Scenario {
        name: "baseline and handover",
        ops: vec![set(0), Op { key: 0, kind: Kind::Delete }],
        handovers: vec![Side::Modern],
        crashes: 0,
        ..deletes()
    }
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
fn a_page_of_a_baseline_that_is_late_for_a_handover_changes_nothing() {
    holds(baseline_and_handover());
}
