//! Which rule of the contract would end a noisy kind of difference, and how many of them it explains.
//!
//! A proposal is arithmetic, not a pardon: *all* differences of the kind were counted by rule when they were
//! confirmed ([`crate::explain`]); those that no rule explains go on counting and are told. Samples, which are
//! few, only say which side it is. Whether the difference may be forgiven is for people to decide: each
//! proposal has the text for `schema.graphql`, and the command that excuses it until a day.
//!
//! Nothing is proposed for missing, extra, stale and plainly different values, nor for a rule that explains
//! less than half of a kind.

use std::fmt::Write;

use model::evidence::{Cause, Difference};
use model::{Decimal, FieldName, PerSide, RouteName, Rule, Side};
use serde::Serialize;
use serde_json::Value as Json;

use crate::words::{answers, number, rows};

/// One kind of difference, with all that proposals are made of.
#[derive(Debug, Clone)]
pub struct Noise<'a> {
    /// The route.
    pub route: &'a RouteName,
    /// The field; `None` when whole records or their order differ.
    pub field: Option<&'a FieldName>,
    /// Why.
    pub cause: Cause,
    /// All differences of this kind: rows of a field, answers where their order differs.
    pub count: u64,
    /// How many of them each rule explains.
    pub explained: Vec<(Rule, u64)>,
    /// Those that are kept.
    pub samples: Vec<&'a Difference>,
}

/// A change of the contract that would end a kind of difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// What was found, in a sentence.
    pub answer: String,
    /// The rule; null for the order of a list.
    pub rule: Option<Rule>,
    /// Differences that the rule explains.
    pub explained: u64,
    /// All differences of the kind.
    pub differences: u64,
    /// What to write into `schema.graphql`.
    pub contract: String,
    /// Where in `schema.graphql`.
    pub place: String,
    /// The command that excuses it until a day, without a deploy.
    pub excuse: String,
}

/// What may be proposed for `noise`, the rule that explains most first.
pub fn propose(noise: &Noise<'_>) -> Vec<Proposal> {
    if noise.count == 0 {
        return Vec::new();
    }
    match (noise.cause, noise.field) {
        (Cause::Order, _) => vec![order(noise)],
        (_, Some(field)) => {
            let mut found: Vec<Proposal> =
                candidates(noise).into_iter().map(|(rule, count)| of_rule(noise, field, rule, count)).collect();
            found.extend(zones(noise, field));
            found.retain(|proposal| proposal.explained.saturating_mul(2) >= noise.count);
            found.sort_by_key(|proposal| std::cmp::Reverse(proposal.explained));
            found
        }
        (_, None) => Vec::new(),
    }
}

/// The best rule of each family: it explains most, and forgives least of those that explain as many.
fn candidates(noise: &Noise<'_>) -> Vec<(Rule, u64)> {
    let best = |of: &dyn Fn(Rule) -> Option<u8>| {
        let family = noise.explained.iter().filter_map(|(rule, count)| Some((*count, of(*rule)?, *rule)));
        family.max_by_key(|(count, strictness, _)| (*count, *strictness)).map(|(count, _, rule)| (rule, count))
    };
    let scale = best(&|rule| if let Rule::Scale(digits) = rule { Some(digits) } else { None });
    // The contract cannot say `cut`: only worth a word where rounding explains less, or forgives more.
    let cut = best(&|rule| if let Rule::Cut(digits) = rule { Some(digits) } else { None });
    let by_scale =
        scale.and_then(|(rule, count)| if let Rule::Scale(digits) = rule { Some((count, digits)) } else { None });
    let narrower = |(rule, count): &(Rule, u64)| {
        if let (Rule::Cut(digits), Some(by_scale)) = (rule, by_scale) { (*count, *digits) > by_scale } else { true }
    };
    let cut = cut.filter(narrower);
    let single = noise.explained.iter().copied().filter(|(rule, _)| match rule {
        Rule::IgnoreCase | Rule::ToSeconds | Rule::Trim | Rule::EmptyIsNull(_) => true,
        Rule::Scale(_) | Rule::Cut(_) | Rule::Offset(_) => false,
    });
    cut.into_iter().chain(scale).chain(single).collect()
}

fn of_rule(noise: &Noise<'_>, field: &FieldName, rule: Rule, explained: u64) -> Proposal {
    let who = |digits: u8| {
        rounding_side(noise, rule).map_or_else(
            || match rule {
                Rule::Cut(_) => format!("both sides agree to {} when cut", digits_word(digits)),
                _ => format!("both sides agree to {} when rounded", digits_word(digits)),
            },
            |side| match rule {
                Rule::Cut(_) => format!("{side} cuts to {}", digits_word(digits)),
                _ => format!("{side} rounds to {}", digits_word(digits)),
            },
        )
    };
    let home = |side: &str| format!("the @home of `{field}`, {side}");
    let of_field = || format!("the field `{field}` (into its @compare, if it has one)");
    let (finding, contract, place) = match rule {
        Rule::Scale(digits) => (who(digits), format!("@compare(scale: {digits})"), of_field()),
        Rule::Cut(digits) => {
            let reason = who(digits);
            let text = format!("@excused(reason: \"{reason}\", owner: \"NAME\", until: \"YYYY-MM-DD\")");
            (reason, text, format!("the field `{field}`"))
        }
        Rule::IgnoreCase => {
            ("only upper and lower case differ".to_owned(), "@compare(ignoreCase: true)".to_owned(), of_field())
        }
        Rule::ToSeconds => {
            ("only fractions of a second differ".to_owned(), "@compare(toSeconds: true)".to_owned(), of_field())
        }
        Rule::Trim => (
            "only blanks at an end differ".to_owned(),
            "type: \"char(N)\"".to_owned(),
            home("the side that pads with blanks"),
        ),
        Rule::EmptyIsNull(side) => (
            format!("{side} has empty text where {} has null", side.other()),
            "emptyIsNull: true".to_owned(),
            home(side.as_str()),
        ),
        // Offsets are proposed together, as a zone.
        Rule::Offset(minutes) => (offset_word(minutes), "zone: \"ZONE\"".to_owned(), home("the side in local time")),
    };
    finish(noise, &finding, Some(rule), &format!("`{rule}`"), explained, contract, place)
}

/// One offset, or two that are an hour apart as with summer time: a zone that somebody left out.
fn zones(noise: &Noise<'_>, field: &FieldName) -> Option<Proposal> {
    let mut offsets: Vec<(i16, u64)> = noise
        .explained
        .iter()
        .filter_map(|(rule, count)| if let Rule::Offset(minutes) = rule { Some((*minutes, *count)) } else { None })
        .collect();
    offsets.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let (first, mut explained) = *offsets.first()?;
    let second = offsets.iter().skip(1).find(|(minutes, _)| minutes.abs_diff(first) == 60);
    explained += second.map_or(0, |(_, count)| *count);
    let finding = match second {
        None => offset_word(first),
        Some((other, _)) => {
            format!("{}, or {} in the other half of the year", offset_word(first), minutes_word(*other))
        }
    };
    let place = format!("the @home of `{field}`, the side that keeps local time");
    let by = second.map_or_else(
        || format!("`{}`", Rule::Offset(first)),
        |(other, _)| format!("`{}` and `{}`", Rule::Offset(first), Rule::Offset(*other)),
    );
    // An excuse has one rule: for two offsets it is left as wide as the cause.
    let rule = second.is_none().then_some(Rule::Offset(first));
    Some(finish(noise, &finding, rule, &by, explained, "zone: \"ZONE\" (such as Europe/Berlin)".to_owned(), place))
}

fn order(noise: &Noise<'_>) -> Proposal {
    let finding = "both sides have the same rows in another order";
    let place = format!("@list of {}", noise.route);
    let contract = "ordered: false".to_owned();
    finish(noise, finding, None, "leaving the order out", noise.count, contract, place)
}

fn finish(
    noise: &Noise<'_>,
    finding: &str,
    rule: Option<Rule>,
    by: &str,
    explained: u64,
    contract: String,
    place: String,
) -> Proposal {
    let count = noise.count;
    let verb = if explained == 1 { "is" } else { "are" };
    // Of a field rows are counted, of the order of a list whole answers.
    let of = if noise.field.is_some() { rows(count) } else { answers(count) };
    let mut answer = format!("{finding}: {} of {of} {verb} explained by {by}", number(explained));
    match count.saturating_sub(explained) {
        0 => answer.push('.'),
        1 => answer.push_str("; the other one would go on counting."),
        rest => {
            let _ = write!(answer, "; the other {} would go on counting.", number(rest));
        }
    }
    Proposal { excuse: command(noise, rule), answer, rule, explained, differences: count, contract, place }
}

/// The command that excuses this kind until a day.
fn command(noise: &Noise<'_>, rule: Option<Rule>) -> String {
    let mut command = format!("strangler diffs excuse --route {}", noise.route);
    if let Some(field) = noise.field {
        let _ = write!(command, " --field {field}");
    }
    let _ = write!(command, " --cause {}", noise.cause);
    if let Some(rule) = rule {
        let _ = write!(command, " --rule '{rule}'");
    }
    command.push_str(" --owner NAME --until YYYY-MM-DD --reason 'WHY'");
    command
}

/// The side whose every kept value has no more digits than the rule leaves, where the other's has.
fn rounding_side(noise: &Noise<'_>, rule: Rule) -> Option<Side> {
    let (Rule::Scale(digits) | Rule::Cut(digits)) = rule else { return None };
    let decimal = |json: &Json| json.as_str().and_then(|text| text.parse::<Decimal>().ok());
    let pairs: Option<Vec<PerSide<Decimal>>> = noise
        .samples
        .iter()
        .filter(|sample| sample.explained.contains(&rule))
        .map(|sample| {
            Some(PerSide { legacy: decimal(&sample.values.legacy)?, modern: decimal(&sample.values.modern)? })
        })
        .collect();
    let pairs = pairs.filter(|pairs| !pairs.is_empty())?;
    let short = |number: &Decimal| number.scale() <= u32::from(digits);
    Side::BOTH
        .into_iter()
        .find(|side| pairs.iter().all(|pair| short(pair.get(*side)) && !short(pair.get(side.other()))))
}

fn digits_word(digits: u8) -> String {
    match digits {
        0 => "whole numbers".to_owned(),
        1 => "1 digit".to_owned(),
        more => format!("{more} digits"),
    }
}

fn offset_word(minutes: i16) -> String {
    let direction = if minutes > 0 { "later" } else { "earlier" };
    format!("modern is {} {direction} than legacy", minutes_word(minutes))
}

fn minutes_word(minutes: i16) -> String {
    let minutes = minutes.unsigned_abs();
    match (minutes / 60, minutes % 60) {
        (hours, 0) => format!("{hours} h"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests;
