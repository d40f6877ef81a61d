//! How many different keys have ever been compared? An estimate that fits in 16 KiB and merges.
//!
//! Linear counting: each key sets one of 2^17 bits, chosen by its hash; the share of bits that are
//! still clear tells how many different keys there were. Setting a bit twice changes nothing, so
//! repeats do not count and replicas merge by OR, in any order and any number of times.
//!
//! Error: the standard error is below 0.4 % up to 350,000 keys and below 2 % up to 1,000,000. Beyond
//! that hardly a bit is clear, and at about 1,500,000 the estimate stops growing: it is then a lower
//! bound, which [`KeysSeen::is_full`] says.
//!
//! Not here: how many keys exist (the store counts them), where the bytes are kept.

use thiserror::Error;

/// Bits, a power of two.
const BITS: usize = 1 << 17;

/// The keys that have been seen, as far as 16 KiB can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysSeen(Box<[u8]>);

/// The bytes are not those of [`KeysSeen::as_bytes`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a coverage bitmap has {expected} bytes, this has {0}", expected = KeysSeen::BYTES)]
pub struct InvalidKeysSeen(usize);

impl KeysSeen {
    /// The length of the stored form.
    pub const BYTES: usize = BITS / 8;

    /// Takes back the stored form.
    ///
    /// # Errors
    /// [`InvalidKeysSeen`] unless there are [`Self::BYTES`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKeysSeen> {
        if bytes.len() != Self::BYTES {
            return Err(InvalidKeysSeen(bytes.len()));
        }
        Ok(Self(bytes.into()))
    }

    /// The form to store; the same for the same set of keys, on every machine.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many different keys were added.
    pub fn estimate(&self) -> u64 {
        let clear: u32 = self.0.iter().map(|byte| byte.count_zeros()).sum();
        let bits = BITS as f64;
        // A full map is counted as if one bit were clear; the logarithm of nothing is no number.
        let keys = bits * (bits / f64::from(clear.max(1))).ln();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and BITS * ln(BITS), about 1.5 million"
        )]
        let keys = keys.round() as u64;
        keys
    }

    /// Whether the estimate is only a lower bound.
    pub fn is_full(&self) -> bool {
        self.0.iter().all(|byte| *byte == u8::MAX)
    }

    /// Adds a key, given as text (`Observation::keys`).
    pub fn add(&mut self, key: &str) {
        let hash = blake3::hash(key.as_bytes());
        let [a, b, c, ..] = *hash.as_bytes();
        let bit = (usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16) % BITS;
        self.0[bit / 8] |= 1 << (bit % 8);
    }

    /// Adds all keys that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        for (byte, more) in self.0.iter_mut().zip(&other.0) {
            *byte |= more;
        }
    }
}

impl Default for KeysSeen {
    /// No key yet.
    fn default() -> Self {
        Self(vec![0; Self::BYTES].into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(keys: impl IntoIterator<Item = u64>) -> KeysSeen {
        let mut seen = KeysSeen::default();
        keys.into_iter().for_each(|key| seen.add(&format!(r#"["SKU-{key}","BER"]"#)));
        seen
    }

    #[test]
    fn the_estimate_is_within_a_few_percent_up_to_a_million_keys() {
        let mut seen = KeysSeen::default();
        let mut added = 0_u64;
        for (keys, allowed) in [(0, 0.0), (1, 0.0), (1_000, 0.02), (20_000, 0.02), (300_000, 0.02), (1_000_000, 0.06)] {
            while added < keys {
                seen.add(&format!(r#"["SKU-{added}","BER"]"#));
                added += 1;
            }
            let off = (seen.estimate() as f64 - keys as f64).abs();
            assert!(off <= keys as f64 * allowed, "{keys} keys estimated as {}", seen.estimate());
        }
        assert!(!seen.is_full());
    }

    #[test]
    fn a_full_map_gives_a_lower_bound_and_says_so() {
        let full = KeysSeen(vec![u8::MAX; KeysSeen::BYTES].into());
        assert!(full.is_full());
        assert!((1_500_000..1_600_000).contains(&full.estimate()));
    }

    #[test]
    fn the_stored_form_is_the_same_on_every_machine_and_of_one_length() {
        let seen = seen(0..100);
        assert_eq!(KeysSeen::from_bytes(seen.as_bytes()), Ok(seen.clone()));
        assert_eq!(KeysSeen::from_bytes(&[0; 7]), Err(InvalidKeysSeen(7)));
        let mut one = KeysSeen::default();
        one.add(r#"["SKU-1","BER"]"#);
        assert_eq!(one.as_bytes().iter().position(|byte| *byte != 0), Some(1868));
    }

    proptest! {
        #[test]
        fn merging_is_commutative_idempotent_and_the_same_as_adding_all(
            one in prop::collection::vec(0_u64..2_000, 0..500),
            other in prop::collection::vec(0_u64..2_000, 0..500),
        ) {
            let (a, b) = (seen(one.clone()), seen(other.clone()));
            let merged = |x: &KeysSeen, y: &KeysSeen| { let mut z = x.clone(); z.merge(y); z };
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &b), merged(&a, &b));
            prop_assert_eq!(merged(&a, &b), seen(one.into_iter().chain(other)));
        }

        #[test]
        fn the_estimate_is_near_for_any_set_of_keys(start in any::<u32>(), count in 1_u64..30_000) {
            let start = u64::from(start);
            let off = seen(start..start + count).estimate().abs_diff(count);
            prop_assert!(off as f64 <= 3.0 + count as f64 * 0.03, "{} keys, off by {}", count, off);
        }
    }
}
