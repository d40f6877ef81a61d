//! NUMBER: a length, an exponent and up to 20 digits to the base of 100, to and from decimal text.
//!
//! The bytes after the length: exponent biased by 193 (its complement when negative), then each digit plus one (101
//! minus digit when negative, and 102 behind the last where there is room).

/// Bytes of a NUMBER in a caller's memory.
pub type Bytes = [u8; 22];

const DIGITS: usize = 20;
const BIAS: i32 = 192;

/// Decimal text, also with an exponent, to bytes. Digits beyond the fortieth are cut.
pub fn encode(text: &str) -> Bytes {
    let mut bytes = [0; 22];
    let negative = text.starts_with('-');
    let (digits, point) = decimal(text.trim_start_matches(['-', '+']));
    if digits.is_empty() {
        (bytes[0], bytes[1]) = (1, 128);
        return bytes;
    }
    let mut pairs: Vec<u8> = digits.chunks(2).map(|pair| pair[0] * 10 + pair[1]).collect();
    pairs.truncate(DIGITS);
    while pairs.last() == Some(&0) {
        pairs.pop();
    }
    let exponent = u8::try_from(point / 2 + BIAS).unwrap_or(if point > 0 { 255 } else { 128 });
    bytes[1] = if negative { !exponent } else { exponent };
    for (place, pair) in pairs.iter().enumerate() {
        bytes[2 + place] = if negative { 101 - pair } else { pair + 1 };
    }
    let mut length = 1 + pairs.len();
    if negative && pairs.len() < DIGITS {
        length += 1;
        bytes[length] = 102;
    }
    bytes[0] = u8::try_from(length).expect("at most 22");
    bytes
}

/// Significant digits, an even number of them, and where the point stands among them, which is even too.
fn decimal(text: &str) -> (Vec<u8>, i32) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = whole.bytes().chain(fraction.bytes());
    let mut digits: Vec<u8> = all.filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..leading);
    let mut point = i32::try_from(whole.len()).unwrap_or(0) + exponent - i32::try_from(leading).unwrap_or(0);
    while digits.last() == Some(&0) {
        digits.pop();
    }
    if digits.is_empty() {
        return (digits, 0);
    }
    if point.rem_euclid(2) == 1 {
        digits.insert(0, 0);
        point += 1;
    }
    if digits.len() % 2 == 1 {
        digits.push(0);
    }
    (digits, point)
}

/// Bytes to decimal text: no exponent, no zeros that say nothing.
pub fn decode(bytes: &[u8]) -> String {
    let length = usize::from(bytes[0]).min(bytes.len() - 1);
    if length <= 1 {
        return "0".to_owned();
    }
    let negative = bytes[1] & 0x80 == 0;
    let exponent = i32::from(if negative { !bytes[1] } else { bytes[1] }) - BIAS;
    let mut pairs = &bytes[2..=length];
    if negative && pairs.last() == Some(&102) {
        pairs = &pairs[..pairs.len() - 1];
    }
    let pair = |byte: &u8| if negative { 101_u8.saturating_sub(*byte) } else { byte.saturating_sub(1) };
    let digits: String = pairs.iter().map(|byte| format!("{:02}", pair(byte))).collect();
    let plain = place_point(&digits, exponent * 2);
    if negative { format!("-{plain}") } else { plain }
}

fn place_point(digits: &str, point: i32) -> String {
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let text = if point <= 0 {
        format!("0.{}{digits}", zeros(-point))
    } else if point >= length {
        format!("{digits}{}", zeros(point - length))
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(point).expect("positive"));
        format!("{whole}.{fraction}")
    };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    match text.trim_start_matches('0') {
        "" => "0".to_owned(),
        fraction if fraction.starts_with('.') => format!("0{fraction}"),
        whole => whole.to_owned(),
    }
}

/// The same number in its one plain form.
pub fn canonical(text: &str) -> String {
    decode(&encode(text))
}

/// The whole part, for callers that ask for an integer.
pub fn whole_part(text: &str) -> &str {
    text.split('.').next().unwrap_or(text)
}

/// A number as Oracle turns it into text: `.5` and not `0.5`.
pub fn as_text(number: &str) -> String {
    let plain = canonical(number);
    match plain.strip_prefix("0.") {
        Some(fraction) => format!(".{fraction}"),
        None => plain.replacen("-0.", "-.", 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_numbers_come_back_as_they_went() {
        for text in ["0", "1", "-1", "10", "100", "123.45", "-123.45", "0.001", "-0.05", "1000000", "0.1", "-100"] {
            assert_eq!(decode(&encode(text)), text);
        }
        let widest = "12345678901234567890123456789012345678";
        assert_eq!(decode(&encode(widest)), widest);
    }

    #[test]
    fn bytes_are_those_that_oracle_documents() {
        assert_eq!(encode("123")[..4], [3, 194, 2, 24]);
        assert_eq!(encode("-123")[..5], [4, 61, 100, 78, 102]);
        assert_eq!(encode("0")[..2], [1, 128]);
    }

    #[test]
    fn numbers_become_text_without_the_zero_before_the_point() {
        assert_eq!([as_text("0.50"), as_text("-0.5"), as_text("10.50")], [".5", "-.5", "10.5"]);
    }

    proptest! {
        #[test]
        fn every_number_of_38_digits_survives_a_round_trip(
            negative: bool, whole in "[1-9][0-9]{0,18}", fraction in "[0-9]{0,17}[1-9]",
        ) {
            let text = format!("{}{whole}.{fraction}", if negative { "-" } else { "" });
            prop_assert_eq!(decode(&encode(&text)), text);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes: Bytes) {
            decode(&bytes);
        }
    }
}
