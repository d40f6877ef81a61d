//! The calculation in words, for those who ordered it and for those who only pay for it.
//!
//! What was measured is shown with two digits, which is more than it deserves; what we were told, and sums of it, as it is.

use std::fmt;
use std::time::Duration;

use shadow_compare::words::{answers, differ, moment, number, significant};

use super::{Balance, BreakEven, Measured};

pub(super) fn answer(weighed: &BreakEven) -> String {
    let estimate = |amount: f64| estimate(amount, &weighed.currency);
    let (errors, highest) = (weighed.cases[0].errors_per_day, weighed.cases[1].errors_per_day);
    let waiting = money(weighed.waiting_per_day, &weighed.currency);
    let result = match weighed.balance {
        Balance::WaitingCostsMore => {
            let worth = weighed.cases[1].break_even_days.map_or_else(String::new, |even| {
                let horizon = weighed.horizon_days;
                let wait = if even < 1.0 { "even one day".to_owned() } else { format!("longer than {}", days(even)) };
                format!(" To wait {wait} costs more than {horizon} days of errors at that bound.")
            });
            format!(
                "waiting costs more: {waiting} a day, and errors {} (at most {} with 95 % confidence).{worth}",
                estimate(errors),
                estimate(highest)
            )
        }
        Balance::NotCertain => format!(
            "not certain yet: errors cost {} a day as measured, and up to {} with 95 % confidence; waiting costs \
             {waiting}. More comparisons bring the bound down.",
            estimate(errors),
            estimate(highest)
        ),
        Balance::ErrorsCostMore => format!(
            "errors cost at least as much as waiting: {} a day, and waiting {waiting}. Mend the differences first \
             (`strangler diffs report`).",
            estimate(errors)
        ),
    };
    match (&weighed.too_few, weighed.measured.since) {
        (Some(few), _) => {
            let (have, need) = (number(few.comparisons), number(weighed.needed));
            format!(
                "Since {} too few answers were compared: {have} of about {need}. In all, {result}",
                from(weighed, few)
            )
        }
        (None, Some(_)) => format!("Since {} {result}", from(weighed, &weighed.measured)),
        (None, None) => capital(&result),
    }
}

/// From when on: a window that nobody asked for begins with the last repair.
fn from(weighed: &BreakEven, measured: &Measured) -> String {
    let at = measured.since.map(moment).unwrap_or_default();
    if measured.since == weighed.all_time.since { format!("{at},") } else { format!("the last repair, {at},") }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Two sentences without any of our words.
pub(super) fn plain(weighed: &BreakEven) -> [String; 2] {
    // A write that only one side has is asked of that side: nobody sees the old state of it.
    let first = match weighed.measured.settle_p99 {
        Some(time) => format!(
            "99 of 100 changes were on both systems after {}; until then customers are answered by the one that has them.",
            seconds(time)
        ),
        None => {
            "How long changes take until both systems have them was not measured; until then customers are answered \
                 by the one that has them."
                .to_owned()
        }
    };
    let often = match (weighed.measured.mismatches, one_in(weighed.cases[0].probability)) {
        (0, _) => {
            let (looked, rare) = (number(weighed.measured.comparisons), one_in(weighed.cases[1].probability));
            format!(
                "We looked {looked} times and saw no customer get a wrong answer, so it happens at most {rare} times"
            )
        }
        (_, often) => format!("About {often} times a customer would get a wrong answer"),
    };
    let errors =
        estimate(weighed.cases[usize::from(weighed.measured.mismatches == 0)].errors_per_day, &weighed.currency);
    let most = if weighed.measured.mismatches == 0 { "at most " } else { "about " };
    let waiting = money(weighed.waiting_per_day, &weighed.currency);
    [first, format!("{often}, which costs {most}{errors} a day; each day on the old system costs {waiting}.")]
}

pub(super) fn page(weighed: &BreakEven, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "WHAT YOU TOLD US")?;
    let width = weighed.given.iter().map(|input| input.meaning.len()).max().unwrap_or_default();
    for input in &weighed.given {
        let told = format!("{} {}", input.value.map(exact).unwrap_or_default(), input.unit);
        writeln!(f, "  {:<width$}  {told:<28}  {}", input.meaning, input.source)?;
    }
    writeln!(f, "\n{}\n\n{} {}\n", weighed.answer, weighed.plain[0], weighed.plain[1])?;
    if let Some(since) = weighed.measured.since {
        writeln!(f, "Measured since {}: {}.", moment(since), of(&weighed.measured))?;
        writeln!(f, "In all: {}.", of(&weighed.all_time))?;
    } else {
        writeln!(f, "Measured: {}.", of(&weighed.measured))?;
    }
    if let Some(probability) = weighed.break_even_probability {
        let probability = percent(probability);
        writeln!(f, "Errors and waiting cost the same a day at a probability of {probability}.")?;
    }
    let currency = &weighed.currency;
    writeln!(f, "\n{:<22}  {:>14}  {:>24}  {:>16}", "ASSUMED", "PROBABILITY", "ERRORS A DAY", "BREAK-EVEN")?;
    for case in &weighed.cases {
        let (assumed, probability) = (&case.assumption, percent(case.probability));
        let even = case.break_even_days.map_or_else(|| "never".to_owned(), days);
        let errors = estimate(case.errors_per_day, currency);
        writeln!(f, "{assumed:<22}  {probability:>14}  {errors:>24}  {even:>16}")?;
    }
    let horizon = weighed.horizon_days;
    write!(
        f,
        "\nBreak-even: days of waiting that cost as much as errors in {horizon} days. docs/breakeven.md says more."
    )
}

/// How many of the answers differ.
fn of(measured: &Measured) -> String {
    match measured.mismatches {
        0 => format!("none of {} differs", answers(measured.comparisons)),
        mismatches => differ(mismatches, measured.comparisons),
    }
}

/// An estimate: two digits say what is known of it.
pub fn estimate(amount: f64, currency: &str) -> String {
    if amount > 0.0 && amount < 0.01 {
        return format!("less than 0.01 {currency}");
    }
    format!("{} {currency}", significant(amount, 2))
}

/// Money that we were told of, as it was told.
pub fn money(amount: f64, currency: &str) -> String {
    format!("{} {currency}", exact(amount))
}

/// A figure as it was told, thousands apart.
pub fn exact(amount: f64) -> String {
    let text = format!("{amount:.2}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), number);
    if rest == ".00" { whole } else { format!("{whole}{rest}") }
}

/// A probability as a percentage of two digits; a small one is never shown as none, nor a large one as certain.
pub fn percent(probability: f64) -> String {
    match significant(probability * 100.0, 2).as_str() {
        "100" if probability < 1.0 => "above 99 %".to_owned(),
        digits => format!("{digits} %"),
    }
}

fn one_in(probability: f64) -> String {
    if probability >= 0.5 {
        return format!("{} in 100", significant(probability * 100.0, 2));
    }
    format!("1 in {}", significant(1.0 / probability, 2))
}

/// Days, with two digits.
pub fn days(days: f64) -> String {
    match days {
        days if days > 0.0 && days < 0.1 => "below 0.1 days".to_owned(),
        days => format!("{} days", significant(days, 2)),
    }
}

/// A short time, with two digits: the only figure of it.
pub fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{} ms", significant(seconds * 1_000.0, 2)),
        seconds => format!("{} s", significant(seconds, 2)),
    }
}
