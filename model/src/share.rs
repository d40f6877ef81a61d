//! Buckets and percentages: which keys a share covers.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;
use thiserror::Error;

use crate::name::GroupName;

/// The fixed place of a stick value in 0..10 000. The same in every replica, release and restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u16);

impl Bucket {
    /// How many buckets there are: one per basis point.
    pub const COUNT: u16 = 10_000;
    /// The bucket that every percentage above 0 covers.
    pub const FIRST: Self = Self(0);

    /// The bucket of `stick` (an entity's key, or a header's value) within `group`.
    ///
    /// Keyed by the group, so that two groups at 10 % do not move the same customers.
    pub fn of(group: &GroupName, stick: &str) -> Self {
        // The two numbers are arbitrary and fixed for ever: another pair would move every key.
        let mut hasher = SipHasher24::new_with_keys(0x7374_7261_6e67_6c65, 0x7220_6275_636b_6574);
        hasher.write(group.as_str().as_bytes());
        hasher.write_u8(0);
        hasher.write(stick.as_bytes());
        let place = hasher.finish() % u64::from(Self::COUNT);
        Self(u16::try_from(place).expect("less than 10 000"))
    }

    /// The `place`th bucket; `None` from 10 000 up.
    pub fn at(place: u16) -> Option<Self> {
        (place < Self::COUNT).then_some(Self(place))
    }

    /// Its place, 0..10 000.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// A share from 0 % to 100 % in steps of 0.01 %, held in basis points: 25 % is 2 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Percentage(u16);

/// The share is outside 0..100 or finer than 0.01.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{0} is not a percentage: give a number from 0 to 100 with at most two digits after the point")]
pub struct InvalidPercentage(String);

impl Percentage {
    /// 0 %.
    pub const ZERO: Self = Self(0);
    /// 100 %.
    pub const FULL: Self = Self(Bucket::COUNT);

    /// Whether the share covers `bucket`. A larger share covers all that a smaller one does.
    pub fn covers(self, bucket: Bucket) -> bool {
        bucket.0 < self.0
    }

    /// As a ratio from 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Bucket::COUNT)
    }
}

impl TryFrom<f64> for Percentage {
    type Error = InvalidPercentage;

    fn try_from(percent: f64) -> Result<Self, InvalidPercentage> {
        let points = (percent * 100.0).round();
        // NaN fails the first test, 12.345 the second: no share is rounded behind the operator's back.
        if !(0.0..=f64::from(Bucket::COUNT)).contains(&points) || (points / 100.0 - percent).abs() > 1e-9 {
            return Err(InvalidPercentage(percent.to_string()));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: 0 to 10 000")]
        Ok(Self(points as u16))
    }
}

impl From<Percentage> for f64 {
    fn from(share: Percentage) -> Self {
        Self::from(share.0) / 100.0
    }
}

impl FromStr for Percentage {
    type Err = InvalidPercentage;

    fn from_str(text: &str) -> Result<Self, InvalidPercentage> {
        let number = text.strip_suffix('%').unwrap_or(text).trim();
        let percent: f64 = number.parse().map_err(|_| InvalidPercentage(text.to_owned()))?;
        percent.try_into().map_err(|_| InvalidPercentage(text.to_owned()))
    }
}

impl fmt::Display for Percentage {
    /// `12.5 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(*self))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(points: u16) -> Percentage {
        Percentage(points)
    }

    proptest! {
        #[test]
        fn raising_the_percentage_only_ever_adds_keys(key in ".*", low in 0..=10_000u16, high in 0..=10_000u16) {
            let (low, high) = (low.min(high), low.max(high));
            let bucket = Bucket::of(&"inventory".into(), &key);
            prop_assert!(!share(low).covers(bucket) || share(high).covers(bucket));
        }

        #[test]
        fn a_percentage_survives_its_text_and_json(points in 0..=10_000u16) {
            let text = share(points).to_string();
            prop_assert_eq!(text.parse::<Percentage>().unwrap(), share(points));
            let json = serde_json::to_string(&share(points)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Percentage>(&json).unwrap(), share(points));
        }
    }

    #[test]
    fn a_key_keeps_its_bucket_across_releases() {
        // Golden values: if this fails, every customer would change sides on the next deploy.
        let places =
            ["SKU-1", "SKU-2", "[\"SKU-1\",\"BER\"]", ""].map(|key| Bucket::of(&"inventory".into(), key).get());
        assert_eq!(places, GOLDEN);
        assert_ne!(Bucket::of(&"catalog".into(), "SKU-1"), Bucket::of(&"inventory".into(), "SKU-1"));
    }

    const GOLDEN: [u16; 4] = [9_479, 8_479, 8_233, 9_291];

    #[test]
    fn buckets_are_even() {
        let mut counts = [0u32; 10];
        for n in 0..10_000 {
            counts[usize::from(Bucket::of(&"inventory".into(), &format!("SKU-{n}")).get() / 1_000)] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn shares_that_are_no_percentages_are_refused() {
        for text in ["-1", "100.01", "12.345", "NaN", "many", "", "1e9"] {
            assert!(text.parse::<Percentage>().is_err(), "{text}");
        }
        assert_eq!("12.5".parse::<Percentage>().unwrap(), share(1_250));
        assert_eq!("0.01 %".parse::<Percentage>().unwrap(), share(1));
    }
}
