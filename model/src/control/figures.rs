//! Figures: what the guard, the gates and the dashboard know of a group, ten seconds at a time.
//!
//! Sums over all replicas, in whatever order they arrive: counts add up, worst cases stay worst.
//! Under which rollout something was counted is kept beside the time, so that a window never mixes
//! what was before a change with what came after, whatever the replicas' clocks say.
//!
//! Groups whose name is reserved ([`GroupName::is_reserved`]) belong to the guard's canary, or hold records by the hour
//! ([`super::records`]). They are told only to who asks for them by name.
//!
//! A rolling upgrade: an older release writes no [`GroupFigures::found`], and takes it away where it adds to a slot. Such a
//! slot has more verdicts than `found` knows of; there every comparison counts as a record of its own, as it did then.
//! Not here: counting (`proxy::figures`), judging (`proxy::guard`).

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::records::{Found, Print};
use super::{BatchId, ControlError};
use crate::evidence::Verdict;
use crate::name::GroupName;
use crate::policy::RolloutVersion;
use crate::side::PerSide;
use crate::value::Instant;

/// How long one slot is.
pub const SLOT: Duration = Duration::from_secs(10);
/// A batch that is sent again after this long may count twice: its id is forgotten.
pub const BATCHES_KEPT: Duration = Duration::from_secs(2 * 86_400);

/// Ten seconds of one group under one rollout.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// When it begins; see [`Slot::start`].
    pub at: Instant,
    /// Whose figures.
    pub group: GroupName,
    /// The rollout that was in force on the replica which counted.
    pub rollout: RolloutVersion,
}

impl Slot {
    /// When the slot of `time` began: slots start at whole multiples of [`SLOT`].
    pub fn start(time: Instant) -> Instant {
        Self::floor(time, i64::try_from(SLOT.as_secs()).unwrap_or(i64::MAX))
    }

    /// When the hour of `time` began: records are kept by the hour.
    pub fn hour(time: Instant) -> Instant {
        Self::floor(time, 3_600)
    }

    /// When the day of `time` began.
    pub fn day(time: Instant) -> Instant {
        Self::floor(time, 86_400)
    }

    fn floor(time: Instant, length: i64) -> Instant {
        let seconds = time.to_utc().timestamp();
        let start = DateTime::from_timestamp(seconds - seconds.rem_euclid(length), 0);
        start.map_or(time, Instant::new)
    }
}

/// What was seen of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SideFigures {
    /// Reads of clients that it answered, by how long it took.
    pub answered: Histogram,
    /// Reads of clients that it was asked and did not answer: it was out of reach, too late, or erred.
    pub errors: u64,
    /// Reads that it answered to be compared only, by how long it took.
    pub shadowed: Histogram,
}

impl SideFigures {
    /// Reads of clients that it was asked.
    pub fn asked(&self) -> u64 {
        self.answered.total().saturating_add(self.errors)
    }

    fn merge(&mut self, other: &Self) {
        self.answered.merge(&other.answered);
        self.errors = self.errors.saturating_add(other.errors);
        self.shadowed.merge(&other.shadowed);
    }
}

/// Comparisons by verdict. Mismatches are counted when they are confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verdicts {
    /// The same answer.
    pub matches: u64,
    /// Different as the contract excuses.
    pub excused: u64,
    /// Different, and confirmed.
    pub mismatches: u64,
    /// Not to be decided.
    pub inconclusive: u64,
}

impl Verdicts {
    /// Comparisons that say something: all but the inconclusive ones.
    pub fn conclusive(&self) -> u64 {
        self.matches.saturating_add(self.excused).saturating_add(self.mismatches)
    }

    /// The place where `verdict` is counted.
    pub fn of(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Match => &mut self.matches,
            Verdict::Excused => &mut self.excused,
            Verdict::Mismatch => &mut self.mismatches,
            Verdict::Inconclusive => &mut self.inconclusive,
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (sum, other) in [
            (&mut self.matches, other.matches),
            (&mut self.excused, other.excused),
            (&mut self.mismatches, other.mismatches),
            (&mut self.inconclusive, other.inconclusive),
        ] {
            *sum = sum.saturating_add(other);
        }
    }
}

/// The most that waited to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UnsettledPeak {
    /// Writes that the secondary did not have.
    pub writes: u64,
    /// Age of the oldest of them.
    pub age: Duration,
}

/// The figures of one group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupFigures {
    /// What was seen of each side.
    pub sides: PerSide<SideFigures>,
    /// Comparisons by verdict.
    pub verdicts: Verdicts,
    /// Shadow reads that were not made.
    pub shadow_dropped: u64,
    /// What waited to be settled, at worst; `None`: nobody looked.
    pub unsettled: Option<UnsettledPeak>,
    /// How late each source of changes was at worst; one that is not named was not measured.
    #[serde(default)]
    pub lag: BTreeMap<String, Duration>,
    /// From the primary's commit until the secondary had the write.
    pub settle: Histogram,
    /// What was found, by what was compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub found: BTreeMap<Print, Found>,
}

impl GroupFigures {
    /// Only what was found under `print`. Where an older release has counted too, which names no print, nothing is told
    /// apart: then all verdicts stay and none has records.
    #[must_use]
    pub fn under(&self, print: &Print) -> Self {
        let known: u64 = self.found.values().fold(0, |sum, found| sum.saturating_add(found.verdicts.conclusive()));
        if known < self.verdicts.conclusive() {
            return Self { found: BTreeMap::new(), ..self.clone() };
        }
        let own = self.found.get(print).cloned();
        let verdicts = own.as_ref().map_or(Verdicts::default(), |found| found.verdicts);
        Self { verdicts, found: own.map(|found| (print.clone(), found)).into_iter().collect(), ..self.clone() }
    }

    /// Records that were compared, and those with a confirmed mismatch among them; of figures [`Self::under`] one print.
    pub fn records(&self) -> (u64, u64) {
        match self.found.values().next() {
            Some(found) if found.verdicts.conclusive() >= self.verdicts.conclusive() => {
                (found.compared(), found.wrong())
            }
            Some(_) | None => (self.verdicts.conclusive(), self.verdicts.mismatches),
        }
    }

    /// Adds the other's figures to these.
    pub fn merge(&mut self, other: &Self) {
        self.sides.legacy.merge(&other.sides.legacy);
        self.sides.modern.merge(&other.sides.modern);
        self.verdicts.merge(&other.verdicts);
        self.shadow_dropped = self.shadow_dropped.saturating_add(other.shadow_dropped);
        if let Some(peak) = other.unsettled {
            let worst = self.unsettled.get_or_insert_default();
            *worst = UnsettledPeak { writes: worst.writes.max(peak.writes), age: worst.age.max(peak.age) };
        }
        for (source, lag) in &other.lag {
            let worst = self.lag.entry(source.clone()).or_default();
            *worst = (*worst).max(*lag);
        }
        self.settle.merge(&other.settle);
        for (print, found) in &other.found {
            self.found.entry(print.clone()).or_default().merge(found);
        }
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All of `figures` together.
    pub fn sum<'a>(figures: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        figures.into_iter().for_each(|figures| sum.merge(figures));
        sum
    }
}

/// Figures by slot, in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// A slot in which nothing was seen is missing.
    pub slots: BTreeMap<Slot, GroupFigures>,
}

impl Figures {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The figures of `group`, slot by slot, in the order of time.
    pub fn of<'a>(&'a self, group: &'a GroupName) -> impl Iterator<Item = (&'a Slot, &'a GroupFigures)> {
        self.slots.iter().filter(move |(slot, _)| slot.group == *group)
    }

    /// The figures of `group` by the time at which a slot begins, whatever the rollout: for charts.
    pub fn by_time(&self, group: &GroupName) -> BTreeMap<Instant, GroupFigures> {
        let mut by_time: BTreeMap<Instant, GroupFigures> = BTreeMap::new();
        for (slot, figures) in self.of(group) {
            by_time.entry(slot.at).or_default().merge(figures);
        }
        by_time
    }

    /// Adds figures to a slot.
    pub fn add(&mut self, slot: Slot, figures: &GroupFigures) {
        self.slots.entry(slot).or_default().merge(figures);
    }

    /// Adds the other's figures to these.
    pub fn merge(&mut self, other: &Self) {
        for (slot, figures) in &other.slots {
            self.add(slot.clone(), figures);
        }
    }

    /// Only slots that began at `since` or later, of `group` or of every group whose name is not reserved.
    #[must_use]
    pub fn retained(mut self, group: Option<&GroupName>, since: Instant) -> Self {
        let wanted = |name: &GroupName| group.map_or(!name.is_reserved(), |group| group == name);
        self.slots.retain(|slot, _| slot.at >= since && wanted(&slot.group));
        self
    }
}

/// Where the figures of the whole fleet are kept.
#[async_trait]
pub trait FiguresStore: Send + Sync {
    /// Adds figures to those of their slots. A `batch` that was added before adds nothing, unless
    /// that was more than [`BATCHES_KEPT`] ago.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`; nothing or all of it was added.
    async fn add_figures(&self, batch: BatchId, figures: &Figures) -> Result<(), ControlError>;

    /// The slots of `group` that began at `since` or later; without a group, those of every group
    /// whose name is not reserved. `ControlStore::forget` deletes what began before its retention.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn figures(&self, group: Option<&GroupName>, since: Instant) -> Result<Figures, ControlError>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn figures() -> impl Strategy<Value = GroupFigures> {
        (0..5u64, 0..5u64, prop::option::of(0..90u64), prop::option::of(0..90u64), 0..9_000u64).prop_map(
            |(errors, mismatches, unsettled, lag, micros)| {
                let mut figures = GroupFigures { shadow_dropped: errors, ..GroupFigures::default() };
                figures.sides.modern.errors = errors;
                figures.sides.legacy.answered.count(Duration::from_micros(micros));
                *figures.verdicts.of(Verdict::Mismatch) = mismatches;
                figures.unsettled = unsettled.map(|writes| UnsettledPeak { writes, age: Duration::from_secs(writes) });
                figures.lag = lag.map(|lag| ("orders".to_owned(), Duration::from_secs(lag))).into_iter().collect();
                figures.settle.count(Duration::from_micros(micros));
                figures
            },
        )
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_the_order(all in prop::collection::vec(figures(), 0..6)) {
            let forth = GroupFigures::sum(&all);
            prop_assert_eq!(&forth, &GroupFigures::sum(all.iter().rev()));
            let json = serde_json::to_string(&forth).unwrap();
            prop_assert_eq!(serde_json::from_str::<GroupFigures>(&json).unwrap(), forth);
        }
    }

    #[test]
    fn slots_start_at_whole_tens_of_seconds() {
        let at = |text| Instant::parse(text).unwrap();
        assert_eq!(Slot::start(at("2026-01-31T08:00:19.999Z")), at("2026-01-31T08:00:10Z"));
        assert_eq!(Slot::start(at("2026-01-31T08:00:20Z")), at("2026-01-31T08:00:20Z"));
        assert_eq!(Slot::start(at("1969-12-31T23:59:59Z")), at("1969-12-31T23:59:50Z"));
    }

    #[test]
    fn the_canary_is_told_only_to_who_asks_for_it() {
        let slot = |group: &str| Slot {
            at: Instant::parse("2026-01-31T08:00:20Z").unwrap(),
            group: group.into(),
            rollout: RolloutVersion(1),
        };
        let mut figures = Figures::default();
        figures.add(slot("inventory"), &GroupFigures::default());
        figures.add(slot("strangler:canary:a"), &GroupFigures::default());
        let since = slot("").at;
        let groups =
            |figures: Figures| figures.slots.into_keys().map(|slot| slot.group.to_string()).collect::<Vec<_>>();
        assert_eq!(groups(figures.clone().retained(None, since)), ["inventory"]);
        assert_eq!(groups(figures.retained(Some(&"strangler:canary:a".into()), since)), ["strangler:canary:a"]);
    }
}
