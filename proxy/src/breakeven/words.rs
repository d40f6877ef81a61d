//! The calculation in words, for those who ordered it and for those who only pay for it.

use std::fmt;
use std::time::Duration;

use super::{Balance, BreakEven};

pub(super) fn answer(weighed: &BreakEven) -> String {
    let money = |amount: f64| money(amount, &weighed.currency);
    let (errors, highest) = (weighed.cases[0].errors_per_day, weighed.cases[1].errors_per_day);
    let waiting = money(weighed.waiting_per_day);
    match weighed.balance {
        Balance::WaitingCostsMore => {
            let worth = weighed.cases[1].break_even_days.map_or_else(String::new, |even| {
                let horizon = weighed.horizon_days;
                let wait = if even < 1.0 { "even one day".to_owned() } else { format!("longer than {}", days(even)) };
                format!(" To wait {wait} costs more than {horizon} days of errors at that bound.")
            });
            format!(
                "Waiting costs more: {waiting} a day, and errors {} (at most {} with 95 % confidence).{worth}",
                money(errors),
                money(highest)
            )
        }
        Balance::NotCertain => format!(
            "Not certain yet: errors cost {} a day as measured, and up to {} with 95 % confidence; waiting costs \
             {waiting}. More comparisons bring the bound down.",
            money(errors),
            money(highest)
        ),
        Balance::ErrorsCostMore => format!(
            "Errors cost at least as much as waiting: {} a day, and waiting {waiting}. Mend the differences first \
             (`strangler diffs report`).",
            money(errors)
        ),
    }
}

/// Two sentences without any of our words.
pub(super) fn plain(weighed: &BreakEven) -> [String; 2] {
    let first = match weighed.measured.settle_p99 {
        Some(time) => format!(
            "After something changes, a customer may see the old state, such as an item as available that is sold, \
             for up to {}.",
            seconds(time)
        ),
        None => "How long a customer may see an item as available after it is sold was not measured.".to_owned(),
    };
    let money = |amount: f64| money(amount, &weighed.currency);
    let often = match (weighed.measured.mismatches, one_in(weighed.cases[0].probability)) {
        (0, _) => {
            let (looked, rare) = (grouped(weighed.measured.comparisons as f64), one_in(weighed.cases[1].probability));
            format!(
                "We looked {looked} times and saw no customer get a wrong answer, so it happens at most {rare} times"
            )
        }
        (_, often) => format!("About {often} times a customer would get a wrong answer"),
    };
    let errors = money(weighed.cases[usize::from(weighed.measured.mismatches == 0)].errors_per_day);
    let most = if weighed.measured.mismatches == 0 { "at most " } else { "about " };
    let waiting = money(weighed.waiting_per_day);
    [first, format!("{often}, which costs {most}{errors} a day; each day on the old system costs {waiting}.")]
}

pub(super) fn page(weighed: &BreakEven, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}\n\n{} {}\n", weighed.answer, weighed.plain[0], weighed.plain[1])?;
    let (measured, currency) = (&weighed.measured, &weighed.currency);
    let (mismatches, comparisons) = (grouped(measured.mismatches as f64), grouped(measured.comparisons as f64));
    writeln!(f, "Measured: {mismatches} mismatches in {comparisons} comparisons.")?;
    if let Some(probability) = weighed.break_even_probability {
        let probability = percent(probability);
        writeln!(f, "Errors and waiting cost the same a day at a probability of {probability}.")?;
    }
    writeln!(f, "\n{:<22}  {:>14}  {:>24}  {:>16}", "ASSUMED", "PROBABILITY", "ERRORS A DAY", "BREAK-EVEN")?;
    for case in &weighed.cases {
        let (assumed, probability) = (&case.assumption, percent(case.probability));
        let even = case.break_even_days.map_or_else(|| "never".to_owned(), days);
        let errors = money(case.errors_per_day, currency);
        writeln!(f, "{assumed:<22}  {probability:>14}  {errors:>24}  {even:>16}")?;
    }
    let horizon = weighed.horizon_days;
    write!(
        f,
        "\nBreak-even: days of waiting that cost as much as errors in {horizon} days. docs/breakeven.md says more."
    )
}

fn money(amount: f64, currency: &str) -> String {
    if amount > 0.0 && amount < 0.01 {
        return format!("less than 0.01 {currency}");
    }
    // Cents matter only where there are few units.
    let shown = if amount < 100.0 { format!("{amount:.2}") } else { grouped(amount) };
    format!("{shown} {currency}")
}

/// Whole units, thousands apart.
fn grouped(amount: f64) -> String {
    let digits = format!("{amount:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn percent(probability: f64) -> String {
    match probability * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent >= 0.01 => format!("{percent:.2} %"),
        percent => format!("{percent:.2e} %"),
    }
}

fn one_in(probability: f64) -> String {
    if probability >= 0.5 {
        return format!("{:.0} in 100", probability * 100.0);
    }
    format!("1 in {}", grouped((1.0 / probability).floor()))
}

fn days(days: f64) -> String {
    match days {
        days if days > 0.0 && days < 0.1 => "below 0.1 days".to_owned(),
        days if days < 100.0 => format!("{days:.1} days"),
        days => format!("{} days", grouped(days)),
    }
}

fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => "1 second".to_owned(),
        seconds => format!("{:.0} seconds", seconds.ceil()),
    }
}
