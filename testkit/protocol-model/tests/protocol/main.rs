//! Every order of events of each scenario, and of the same with a wrong turn.

mod flaws;
mod scenarios;
mod twin;

use std::fmt::Write as _;

use protocol_model::{Act, Protocol, Scenario};
use stateright::{Checker as _, HasDiscoveries, Model as _};

/// What a check came to: the counterexamples by property, as text.
struct Checked {
    states: usize,
    failed: Vec<(&'static str, String)>,
    missing: Vec<&'static str>,
}

const CORES: usize = 2;

/// Tries everything; of a scenario with a wrong turn, until it breaks the property `wanted`.
fn check(scenario: Scenario, wanted: Option<&'static str>) -> Checked {
    let name = scenario.name;
    let flawed = wanted.is_some();
    // One thread finds the shortest counterexample, two find that there is none in less time.
    let builder = Protocol(scenario).checker().threads(if flawed { 1 } else { CORES });
    let builder = builder.finish_when(wanted.map_or(HasDiscoveries::All, |name| HasDiscoveries::AnyOf([name].into())));
    let checker = builder.spawn_bfs().join();
    let mut checked = Checked { states: checker.unique_state_count(), failed: Vec::new(), missing: Vec::new() };
    let mut found = checker.discoveries();
    for property in checker.model().properties() {
        match (property.expectation.discovery_is_failure(), found.remove(property.name)) {
            (true, Some(path)) => checked.failed.push((property.name, told(&path.into_actions()))),
            (false, None) => checked.missing.push(property.name),
            (true, None) | (false, Some(_)) => {}
        }
    }
    assert!(flawed || checker.is_done());
    eprintln!("{name}: {} states, depth {}", checked.states, checker.max_depth());
    checked
}

fn told(acts: &[Act]) -> String {
    let mut text = String::new();
    for (number, act) in (1..).zip(acts) {
        writeln!(text, "{number:4}. {act:?}").expect("a string takes everything");
    }
    text
}
