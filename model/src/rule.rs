//! Rules that would make two different values of a field the same: what a difference is explained by.
//!
//! A rule proves nothing about *why* the sides differ; it says that the pair would agree under it. It is
//! counted beside each difference, proposed to engineers, and may narrow an excuse.
//! Not here: whether a pair of values agrees under a rule (`shadow_compare::explain`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::side::Side;

/// One rule. Its text form is that of reports, of the control store and of `--rule`: `scale: 2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rule {
    /// Equal when both are rounded half up to so many digits after the point.
    Scale(u8),
    /// Equal when both lose all but so many digits after the point.
    Cut(u8),
    /// Equal but for upper and lower case.
    IgnoreCase,
    /// Equal when both are cut to whole seconds.
    ToSeconds,
    /// Modern's instant is so many minutes later than legacy's.
    Offset(i16),
    /// Equal but for blanks at an end.
    Trim,
    /// This side has empty text where the other has null.
    EmptyIsNull(Side),
}

/// The text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "is no rule: give `scale: 2`, `cut: 2`, `ignoreCase`, `toSeconds`, `offset: +60`, `trim` or `emptyIsNull: legacy`"
)]
pub struct InvalidRule;

impl Rule {
    /// Most digits of [`Rule::Scale`] and [`Rule::Cut`].
    pub const MAX_DIGITS: u8 = 8;
    /// Furthest [`Rule::Offset`]: between UTC-12 and UTC+14.
    pub const MAX_OFFSET: i16 = 26 * 60;
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale(digits) => write!(f, "scale: {digits}"),
            Self::Cut(digits) => write!(f, "cut: {digits}"),
            Self::IgnoreCase => f.write_str("ignoreCase"),
            Self::ToSeconds => f.write_str("toSeconds"),
            Self::Offset(minutes) => write!(f, "offset: {minutes:+}"),
            Self::Trim => f.write_str("trim"),
            Self::EmptyIsNull(side) => write!(f, "emptyIsNull: {side}"),
        }
    }
}

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (text.trim(), None),
        };
        let digits = |value: &str| value.parse().ok().filter(|digits| *digits <= Self::MAX_DIGITS).ok_or(InvalidRule);
        match (name, value) {
            ("scale", Some(value)) => digits(value).map(Self::Scale),
            ("cut", Some(value)) => digits(value).map(Self::Cut),
            ("ignoreCase", None) => Ok(Self::IgnoreCase),
            ("toSeconds", None) => Ok(Self::ToSeconds),
            ("offset", Some(value)) => {
                let minutes = value.parse::<i16>().ok();
                let possible = |minutes: &i16| (1..=Self::MAX_OFFSET).contains(&minutes.saturating_abs());
                minutes.filter(possible).map(Self::Offset).ok_or(InvalidRule)
            }
            ("trim", None) => Ok(Self::Trim),
            ("emptyIsNull", Some(value)) => {
                let side = Side::BOTH.into_iter().find(|side| side.as_str() == value);
                side.map(Self::EmptyIsNull).ok_or(InvalidRule)
            }
            _ => Err(InvalidRule),
        }
    }
}

impl TryFrom<String> for Rule {
    type Error = InvalidRule;

    fn try_from(text: String) -> Result<Self, InvalidRule> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_read_back_from_its_text() {
        let rules = [
            Rule::Scale(0),
            Rule::Cut(8),
            Rule::IgnoreCase,
            Rule::ToSeconds,
            Rule::Offset(-90),
            Rule::Offset(60),
            Rule::Trim,
            Rule::EmptyIsNull(Side::Legacy),
        ];
        for rule in rules {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        assert_eq!("scale:2".parse(), Ok(Rule::Scale(2)));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in ["", "scale", "scale: 9", "scale: -1", "offset: 0", "offset: 1561", "offset: -32768", "trim: 1"] {
            assert_eq!(text.parse::<Rule>(), Err(InvalidRule), "{text}");
        }
    }
}
