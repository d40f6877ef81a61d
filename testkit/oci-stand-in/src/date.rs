//! Moments and intervals, as structures of the C interface hold them and as PostgreSQL sends them.

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// Days from 1970-01-01, where calendars count, to 2000-01-01, where PostgreSQL does.
const EPOCH: i64 = 10_957;

/// A date with time, and a zone where the type has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Year.
    pub year: i16,
    /// Month from 1.
    pub month: u8,
    /// Day from 1.
    pub day: u8,
    /// Hour.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
    /// Nanoseconds of the second.
    pub nanosecond: u32,
    /// Minutes east of UTC.
    pub offset: i16,
}

impl Moment {
    /// From PostgreSQL's microseconds since 2000-01-01. `infinity` becomes the last moment that Oracle knows.
    pub fn from_micros(micros: i64) -> Self {
        if micros == i64::MAX {
            return Self { year: 9999, month: 12, day: 31, hour: 23, minute: 59, second: 59, ..Self::default() };
        }
        let (year, month, day) = civil(micros.div_euclid(DAY) + EPOCH);
        let within = micros.rem_euclid(DAY);
        let seconds = within / 1_000_000;
        let small = |number: i64| u8::try_from(number).expect("a part of a day");
        Self {
            year: i16::try_from(year).unwrap_or(9999),
            month,
            day,
            hour: small(seconds / 3600),
            minute: small(seconds / 60 % 60),
            second: small(seconds % 60),
            nanosecond: u32::try_from(within % 1_000_000).expect("below a million") * 1000,
            offset: 0,
        }
    }

    /// As PostgreSQL reads it.
    pub fn text(&self, with_zone: bool) -> String {
        let Self { year, month, day, hour, minute, second, nanosecond, offset } = self;
        // Oracle's years before Christ have no year 0, as PostgreSQL's; the sign is a word there.
        let (year, era) = if *year < 0 { (-year, " BC") } else { (*year, "") };
        let mut text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{nanosecond:09}");
        if with_zone {
            let sign = if *offset < 0 { '-' } else { '+' };
            text += &format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60);
        }
        text + era
    }

    /// Sets the zone from `+05:30`; anything else leaves UTC.
    pub fn set_zone(&mut self, zone: &str) {
        let (sign, rest) = match zone.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, zone.trim_start_matches('+')),
        };
        let parts = rest.split_once(':').map(|(hours, minutes)| (hours.parse::<i16>(), minutes.parse::<i16>()));
        if let Some((Ok(hours), Ok(minutes))) = parts {
            self.offset = sign * (hours * 60 + minutes);
        }
    }
}

/// Year, month and day of a day since 1970-01-01: the era of 400 years first, which always has 146 097 days.
fn civil(day: i64) -> (i64, u8, u8) {
    // Counted from 1 March of year 0, so that the leap day is the last of its year.
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let small = |number: i64| u8::try_from(number).expect("a part of a year");
    (year, small(month), small(day))
}

/// An interval: months, or days and time, as the two types of Oracle have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Months, of INTERVAL YEAR TO MONTH.
    pub months: i32,
    /// Whole days.
    pub days: i32,
    /// What is less than a day.
    pub nanoseconds: i64,
}

impl Span {
    /// From PostgreSQL's sixteen bytes: microseconds, days, months.
    pub fn from_wire(bytes: &[u8]) -> Self {
        let number = |bytes: &[u8]| bytes.iter().fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte));
        let low = |number: i64| i32::from_be_bytes(number.to_be_bytes()[4..].try_into().expect("four bytes"));
        let micros = number(&bytes[..8]);
        let days = i64::from(low(number(&bytes[8..12]))) + micros / DAY;
        Self {
            months: low(number(&bytes[12..16])),
            days: i32::try_from(days).unwrap_or(i32::MAX),
            nanoseconds: micros % DAY * 1000,
        }
    }

    /// As PostgreSQL reads it.
    pub fn text(&self) -> String {
        format!("{} months {} days {} microseconds", self.months, self.days, self.nanoseconds / 1000)
    }

    /// Hours, minutes, seconds and nanoseconds; all of one sign.
    pub fn clock(&self) -> [i32; 4] {
        let seconds = self.nanoseconds / 1_000_000_000;
        [seconds / 3600, seconds / 60 % 60, seconds % 60, self.nanoseconds % 1_000_000_000]
            .map(|part| i32::try_from(part).expect("less than a day"))
    }

    /// From days, hours, minutes, seconds and nanoseconds.
    pub fn of_clock(days: i32, [hours, minutes, seconds, nanoseconds]: [i32; 4]) -> Self {
        let whole = i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds);
        Self { months: 0, days, nanoseconds: whole * 1_000_000_000 + i64::from(nanoseconds) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_from_2000() {
        assert_eq!(Moment::from_micros(0).text(false), "2000-01-01 00:00:00.000000000");
        assert_eq!(Moment::from_micros(-1).text(false), "1999-12-31 23:59:59.999999000");
        let leap = (59 * DAY) + 13 * 3_600_000_000;
        assert_eq!(Moment::from_micros(leap).text(false), "2000-02-29 13:00:00.000000000");
    }

    #[test]
    fn a_zone_is_an_offset_in_minutes() {
        let mut moment = Moment::from_micros(0);
        moment.set_zone("-03:30");
        assert_eq!(moment.offset, -210);
        assert!(moment.text(true).ends_with("-03:30"));
        moment.set_zone("Europe/Berlin");
        assert_eq!(moment.offset, -210);
    }

    #[test]
    fn infinity_is_the_last_moment_that_oracle_knows() {
        assert_eq!(Moment::from_micros(i64::MAX).text(false), "9999-12-31 23:59:59.000000000");
    }

    #[test]
    fn an_interval_of_days_keeps_its_sign() {
        let span = Span::of_clock(-1, [-2, -3, -4, -5_000]);
        assert_eq!(span.clock(), [-2, -3, -4, -5_000]);
        assert_eq!(span.text(), "0 months -1 days -7384000005 microseconds");
    }

    #[test]
    fn an_interval_is_read_from_the_wire() {
        let mut wire = 3_600_000_000_i64.to_be_bytes().to_vec();
        wire.extend(2_i32.to_be_bytes());
        wire.extend((-14_i32).to_be_bytes());
        let span = Span::from_wire(&wire);
        assert_eq!((span.months, span.days, span.clock()), (-14, 2, [1, 0, 0, 0]));
    }
}
