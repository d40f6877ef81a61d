//! Which records were compared, each counted once: however often, by whomever and on whichever route it was asked.
//!
//! A record sets one bit of a map, chosen by its hash (linear counting). A repeat sets nothing, and maps of replicas and
//! slots merge by OR. It is no HyperLogLog, whose estimate who chooses the keys can drive as high as he likes: here one
//! record is one bit, so that so many records never seem more than a few times as many. A full map is a lower bound.
//! Wrong records are few when it matters: they are kept exactly, up to [`MOST_WRONG`].
//!
//! Everything is kept by the [`Print`] under which it was found. Not here: what is too much (`proxy::guard`).

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::hash::Hasher as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use siphasher::sip::SipHasher13;

use super::figures::Verdicts;
use super::histogram::Histogram;
use super::reconciliation::mapping;
use crate::change::Incarnation;
use crate::contract::{Contract, DualWrite, RootKind};
use crate::name::{EntityName, GroupName};
use crate::side::PerSide;
use crate::value::Instant;

/// Wrong records that are told apart; of more, so many are kept.
pub const MOST_WRONG: usize = 256;
/// Bits of a map for ten seconds: right within a few hundredths up to 10 000 records, a lower bound from 15 000 on.
pub const BITS_OF_A_SLOT: usize = 1 << 11;
/// Bits of a map for an hour: the same up to 100 000 and from 159 000 on.
pub const BITS_OF_AN_HOUR: usize = 1 << 14;

/// Names what a group is compared by: the mapping of its types, and the statements of its reads. What was found under
/// another one says nothing about this one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Print(String);

impl Print {
    /// That of `group` under `contract`.
    pub fn of(contract: &Contract, group: &GroupName) -> Self {
        let mut digest = Sha256::new();
        let entities = contract.entities.values().filter(|entity| entity.group == *group);
        entities.for_each(|entity| digest.update(format!("{} {}\n", entity.name, mapping(entity))));
        for root in contract.roots.values().filter(|root| root.group == *group) {
            let said = match &root.kind {
                RootKind::ByKey { key } => format!("{key:?}"),
                RootKind::ByKeys { argument } => argument.clone(),
                RootKind::List { sql, params, ordered } => format!("{sql:?} {params:?} {ordered}"),
                // Rehearsals compare what these do.
                RootKind::Write(action) if action.dual_write == DualWrite::Replay => format!("{:?}", action.work),
                RootKind::Write(_) => continue,
            };
            digest.update(format!("{} {} {said}\n", root.route, root.entity.name));
        }
        Self(digest.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// The same in these lives of the sides: what was found before a side was restored, or taken for another database,
    /// says nothing about what it holds now.
    #[must_use]
    pub fn in_lives(&self, lives: PerSide<Incarnation>) -> Self {
        Self(format!("{}.{}.{}", self.0, lives.legacy.0, lives.modern.0))
    }
}

impl fmt::Display for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Under which name the records of `entity` are kept by the hour.
pub fn hours_of(entity: &EntityName) -> GroupName {
    GroupName::new(format!("strangler:hours:{entity}"))
}

/// Under which name is kept on which days what `group` was compared by.
pub fn days_of(group: &GroupName) -> GroupName {
    GroupName::new(format!("strangler:days:{group}"))
}

/// Stands for a record: a hash of its type and key, the same on every replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(u64);

impl Mark {
    /// Of the record of `entity` with this key.
    pub fn of(entity: &str, key: &str) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0x7374_7261_6e67_6c65, 0x7265_636f_7264_7331);
        hasher.write(entity.as_bytes());
        hasher.write_u8(0);
        hasher.write(key.as_bytes());
        Self(hasher.finish())
    }
}

/// A set of records of which only the size can be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records(Vec<u8>);

impl Records {
    /// None yet, with room for so many bits; a power of two.
    pub fn of_bits(bits: usize) -> Self {
        Self(vec![0; bits / 8])
    }

    /// How many there are; of a full map, at least.
    pub fn estimate(&self) -> u64 {
        let clear: u32 = self.0.iter().map(|byte| byte.count_zeros()).sum();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand bits")]
        let bits = (self.0.len() * 8) as f64;
        // A full map counts as if one bit were clear: the logarithm of nothing is no number.
        let records = if bits == 0.0 { 0.0 } else { bits * (bits / f64::from(clear.max(1))).ln() };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to bits * ln(bits)")]
        let records = records.round() as u64;
        records
    }

    /// Adds one.
    pub fn add(&mut self, record: Mark) {
        let bits = (self.0.len() * 8) as u64;
        if let Some(bit) = record.0.checked_rem(bits)
            && let Some(byte) = usize::try_from(bit / 8).ok().and_then(|place| self.0.get_mut(place))
        {
            *byte |= 1 << (bit % 8);
        }
    }

    /// Adds all of the other's. The longer map is folded to the length of the shorter, where each record has its bit too.
    pub fn merge(&mut self, other: &Self) {
        if self.0.is_empty() || (!other.0.is_empty() && other.0.len() < self.0.len()) {
            let longer = std::mem::replace(&mut self.0, other.0.clone());
            return self.or(&longer);
        }
        self.or(&other.0);
    }

    fn or(&mut self, other: &[u8]) {
        let length = self.0.len().max(1);
        for (place, byte) in other.iter().enumerate() {
            if let Some(own) = self.0.get_mut(place % length) {
                *own |= byte;
            }
        }
    }
}

/// Six bits a letter.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Serialize for Records {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(self.0.len().div_ceil(3) * 4);
        for three in self.0.chunks(3) {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for shift in [18, 12, 6, 0].iter().take(three.len() + 1) {
                text.push(char::from(LETTERS[(bits >> shift & 63) as usize]));
            }
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("a map of records is no text of ours");
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
        for four in text.as_bytes().chunks(4) {
            let place = |letter: &u8| LETTERS.iter().position(|known| known == letter);
            let mut bits = 0_u32;
            for letter in four {
                bits = bits << 6 | place(letter).and_then(|place| u32::try_from(place).ok()).ok_or_else(wrong)?;
            }
            bits <<= 6 * (4 - four.len());
            bytes.extend(bits.to_be_bytes().iter().skip(1).take(four.len() - 1));
        }
        // Maps are folded onto each other: every length is a power of two.
        if bytes.is_empty() || bytes.len().is_power_of_two() { Ok(Self(bytes)) } else { Err(wrong()) }
    }
}

/// What comparisons have found under one contract.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    /// The comparisons.
    pub verdicts: Verdicts,
    /// The records in those that came to a verdict, each once.
    pub records: Records,
    /// Those of them with a confirmed mismatch; of more than [`MOST_WRONG`], so many.
    pub wrong: BTreeSet<Mark>,
    /// How long each side took for one and the same question, asked of both in the shadow lane.
    pub pairs: PerSide<Histogram>,
    /// Questions that modern answered in the shadow lane.
    pub answered: u64,
    /// Questions that it did not answer there.
    pub unanswered: u64,
    /// The first comparison.
    pub first: Option<Instant>,
    /// The last one.
    pub last: Option<Instant>,
}

impl Found {
    /// Nothing yet, with room for so many bits.
    pub fn of_bits(bits: usize) -> Self {
        Self { records: Records::of_bits(bits), ..Self::default() }
    }

    /// How many records were compared.
    pub fn compared(&self) -> u64 {
        self.records.estimate().max(self.wrong())
    }

    /// How many of them have a confirmed mismatch; [`MOST_WRONG`]: at least so many.
    pub fn wrong(&self) -> u64 {
        self.wrong.len() as u64
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        let Self { verdicts, records: _, wrong, pairs, answered, unanswered, first: _, last: _ } = self;
        *verdicts == Verdicts::default()
            && wrong.is_empty()
            && *pairs == PerSide::default()
            && (*answered, *unanswered) == (0, 0)
    }

    /// Adds the other's findings to these.
    pub fn merge(&mut self, other: &Self) {
        self.verdicts.merge(&other.verdicts);
        self.records.merge(&other.records);
        self.wrong.extend(&other.wrong);
        // The smallest stay, so that it does not matter in which order maps are merged.
        while self.wrong.len() > MOST_WRONG {
            self.wrong.pop_last();
        }
        self.pairs.legacy.merge(&other.pairs.legacy);
        self.pairs.modern.merge(&other.pairs.modern);
        self.answered = self.answered.saturating_add(other.answered);
        self.unanswered = self.unanswered.saturating_add(other.unanswered);
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = [self.last, other.last].into_iter().flatten().max();
    }
}

#[cfg(test)]
mod tests;
