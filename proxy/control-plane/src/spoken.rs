//! Durations as people write and read them.

use std::time::Duration;

/// Reads `250ms`, `5s`, `10m`, `6h`, `7d`.
///
/// # Errors
/// A sentence that says how to write one.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a time with its unit: 250ms, 5s, 10m, 6h or 7d".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let millis = number.checked_mul(millis).filter(|millis| *millis <= 100 * 365 * 86_400_000);
    millis.map(Duration::from_millis).ok_or_else(|| "is longer than a hundred years".to_owned())
}

/// A duration in the largest unit that keeps it readable.
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for text in ["", "5", "s", "-1s", "1.5s", "5 weeks", "99999999999999999999s", "999999999d", "ß"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
