//! May a group be promoted, and if not, why not? One gate per condition, with figure and limit. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use model::control::reconciliation::AtRest;
use model::{EntityName, FieldName, Instant, LeftOut, RouteName};

use super::bound::{trials_needed, upper};
use crate::spoken::spoken;

/// The limits of the gates.
#[derive(Debug, Clone, PartialEq)]
pub struct GateLimits {
    /// Share of records that must agree, such as 0.9999, shown at 95 % confidence.
    pub objective: f64,
    /// Evidence that is younger than this counts.
    pub evidence: Duration,
    /// Comparisons that each read route of the group needs.
    pub comparisons_per_route: u64,
    /// Share of keys that must have been compared ever.
    pub keys_ratio: f64,
    /// How old the last complete reconciliation may be; `None`: it is not asked for.
    pub reconciled_within: Option<Duration>,
    /// Oldest unsettled write.
    pub unsettled_age: Duration,
    /// Change capture's lag, where there is any.
    pub cdc_lag: Duration,
    /// Share of reads that modern failed.
    pub error_rate: f64,
}

/// What the guard says of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum GuardSays {
    /// It does not tell.
    #[default]
    Nothing,
    /// There is no guard where this is asked; the replicas ask theirs before each step.
    NotHere,
    /// It has nothing against it.
    Well,
    /// It knows too little, and why.
    Paused(String),
    /// It found a breach.
    Against(String),
}

/// What was compared of a group, by what it is compared by now: under another mapping, or before a side was restored,
/// nothing was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compared {
    /// Different records: each once, however often it was compared.
    pub records: u64,
    /// Those with a confirmed mismatch.
    pub wrong: u64,
    /// The comparisons in which they were.
    pub comparisons: u64,
    /// Since when it counts, where that is later than the evidence might be old.
    pub since: Option<Instant>,
}

/// What is known about a group. `None` is "nobody knows", never "nothing".
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// The records that were compared by what is compared now, over [`GateLimits::evidence`].
    pub compared: Option<Compared>,
    /// The same by route, of the routes that can be compared.
    pub routes: Option<BTreeMap<RouteName, u64>>,
    /// Fields of the group's types that were never compared on any route.
    pub fields_never: Option<Vec<(EntityName, FieldName)>>,
    /// Smallest share of keys that was ever compared, over the group's types.
    pub keys_ratio: Option<f64>,
    /// What the newest reconciliations say; `None`: the control store does not tell.
    pub at_rest: Option<AtRest>,
    /// Columns of legacy that hold something and that the contract leaves out, by the newest reconciliations.
    pub left_out: Option<Vec<(EntityName, LeftOut)>>,
    /// Age of the oldest unsettled write; zero when all are settled.
    pub unsettled_age: Option<Duration>,
    /// Change capture's lag; `None` inside: there is no change capture.
    pub cdc_lag: Option<Option<Duration>>,
    /// Questions that modern was asked over [`GateLimits::evidence`], shadow reads too, and those that it failed.
    pub modern: Option<(u64, u64)>,
    /// The guard's word.
    pub guard: GuardSays,
}

/// Whether a gate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// There is too little data to say. Does not hold.
    Unknown,
    /// It is not asked for here. Holds.
    NotAsked,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Its name, a stable word.
    pub name: &'static str,
    /// Whether it holds.
    pub state: GateState,
    /// What was found, as text with its unit.
    pub figure: String,
    /// What is allowed, as text with its unit.
    pub limit: String,
    /// The whole in a sentence, with what to do when it does not hold.
    pub sentence: String,
}

impl Gate {
    /// Whether it keeps the group from moving on.
    pub fn holds(&self) -> bool {
        match self.state {
            GateState::Pass | GateState::NotAsked => true,
            GateState::Fail | GateState::Unknown => false,
        }
    }
}

/// The names of the gates that do not hold: `mismatches, coverage of keys`; empty when all do.
pub fn closed(gates: &[Gate]) -> String {
    gates.iter().filter(|gate| !gate.holds()).map(|gate| gate.name).collect::<Vec<_>>().join(", ")
}

/// Every gate of a group.
pub fn judge(known: &Known, limits: &GateLimits) -> Vec<Gate> {
    vec![
        mismatches(known, limits),
        routes(known, limits),
        fields(known),
        keys(known, limits),
        reconciliation(known, limits),
        columns(known, limits),
        unsettled(known, limits),
        lag(known, limits),
        errors(known, limits),
        guard(known),
    ]
}

fn gate(name: &'static str, state: GateState, figure: String, limit: String, sentence: String) -> Gate {
    Gate { name, state, figure, limit, sentence }
}

fn unknown(name: &'static str, limit: String, why: &str) -> Gate {
    gate(name, GateState::Unknown, "not known".into(), limit, why.into())
}

fn state(holds: bool) -> GateState {
    if holds { GateState::Pass } else { GateState::Fail }
}

/// A share as a percentage with the digits that it needs.
fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn mismatches(known: &Known, limits: &GateLimits) -> Gate {
    let name = "mismatches";
    let allowed = 1.0 - limits.objective;
    let limit = format!("at most {} of records, at 95 % confidence", percent(allowed));
    let needed = trials_needed(allowed.max(1e-9));
    let Some(Compared { records, wrong, comparisons, since }) = known.compared else {
        return unknown(name, limit, "the control store does not tell what was compared");
    };
    let since = since.map(|since| format!(", counted since {since}, when the contract or a side's log changed"));
    // Where nothing else was ever compared there is no moment to name.
    let since = since.unwrap_or_default();
    if records == 0 {
        let why = format!("nothing was compared{since}: raise --shadow; {needed} records without mismatch would do");
        return unknown(name, limit, &why);
    }
    let bound = upper(wrong, records);
    let holds = bound <= allowed;
    let figure = format!("{wrong} of {records} records, so at most {}", percent(bound));
    let of = format!("{records} different records ({comparisons} comparisons{since})");
    let (state, sentence) = match (holds, wrong) {
        (true, _) => (GateState::Pass, format!("{wrong} wrong of {of}: at most {} are wrong", percent(bound))),
        // Too few say nothing; that is not the same as a mismatch. Then all rows may speak for them.
        (false, 0) => match equal_at_rest(known, limits) {
            Some(age) => (
                GateState::Pass,
                format!(
                    "no mismatch in {of}, too few by themselves ({needed} would do); in their place stands a complete reconciliation without drift, {} ago",
                    spoken(age)
                ),
            ),
            None => (
                GateState::Unknown,
                format!(
                    "no mismatch in {of}, which is too few: {needed} would do, or a complete `strangler reconcile` without drift beside them"
                ),
            ),
        },
        (false, _) => (
            GateState::Fail,
            format!("{wrong} wrong of {of}: up to {} may be wrong; see `strangler diffs report`", percent(bound)),
        ),
    };
    gate(name, state, figure, limit, sentence)
}

/// How long ago every row was found equal, if that is young enough to count.
fn equal_at_rest(known: &Known, limits: &GateLimits) -> Option<Duration> {
    match (&known.at_rest, limits.reconciled_within) {
        (Some(AtRest::Equal(age)), Some(within)) if *age <= within => Some(*age),
        (Some(AtRest::Equal(_) | AtRest::Drifted(_) | AtRest::Unknown(_)) | None, _) => None,
    }
}

fn routes(known: &Known, limits: &GateLimits) -> Gate {
    let name = "coverage of routes";
    let most = limits.comparisons_per_route;
    let limit = format!("{most} comparisons on every read route");
    let Some(routes) = &known.routes else {
        return unknown(name, limit, "the control store does not tell what was compared");
    };
    if routes.is_empty() {
        return unknown(name, limit, "the group has no read route, so nothing of it is ever compared");
    }
    let few: Vec<_> = routes.iter().filter(|(_, count)| **count < most).collect();
    let sentence = match few.as_slice() {
        [] => format!("every one of {} read routes was compared {most} times or more", routes.len()),
        few => {
            let told: Vec<_> = few.iter().take(5).map(|(route, count)| format!("{route} ({count})")).collect();
            format!("compared too seldom: {}; clients must ask them, or nobody knows", told.join(", "))
        }
    };
    gate(name, state(few.is_empty()), format!("{} of {}", routes.len() - few.len(), routes.len()), limit, sentence)
}

fn fields(known: &Known) -> Gate {
    let name = "coverage of fields";
    let limit = "every field compared at least once".to_owned();
    let Some(never) = &known.fields_never else {
        return unknown(name, limit, "the control store does not tell what was compared");
    };
    let sentence = match never.as_slice() {
        [] => "every field was compared".to_owned(),
        never => {
            let told: Vec<_> = never.iter().take(5).map(|(entity, field)| format!("{field} of {entity}")).collect();
            format!("never compared: {}", told.join(", "))
        }
    };
    gate(name, state(never.is_empty()), format!("{} never compared", never.len()), limit, sentence)
}

fn keys(known: &Known, limits: &GateLimits) -> Gate {
    let name = "coverage of keys";
    let limit = format!("{} of keys compared", percent(limits.keys_ratio));
    match known.keys_ratio {
        None => unknown(
            name,
            limit,
            "how many keys there are, or were compared, is not known: legacy has no fresh statistics and cannot be counted at once, or has no row",
        ),
        Some(ratio) => {
            let holds = ratio >= limits.keys_ratio;
            let sentence = if holds {
                format!("{} of the keys were compared", percent(ratio))
            } else {
                format!(
                    "only {} of the keys were ever compared: shadow reads see only what clients read",
                    percent(ratio)
                )
            };
            gate(name, state(holds), percent(ratio), limit, sentence)
        }
    }
}

fn reconciliation(known: &Known, limits: &GateLimits) -> Gate {
    let name = "reconciliation";
    let Some(within) = limits.reconciled_within else {
        let sentence = "reconciliation is not asked for (promotion.reconciled_within_hours = 0)";
        return gate(name, GateState::NotAsked, "not asked".into(), "none".into(), sentence.into());
    };
    let limit = format!("complete and without drift, at most {} ago", spoken(within));
    match &known.at_rest {
        None => unknown(name, limit, "the control store does not tell what was found at rest"),
        Some(AtRest::Unknown(why)) => unknown(name, limit, &format!("{why}: run `strangler reconcile`")),
        Some(AtRest::Drifted(rows)) => {
            let sentence = format!("{rows} rows differ at rest: repair them, then run `strangler reconcile` again");
            gate(name, GateState::Fail, format!("{rows} rows differ"), limit, sentence)
        }
        Some(AtRest::Equal(age)) => {
            let (fresh, ago) = (*age <= within, spoken(*age));
            let sentence = if fresh {
                format!("the rows at rest were equal {ago} ago")
            } else {
                format!("the last complete run is {ago} old: run `strangler reconcile`")
            };
            gate(name, state(fresh), format!("0 rows differ, {ago} ago"), limit, sentence)
        }
    }
}

fn columns(known: &Known, limits: &GateLimits) -> Gate {
    let (name, limit) = ("columns", "none of legacy's columns left out without a word".to_owned());
    if limits.reconciled_within.is_none() {
        let sentence = "reconciliation, which finds them, is not asked for";
        return gate(name, GateState::NotAsked, "not asked".into(), limit, sentence.into());
    }
    match known.left_out.as_deref() {
        None => unknown(
            name,
            limit,
            "whether the contract leaves out columns was never looked at: run `strangler reconcile`",
        ),
        Some([]) => {
            let sentence = "every column of legacy that holds something is a field, or ignored with a reason";
            gate(name, GateState::Pass, "0 left out".into(), limit, sentence.into())
        }
        Some(columns) => {
            let told: Vec<_> = columns.iter().take(5).map(|(entity, column)| format!("{entity}: {column}")).collect();
            let sentence = format!(
                "the contract leaves out {}: give each a field, or say @ignored(column:, reason:), and run `strangler reconcile` again",
                told.join("; ")
            );
            gate(name, GateState::Fail, format!("{} left out", columns.len()), limit, sentence)
        }
    }
}

fn unsettled(known: &Known, limits: &GateLimits) -> Gate {
    let name = "unsettled writes";
    let limit = format!("none older than {}", spoken(limits.unsettled_age));
    match known.unsettled_age {
        None => unknown(name, limit, "the primary does not tell what is unsettled"),
        Some(age) => {
            let holds = age <= limits.unsettled_age;
            let sentence = if holds {
                "both sides have every write, or will in a moment".to_owned()
            } else {
                format!("modern lacks a write that is {} old; see the runbook about unsettled writes", spoken(age))
            };
            gate(name, state(holds), format!("oldest {}", spoken(age)), limit, sentence)
        }
    }
}

fn lag(known: &Known, limits: &GateLimits) -> Gate {
    let name = "change capture";
    let limit = format!("lag of at most {}", spoken(limits.cdc_lag));
    match known.cdc_lag {
        None => unknown(name, limit, "how far change capture lags behind is not known"),
        Some(None) => {
            let sentence = "there is no change capture: every writer of the group must come through here";
            gate(name, GateState::NotAsked, "none".into(), limit, sentence.into())
        }
        Some(Some(lag)) => {
            let holds = lag <= limits.cdc_lag;
            let verb = if holds { "keeps up" } else { "lags behind" };
            gate(name, state(holds), spoken(lag), limit, format!("change capture {verb}: {}", spoken(lag)))
        }
    }
}

fn errors(known: &Known, limits: &GateLimits) -> Gate {
    let name = "errors of modern";
    let limit = format!("at most {} of the questions put to it", percent(limits.error_rate));
    match known.modern {
        None | Some((0, _)) => unknown(name, limit, "modern was asked nothing"),
        Some((reads, failed)) => {
            #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 reads")]
            let rate = failed as f64 / reads as f64;
            let sentence = format!("{failed} of {reads} questions put to modern had no answer");
            gate(name, state(rate <= limits.error_rate), percent(rate), limit, sentence)
        }
    }
}

fn guard(known: &Known) -> Gate {
    let (name, limit) = ("guard", "nothing against it".to_owned());
    match &known.guard {
        GuardSays::Nothing => unknown(name, limit, "the guard does not tell"),
        GuardSays::NotHere => {
            let sentence = "the replicas ask their guard before each step";
            gate(name, GateState::NotAsked, "not asked here".into(), limit, sentence.into())
        }
        GuardSays::Well => gate(name, GateState::Pass, "well".into(), limit, "the guard has nothing against it".into()),
        GuardSays::Paused(why) => gate(name, GateState::Unknown, "paused".into(), limit, why.clone()),
        GuardSays::Against(why) => gate(name, GateState::Fail, "not well".into(), limit, why.clone()),
    }
}

#[cfg(test)]
mod tests;
