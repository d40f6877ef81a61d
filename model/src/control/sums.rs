//! Evidence in the form in which it is stored: sums that can be added up in any order, and bounded
//! samples. Pure; replicas sum up between two flushes, the control store sums up what they send.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use serde::Serialize;

use crate::evidence::{Cause, Observation, Sample, Tally, Verdict};
use crate::name::{FieldName, RouteName};
use crate::rule::Rule;
use crate::value::Instant;

/// Of each kind of difference, so many of the oldest samples are kept.
pub const SAMPLES_KEPT_FIRST: usize = 5;
/// Of each kind of difference, so many of the newest samples are kept.
pub const SAMPLES_KEPT_NEWEST: usize = 20;

/// How often something was seen, and when, by the clocks of the replicas that saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How often.
    pub count: u64,
    /// The first time.
    pub first: Instant,
    /// The last time.
    pub last: Instant,
}

impl Seen {
    /// Seen once, at `at`.
    pub fn once(at: Instant) -> Self {
        Self { count: 1, first: at, last: at }
    }
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// One verdict of one route, with the reason when it is inconclusive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The route.
    pub route: RouteName,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is inconclusive.
    pub reason: Option<String>,
}

/// One kind of difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DifferenceKind {
    /// The route.
    pub route: RouteName,
    /// The field; `None` when the whole record or the order differs.
    pub field: Option<FieldName>,
    /// Why.
    pub cause: Cause,
    /// [`Verdict::Mismatch`] or [`Verdict::Excused`].
    pub verdict: Verdict,
}

impl DifferenceKind {
    /// The kind to which a sample belongs.
    pub fn of(sample: &Sample) -> Self {
        Self {
            route: sample.route.clone(),
            field: sample.difference.field.clone(),
            cause: sample.difference.cause,
            verdict: if sample.difference.excused { Verdict::Excused } else { Verdict::Mismatch },
        }
    }

    /// The kind with its counts, as reports show it: rows, and the answers that hold them where those are known.
    pub fn tally(&self, seen: Seen, answers: Option<u64>) -> Tally {
        Tally {
            answers,
            route: self.route.clone(),
            field: self.field.clone(),
            cause: self.cause,
            verdict: self.verdict,
            count: seen.count,
            first_seen: seen.first,
            last_seen: seen.last,
        }
    }
}

/// Evidence as it is added to the control store and read back from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// Comparisons by verdict.
    pub comparisons: BTreeMap<Finding, Seen>,
    /// Differences by kind: each row that differs so counts once, so one answer may count several times.
    pub differences: BTreeMap<DifferenceKind, Seen>,
    /// In how many answers a kind was found. One that stands in `differences` and not here was counted, at least in part,
    /// by a release that counted rows only: how many answers they were in is not known.
    pub answers: BTreeMap<DifferenceKind, u64>,
    /// Of the differences of a kind, those that a rule explains. One difference may count under several rules.
    pub explained: BTreeMap<(DifferenceKind, Rule), Seen>,
    /// Comparisons that looked at a field.
    pub fields: BTreeMap<(RouteName, FieldName), Seen>,
    /// Samples, oldest first; bounded for each kind of difference.
    pub samples: Vec<Sample>,
    /// Which keys of a route were compared: a bitmap, merged by OR. All of a route are equally long.
    pub keys: BTreeMap<RouteName, Vec<u8>>,
}

/// Which evidence is wanted; an empty filter wants all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EvidenceFilter {
    /// Of these routes; `None`: of every route.
    pub routes: Option<Vec<RouteName>>,
    /// Differences, samples and field counts of this field.
    pub field: Option<FieldName>,
    /// Differences and samples with this cause.
    pub cause: Option<Cause>,
    /// Seen at this time or later. Counts are kept by the minute; keys are always of all time.
    pub since: Option<Instant>,
}

impl Sums {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.comparisons.is_empty()
            && self.differences.is_empty()
            && self.explained.is_empty()
            && self.fields.is_empty()
            && self.samples.is_empty()
            && self.keys.is_empty()
    }

    /// How many comparisons of `route` (or any) had `verdict`.
    pub fn count(&self, route: Option<&RouteName>, verdict: Verdict) -> u64 {
        let wanted =
            |finding: &Finding| finding.verdict == verdict && route.is_none_or(|route| finding.route == *route);
        let found = self.comparisons.iter().filter(|(finding, _)| wanted(finding));
        found.map(|(_, seen)| seen.count).sum()
    }

    /// Counts one comparison. Samples and keys are the caller's, who has names and bitmaps for them.
    pub fn absorb(&mut self, observation: &Observation, at: Instant) {
        let Observation { route, verdict, reason, differences, fields, keys: _ } = observation;
        let finding = Finding { route: route.clone(), verdict: *verdict, reason: reason.clone() };
        add(&mut self.comparisons, finding, Seen::once(at));
        let mut kinds = BTreeSet::new();
        for difference in differences {
            let kind = DifferenceKind {
                route: route.clone(),
                field: difference.field.clone(),
                cause: difference.cause,
                verdict: if difference.excused { Verdict::Excused } else { Verdict::Mismatch },
            };
            for rule in &difference.explained {
                add(&mut self.explained, (kind.clone(), *rule), Seen::once(at));
            }
            // All rows of a kind are in this one answer.
            let answers = u64::from(kinds.insert(kind.clone()));
            self.add_rows(kind, Seen::once(at), Some(answers));
        }
        for field in fields {
            add(&mut self.fields, (route.clone(), field.clone()), Seen::once(at));
        }
    }

    /// Adds the other's sums to these.
    pub fn merge(&mut self, other: Self) {
        for (finding, seen) in other.comparisons {
            add(&mut self.comparisons, finding, seen);
        }
        for (kind, seen) in other.differences {
            let answers = other.answers.get(&kind).copied();
            self.add_rows(kind, seen, answers);
        }
        for (explained, seen) in other.explained {
            add(&mut self.explained, explained, seen);
        }
        for (field, seen) in other.fields {
            add(&mut self.fields, field, seen);
        }
        for (route, bitmap) in other.keys {
            merge_bitmap(self.keys.entry(route).or_default(), &bitmap);
        }
        self.samples.extend(other.samples);
        self.bound_samples();
    }

    /// Adds rows of a kind. The answers that hold them are known only where every part of the sum knows its own.
    pub fn add_rows(&mut self, kind: DifferenceKind, rows: Seen, answers: Option<u64>) {
        let before = match self.differences.contains_key(&kind) {
            true => self.answers.get(&kind).copied(),
            false => Some(0),
        };
        match before.zip(answers) {
            Some((before, more)) => {
                self.answers.insert(kind.clone(), before.saturating_add(more));
            }
            None => {
                self.answers.remove(&kind);
            }
        }
        add(&mut self.differences, kind, rows);
    }

    /// Keeps of each kind of difference the oldest and the newest samples, in order of time.
    pub fn bound_samples(&mut self) {
        self.samples.sort_by(|a, b| (a.seen_at, &a.id).cmp(&(b.seen_at, &b.id)));
        let mut left: BTreeMap<DifferenceKind, usize> = BTreeMap::new();
        for sample in &self.samples {
            *left.entry(DifferenceKind::of(sample)).or_default() += 1;
        }
        let mut passed: BTreeMap<DifferenceKind, usize> = BTreeMap::new();
        self.samples.retain(|sample| {
            let kind = DifferenceKind::of(sample);
            let all = left.get(&kind).copied().unwrap_or_default();
            let place = passed.entry(kind).or_default();
            *place += 1;
            *place <= SAMPLES_KEPT_FIRST || *place + SAMPLES_KEPT_NEWEST > all
        });
    }

    /// Only what `filter` wants.
    #[must_use]
    pub fn retained(mut self, filter: &EvidenceFilter) -> Self {
        let route = |r: &RouteName| filter.routes.as_ref().is_none_or(|wanted| wanted.contains(r));
        let field = |f: Option<&FieldName>| filter.field.as_ref().is_none_or(|wanted| f == Some(wanted));
        let cause = |c: Cause| filter.cause.is_none_or(|wanted| c == wanted);
        let since = |last: Instant| filter.since.is_none_or(|since| last >= since);
        self.comparisons.retain(|finding, seen| route(&finding.route) && since(seen.last));
        let wanted = |kind: &DifferenceKind, seen: &Seen| {
            route(&kind.route) && field(kind.field.as_ref()) && cause(kind.cause) && since(seen.last)
        };
        self.differences.retain(|kind, seen| wanted(kind, seen));
        self.answers.retain(|kind, _| self.differences.contains_key(kind));
        self.explained.retain(|(kind, _), seen| wanted(kind, seen));
        self.fields.retain(|(r, f), seen| route(r) && field(Some(f)) && since(seen.last));
        self.samples.retain(|sample| {
            let difference = &sample.difference;
            route(&sample.route) && field(difference.field.as_ref()) && cause(difference.cause) && since(sample.seen_at)
        });
        self.keys.retain(|r, _| route(r));
        self
    }
}

fn add<K: Ord>(sums: &mut BTreeMap<K, Seen>, key: K, seen: Seen) {
    sums.entry(key).and_modify(|sum| *sum += seen).or_insert(seen);
}

/// Sets in `bitmap` every bit that is set in `other`; the longer one decides the length.
pub fn merge_bitmap(bitmap: &mut Vec<u8>, other: &[u8]) {
    if bitmap.len() < other.len() {
        bitmap.resize(other.len(), 0);
    }
    for (byte, other) in bitmap.iter_mut().zip(other) {
        *byte |= other;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::Difference;
    use crate::side::PerSide;

    fn at(second: u32) -> Instant {
        Instant::new(chrono::DateTime::from_timestamp(i64::from(second), 0).unwrap())
    }

    fn sample(second: u32) -> Sample {
        Sample {
            id: format!("{second:04}"),
            route: "Query.stockLevel".into(),
            seen_at: at(second),
            difference: Difference {
                field: Some("onHand".into()),
                cause: Cause::Rounding,
                key: "[]".to_owned(),
                values: PerSide::default(),
                records: PerSide::default(),
                excused: false,
                explained: vec![Rule::Scale(2)],
            },
        }
    }

    fn sums(seconds: &[u32]) -> Sums {
        let mut sums = Sums::default();
        for second in seconds {
            let sample = sample(*second);
            let observation = Observation {
                route: sample.route.clone(),
                verdict: Verdict::Mismatch,
                reason: None,
                differences: vec![sample.difference.clone()],
                fields: vec!["onHand".into()],
                keys: Vec::new(),
            };
            sums.absorb(&observation, at(*second));
            sums.samples.push(sample);
        }
        sums.bound_samples();
        sums
    }

    #[test]
    fn rows_and_the_answers_that_hold_them_are_counted_apart() {
        let kind = DifferenceKind::of(&sample(1));
        let difference = sample(1).difference;
        let answer = |rows: usize| Observation {
            route: kind.route.clone(),
            verdict: Verdict::Mismatch,
            reason: None,
            differences: vec![difference.clone(); rows],
            fields: Vec::new(),
            keys: Vec::new(),
        };
        let mut sums = Sums::default();
        sums.absorb(&answer(5), at(1));
        sums.absorb(&answer(2), at(2));
        let found = |sums: &Sums| (sums.differences[&kind].count, sums.answers.get(&kind).copied());
        assert_eq!(found(&sums), (7, Some(2)));
        // What a release counted that did not count answers, in whatever order it is added.
        let mut older = Sums::default();
        older.add_rows(kind.clone(), Seen::once(at(3)), None);
        let mut forth = sums.clone();
        forth.merge(older.clone());
        older.merge(sums);
        assert_eq!((found(&forth), found(&older)), ((8, None), (8, None)));
    }

    #[test]
    fn the_oldest_and_the_newest_samples_are_kept() {
        let kept: Vec<_> = sums(&(0..100).collect::<Vec<_>>()).samples;
        let kept: Vec<_> = kept.iter().map(|sample| sample.seen_at).collect();
        let wanted: Vec<_> = (0..5).chain(80..100).map(at).collect();
        assert_eq!(kept, wanted);
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_how_they_were_cut(
            a in prop::collection::btree_set(0..40u32, 0..12), b in prop::collection::btree_set(40..80u32, 0..12),
        ) {
            let (a, b): (Vec<_>, Vec<_>) = (a.into_iter().collect(), b.into_iter().collect());
            let whole = sums(&[a.clone(), b.clone()].concat());
            let mut forth = sums(&a);
            forth.merge(sums(&b));
            let mut back = sums(&b);
            back.merge(sums(&a));
            prop_assert_eq!(&forth, &whole);
            prop_assert_eq!(&back, &whole);
        }

        #[test]
        fn bits_once_set_stay_set(a in prop::collection::vec(any::<u8>(), 4), b in prop::collection::vec(any::<u8>(), 4)) {
            let mut merged = a.clone();
            merge_bitmap(&mut merged, &b);
            for ((merged, a), b) in merged.iter().zip(&a).zip(&b) {
                prop_assert_eq!(*merged, a | b);
            }
        }
    }
}
