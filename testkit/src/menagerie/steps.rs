//! The steps of one run, in the order in which a migration takes them.

use std::path::Path;
use std::time::Duration;

use model::Side;
use serde_json::Value as Json;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

use super::animal::Animal;
use super::cage::Cage;
use super::course::Course;
use super::judge::{self, Contents, Key};
use super::seat::Seat;
use super::storefront::{Answer, ask, mutate};
use crate::fleet::Replica;

/// How long writes may take to be settled.
const SETTLE_WITHIN: Duration = Duration::from_secs(6);
const RECORD: [&str; 4] = ["--reason", "the menagerie", "--who", "keeper"];

/// How long shadow reads may take to be judged.
const SHADOWS_WITHIN: Duration = Duration::from_secs(1);
/// What clients read.
const READ: [&str; 7] = ["A1", "A2", "A4", "A11", "bolt-1", "BOLT-1", "471"];

/// Comparisons that a replica has counted, and how many of them matched.
async fn comparisons(replica: &Replica) -> (u64, u64) {
    let metrics = replica.get("/metrics").await.map(|(_, text)| text).unwrap_or_default();
    let lines = metrics.lines().filter(|line| line.starts_with("strangler_comparisons_total{"));
    let counts = lines.filter_map(|line| Some((line, line.rsplit(' ').next()?.parse::<u64>().ok()?)));
    counts.fold((0, 0), |(all, matched), (line, count)| {
        (all + count, matched + if line.contains("verdict=\"match\"") { count } else { 0 })
    })
}

/// A run under way.
struct Run<'a> {
    animal: &'a Animal,
    cage: Cage,
    course: Course,
    primary: Side,
    round: u32,
    /// Writes that have been waited for already, in vain.
    stuck: u64,
}

/// See [`super::run`].
pub(super) async fn run(animal: &Animal, seat: Seat, binary: &Path) -> Course {
    let cage = Cage::new(animal, seat, binary).await;
    let mut run = Run { animal, cage, course: Course::new(seat), primary: Side::Legacy, round: 0, stuck: 0 };
    run.all().await;
    run.course
}

impl Run<'_> {
    async fn command(&mut self, arguments: &[&str]) -> (String, bool) {
        let (text, ok) = self.cage.site.run(arguments).await;
        let shown = text.trim().replace('\n', "\n      ");
        self.course.note(format!(
            "$ strangler {} -> {}\n      {shown}",
            arguments.join(" "),
            if ok { "0" } else { "no" }
        ));
        (text, ok)
    }

    async fn all(&mut self) {
        let (_, ok) = self.command(&["init"]).await;
        if !ok {
            self.course.writes.insert("refused by init".to_owned());
            return;
        }
        let animal = self.animal;
        self.cage.sql(self.cage.hostile, &animal.after_init).await;
        self.check().await;
        let (graphql, admin) = (crate::fleet::free_port().await, crate::fleet::free_port().await);
        let mut replica = self.cage.site.launch("one", graphql, admin);
        if !replica.ready().await {
            self.course.writes.insert("refused, not ready".to_owned());
            let log = self.cage.site.log("one");
            self.course.note(format!("the replica is not ready:\n{log}"));
            return;
        }
        self.migrate(&replica).await;
        let log = self.cage.site.log("one");
        let worth: Vec<_> =
            log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).take(8).collect();
        self.course.note(format!("the log says:\n      {}", worth.join("\n      ")));
    }

    async fn migrate(&mut self, replica: &Replica) {
        if !self.set(&["--stage", "dual-write"]).await {
            return;
        }
        let cancels = self.animal.cancels.then(|| self.cage.cancels());
        self.writes(replica).await;
        self.cage.sql(self.cage.hostile, &self.animal.between).await;
        self.writes(replica).await;
        cancels.inspect(|on| on.store(false, Ordering::Relaxed));
        self.relay(replica).await;
        if self.set(&["--stage", "shadow"]).await {
            self.shadow_reads(replica).await;
        }
        self.reconcile().await;
        self.drift().await;
        if self.set(&["--stage", "shift", "--reads", "100"]).await {
            self.reads(replica).await;
        }
        "not handed over".clone_into(&mut self.course.handover);
        if self.hand_over(Side::Modern).await {
            "stays with modern".clone_into(&mut self.course.handover);
            self.writes(replica).await;
            self.reads(replica).await;
            if self.hand_over(Side::Legacy).await {
                "there and back".clone_into(&mut self.course.handover);
                self.writes(replica).await;
            }
        }
        self.last_look().await;
    }

    async fn set(&mut self, what: &[&str]) -> bool {
        self.command(&[&["groups", "set", "stock", "--past-gates"], what, &RECORD].concat()).await.1
    }

    async fn check(&mut self) {
        let (text, ok) = self.command(&["check"]).await;
        self.course.check.clone_from(&text);
        // The stand-in has no catalogue of what the database beneath it does on its own.
        if self.course.seat == Seat::Oracle {
            return;
        }
        for said in &self.animal.check {
            if !text.contains(said) {
                self.course.broken("`check` does not name it", format!("check does not say `{said}`"));
            }
        }
        if self.animal.check.is_empty() && !ok {
            self.course.broken("`check` complains of what is no trouble", "check complains of what is no trouble");
        }
    }

    /// One of each kind of write, each judged; and what is settled after a while.
    async fn writes(&mut self, replica: &Replica) {
        self.round += 1;
        let round = self.round;
        let drop = format!("A{}", round + 10);
        let acts = [
            (
                "setItem",
                format!(
                    "setItem(input: {{ id: \"bolt-{round}\", name: \"new bolt\", qty: {round} }}) {{ id name qty }}"
                ),
            ),
            ("setItem", format!("setItem(input: {{ id: \"A1\", name: \"other {round}\", qty: 7 }}) {{ id name qty }}")),
            ("addItem", format!("addItem(id: \"47{round}\", qty: 5) {{ id name qty }}")),
            ("issue", "issue(id: \"A2\", by: 3) { id name qty }".to_owned()),
            (
                "setLine",
                format!("setLine(input: {{ item: \"A3\", pos: {}, txt: \"a line\" }}) {{ item pos txt }}", round + 1),
            ),
            ("dropItem", format!("dropItem(id: \"{drop}\")")),
        ];
        for (field, act) in acts {
            self.write(replica, field, &act).await;
        }
        self.settle().await;
    }

    async fn write(&mut self, replica: &Replica, field: &str, act: &str) {
        let primary = self.primary;
        let before = self.both().await;
        let answer = mutate(&replica.graphql, &format!("mutation {{ {act} }}"), field).await;
        let after = self.cage.contents(primary).await;
        self.course.note(format!("{act} -> {answer:?}"));
        let word = match &answer {
            Answer::Stands(record) => {
                let ledger = self.cage.ledger(primary).await;
                let wrong = judge::acknowledged(act, Some(record), &before.0, &after, &ledger);
                wrong.into_iter().for_each(|wrong| self.course.charge(wrong));
                self.gone(act, record, &after);
                "held".to_owned()
            }
            Answer::StandsUnshown(code) => {
                let ledger = self.cage.ledger(primary).await;
                let wrong = judge::acknowledged(act, None, &before.0, &after, &ledger);
                wrong.into_iter().for_each(|wrong| self.course.charge(wrong));
                format!("stands, {code}")
            }
            Answer::Refused(code) => {
                let changed = judge::different(&before.0, &after);
                let other = judge::different(&before.1, &self.cage.contents(primary.other()).await);
                // What waited for the relay may arrive meanwhile on the other side; on the primary nothing may.
                if !changed.is_empty() {
                    self.course.broken(
                        "a refused write stands",
                        format!("{act} was refused with {code} and changed {changed:?} (other: {other:?})"),
                    );
                }
                format!("refused {code}")
            }
            Answer::Unknown(_) => "unknown".to_owned(),
        };
        self.course.writes.insert(word);
    }

    /// A deletion that was acknowledged has deleted.
    fn gone(&mut self, act: &str, answer: &Json, after: &Contents) {
        let deleted = act.strip_prefix("dropItem(id: \"").and_then(|rest| rest.split('"').next());
        if let (Some(id), Json::Bool(true)) = (deleted, answer)
            && after.contains_key(&judge::item(id))
        {
            self.course.broken(
                "a deletion is acknowledged and the row stands",
                format!("{act} was acknowledged, and the row stands"),
            );
        }
    }

    async fn both(&self) -> (Contents, Contents) {
        (self.cage.contents(self.primary).await, self.cage.contents(self.primary.other()).await)
    }

    /// Waits until everything is settled, or for long enough; then what is called settled must be equal.
    async fn settle(&mut self) {
        let until = Instant::now() + SETTLE_WITHIN;
        while self.cage.unsettled(self.primary).await > self.stuck && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let waiting = self.cage.unsettled(self.primary).await;
        self.stuck = waiting;
        if waiting > 0 {
            self.course.writes.insert("unsettled".to_owned());
            self.course.note(format!("{waiting} writes are unsettled"));
        }
        let ledger = self.cage.ledger(self.primary).await;
        let (one, other) = self.both().await;
        judge::falsely_settled(&ledger, &one, &other).into_iter().for_each(|wrong| self.course.charge(wrong));
    }

    /// A write that the secondary refuses for a while, for the relay.
    async fn relay(&mut self, replica: &Replica) {
        let secondary = self.primary.other();
        self.cage.may_change(secondary, false).await;
        self.write(replica, "issue", "issue(id: \"A4\", by: 1) { id name qty }").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.cage.may_change(secondary, true).await;
        self.settle().await;
    }

    /// As [`Run::reads`]; and no more shadow reads may match than rows are equal.
    async fn shadow_reads(&mut self, replica: &Replica) {
        let before = comparisons(replica).await;
        self.reads(replica).await;
        let until = Instant::now() + SHADOWS_WITHIN;
        let asked = before.0 + READ.len() as u64;
        while comparisons(replica).await.0 < asked && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let after = comparisons(replica).await;
        let (one, other) = self.both().await;
        let differ = |id: &&&str| one.get(&judge::item(id)) != other.get(&judge::item(id));
        let differing: Vec<_> = READ.iter().filter(differ).collect();
        let (compared, matched) = (after.0 - before.0, after.1 - before.1);
        self.course.note(format!("{compared} shadow reads, {matched} match; rows that differ: {differing:?}"));
        if matched + differing.len() as u64 > READ.len() as u64 {
            self.course.broken(
                "shadow reads match that differ",
                format!("{matched} shadow reads match while {differing:?} differ"),
            );
        }
    }

    /// Clients read what has been written; an answer must be what the primary holds.
    async fn reads(&mut self, replica: &Replica) {
        for id in READ {
            let answer = ask(&replica.graphql, &format!("{{ item(id: \"{id}\") {{ id name qty }} }}")).await;
            let Ok(answer) = answer else { continue };
            if answer["errors"].is_array() {
                self.course.note(format!("read of {id}: {}", answer["errors"][0]["extensions"]["code"]));
                continue;
            }
            let truth = self.cage.contents(self.primary).await;
            let stands = truth.get(&judge::item(id));
            let shown = judge::shown(&answer["data"]["item"]);
            let same = match (&shown, stands) {
                (Some((key, record)), Some(stands)) => *key == judge::item(id) && record == stands,
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !same && self.cage.ledger(self.primary).await.contains_key(&judge::item(id)) {
                self.course.broken(
                    "clients read what the primary does not hold",
                    format!("a client reads {id} = {shown:?}, and the primary has {stands:?}"),
                );
            }
        }
    }

    /// What reconcile says must be so.
    async fn reconcile(&mut self) -> bool {
        let (text, ok) = self.command(&["--json", "reconcile", "stock", "--pause", "0ms", "--who", "keeper"]).await;
        let report = serde_json::Deserializer::from_str(&text).into_iter::<Json>().next().and_then(Result::ok);
        let report = report.unwrap_or_default();
        let (one, other) = self.both().await;
        let different = judge::different(&one, &other);
        let nameless = self.cage.without_key(self.primary).await + self.cage.without_key(self.primary.other()).await;
        let unsettled = self.cage.unsettled(self.primary).await;
        let said = match (&report["complete"], report["drift"].as_u64()) {
            (Json::Bool(true), Some(0)) => "equal",
            (Json::Bool(true), _) => "differs",
            _ => "incomplete",
        };
        if (ok || said == "equal") && (!different.is_empty() || nameless > 0) {
            self.course.broken("reconcile says equal while rows differ", format!(
                "reconcile says `{said}` (exit 0: {ok}) while {different:?} differ, {nameless} rows have no key and {unsettled} writes wait"
            ));
        }
        if self.course.reconcile == "not asked" {
            said.clone_into(&mut self.course.reconcile);
        }
        ok
    }

    /// Somebody changes a row of the secondary; reconcile must find it, and the repair must level it.
    async fn drift(&mut self) {
        let secondary = self.primary.other();
        let change = "SET session_replication_role = replica; UPDATE {table} SET qty = 1 WHERE id = 'A9'; \
                      SET session_replication_role = DEFAULT";
        self.cage.change(secondary, change).await;
        self.reconcile().await;
        let repair = ["reconcile", "stock", "--repair", "--pause", "0ms"];
        let (_, ok) = self.command(&[&repair[..], &RECORD].concat()).await;
        let (one, other) = self.both().await;
        let different = judge::different(&one, &other);
        if ok && !different.is_empty() {
            self.course.broken(
                "the repair says that all is level while rows differ",
                format!("the repair says that all is level while {different:?} differ"),
            );
        }
    }

    /// First as a dry run, whose word must be true; whether it was done.
    async fn hand_over(&mut self, to: Side) -> bool {
        let order = ["groups", "handover", "stock", "--to", to.as_str()];
        let (text, safe) = self.command(&[&order[..], &["--dry-run"]].concat()).await;
        let (one, other) = self.both().await;
        // Rows that only the new primary has are shown by nobody's count; what readers would lose is what differs.
        let lost: Vec<_> = judge::different(&one, &other).into_iter().filter(|key| one.contains_key(key)).collect();
        // What waits is drained, or keeps the handover from being made.
        let ledger = self.cage.ledger(self.primary).await;
        let waits = |key: &&Key| ledger.get(*key).is_some_and(|newest| !newest.settled);
        let missing: Vec<_> = lost.iter().filter(|key| !other.contains_key(*key) && !waits(key)).collect();
        let nameless = self.cage.without_key(self.primary).await;
        if (safe || text.contains("Nothing would be lost.")) && (!missing.is_empty() || nameless > 0) {
            self.course.broken(
                "the dry run says that nothing would be lost",
                format!("the dry run says that nothing is lost; {missing:?} and {nameless} rows without key would be"),
            );
        }
        let (_, ok) = self.command(&[&order[..], &RECORD].concat()).await;
        if ok {
            let ledger = self.cage.ledger(self.primary).await;
            judge::falsely_settled(&ledger, &one, &other).into_iter().for_each(|wrong| self.course.charge(wrong));
            self.primary = to;
        }
        ok
    }

    async fn last_look(&mut self) {
        self.settle().await;
        self.reconcile().await;
    }
}
