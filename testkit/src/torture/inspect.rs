//! A row is changed past the fleet; then reconcile, gates, safety report and repair are asked, under load and trouble, and
//! what they say is held to what both databases say (`truth`).
//!
//! A report may fail, or say that it does not know: nobody is wronged by that. It must not say *equal*, *safe*, *passed* or *done* while the books
//! say otherwise. When the trouble is over all are asked once more, and then must be right in both directions.
//!
//! What a report says is judged by pure functions.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{PerSide, Side};
use serde_json::Value as Json;
use tokio::time::timeout;

use super::chaos::{Chaos, Done};
use super::truth::{Look, Named, Truth, lasting, primary, waiting};
use super::world::World;

/// A look may take so long, or it is none.
const LOOK_WITHIN: Duration = Duration::from_secs(10);
const RECORD: [&str; 4] = ["--reason", "torture", "--who", "torturer"];
/// What is asked.
pub const ASKED: [&str; 6] = ["reconcile", "gates", "safety report", "repair", "handover", "rollback"];

/// How a row is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// It stands on both sides, and differs.
    Changed,
    /// Only the primary has it.
    Missing,
    /// Only the secondary has it.
    Extra,
}

impl Drift {
    /// All.
    pub const ALL: [Self; 3] = [Self::Changed, Self::Missing, Self::Extra];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "inspect a changed row",
            Self::Missing => "inspect a missing row",
            Self::Extra => "inspect an extra row",
        }
    }
}

/// What reports said, as far as it could be judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Judgements, by what was asked.
    pub judged: BTreeMap<&'static str, usize>,
    /// What was said and is not so.
    pub wrong: Vec<String>,
}

impl Said {
    /// `wrong`: what is not so of what `asked` said.
    pub fn note(&mut self, asked: &'static str, wrong: Vec<String>) {
        *self.judged.entry(asked).or_default() += 1;
        self.wrong.extend(wrong);
    }

    /// With what else was said.
    pub fn join(&mut self, other: Self) {
        for (asked, count) in other.judged {
            *self.judged.entry(asked).or_default() += count;
        }
        self.wrong.extend(other.wrong);
    }
}

type Lasting = BTreeMap<Named, PerSide<Option<String>>>;

/// What a reconciliation must not say while rows differ.
fn of_reconcile(said: &Json, differ: &Lasting) -> Vec<String> {
    let types = said["types"].as_array().cloned().unwrap_or_default();
    if types.is_empty() && !differ.is_empty() {
        return vec![format!("reconcile says nothing of any type, and {} rows differ", differ.len())];
    }
    let of_type = |one: &Json| -> Vec<String> {
        let name = one["entity"].as_str().unwrap_or_default();
        if one["complete"] != true {
            return Vec::new();
        }
        let named = |key: &str| one["keys"].as_array().is_some_and(|keys| keys.iter().any(|it| it == key));
        let missed = differ.iter().filter(|((entity, key), _)| entity == name && !named(key));
        let told = |(named, pair): (&Named, &PerSide<Option<String>>)| {
            format!("reconcile is complete, and does not name {named:?}, which differs: {pair:?}")
        };
        missed.map(told).collect()
    };
    types.iter().flat_map(of_type).collect()
}

/// What the gates must not say of rows that differed before the last reconciliation began, and do still.
fn of_gates(said: &Json, differ: &Lasting) -> Vec<String> {
    if differ.is_empty() {
        return Vec::new();
    }
    let readiness = &said["readiness"];
    let gates = readiness["gates"].as_array().cloned().unwrap_or_default();
    let state = gates.iter().find(|gate| gate["name"] == "reconciliation").map(|gate| &gate["state"]);
    if state.is_none() || readiness["answer"].is_null() {
        return vec![format!("the gates say nothing of the reconciliation, and {} rows differ", differ.len())];
    }
    let passes = state.is_some_and(|state| state == "PASS");
    let yes = readiness["answer"].as_str().is_some_and(|answer| answer.starts_with("Yes"));
    let wrong = [(passes, "the gate reconciliation passes"), (yes, "a promotion is allowed")];
    let wrong = wrong.into_iter().filter(|(is_said, _)| *is_said);
    wrong.map(|(_, what)| format!("{what}, and {} rows differ", differ.len())).collect()
}

/// What the safety report must not say.
fn of_safety(said: &Json, primary: Side, differ: &Lasting, waiting: usize) -> Vec<String> {
    let only_here =
        |pair: &&PerSide<Option<String>>| pair.get(primary).is_some() && pair.get(primary.other()).is_none();
    let lost = differ.values().filter(only_here).count() as u64;
    let count = |what: &str| said[what].as_u64().unwrap_or_default();
    let mut wrong = Vec::new();
    if said["safe"] == true && lost > 0 {
        wrong.push(format!("a handover is called safe, and {lost} rows would be lost"));
    }
    if count("missing") + count("undecided") < lost {
        wrong.push(format!("{} rows are said to be missing, and {lost} are", count("missing")));
    }
    if count("unsettled") + count("leftBehind") == 0 && waiting > 0 {
        wrong.push(format!("no write is said to wait, and {waiting} do"));
    }
    wrong
}

/// Whether a repaired row is the same on both sides.
fn of_repair(name: &Named, truth: &Truth) -> Vec<String> {
    let on = |side: Side| truth.get(side).rows.get(name);
    let differs = on(Side::Legacy) != on(Side::Modern);
    let wrong = || format!("repair of {} {} is said to be done, and it differs", name.0, name.1);
    differs.then(wrong).into_iter().collect()
}

/// What is left to be wrong after a handover that is said to be done.
fn of_handover(to: Side, truth: &Truth) -> Vec<String> {
    let mut wrong = Vec::new();
    if primary(truth) != Some(to) {
        let fence = |side: Side| format!("{side} {:?}", truth.get(side).fence);
        wrong.push(format!(
            "{to} is said to have the authority, and fences say {} {}",
            fence(Side::Legacy),
            fence(Side::Modern)
        ));
    }
    let left = truth.get(to.other()).unsettled.len();
    if left > 0 {
        wrong.push(format!("a handover to {to} is said to be done, and {left} changes of {} wait", to.other()));
    }
    wrong
}

impl World {
    /// Both databases, if they answer.
    pub async fn truth(&self) -> Option<Truth> {
        let look = async |side: Side| Look::at(side, &self.unhurried(side).await.ok()?).await.ok();
        let both = async { Some(PerSide { legacy: look(Side::Legacy).await?, modern: look(Side::Modern).await? }) };
        timeout(LOOK_WITHIN, both).await.ok().flatten()
    }

    /// Changes a row that nobody asks for; its key. `None`: a side is away, or nobody has the authority.
    pub async fn plant(&self, drift: Drift, number: usize) -> Option<Named> {
        let primary = primary(&self.truth().await?)?;
        let sku = format!("{PLANTED}{number:04}");
        let mut on = Vec::new();
        for side in Side::BOTH {
            let (here, name) = match (drift, side == primary) {
                (Drift::Changed, true) | (Drift::Missing, true) | (Drift::Extra, false) => (true, "planted"),
                (Drift::Changed, false) => (true, "drifted"),
                (Drift::Missing, false) | (Drift::Extra, true) => (false, ""),
            };
            if here {
                let into = match side {
                    Side::Legacy => "ITMHDR (ITMNO, ITMDSC, UPRICE)",
                    Side::Modern => "product (sku, name, unit_price)",
                };
                on.push((
                    self.unhurried(side).await.ok()?,
                    format!("INSERT INTO {into} VALUES ('{sku}', '{name}', 1.5)"),
                ));
            }
        }
        for (client, text) in on {
            timeout(LOOK_WITHIN, client.batch_execute(&text)).await.ok()?.ok()?;
        }
        Some(("Product".into(), Json::from(vec![sku]).to_string()))
    }

    /// Plants a drift, and asks everything that should see it; then has it levelled, and asks again. Whether the row was there to be seen.
    pub async fn inspect(&self, drift: Drift, number: usize, said: &mut Said) -> bool {
        let Some(planted) = self.plant(drift, number).await else { return false };
        self.ask_all(said).await;
        let key = planted.1.as_str();
        let order = [&["repair", "--entity", "Product", "--key", key], &RECORD[..]].concat();
        // Only what it calls done is held against it.
        if let Some((_, true)) = self.ask(&order).await
            && let Some(truth) = self.truth().await
        {
            said.note("repair", of_repair(&planted, &truth));
        }
        self.ask_all(said).await;
        true
    }

    /// Asks for reconciliation, gates and safety once each. What reconciliation said, if it said anything.
    pub async fn ask_all(&self, said: &mut Said) -> Option<Json> {
        let before = self.truth().await?;
        let reconciled =
            self.ask(&[&["reconcile", "inventory", "--pause", "0ms"], &RECORD[..]].concat()).await.map(|it| it.0);
        let gates = self.ask(&["groups", "show", "inventory"]).await.map(|it| it.0);
        let primary = primary(&before);
        let safety = match primary {
            Some(side) => self
                .ask(&["groups", "handover", "inventory", "--to", side.other().as_str(), "--dry-run"])
                .await
                .map(|it| it.0),
            None => None,
        };
        let after = self.truth().await?;
        // Whose rows count changes with the authority.
        if before.legacy.fence != after.legacy.fence || before.modern.fence != after.modern.fence {
            return None;
        }
        let differ = lasting(&before, &after);
        if let Some(reconciled) = &reconciled {
            said.note("reconcile", of_reconcile(reconciled, &differ));
            if let Some(gates) = &gates {
                said.note("gates", of_gates(gates, &differ));
            }
        }
        if let (Some(safety), Some(side)) = (&safety, primary) {
            said.note("safety report", of_safety(safety, side, &differ, waiting(side, &before, &after)));
        }
        reconciled
    }

    /// In peace: levels what is left of planted rows, and then every report must be right in both directions.
    pub async fn inspect_in_peace(&self, numbers: std::ops::Range<usize>, said: &mut Said) {
        let mut wrong = Vec::new();
        let level = [&["reconcile", "inventory", "--repair", "--pause", "0ms"], &RECORD[..]].concat();
        let levelled = self.ask(&level).await;
        if !levelled.as_ref().is_some_and(|(_, done)| *done) {
            wrong.push(format!("in peace, reconcile --repair is not done: {levelled:?}"));
        }
        // Where legacy has the authority there is no safety report below 100 %. Where modern has it, this is refused and not needed.
        let _ = self.order(&["set", "inventory", "--reads", "100", "--past-gates"]).await;
        for (drift, number) in Drift::ALL.into_iter().zip(numbers) {
            let Some(planted) = self.plant(drift, number).await else {
                wrong.push(format!("in peace, {} cannot be planted", drift.name()));
                continue;
            };
            let found = self.ask_all(said).await;
            let exact = |found: &Json| found["complete"] == true && found["drift"] == 1;
            if !found.as_ref().is_some_and(exact) {
                wrong.push(format!("in peace, reconcile does not find {planted:?} and nothing else: {found:?}"));
            }
            let order = [&["repair", "--entity", "Product", "--key", planted.1.as_str()], &RECORD[..]].concat();
            let repaired = self.ask(&order).await;
            let truth = self.truth().await.expect("both sides answer in peace");
            said.note("repair", of_repair(&planted, &truth));
            if !repaired.as_ref().is_some_and(|(_, done)| *done) {
                wrong.push(format!("in peace, repair of {planted:?} is not done: {repaired:?}"));
            }
            let found = self.ask_all(said).await;
            let none = |found: &Json| found["complete"] == true && found["drift"] == 0;
            if !found.as_ref().is_some_and(none) {
                wrong.push(format!("in peace, reconcile finds what is not there: {found:?}"));
            }
        }
        said.wrong.extend(wrong);
    }

    /// Holds a handover that is said to be done to the books.
    pub async fn handed_over(&self, to: Side, done: &parking_lot::Mutex<Done>) {
        if let Some(truth) = self.truth().await {
            done.lock().said.note("handover", of_handover(to, &truth));
        }
    }
}

impl Chaos<'_> {
    /// Replicas that answer, with how often each was killed or replaced.
    pub(super) async fn up(&self) -> Vec<(usize, u64)> {
        let up = self.world.shares().await.into_iter();
        up.map(|(replica, _)| (replica, self.ground.lives[replica].load(Ordering::SeqCst))).collect()
    }

    /// Holds a rollback that is said to be done to every replica that was there `before` and is there still. One that was away may learn of it a
    /// moment after it is back.
    pub(super) async fn rolled_back(&self, before: &[(usize, u64)]) {
        let shares = self.world.shares().await;
        let still = self.up().await;
        let serving = shares.into_iter().filter(|(replica, share)| {
            let stayed = |all: &[(usize, u64)]| all.iter().find(|(it, _)| it == replica).copied();
            *share > 0.0 && stayed(before).is_some() && stayed(before) == stayed(&still)
        });
        let now = self.ground.epoch.elapsed();
        let told = |(replica, share)| {
            format!("{now:.1?}: a rollback is said to be done, and replica {replica} serves {share} from modern")
        };
        self.done.lock().said.note("rollback", serving.map(told).collect());
    }
}

/// What planted articles are called.
pub const PLANTED: &str = "DRF-";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differ(legacy: Option<&str>, modern: Option<&str>) -> Lasting {
        let pair = PerSide { legacy: legacy.map(str::to_owned), modern: modern.map(str::to_owned) };
        [(("Product".to_owned(), "[\"A\"]".to_owned()), pair)].into()
    }

    fn reconciled(complete: bool, keys: &[&str]) -> Json {
        json!({ "types": [{ "entity": "Product", "complete": complete, "keys": keys }] })
    }

    #[test]
    fn a_complete_reconciliation_names_every_row_that_differs() {
        let one = differ(Some("1"), None);
        assert_eq!(of_reconcile(&reconciled(true, &[]), &one).len(), 1);
        assert_eq!(of_reconcile(&reconciled(true, &["[\"A\"]"]), &one).len(), 0);
        assert_eq!(of_reconcile(&reconciled(false, &[]), &one).len(), 0, "it does not say so");
        assert_eq!(of_reconcile(&json!({}), &one).len(), 1, "it says nothing");
    }

    #[test]
    fn no_gate_passes_while_rows_differ() {
        let said = |state: &str, answer: &str| json!({ "readiness": { "answer": answer, "gates": [{ "name": "reconciliation", "state": state }] } });
        let one = differ(Some("1"), Some("2"));
        assert_eq!(of_gates(&said("PASS", "Yes: every gate holds."), &one).len(), 2);
        assert_eq!(of_gates(&said("FAIL", "No: reconciliation."), &one).len(), 0);
        assert_eq!(of_gates(&said("PASS", "Yes: every gate holds."), &Lasting::new()).len(), 0);
        assert_eq!(of_gates(&json!({}), &one).len(), 1, "they say nothing");
    }

    #[test]
    fn nothing_is_safe_that_is_lost_or_waits() {
        let safe = json!({ "safe": true, "missing": 0, "undecided": 0, "unsettled": 0, "leftBehind": 0 });
        let one = differ(Some("1"), None);
        assert_eq!(of_safety(&safe, Side::Legacy, &one, 0).len(), 2);
        assert_eq!(of_safety(&safe, Side::Modern, &one, 0).len(), 0, "the secondary's row is not lost");
        assert_eq!(of_safety(&safe, Side::Legacy, &Lasting::new(), 3).len(), 1);
        let told = json!({ "safe": false, "missing": 1, "undecided": 0, "unsettled": 3, "leftBehind": 0 });
        assert_eq!(of_safety(&told, Side::Legacy, &one, 3).len(), 0);
    }

    #[test]
    fn done_is_held_to_rows_fences_and_ledgers() {
        let look = |fence: &str, row: &str| Look {
            rows: [(("Product".to_owned(), "[\"A\"]".to_owned()), row.to_owned())].into(),
            fence: (fence.into(), 2),
            ..Look::default()
        };
        let name = ("Product".to_owned(), "[\"A\"]".to_owned());
        let mut truth = Truth { legacy: look("closed", "1"), modern: look("open", "1") };
        assert_eq!(of_repair(&name, &truth).len() + of_handover(Side::Modern, &truth).len(), 0);
        truth.legacy.unsettled.insert((name.clone(), "w".into()));
        assert_eq!(of_handover(Side::Modern, &truth).len(), 1);
        truth.legacy.fence.0 = "open".into();
        truth.modern.rows.clear();
        assert_eq!(of_repair(&name, &truth).len() + of_handover(Side::Modern, &truth).len(), 3);
    }
}
