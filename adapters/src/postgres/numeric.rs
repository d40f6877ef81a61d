//! PostgreSQL's NUMERIC on the wire, exactly, without a float or a text in between.
//!
//! The form: four 16-bit numbers (count of digits, weight of the first, sign, digits shown after the
//! point), then digits to the base 10,000, most significant first.

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::{BigInt, Sign};
use bytes::{BufMut, BytesMut};
use model::Decimal;
use thiserror::Error;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
/// Digits to the base 10,000 in a decimal of the largest size that `model::Decimal` reads back from a ledger.
const MAX_WIRE_DIGITS: usize = 250;

/// The number cannot be held: NaN, infinity, too many digits or a broken form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the number is not finite or has too many digits")]
pub(super) struct InvalidNumeric;

/// Writes a decimal in the wire form.
pub(super) fn encode(decimal: &Decimal, out: &mut BytesMut) -> Result<(), InvalidNumeric> {
    let (unscaled, scale) = decimal.as_big().as_bigint_and_exponent();
    let (sign, magnitude) = unscaled.into_parts();
    // The digits are cut into groups of four around the point, so the fraction is filled up to full groups.
    let fill = (4 - scale.rem_euclid(4)) % 4;
    let mut digits = magnitude.to_str_radix(10);
    digits.extend(std::iter::repeat_n('0', usize::try_from(fill).map_err(|_| InvalidNumeric)?));
    let lead = (4 - digits.len() % 4) % 4;
    let digits = "0".repeat(lead) + &digits;
    let mut groups = Vec::with_capacity(digits.len() / 4);
    for group in digits.as_bytes().chunks(4) {
        groups.push(group.iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0')));
    }
    let after_point = (scale + fill) / 4;
    let count = i64::try_from(groups.len()).map_err(|_| InvalidNumeric)?;
    let weight = i16::try_from(count - after_point - 1).map_err(|_| InvalidNumeric)?;
    if sign == Sign::NoSign {
        groups.clear();
    }
    out.put_i16(i16::try_from(groups.len()).map_err(|_| InvalidNumeric)?);
    out.put_i16(if groups.is_empty() { 0 } else { weight });
    out.put_u16(if sign == Sign::Minus { NEGATIVE } else { POSITIVE });
    out.put_u16(u16::try_from(scale.max(0)).map_err(|_| InvalidNumeric)?);
    for group in groups {
        out.put_u16(group);
    }
    Ok(())
}

/// Reads the wire form.
pub(super) fn decode(raw: &[u8]) -> Result<Decimal, InvalidNumeric> {
    let mut words = raw
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let mut next = || words.next().ok_or(InvalidNumeric);
    let (count, weight, sign, _shown) = (next()?, next()?.cast_signed(), next()?, next()?);
    let count = usize::from(count);
    if !matches!(sign, POSITIVE | NEGATIVE) || count > MAX_WIRE_DIGITS || raw.len() != 8 + 2 * count {
        return Err(InvalidNumeric);
    }
    let mut number = BigInt::from(0);
    let mut low: u64 = 0;
    let mut pending = 0;
    for group in words {
        if group > 9_999 {
            return Err(InvalidNumeric);
        }
        low = low * 10_000 + u64::from(group);
        pending += 1;
        // Four groups fit a machine word: most numbers never touch the slow multiplication twice.
        if pending == 4 {
            number = number * 10_000_000_000_000_000_u64 + low;
            (low, pending) = (0, 0);
        }
    }
    number = number * 10_000_u64.pow(pending) + low;
    if sign == NEGATIVE {
        number = -number;
    }
    let count = i64::try_from(count).map_err(|_| InvalidNumeric)?;
    let scale = 4 * (count - 1 - i64::from(weight));
    if scale.unsigned_abs() > 1_000 {
        return Err(InvalidNumeric);
    }
    Ok(Decimal::new(BigDecimal::new(number, scale)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(text: &str) -> String {
        let mut wire = BytesMut::new();
        encode(&text.parse().unwrap(), &mut wire).unwrap();
        decode(&wire).unwrap().to_string()
    }

    #[test]
    fn numbers_around_every_group_boundary_survive_the_wire() {
        for text in ["0", "1", "-1", "9999", "10000", "0.1", "0.0001", "0.00001", "-12345.6789", "1000000000000"] {
            assert_eq!(round(text), text);
        }
    }

    #[test]
    fn nan_infinity_and_broken_forms_are_errors() {
        for sign in [0xC000_u16, 0xD000, 0xF000] {
            let mut wire = BytesMut::new();
            wire.put_u32(0);
            wire.put_u16(sign);
            wire.put_u16(0);
            assert_eq!(decode(&wire), Err(InvalidNumeric));
        }
        assert_eq!(decode(&[0, 1]), Err(InvalidNumeric));
        assert_eq!(decode(&[0, 1, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]), Err(InvalidNumeric));
    }

    proptest! {
        #[test]
        fn every_decimal_survives_the_wire(digits in "-?[1-9][0-9]{0,60}", scale in -20_i64..60) {
            let number = BigDecimal::new(digits.parse().unwrap(), scale);
            let decimal = Decimal::new(number);
            let mut wire = BytesMut::new();
            encode(&decimal, &mut wire).unwrap();
            prop_assert_eq!(decode(&wire).unwrap(), decimal);
        }
    }
}
