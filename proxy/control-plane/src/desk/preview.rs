//! What a change of a group's policy would do, before anybody orders it. Pure: policies and gates in, words out.
//!
//! Moves that can make answers wrong have *objections*: gates that do not hold where modern would answer more, and the
//! end of the dual write. Whoever orders such a move names what they go past. Lowering reads and rolling back have none,
//! whatever the gates say.
//!
//! Promise: what is shown and what is asked of an order come from here, for command line, admin API and dashboard alike.
//! Not here: who judges the gates (`promote`), who asks (`objections`).

use std::collections::BTreeSet;

use model::{GroupName, Percentage, Policy, RolloutVersion, Stage};
use serde_json::{Value as Json, json};
use shadow_compare::words::counted;

use crate::promotion::gates::Gate;

/// The objection to leaving the dual write.
pub(crate) const END_OF_DUAL_WRITE: &str = "dual write";

/// Everything there is to object.
const ALL: &str = "all";

/// What whoever orders a change has seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Knowing {
    /// What they go past.
    pub past: Past,
    /// The newest rollout that they have seen: whatever somebody has changed in the group since refuses the order.
    pub rollout: Option<RolloutVersion>,
}

impl Knowing {
    /// Whoever knows everything there is to object, and orders it all the same.
    pub fn past_everything() -> Self {
        Self { past: Past::Everything, rollout: None }
    }
}

/// Which objections an order goes past.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Past {
    /// None: where there is one, nothing changes.
    #[default]
    Nothing,
    /// These, by name. Any other refuses the order.
    Named(BTreeSet<String>),
    /// All there are.
    Everything,
}

impl Past {
    /// From names as people and programs give them; `all` is everything.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: BTreeSet<String> = names.into_iter().map(|name| name.trim().to_owned()).collect();
        match names.len() {
            0 => Self::Nothing,
            _ if names.contains(ALL) => Self::Everything,
            _ => Self::Named(names),
        }
    }

    fn covers(&self, objection: &Objection) -> bool {
        match self {
            Self::Nothing => false,
            Self::Named(names) => names.contains(&objection.name),
            Self::Everything => true,
        }
    }
}

/// What stands against a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// A gate's name, or `dual write` for its end.
    pub name: String,
    /// What it is, in a sentence.
    pub sentence: String,
}

/// One setting that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// stage, reads or shadow.
    pub name: &'static str,
    /// What holds.
    pub from: String,
    /// What would hold.
    pub to: String,
}

/// What an order would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The group.
    pub group: GroupName,
    /// The rollout that was looked at.
    pub rollout: RolloutVersion,
    /// The policy that holds.
    pub from: Policy,
    /// The policy that would.
    pub to: Policy,
    /// What differs; nothing where everything is so already.
    pub settings: Vec<Setting>,
    /// What ends with it.
    pub stops: Vec<String>,
    /// Who is answered by whom, and who has the writes, afterwards.
    pub answered: Vec<String>,
    /// What stands against it.
    pub objections: Vec<Objection>,
    /// What else to know, such as when it would happen.
    pub notes: Vec<String>,
    /// Whether it takes a second person.
    pub second_person: bool,
}

impl Preview {
    /// Of a change from one policy to another that comes into force at once.
    pub fn of(group: &GroupName, rollout: RolloutVersion, from: Policy, to: Policy, gates: &[Gate]) -> Self {
        Self {
            group: group.clone(),
            rollout,
            from,
            to,
            settings: settings(&from, &to),
            stops: stops(&from, &to),
            answered: answered(&from, &to),
            objections: objections(&from, &to, gates),
            notes: Vec::new(),
            second_person: false,
        }
    }

    /// For scripts.
    pub fn json(&self) -> Json {
        let settings = self.settings.iter();
        let settings: Vec<_> = settings.map(|s| json!({ "name": s.name, "from": s.from, "to": s.to })).collect();
        let objections = self.objections.iter();
        let objections: Vec<_> = objections.map(|o| json!({ "name": o.name, "sentence": o.sentence })).collect();
        json!({
            "group": self.group, "rollout": self.rollout.0, "settings": settings, "stops": self.stops,
            "answered": self.answered, "objections": objections, "notes": self.notes,
            "secondPerson": self.second_person,
        })
    }
}

/// Whether modern would answer more than before: what the gates are for.
pub(crate) fn asks_gates(from: &Policy, to: &Policy) -> bool {
    to.reads() > from.reads()
}

/// What stands against going from one policy to another.
pub(crate) fn objections(from: &Policy, to: &Policy, gates: &[Gate]) -> Vec<Objection> {
    let mut objections = Vec::new();
    // Stage modern ends it too, in the other direction: a handover's order, which a second person decides by its own list.
    if from.stage().dual_writes() && !to.stage().dual_writes() && to.stage() != Stage::Modern {
        let sentence = "writes stop reaching modern: what is written from then on is missing there".to_owned();
        objections.push(Objection { name: END_OF_DUAL_WRITE.to_owned(), sentence });
    }
    if asks_gates(from, to) {
        let closed = gates.iter().filter(|gate| !gate.holds());
        objections.extend(closed.map(|gate| Objection { name: gate.name.to_owned(), sentence: gate.sentence.clone() }));
    }
    objections
}

/// Those that an order does not go past.
pub(crate) fn unheeded<'a>(objections: &'a [Objection], past: &Past) -> Vec<&'a Objection> {
    objections.iter().filter(|objection| !past.covers(objection)).collect()
}

/// `2 gates do not hold (guard, columns), and writes stop reaching modern`; empty without any.
pub fn in_words(objections: &[&Objection]) -> String {
    let (ends, gates): (Vec<_>, Vec<_>) =
        objections.iter().map(|objection| objection.name.as_str()).partition(|name| *name == END_OF_DUAL_WRITE);
    let mut told = Vec::new();
    if !gates.is_empty() {
        let closed = counted(gates.len() as u64, "gate does not hold", "gates do not hold");
        told.push(format!("{closed} ({})", gates.join(", ")));
    }
    if !ends.is_empty() {
        told.push("writes stop reaching modern".to_owned());
    }
    told.join(", and ")
}

fn settings(from: &Policy, to: &Policy) -> Vec<Setting> {
    let all = [
        ("stage", from.stage().to_string(), to.stage().to_string()),
        ("reads", from.reads().to_string(), to.reads().to_string()),
        ("shadow", from.shadow().to_string(), to.shadow().to_string()),
        ("primary", from.primary().to_string(), to.primary().to_string()),
    ];
    let differs = all.into_iter().filter(|(_, from, to)| from != to);
    differs.map(|(name, from, to)| Setting { name, from, to }).collect()
}

fn stops(from: &Policy, to: &Policy) -> Vec<String> {
    let mut stops = Vec::new();
    if from.stage().dual_writes() && !to.stage().dual_writes() {
        stops.push(match to.stage() {
            Stage::Modern => "Writes stop reaching legacy, and nothing leads back.".to_owned(),
            Stage::Legacy | Stage::DualWrite | Stage::Shadow | Stage::Shift | Stage::Reverse => {
                "Writes stop reaching modern. Before it can answer again, what it lacks has to be brought to it and \
                 compared."
                    .to_owned()
            }
        });
    }
    if from.reads() != Percentage::ZERO && to.reads() == Percentage::ZERO {
        stops.push("Modern stops answering.".to_owned());
    }
    if from.shadow() != Percentage::ZERO && to.shadow() == Percentage::ZERO {
        stops
            .push("Answers are no longer compared: nothing new is known of modern, and evidence grows old.".to_owned());
    }
    stops
}

fn answered(from: &Policy, to: &Policy) -> Vec<String> {
    let reads = to.reads();
    let before = if from.reads() == reads { "as now".to_owned() } else { format!("now {}", from.reads()) };
    let reads = match (to.stage(), reads == Percentage::ZERO, reads == Percentage::FULL) {
        (Stage::Modern, _, _) => format!("Modern answers every read ({before})."),
        (_, true, _) => format!("Legacy answers every read; modern {reads} ({before})."),
        (Stage::Reverse, _, _) => format!("Modern answers {reads} of reads ({before}), and legacy is only compared."),
        (_, _, true) => format!(
            "Modern answers {reads} of keys ({before}), but for keys whose newest write it does not have yet: those are \
             answered by legacy."
        ),
        (_, _, false) => format!("Modern answers {reads} of keys ({before}), legacy the others."),
    };
    let (primary, secondary) = (to.primary(), to.primary().other());
    let writes = if to.stage().dual_writes() {
        format!("Writes go to {primary}, and from there to {secondary}.")
    } else {
        format!("Writes go to {primary} alone.")
    };
    let compared =
        (to.shadow() != Percentage::ZERO).then(|| format!("{} of reads are asked of the other side too.", to.shadow()));
    [Some(reads), Some(writes), compared].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
