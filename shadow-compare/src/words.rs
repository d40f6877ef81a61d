//! Counts in words: the one way in which every surface writes numbers, shares and stretches of time.
//!
//! Two things are counted, and they are never mixed in one sentence. An *answer* is what both sides gave to one question:
//! it is compared once, and matches or differs. A *row* is a record in an answer, counted in each answer that holds it: one
//! answer may have many rows that differ. A whole stands before its parts, in the same unit.
//!
//! Promise: a number never breaks over two lines, and no share is rounded up to all or down to nothing.

use std::time::Duration;

use model::Instant;

/// Between the thousands of a number: no line is broken there.
pub const GAP: char = '\u{a0}';

/// A count with its thousands apart: `12 400`.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(GAP);
        }
        text.push(digit);
    }
    text
}

/// `1 answer`, `12 400 answers`.
pub fn answers(count: u64) -> String {
    counted(count, "answer", "answers")
}

/// `1 row`, `12 400 rows`.
pub fn rows(count: u64) -> String {
    counted(count, "row", "rows")
}

/// A count with its unit.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// How many of the answers differ: `116 of 1 357 answers differ`. A part that is larger than its whole is no part: then
/// only the whole is known.
pub fn differ(part: u64, whole: u64) -> String {
    if part > whole {
        return format!("how many of {} differ is not known", answers(whole));
    }
    let verb = if part == 1 { "differs" } else { "differ" };
    format!("{} of {} {verb}", number(part), answers(whole))
}

/// A share in percent with one digit, never rounded up to all or down to nothing: `99.9 %`.
pub fn percent(ratio: f64) -> String {
    let percent = (ratio * 1_000.0).round() / 10.0;
    match ratio {
        r if r > 0.0 && percent < 0.1 => "below 0.1 %".to_owned(),
        r if r < 1.0 && percent > 99.9 => "99.9 %".to_owned(),
        _ => format!("{percent} %"),
    }
}

/// A part of a whole in percent with three digits that say something: `1.15 %`, `0.000784 %`. Never all or nothing by
/// rounding.
pub fn share(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
    let exact = if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 };
    if part >= whole || part == 0 {
        return format!("{exact} %");
    }
    let shown = significant(exact, 3);
    if shown == "100" { "above 99.9 %".to_owned() } else { format!("{shown} %") }
}

/// With so many digits that say something, thousands apart: `0.0069`, `24`, `25 000` of 24 854 with two.
pub fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { "not known".to_owned() };
    }
    let magnitude = value.abs().log10().floor();
    let unit = 10_f64.powf(magnitude - f64::from(digits - 1));
    let rounded = (value / unit).round() * unit;
    // What is beyond the point is written as far as it was rounded and no further.
    let after = usize::try_from((f64::from(digits - 1) - magnitude) as i64).unwrap_or(0);
    let text = format!("{rounded:.after$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), number);
    let rest = rest.trim_end_matches('0').trim_end_matches('.');
    format!("{whole}{rest}")
}

/// A moment to the second: `2026-01-31 08:00:00Z`.
pub fn moment(at: Instant) -> String {
    at.to_utc().format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// The stretch from `since` until `until`: `in the last 2 h` where that is exact to the second, else `since` and the time.
pub fn stretch(since: Instant, until: Instant) -> String {
    let length = (until.to_utc() - since.to_utc()).to_std().unwrap_or_default();
    let seconds = length.as_secs();
    let told = match seconds {
        0 => None,
        days if days.is_multiple_of(86_400) && days > 86_400 => Some(format!("{} days", days / 86_400)),
        hours if hours.is_multiple_of(3_600) => Some(format!("{} h", hours / 3_600)),
        minutes if minutes.is_multiple_of(60) => Some(format!("{} min", minutes / 60)),
        seconds if seconds < 120 => Some(format!("{seconds} s")),
        _ => None,
    };
    match told {
        Some(told) => format!("in the last {told}"),
        None => format!("since {}", moment(since)),
    }
}

/// How long ago, in the largest unit that says enough: `12 min ago`.
pub fn ago(age: Duration) -> String {
    let told = match age.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    };
    format!("{told} ago")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_written_one_way_and_never_break() {
        assert_eq!(number(1_234_567), "1\u{a0}234\u{a0}567");
        assert_eq!((answers(1), answers(1_357)), ("1 answer".to_owned(), "1\u{a0}357 answers".to_owned()));
        assert_eq!((rows(1), rows(305)), ("1 row".to_owned(), "305 rows".to_owned()));
        assert_eq!(differ(116, 1_357), "116 of 1\u{a0}357 answers differ");
        assert_eq!(differ(1, 2), "1 of 2 answers differs");
        assert_eq!(differ(305, 294), "how many of 294 answers differ is not known");
    }

    #[test]
    fn shares_are_never_rounded_to_all_or_nothing() {
        assert_eq!((percent(0.99999), percent(0.0001)), ("99.9 %".to_owned(), "below 0.1 %".to_owned()));
        assert_eq!((percent(1.0), percent(0.0)), ("100 %".to_owned(), "0 %".to_owned()));
        assert_eq!((share(294, 25_551), share(1, 127_500_000)), ("1.15 %".to_owned(), "0.000000784 %".to_owned()));
        assert_eq!((share(0, 9), share(9, 9), share(0, 0)), ("0 %".to_owned(), "100 %".to_owned(), "0 %".to_owned()));
        assert_eq!(share(999_999, 1_000_000), "above 99.9 %");
    }

    #[test]
    fn no_more_digits_are_shown_than_say_something() {
        for (value, shown) in [
            (0.0, "0"),
            (24_854.0, "25\u{a0}000"),
            (6_047.8, "6\u{a0}000"),
            (0.694_444, "0.69"),
            (11.506_399, "12"),
            (99.6, "100"),
            (9.96, "10"),
            (0.000_003_04, "0.000003"),
            (1_677_009.0, "1\u{a0}700\u{a0}000"),
            (f64::INFINITY, "not known"),
            (f64::NAN, "not known"),
        ] {
            assert_eq!(significant(value, 2), shown, "{value}");
        }
    }

    #[test]
    fn a_stretch_is_told_by_its_length_where_that_is_exact() {
        let at = |text: &str| Instant::parse(text).unwrap();
        let until = at("2026-01-31T12:00:00.9Z");
        for (since, told) in [
            ("2026-01-31T11:59:59.9Z", "in the last 1 s"),
            ("2026-01-31T11:45:00.2Z", "in the last 15 min"),
            ("2026-01-31T10:00:00Z", "in the last 2 h"),
            ("2026-01-30T12:00:00Z", "in the last 24 h"),
            ("2026-01-24T12:00:00Z", "in the last 7 days"),
            ("2026-01-31T08:11:12Z", "since 2026-01-31 08:11:12Z"),
            ("2027-01-01T00:00:00Z", "since 2027-01-01 00:00:00Z"),
        ] {
            assert_eq!(stretch(at(since), until), told);
        }
        assert_eq!(ago(Duration::from_secs(725)), "12 min ago");
    }

    proptest! {
        #[test]
        fn a_rounded_number_is_within_half_a_digit_of_the_true_one(value in 1e-9_f64..1e12) {
            let shown: f64 = significant(value, 2).replace(GAP, "").parse().unwrap();
            prop_assert!((shown / value - 1.0).abs() < 0.0501, "{value}: {shown}");
        }
    }
}
