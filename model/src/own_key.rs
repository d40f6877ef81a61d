//! Entities whose key the ERP makes itself: a number from its own sequence.
//!
//! Clients, ledger, versions, routes and evidence know one *canonical key*, a text that is the same on both sides.
//! Modern stores it; the ERP's table has no room for it and has its *number*. The two are joined by the ID map, a
//! table on legacy (`strangler_id_map`). A number is given once, before the row that gets it is written, and stays given
//! when that row is deleted. So no row of ours is ever without its entry, no number has two keys and no key two numbers.
//! The entry of a write that was refused is passed on to the next one: else refusals would use the ERP's numbers up.
//!
//! Rows that the ERP made without us have no entry. Their canonical key is *derived* from type and number, and the
//! number can be read from it: nobody has to write anything before such a row can be read, copied or compared.
//!
//! Wherever a canonical key is asked for, the number will do: a key of digits alone is a number.
//!
//! Not here: who resolves numbers (`proxy::own_keys`), the ID map itself (each adapter's `own_keys`).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::contract::{EntityType, FieldIndex};
use crate::name::EntityName;
use crate::record::EntityKey;
use crate::side::{PerSide, Side};
use crate::store::StoreError;
use crate::value::Value;

/// How an entity type's key differs on legacy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKey {
    /// The field that shows the number: the key's column on legacy, a plain column on modern.
    pub number: FieldIndex,
    /// The ERP's sequence, schema-qualified if needed, written as in SQL.
    pub sequence: String,
}

/// A key that the ERP gave: a whole number from 1 to 999 999 999 999 999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnNumber(u64);

/// Digits of the largest number: as many as a derived key has room for.
const DIGITS: usize = 15;

/// The first number that is too large.
pub const TOO_LARGE: u64 = 10_u64.pow(OwnNumber::MAX_DIGITS);

impl OwnNumber {
    /// The most digits of a number.
    pub const MAX_DIGITS: u32 = 15;

    /// `None` for 0 and for what has more than 15 digits.
    pub fn new(number: u64) -> Option<Self> {
        (1..TOO_LARGE).contains(&number).then_some(Self(number))
    }

    /// Reads digits alone, without leading zeros.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        text.parse().ok().filter(|_| plain).and_then(Self::new)
    }

    /// As a number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for OwnNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What every derived key of a type begins with, up to its 15 digits. The rest of a UUID of version 8 (RFC 9562).
pub fn derived_head(entity: &EntityName) -> String {
    // FNV-1a, 64 bit: the same in every process and release. It only tells types apart.
    let hash = entity
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let hex = format!("{hash:016x}");
    format!("{}-{}-8{}-8", &hex[..8], &hex[8..12], &hex[12..15])
}

/// The canonical key of a row that the ERP made without us.
pub fn derived_key(entity: &EntityName, number: OwnNumber) -> EntityKey {
    let digits = format!("{:0DIGITS$}", number.0);
    let text = format!("{}{}-{}", derived_head(entity), &digits[..3], &digits[3..]);
    EntityKey::new(entity.clone(), vec![Value::Text(text)])
}

/// The number from which `key` was derived; `None` when it was not.
pub fn number_of_derived(key: &EntityKey) -> Option<OwnNumber> {
    let head = derived_head(key.entity());
    let digits = canonical_text(key)?.strip_prefix(&head)?;
    let (first, rest) = digits.split_once('-')?;
    let shaped = first.len() == 3 && rest.len() == DIGITS - 3;
    let digits = format!("{first}{rest}");
    let digits = digits.trim_start_matches('0');
    OwnNumber::parse(digits).filter(|_| shaped)
}

/// The number by which `key` names an entity in place of its canonical key.
pub fn number_named(key: &EntityKey) -> Option<OwnNumber> {
    canonical_text(key).and_then(OwnNumber::parse)
}

/// Whether `key` is of a form that no canonical key may have: digits alone stand for a number, and these are none (`0`,
/// `04711`); or it has blanks around it, which a padded column swallows.
pub fn is_forbidden(key: &EntityKey) -> bool {
    canonical_text(key).is_some_and(|text| {
        let plain = text.trim();
        let digits = plain.bytes().all(|byte| byte.is_ascii_digit());
        plain != text || digits && OwnNumber::parse(text).is_none()
    })
}

/// The text of a key of one part; such keys alone can be own to a side.
pub fn canonical_text(key: &EntityKey) -> Option<&str> {
    match key.parts() {
        [Value::Text(text)] => Some(text),
        _ => None,
    }
}

/// What becomes of a key that has no number yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnumbered {
    /// It is left without.
    Leave,
    /// It is given the sequence's next, in a transaction of its own that has ended when the call returns.
    Number,
}

/// How far numbers have come on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// The greatest that a row has, or that a key was given.
    pub used: Option<i64>,
    /// Where the ERP's sequence stands; `None` where there is none, or it does not say.
    pub sequence: Option<Sequence>,
}

/// Where a sequence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// What it gave last, or would have before its first.
    pub last: i64,
    /// How it goes on.
    pub step: i64,
    /// How many more it gives, until it is at its end; `None`: it begins anew there, or does not say.
    pub left: Option<i64>,
}

/// With fewer numbers left than this somebody must act: at a thousand orders an hour that is four days.
const FEW: i64 = 100_000;

/// Why the ERP's sequence would give numbers that are none, or that a row of either side has already. After a restore
/// of legacy it does: modern's rows have the numbers that the copy does not know of.
pub fn trouble(sequence: &str, reach: &PerSide<Reach>) -> Option<String> {
    if reach.legacy.sequence.is_some_and(|at| at.step < 1) {
        return Some(format!(
            "the sequence {sequence} runs downwards, and a key's number is 1 or more: give it a step of 1 and set it beyond the largest number"
        ));
    }
    if let Some(left) = reach.legacy.sequence.and_then(|at| at.left).filter(|left| *left < FEW) {
        return Some(format!(
            "the sequence {sequence} gives {left} more numbers and is then at its end, where every write that needs one fails: raise its MAXVALUE, and make room for longer numbers in the columns that hold them"
        ));
    }
    // Where the sequence does not say where it stands: it has given what legacy has.
    let last = reach.legacy.sequence.map_or(reach.legacy.used.unwrap_or(0), |at| at.last);
    let side = Side::BOTH.into_iter().max_by_key(|side| reach.get(*side).used)?;
    let used = reach.get(side).used.filter(|used| *used > last)?;
    Some(format!(
        "the sequence {sequence} is at {last}, and {side} has numbers up to {used}, which it would give again: set it beyond them"
    ))
}

/// The part of the port to a system of record that knows both keys.
#[async_trait]
pub trait OwnKeys: Send + Sync {
    /// As legacy: the numbers of `keys` (at most [`crate::store::MAX_BATCH`], all of `entity`), one slot per key, in
    /// order. Of callers that number one key at once, all are told the same number. A number that a row of the ERP
    /// has already is passed over. A derived key has the number that it names, row or no row.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`, `Misfit`. After any, keys may have been numbered; ask again.
    async fn numbers(
        &self,
        entity: &EntityType,
        keys: &[EntityKey],
        unnumbered: Unnumbered,
        within: Duration,
    ) -> Result<Vec<Option<OwnNumber>>, StoreError>;

    /// As legacy: the entry of `spare`, a key of a write that is known to have been refused, becomes the entry of `key`;
    /// its number. `None`, and nothing was changed: there is no such entry, a row has its number, or `key` has one.
    ///
    /// # Errors
    /// As `numbers`. After any, `spare` may have been passed on: it is none any more.
    async fn pass_on(
        &self,
        entity: &EntityType,
        spare: &EntityKey,
        key: &EntityKey,
        within: Duration,
    ) -> Result<Option<OwnNumber>, StoreError>;

    /// The canonical keys of `numbers` (at most [`crate::store::MAX_BATCH`]), one slot per number, in order. Legacy
    /// knows every number, since a row without entry has a derived key, whether there is such a row or not; modern
    /// knows those of its rows.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn keys_of(
        &self,
        entity: &EntityType,
        numbers: &[OwnNumber],
        within: Duration,
    ) -> Result<Vec<Option<EntityKey>>, StoreError>;

    /// As modern: puts the numbers that legacy gave into rows that have none. Other rows are left, and so are keys
    /// without row. No version rises: a key's number never changes, so the order of writes does not matter.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`, `Refused`, `Misfit`. Harmless to repeat.
    async fn learn(
        &self,
        entity: &EntityType,
        numbered: &[(EntityKey, OwnNumber)],
        within: Duration,
    ) -> Result<(), StoreError>;

    /// How far the numbers of `entity` have come here; nothing for a type without.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn reach(&self, entity: &EntityType, within: Duration) -> Result<Reach, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> EntityKey {
        EntityKey::new("Order".into(), vec![text.into()])
    }

    #[test]
    fn a_sequence_that_would_give_used_numbers_or_none_is_named() {
        let reach = |legacy, modern, last, step| PerSide {
            legacy: Reach { used: legacy, sequence: Some(Sequence { last, step, left: None }) },
            modern: Reach { used: modern, sequence: None },
        };
        assert_eq!(trouble("S", &reach(Some(5), Some(5), 5, 1)), None);
        assert_eq!(trouble("S", &reach(None, None, 0, 1)), None);
        assert!(trouble("S", &reach(Some(5), Some(6), 5, 1)).unwrap().contains("modern has numbers up to 6"));
        assert!(trouble("S", &reach(Some(9), None, 5, 1)).unwrap().contains("legacy has numbers up to 9"));
        assert!(trouble("S", &reach(None, None, 10, -1)).unwrap().contains("downwards"));
        let ending = |left| PerSide {
            legacy: Reach { used: Some(5), sequence: Some(Sequence { last: 5, step: 1, left: Some(left) }) },
            modern: Reach::default(),
        };
        assert_eq!(trouble("S", &ending(FEW)), None);
        assert!(trouble("S", &ending(FEW - 1)).unwrap().contains("gives 99999 more numbers"));
        let silent = |legacy, modern| PerSide {
            legacy: Reach { used: legacy, sequence: None },
            modern: Reach { used: modern, sequence: None },
        };
        assert_eq!(trouble("S", &silent(Some(6), Some(6))), None);
        assert!(trouble("S", &silent(Some(5), Some(6))).is_some());
    }

    #[test]
    fn a_derived_key_is_the_same_in_every_release() {
        let key = derived_key(&"Order".into(), OwnNumber::new(4711).unwrap());
        assert_eq!(canonical_text(&key), Some("2ba5f4d8-f3bd-87c5-8000-000000004711"));
    }

    #[test]
    fn what_only_looks_like_a_derived_key_is_none() {
        let head = derived_head(&"Order".into());
        let other = derived_key(&"Customer".into(), OwnNumber::new(4711).unwrap());
        let texts =
            ["000-000000000000", "00-0000000004711", "000-00000000471a", "+00-000000004711", "000-000000004711 "];
        for text in texts {
            assert_eq!(number_of_derived(&key(&format!("{head}{text}"))), None, "{text}");
        }
        assert_eq!(number_of_derived(&key(canonical_text(&other).unwrap())), None);
        assert_eq!(number_of_derived(&key("4711")), None);
    }

    #[test]
    fn digits_alone_are_a_number_and_nothing_else_is() {
        assert_eq!(number_named(&key("4711")), OwnNumber::new(4711));
        for text in ["", "0", "04711", "+4711", "-1", "4711 ", "47x", "1000000000000000"] {
            assert_eq!(number_named(&key(text)), None, "{text}");
        }
        let two = EntityKey::new("Order".into(), vec!["1".into(), "2".into()]);
        assert_eq!(number_named(&two), None);
    }

    #[test]
    fn what_looks_like_a_number_and_is_none_is_no_key() {
        let key = |text: &str| EntityKey::new("Order".into(), vec![Value::text(text)]);
        for text in ["0", "04711", "1 ", " x", "", "1234567890123456"] {
            assert!(is_forbidden(&key(text)), "{text:?}");
        }
        for text in ["4711", "x1", "2ba5f4d8-f3bd-87c5-8000-000000004711"] {
            assert!(!is_forbidden(&key(text)), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_number_can_be_read_from_a_derived_key(number in 1_u64..1_000_000_000_000_000) {
            let number = OwnNumber::new(number).unwrap();
            let key = derived_key(&"Order".into(), number);
            prop_assert_eq!(number_of_derived(&key), Some(number));
            prop_assert_eq!(number_named(&key), None);
            prop_assert_eq!(canonical_text(&key).unwrap().len(), 36);
        }
    }
}
