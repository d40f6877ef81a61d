//! What of a group's evidence counts: what was found by what is compared now.
//!
//! Records are kept by the contract's print and by the lives of both sides, so that those of another mapping, or of before
//! a restore, are never mixed in. Other counts are kept by the minute and without a print: of them counts what came after
//! the last comparison by anything else; while replicas of two contracts compare side by side, nothing.
//!
//! Not here: what is enough (`promotion::gates`).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use model::control::records::{days_of, hours_of};
use model::control::{ControlError, Figures, Found, Print};
use model::{EntityName, GroupName, Incarnation, Instant, PerSide, Side};

use super::Desk;
use crate::promotion::gates::Compared;
use data_plane::evidence::RETENTION;

/// What counts of a group's evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    /// The records.
    pub(super) compared: Compared,
    /// Records of each type, where the maps of all time hold such of another print, too; `None`: they do not.
    pub(super) by_type: Option<BTreeMap<EntityName, u64>>,
    /// Since when counts by the minute are all of what is compared now, whatever their age.
    pub(super) alone_since: Instant,
}

impl Desk {
    /// What was found of `group` since `since`, as far as it counts.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub(super) async fn counted(&self, group: &GroupName, since: Instant) -> Result<Counted, ControlError> {
        let print = Print::of(&self.contract, group).in_lives(self.lives().await?);
        let mut types = BTreeMap::new();
        for entity in self.contract.entities.values().filter(|entity| entity.group == *group) {
            let hours = self.control.figures(Some(&hours_of(&entity.name)), since).await?;
            types.insert(entity.name.clone(), found(&hours, &print));
        }
        let now = (self.clock)();
        let kept = Instant::new(now.to_utc() - TimeDelta::from_std(RETENTION).unwrap_or(TimeDelta::days(30)));
        let days = self.control.figures(Some(&days_of(group)), kept).await?;
        let alone_since = alone_since(&days, &print, now);
        let others = days.slots.values().flat_map(|figures| figures.found.keys()).any(|other| *other != print);
        let since = (others && alone_since > since).then_some(alone_since);
        let by_type = types.iter().map(|(name, found)| (name.clone(), found.compared())).collect();
        let compared = Compared { since, ..compared(types.values()) };
        Ok(Counted { compared, by_type: others.then_some(by_type), alone_since })
    }

    /// The lives of both sides, as the control store remembers them.
    async fn lives(&self) -> Result<PerSide<Incarnation>, ControlError> {
        let mut lives = PerSide { legacy: Incarnation(0), modern: Incarnation(0) };
        for side in Side::BOTH {
            if let Some(memory) = self.control.remembered(side).await? {
                *lives.get_mut(side) = memory.incarnation;
            }
        }
        Ok(lives)
    }
}

/// What the hours of a type say under `print`.
fn found(hours: &Figures, print: &Print) -> Found {
    let mut sum = Found::default();
    hours.slots.values().filter_map(|figures| figures.found.get(print)).for_each(|found| sum.merge(found));
    sum
}

/// All types together. They are added up and not merged: a map has its bits for the records of one.
fn compared<'a>(types: impl Iterator<Item = &'a Found>) -> Compared {
    let mut compared = Compared::default();
    for found in types {
        compared.records = compared.records.saturating_add(found.compared());
        compared.wrong = compared.wrong.saturating_add(found.wrong());
        compared.comparisons = compared.comparisons.saturating_add(found.verdicts.conclusive());
    }
    compared
}

/// The first whole minute after which the group was compared by nothing but `print`; `now`: it never was by that.
fn alone_since(days: &Figures, print: &Print, now: Instant) -> Instant {
    let found = || days.slots.values().flat_map(|figures| &figures.found);
    let Some(own) = found().filter(|(of, _)| *of == print).filter_map(|(_, found)| found.first).min() else {
        return now;
    };
    let others = found().filter(|(of, _)| *of != print).filter_map(|(_, found)| found.last).max();
    let minute = others.map_or(own, |others| own.max(others)).to_utc().timestamp() + 59;
    DateTime::from_timestamp(minute - minute.rem_euclid(60), 0).map_or(now, Instant::new)
}

#[cfg(test)]
mod tests {
    use model::control::{GroupFigures, Mark, Slot};
    use model::{Contract, RolloutVersion};

    use super::*;

    fn at(second: i64) -> Instant {
        Instant::new(DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap())
    }

    fn print(life: u32) -> Print {
        let lives = PerSide { legacy: Incarnation(1), modern: Incarnation(life) };
        Print::of(&Contract::default(), &"inventory".into()).in_lives(lives)
    }

    /// Compared from `first` to `last` by each print.
    fn figures(seen: &[(Print, i64, i64)]) -> Figures {
        let mut all = Figures::default();
        for (print, first, last) in seen {
            let mut found = Found::of_bits(model::control::records::BITS_OF_AN_HOUR);
            (*first..*last).for_each(|key| found.records.add(Mark::of("Product", &key.to_string())));
            found.verdicts.matches = 7 * u64::try_from(last - first).unwrap();
            (found.first, found.last) = (Some(at(*first)), Some(at(*last)));
            let figures = GroupFigures { found: [(print.clone(), found)].into(), ..GroupFigures::default() };
            let slot = Slot {
                at: Slot::day(at(*first)),
                group: "strangler:days:inventory".into(),
                rollout: RolloutVersion(1),
            };
            all.add(slot, &figures);
        }
        all
    }

    #[test]
    fn what_was_compared_in_another_life_or_by_another_contract_does_not_count() {
        let hours = figures(&[(print(1), 0, 4_000), (print(2), 4_000, 4_500), (print(2), 4_200, 4_600)]);
        let of_type = found(&hours, &print(2));
        let counted = compared([&of_type, &of_type].into_iter());
        assert!(counted.records.abs_diff(1_200) < 40, "600 of each of two types, each once: {}", counted.records);
        assert_eq!((counted.wrong, counted.comparisons), (0, 2 * 7 * 900));
        assert_eq!(found(&figures(&[(print(1), 0, 4_000)]), &print(2)), Found::default());
    }

    #[test]
    fn counts_without_a_print_begin_with_the_last_comparison_by_anything_else() {
        let since = |seen: &[(Print, i64, i64)]| alone_since(&figures(seen), &print(2), at(90_000));
        assert_eq!(since(&[(print(2), 0, 50)]), at(0));
        assert_eq!(since(&[(print(1), 0, 600), (print(2), 300, 900)]), at(600), "side by side until then");
        assert_eq!(since(&[(print(1), 0, 601), (print(2), 300, 900)]), at(660), "from a whole minute on");
        assert_eq!(since(&[(print(1), 0, 600)]), at(90_000), "never by this");
        assert_eq!(since(&[]), at(90_000));
    }
}
