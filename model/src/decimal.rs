//! Exact decimals: what NUMBER and NUMERIC hold. Never a float.

use std::fmt;
use std::str::FromStr;

use bigdecimal::{BigDecimal, RoundingMode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Largest count of digits, before and after the point together, that we take from anybody.
/// NUMBER holds 38; PostgreSQL far more, but a client that sends a million digits means harm.
const MAX_DIGITS: u64 = 1_000;
/// Longest text that is looked at: the digits with sign, point and exponent. The time that digits take grows with their
/// square, so what is longer is refused by its length.
const MAX_TEXT: usize = 1_024;

/// An exact decimal number, equal by value: `1.50` equals `1.5`.
///
/// Held without trailing zeros, so `Eq`, `Hash` and the text form agree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Decimal(BigDecimal);

/// The text is not a decimal number that we can hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a decimal number of at most {MAX_DIGITS} digits")]
pub struct InvalidDecimal;

impl Decimal {
    /// Wraps a number; trailing zeros are dropped.
    pub fn new(number: BigDecimal) -> Self {
        Self(number.normalized())
    }

    /// The number rounded half up (away from zero) to `scale` digits after the point.
    pub fn round(&self, scale: u32) -> Self {
        Self::new(self.0.with_scale_round(i64::from(scale), RoundingMode::HalfUp))
    }

    /// Digits after the point that are not trailing zeros.
    pub fn scale(&self) -> u32 {
        let (_, scale) = self.0.as_bigint_and_exponent();
        u32::try_from(scale.max(0)).unwrap_or(u32::MAX)
    }

    /// Digits before the point, 0 for numbers below one.
    pub fn integer_digits(&self) -> u64 {
        let (digits, scale) = self.0.as_bigint_and_exponent();
        if digits == 0.into() {
            return 0;
        }
        u64::try_from(self.0.digits().cast_signed() - scale).unwrap_or(0)
    }

    /// Text with exactly `scale` digits after the point, rounded half up: `1.5` at 2 is `1.50`.
    pub fn to_scaled_string(&self, scale: u32) -> String {
        self.0.with_scale_round(i64::from(scale), RoundingMode::HalfUp).to_plain_string()
    }

    /// The wrapped number.
    pub fn as_big(&self) -> &BigDecimal {
        &self.0
    }
}

impl FromStr for Decimal {
    type Err = InvalidDecimal;

    fn from_str(text: &str) -> Result<Self, InvalidDecimal> {
        let plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        if text.is_empty() || text.len() > MAX_TEXT || !text.chars().all(plain) {
            return Err(InvalidDecimal);
        }
        let number = BigDecimal::from_str(text).map_err(|_| InvalidDecimal)?;
        let (_, scale) = number.as_bigint_and_exponent();
        // An exponent such as 1e999999999 is short as text and a gigabyte when printed.
        if number.digits() > MAX_DIGITS || scale.unsigned_abs() > MAX_DIGITS {
            return Err(InvalidDecimal);
        }
        Ok(Self::new(number))
    }
}

impl TryFrom<String> for Decimal {
    type Error = InvalidDecimal;

    fn try_from(text: String) -> Result<Self, InvalidDecimal> {
        text.parse()
    }
}

impl From<Decimal> for String {
    fn from(decimal: Decimal) -> Self {
        decimal.to_string()
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self::new(BigDecimal::from(number))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_plain_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_equal_by_value_and_print_without_trailing_zeros() {
        let a: Decimal = "1.50".parse().unwrap();
        let b: Decimal = "1.5".parse().unwrap();
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "1.5");
        assert_eq!(a.to_scaled_string(2), "1.50");
        assert_eq!("100".parse::<Decimal>().unwrap().to_string(), "100");
        assert_eq!("-0.00".parse::<Decimal>().unwrap().to_string(), "0");
        assert_eq!("100".parse::<Decimal>().unwrap().integer_digits(), 3);
        assert_eq!("0.05".parse::<Decimal>().unwrap().integer_digits(), 0);
        assert_eq!("12.345".parse::<Decimal>().unwrap().scale(), 3);
    }

    #[test]
    fn rounding_is_half_up_away_from_zero() {
        let round = |text: &str| text.parse::<Decimal>().unwrap().round(2).to_string();
        assert_eq!(round("2.345"), "2.35");
        assert_eq!(round("-2.345"), "-2.35");
        assert_eq!(round("2.3449"), "2.34");
    }

    #[test]
    fn a_number_is_refused_by_the_length_of_its_text_before_its_digits_are_read() {
        let longest = format!("-{}.{}e-1", "9".repeat(500), "9".repeat(500));
        assert!(longest.parse::<Decimal>().is_ok());
        // Worth one digit, and a quadratic time to find that out.
        for text in ["0".repeat(MAX_TEXT + 1), format!("1.{}", "0".repeat(MAX_TEXT)), "7".repeat(1 << 20)] {
            assert_eq!(text.parse::<Decimal>(), Err(InvalidDecimal));
        }
    }

    #[test]
    fn what_is_no_number_or_would_not_fit_memory_is_refused() {
        for text in ["", "abc", "1.2.3", "NaN", "Infinity", "1e999999999", "1 000"] {
            assert_eq!(text.parse::<Decimal>(), Err(InvalidDecimal), "{text}");
        }
    }
}
