//! Which moves something stands against, and what is said of each.

use model::Epoch;
use proptest::prelude::*;

use super::*;
use crate::promotion::gates::GateState;

fn policy(stage: Stage, reads: f64) -> Policy {
    let shadow = if stage.shadows() { Percentage::FULL } else { Percentage::ZERO };
    Policy::new(stage, reads.try_into().unwrap(), shadow, Epoch(1)).unwrap()
}

fn gate(name: &'static str, state: GateState) -> Gate {
    Gate { name, state, figure: String::new(), limit: String::new(), sentence: format!("{name} says so") }
}

fn gates() -> Vec<Gate> {
    vec![
        gate("mismatches", GateState::Fail),
        gate("coverage of keys", GateState::Unknown),
        gate("change capture", GateState::NotAsked),
        gate("unsettled writes", GateState::Pass),
    ]
}

fn all() -> Vec<Policy> {
    vec![
        policy(Stage::Legacy, 0.0),
        policy(Stage::DualWrite, 0.0),
        policy(Stage::Shadow, 0.0),
        policy(Stage::Shift, 0.0),
        policy(Stage::Shift, 3.0),
        policy(Stage::Shift, 100.0),
    ]
}

#[test]
fn raising_reads_and_leaving_the_dual_write_have_objections_and_nothing_else_has() {
    for from in all() {
        for to in all() {
            let objections = objections(&from, &to, &gates());
            let names: Vec<_> = objections.iter().map(|objection| objection.name.as_str()).collect();
            let raises = to.reads() > from.reads();
            let leaves = from.stage().dual_writes() && to.stage() == Stage::Legacy;
            let expected: Vec<&str> = match (leaves, raises) {
                (true, _) => vec![END_OF_DUAL_WRITE],
                (false, true) => vec!["mismatches", "coverage of keys"],
                (false, false) => vec![],
            };
            assert_eq!(names, expected, "{from:?} {to:?}");
        }
        assert_eq!(objections(&from, &from.rolled_back(), &gates()), [], "a rollback is free: {from:?}");
    }
}

#[test]
fn what_is_named_is_gone_past_and_nothing_that_came_since() {
    let (from, to) = (policy(Stage::Shift, 3.0), policy(Stage::Shift, 100.0));
    let shown = objections(&from, &to, &gates());
    let past = Past::named(shown.iter().map(|objection| objection.name.as_str()));
    assert!(unheeded(&shown, &past).is_empty());
    // A gate that has closed since is not among them; one that has opened does no harm.
    let mut since = gates();
    since.remove(0);
    since.push(gate("guard", GateState::Fail));
    let since = objections(&from, &to, &since);
    let unheeded_since: Vec<_> = unheeded(&since, &past).iter().map(|one| one.name.clone()).collect();
    assert_eq!(unheeded_since, ["guard"]);
    assert_eq!(unheeded(&since, &Past::Nothing).len(), since.len());
    assert!(unheeded(&since, &Past::Everything).is_empty());
    assert_eq!(Past::named(["guard", "all"]), Past::Everything);
    assert_eq!(Past::named([]), Past::Nothing);
    // An empty name names nothing.
    assert!(!unheeded(&since, &Past::named([""])).is_empty());
}

#[test]
fn what_is_said_of_each_move() {
    let of = |from: Policy, to: Policy| {
        let preview = Preview::of(&GroupName::from("inventory"), RolloutVersion(7), from, to, &gates());
        serde_json::to_string_pretty(&preview.json()).unwrap()
    };
    let reverse = Policy::new(Stage::Reverse, Percentage::FULL, Percentage::FULL, Epoch(2)).unwrap();
    let modern = Policy::new(Stage::Modern, Percentage::FULL, Percentage::ZERO, Epoch(2)).unwrap();
    let told = [
        of(policy(Stage::Shift, 3.0), policy(Stage::Shift, 100.0)),
        of(policy(Stage::Shift, 25.0), policy(Stage::Legacy, 0.0)),
        of(policy(Stage::Legacy, 0.0), policy(Stage::Shift, 5.0)),
        of(policy(Stage::Shift, 25.0), policy(Stage::Shift, 25.0).rolled_back()),
        of(reverse, modern),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

proptest! {
    #[test]
    fn lowering_is_free_whatever_the_gates_say(from in 0..=10_000u32, to in 0..=10_000u32) {
        let at = |points: u32| policy(Stage::Shift, f64::from(points) / 100.0);
        let objections = objections(&at(from), &at(to), &gates());
        prop_assert_eq!(objections.is_empty(), to <= from);
    }
}
