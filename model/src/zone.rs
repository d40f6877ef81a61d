//! Time zones: the wall clocks by which columns without a zone are kept.
//!
//! The data are the machine's own (`/usr/share/zoneinfo`), as PostgreSQL's mostly are, and where it has none those that
//! are compiled in. They hold the rule that is in force at their end, and so reach every year: ERPs keep days far in
//! the future.
//!
//! - Where clocks go back, the *earlier* of the two instants is meant.
//! - A time that no clock showed is read with the offset before the gap, as PostgreSQL does.
//!
//! Promise: for the years 1 to 9999 the answers are those that PostgreSQL gives by the same data, but for the first
//! rule. A test asks it about every zone.
//! Not here: what a column keeps (`adapters`).

use std::fmt;
use std::sync::LazyLock;

use chrono::{Datelike, NaiveDateTime, TimeDelta, Timelike};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

static ALL: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::from_env);
static COMPILED_IN: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The calendar and every rule repeat after 400 years.
const CYCLE: TimeDelta = TimeDelta::days(146_097);

/// From this year on the question is put about a year that is 16 cycles earlier: the library ends within year 9999,
/// the rules do not.
const FAR: i32 = 9_000;
const CYCLES: i32 = 16;

/// Names that databases take for a fixed offset before they look for a zone: `CET` has no summer to PostgreSQL.
const ABBREVIATIONS: [&str; 7] = ["CET", "EET", "EST", "HST", "MET", "MST", "WET"];

/// A zone of the IANA database.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone called `name`, as the database spells it. What a machine has beside that names no zone.
    pub fn named(name: &str) -> Option<Self> {
        if ABBREVIATIONS.contains(&name) {
            return None;
        }
        let everywhere = COMPILED_IN.get(name).ok()?;
        let zone = Self(ALL.get(name).unwrap_or(everywhere));
        (zone.name() == name).then_some(zone)
    }

    /// The names of all zones.
    pub fn names() -> impl Iterator<Item = String> {
        COMPILED_IN.available().map(|name| name.to_string())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What the clocks show at an instant. `None`: beyond what can be computed.
    pub fn local(&self, utc: NaiveDateTime) -> Option<NaiveDateTime> {
        let at = jiff::Timestamp::from_second(near(utc)?.and_utc().timestamp()).ok()?;
        utc.checked_add_signed(seconds(self.0.to_offset(at)))
    }

    /// The instant that is meant by what the clocks show; see the rules at the top.
    pub fn utc(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let shown = civil(near(local)?)?;
        let offset = match self.0.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before,
        };
        local.checked_sub_signed(seconds(offset))
    }

    /// Whether the clocks show this time twice.
    pub fn shows_twice(&self, local: NaiveDateTime) -> bool {
        let shown = near(local).and_then(civil);
        shown.is_some_and(|shown| matches!(self.0.to_ambiguous_timestamp(shown).offset(), AmbiguousOffset::Fold { .. }))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A time at which the same rules are in force and that the library can compute with.
fn near(time: NaiveDateTime) -> Option<NaiveDateTime> {
    if time.year() < FAR { Some(time) } else { time.checked_sub_signed(CYCLE * CYCLES) }
}

fn civil(time: NaiveDateTime) -> Option<jiff::civil::DateTime> {
    let (year, month, day) = (i16::try_from(time.year()).ok()?, i8::try_from(time.month()).ok()?, time.day());
    let clock = [time.hour(), time.minute(), time.second()].map(i8::try_from);
    let [Ok(hour), Ok(minute), Ok(second)] = clock else { return None };
    jiff::civil::DateTime::new(year, month, i8::try_from(day).ok()?, hour, minute, second, 0).ok()
}

fn seconds(offset: jiff::tz::Offset) -> TimeDelta {
    TimeDelta::seconds(i64::from(offset.seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_zone_is_found_by_its_own_spelling_only() {
        assert_eq!(Zone::named("Europe/Berlin").unwrap().name(), "Europe/Berlin");
        assert_eq!(format!("{:?}", Zone::named("UTC").unwrap()), "UTC");
        for bad in ["CET", "europe/berlin", "Middle/Earth", "", "+02:00"] {
            assert_eq!(Zone::named(bad), None, "{bad}");
        }
    }

    #[test]
    fn of_two_equal_times_the_earlier_is_meant_and_one_that_never_was_has_the_offset_before() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let twice = time("2026-10-25T02:30:00");
        assert!(berlin.shows_twice(twice));
        assert_eq!(berlin.utc(twice), Some(time("2026-10-25T00:30:00")));
        assert_eq!(berlin.utc(time("2026-03-29T02:30:00")), Some(time("2026-03-29T01:30:00")));
        // Lord Howe's clocks go back by half an hour, Samoa left out a day.
        let howe = Zone::named("Australia/Lord_Howe").unwrap();
        assert_eq!(howe.utc(time("2026-04-05T01:45:00")), Some(time("2026-04-04T14:45:00")));
        let samoa = Zone::named("Pacific/Apia").unwrap();
        assert_eq!(samoa.utc(time("2011-12-30T12:00:00")), Some(time("2011-12-30T22:00:00")));
    }

    #[test]
    fn the_rule_of_today_holds_to_the_last_day_that_an_erp_can_name() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        for year in [2026, 2038, 2101, 2500, 8999, 9000, 9001, 9999] {
            let summer = time(&format!("{year:04}-07-01T00:00:00"));
            assert_eq!(berlin.utc(summer), Some(summer - TimeDelta::hours(2)), "{year}");
            assert_eq!(berlin.local(summer - TimeDelta::hours(2)), Some(summer), "{year}");
        }
        let last = time("9999-12-31T23:59:59.999999");
        assert_eq!(berlin.utc(last), Some(last - TimeDelta::hours(1)));
        assert_eq!(Zone::named("Pacific/Kiritimati").unwrap().local(last), Some(last + TimeDelta::hours(14)));
    }
}
