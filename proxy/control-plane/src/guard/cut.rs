//! From slots to the window that is judged and the baseline it is compared with. Pure.
//!
//! The window holds nothing from before the group's last change. The baseline ends where the window
//! begins, and reaches back to when the group began to be read the way it is now. Both hold only what was found by what
//! the group is compared by now.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use model::control::figures::SLOT;
use model::control::{Figures, GroupFigures, Print, Slot};
use model::{GroupName, Instant, RolloutVersion};

use super::judge::{Baseline, Window};
use super::settings::GuardSettings;

/// Since when a group is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Since {
    /// The rollout that changed the group last: windows begin with it.
    pub(super) change: RolloutVersion,
    /// The rollout with which the group entered its stage, or was read from modern again: baselines
    /// begin with it.
    pub(super) run: RolloutVersion,
}

/// When the slot begins that a window of `length` begins with; the slot of now is its last.
pub(super) fn window_start(now: Instant, length: Duration) -> Instant {
    earlier(Slot::start(now), length.saturating_sub(SLOT))
}

/// The last `length` of `group` under `print`, as far as they lie behind its last change.
pub(super) fn window(
    figures: &Figures,
    (group, print): (&GroupName, &Print),
    since: RolloutVersion,
    now: Instant,
    length: Duration,
) -> Window {
    let start = window_start(now, length);
    let slots = figures.of(group).filter(|(slot, _)| slot.at >= start && slot.rollout >= since);
    Window::new(slots.map(|(_, figures)| figures.under(print)).collect(), length)
}

/// What is usual for `group` under `print`: windows as long as the one that is judged, all before it.
pub(super) fn baseline(
    figures: &Figures,
    (group, print): (&GroupName, &Print),
    since: RolloutVersion,
    now: Instant,
    settings: &GuardSettings,
) -> Baseline {
    let (end, begin) = (window_start(now, settings.window), earlier(now, settings.baseline));
    let length = i64::try_from(settings.window.as_secs()).unwrap_or(i64::MAX).max(1);
    let mut windows: BTreeMap<i64, Vec<GroupFigures>> = BTreeMap::new();
    for (slot, figures) in figures.of(group) {
        if slot.at >= begin && slot.at < end && slot.rollout >= since {
            // Counted back from the window, so that all of them are whole.
            let back = (end.to_utc() - slot.at.to_utc()).num_seconds();
            windows.entry((back - 1).max(0) / length).or_default().push(figures.under(print));
        }
    }
    Baseline::new(windows.values().map(|slots| slots.iter().collect()), &settings.limits)
}

/// So long before `time`.
pub(super) fn earlier(time: Instant, by: Duration) -> Instant {
    let by = TimeDelta::from_std(by).unwrap_or(TimeDelta::days(36_500));
    time.to_utc().checked_sub_signed(by).map_or(time, Instant::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Instant {
        Instant::new(chrono::DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap())
    }

    /// One mismatch in each slot, from 0 to `slots` times ten seconds; the rollout is that of the hundred seconds.
    fn figures(slots: i64) -> Figures {
        let mut all = Figures::default();
        for place in 0..slots {
            let mut one = GroupFigures::default();
            one.verdicts.mismatches = 1;
            let rollout = RolloutVersion(u64::try_from(place / 10).unwrap());
            all.add(Slot { at: at(place * 10), group: "inventory".into(), rollout }, &one);
        }
        all
    }

    /// What these figures were found by does not matter: an older release made them.
    fn print() -> Print {
        Print::of(&model::Contract::default(), &"inventory".into())
    }

    fn mismatches(window: &Window) -> u64 {
        window.sum().verdicts.mismatches
    }

    #[test]
    fn a_window_has_no_more_slots_than_it_is_long_and_none_of_before_the_change() {
        let (group, length) = (GroupName::from("inventory"), Duration::from_secs(30));
        let seen = |now: i64, since| {
            let all = figures((now / 10 + 1).min(40));
            mismatches(&window(&all, (&group, &print()), RolloutVersion(since), at(now), length))
        };
        assert_eq!(seen(395, 0), 3);
        assert_eq!(seen(395, 3), 3);
        assert_eq!(seen(315, 3), 2, "two slots since the change at 300");
        assert_eq!(seen(395, 4), 0);
        assert_eq!(seen(900, 0), 0, "all of it is old");
    }

    #[test]
    fn a_baseline_ends_where_the_window_begins() {
        let (all, group) = (figures(40), GroupName::from("inventory"));
        let settings = GuardSettings::default();
        let of = (&group, &print());
        let windows = |now, since| baseline(&all, of, RolloutVersion(since), at(now), &settings).windows();
        assert_eq!(windows(395, 0), 13, "37 slots, three a window");
        assert_eq!(windows(395, 3), 3, "seven slots since 300");
        assert_eq!(windows(395, 4), 0);
        let short = GuardSettings { baseline: Duration::from_secs(60), ..settings };
        assert_eq!(baseline(&all, of, RolloutVersion(0), at(395), &short).windows(), 1);
    }
}
