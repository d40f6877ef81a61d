//! Changes and the versions that order them: newer wins.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::contract::{Contract, EntityType};
use crate::foreign::Found;
use crate::name::FieldName;
use crate::record::{EntityKey, Record};
use crate::write::{Fingerprint, IdempotencyKey};

/// Counts handovers of a group. Fences writers of an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// Which life of a log: PostgreSQL's timeline, Oracle's RESETLOGS count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u32);

/// A place in a side's own log: WAL insert LSN, SCN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

/// Where in the primary's log a state stands. Ordered by epoch, then incarnation, then position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The epoch under which it was written.
    pub epoch: Epoch,
    /// The life of the log that was written to.
    pub incarnation: Incarnation,
    /// The place in that log, taken while the row lock was held.
    pub position: Position,
}

impl Version {
    /// The version of the `run`th baseline copy: older than any real write, newer than earlier runs.
    pub fn baseline(run: u32) -> Self {
        Self { epoch: Epoch(0), incarnation: Incarnation(0), position: Position(u64::from(run)) }
    }

    /// Whether this is a copy of what stood at rest, not a write: it has no ledger row.
    pub fn is_baseline(&self) -> bool {
        self.epoch == Epoch(0)
    }
}

impl fmt::Display for Version {
    /// `epoch.incarnation.position`, such as `1.1.23456`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch.0, self.incarnation.0, self.position.0)
    }
}

/// Names one write, on both sides and for ever. Made by the proxy, time-ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriteId(pub Uuid);

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The full state of one entity after a write, or its deletion, with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The write that made it.
    pub write: WriteId,
    /// Its place among the changes of that write, from 0.
    pub ordinal: u16,
    /// Which entity.
    pub key: EntityKey,
    /// Where in the primary's log this state stands.
    pub version: Version,
    /// Every stored field; `None` when the entity was deleted.
    pub state: Option<Record>,
    /// The client's key, carried along so that repeats are known on the other side too. On the
    /// change with ordinal 0 only.
    pub idempotency: Option<(IdempotencyKey, Fingerprint)>,
    /// What the other side has of the key at least; `None` when the primary had no number of it.
    pub base: Option<Base>,
}

/// What the other side has of a key, by its primary, if nobody else writes there: where the newest write is settled or
/// came from there, what the primary's version row says of it, the state that the write was made from; else the base of
/// the oldest write of the key that is not settled. So one that the other side never takes makes no row there somebody
/// else's for those behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Its version.
    pub version: Version,
    /// What its number is made of: the compared fields and their rules, the same on both sides.
    pub rules: i64,
    /// The number of the row ([`crate::foreign`]).
    pub number: i64,
}

impl fmt::Display for Base {
    /// As ledgers keep it: `epoch.incarnation.position:rules:number`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.version, self.rules, self.number)
    }
}

impl FromStr for Base {
    type Err = UnreadableBase;

    fn from_str(text: &str) -> Result<Self, UnreadableBase> {
        let number = |text: &str| text.parse::<i64>().map_err(|_| UnreadableBase);
        let (version, rest) = text.split_once(':').ok_or(UnreadableBase)?;
        let (rules, found) = rest.split_once(':').ok_or(UnreadableBase)?;
        let parts: Vec<u64> = version.split('.').map_while(|part| part.parse().ok()).collect();
        let [epoch, incarnation, position] = parts[..] else { return Err(UnreadableBase) };
        let small = |number: u64| u32::try_from(number).map_err(|_| UnreadableBase);
        let version = Version {
            epoch: Epoch(small(epoch)?),
            incarnation: Incarnation(small(incarnation)?),
            position: Position(position),
        };
        Ok(Self { version, rules: number(rules)?, number: number(found)? })
    }
}

/// A ledger row whose base is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a base that cannot be read")]
pub struct UnreadableBase;

/// What a side's version row says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The write whose state stands.
    pub write: WriteId,
    /// Its version.
    pub version: Version,
}

/// A write that holds a key on the secondary, and that the primary of the overtaken write has as well: what it has
/// overtaken is part of one history with it. Made by [`Recorded::proven`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven(Recorded);

impl Proven {
    /// The winner.
    pub fn winner(&self) -> Recorded {
        self.0
    }
}

impl Recorded {
    /// Whether the primary knows this winner, from what it says of the same key: its ledger has the write (`stands`), or
    /// its version row has come as far (then the write that brought it there is settled or on its way). `None`: the
    /// winner belongs to a history that the primary does not have, such as the one before a restore.
    pub fn proven(self, stands: bool, primary: Option<Recorded>) -> Option<Proven> {
        let as_far = primary.is_some_and(|primary| primary.version >= self.version);
        (stands || as_far).then_some(Proven(self))
    }
}

/// What became of a change on the secondary. Known there, overtaken by what is proven to be newer, or not there and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It was newer and now stands: the row was read back as it was sent.
    Newer,
    /// It was newer and now stands. A row was there before of which nobody knows whether somebody else had changed it.
    Unproven,
    /// It was newer and now stands, over what somebody else had made of the row.
    Over(Found),
    /// The version row names this very write: it was applied before.
    There,
    /// A newer one stands, and the primary has that too.
    Overtaken(Proven),
    /// The version row names another write that counts as newer; nothing was changed. By itself this is no success:
    /// whether that one is later in the same history only the primary can say.
    Stale(Recorded),
    /// It is newer, and somebody else has changed the row since our last write of it: nothing of its write was applied.
    Foreign(Found),
    /// It is newer, and after it was written the row was something else (a trigger, a rule): nothing of its write was
    /// applied. What the row became instead.
    Altered(Found),
    /// It is newer, and whether its row is there cannot be seen (a policy, a view with a condition): nothing of its
    /// write was applied.
    NotThere,
    /// Another write has its idempotency key in this side's ledger: its rows there were not carried along.
    KeyTaken(WriteId),
    /// This side's fence is open, there is none, or the side is suspended: it takes no changes of another primary. Or it
    /// remembers a later life of the primary than whoever brings the change has seen there ([`crate::life`]).
    Barred,
    /// Left alone, since another change of the same write was.
    Held,
    /// It lacks fields of the type's shape and is newer, or what stands here in its place lacks some of its own: it
    /// only names its key, which is to be looked at again on the primary. Nothing of its write was applied.
    NotWhole,
    /// This replica's contract does not know all of it, or not the shape that is registered for its type: left to
    /// replicas of a newer contract. Nothing of its write was applied.
    NotKnown,
}

impl Applied {
    /// Whether the secondary has this change now, or one that is proven to be newer.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Newer | Self::Unproven | Self::Over(_) | Self::There | Self::Overtaken(_) => true,
            Self::Stale(_)
            | Self::Foreign(_)
            | Self::Altered(_)
            | Self::NotThere
            | Self::KeyTaken(_)
            | Self::Barred
            | Self::NotWhole
            | Self::NotKnown
            | Self::Held => false,
        }
    }

    /// Whether a write of so many changes is settled by these answers: each of its changes has one, and each is done. A
    /// write without changes is not settled by saying nothing of it.
    pub fn settle(applied: &[Self], changes: usize) -> bool {
        changes > 0 && applied.len() == changes && applied.iter().all(Self::is_done)
    }

    /// Why a write is not settled by these answers, in words; the first reason.
    pub fn reason(applied: &[Self]) -> Option<&'static str> {
        applied.iter().filter(|applied| !matches!(applied, Self::Held)).find_map(|applied| match applied {
            Self::Newer | Self::Unproven | Self::Over(_) | Self::There | Self::Overtaken(_) | Self::Held => None,
            Self::Stale(_) => Some("another write stands there which the primary does not know"),
            Self::Foreign(_) => Some("somebody else has changed a row of it there"),
            Self::Altered(_) => Some("the row is not what was written: the side itself changes it"),
            Self::NotThere => Some("whether the row is there cannot be seen: a policy or a view hides rows"),
            Self::KeyTaken(_) => Some("another write has its idempotency key there"),
            Self::NotWhole => {
                Some("a state of it is not whole (of a narrower contract, or with a value that cannot be read): its keys are looked up again on the primary")
            }
            Self::NotKnown => Some("another contract is registered there than this replica's: it is left to others"),
            Self::Barred => Some("the side is open for writes of its own, has no fence, is suspended, or knows a later life of the primary"),
        })
    }

    /// What somebody else had made of the row, whether it stands still or not.
    pub fn found(&self) -> Option<&Found> {
        match self {
            Self::Foreign(found) | Self::Over(found) => Some(found),
            Self::Newer
            | Self::Unproven
            | Self::There
            | Self::Overtaken(_)
            | Self::Stale(_)
            | Self::Altered(_)
            | Self::NotThere
            | Self::KeyTaken(_)
            | Self::Barred
            | Self::NotWhole
            | Self::NotKnown
            | Self::Held => None,
        }
    }
}

impl Change {
    /// What of it `contract` cannot read; `None`: all of it can be applied by who has that contract.
    pub fn unknown_to(&self, contract: &Contract) -> Option<NotRead> {
        let Some(entity) = contract.entity(self.key.entity()) else {
            return Some(NotRead { key: self.key.clone(), write: self.write, why: Why::Type });
        };
        let key = EntityKey::from_text(entity, self.key.as_text()).is_none().then_some(Why::Key);
        let field = || self.state.as_ref().and_then(|state| state.carried().next()).map(|name| Why::Field(name.into()));
        key.or_else(field).map(|why| NotRead { key: self.key.clone(), write: self.write, why })
    }

    /// Why who has `contract` leaves it to others: what cannot be read of it, or else the shape that is registered.
    pub fn left_by(&self, contract: &Contract) -> NotRead {
        let shape = || NotRead { key: self.key.clone(), write: self.write, why: Why::Shape };
        self.unknown_to(contract).unwrap_or_else(shape)
    }

    /// Whether it has every field of its type, or is a deletion. Anything less only names its key.
    pub fn is_whole(&self, entity: &EntityType) -> bool {
        self.state.as_ref().is_none_or(|state| state.is_whole(entity))
    }
}

/// A change that the contract of this replica cannot read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRead {
    /// Its key, as the ledger has it.
    pub key: EntityKey,
    /// Its write.
    pub write: WriteId,
    /// What cannot be read.
    pub why: Why,
}

/// What of a change cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Its type.
    Type,
    /// Its key.
    Key,
    /// A field of another contract, or one that has another kind there.
    Field(FieldName),
    /// Nothing; but a shape of its type is registered that is not known here.
    Shape,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type => f.write_str("its type is not in this contract"),
            Self::Key => f.write_str("its key has another form in this contract"),
            Self::Shape => f.write_str("a shape of its type is registered that this contract does not know"),
            Self::Field(name) => write!(f, "its field {name} is not in this contract, or is of another kind there"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_epoch_then_incarnation_then_position() {
        let version = |e, i, p| Version { epoch: Epoch(e), incarnation: Incarnation(i), position: Position(p) };
        assert!(version(2, 1, 5) > version(1, 9, 900));
        assert!(version(1, 2, 5) > version(1, 1, 900));
        assert!(version(1, 1, 6) > version(1, 1, 5));
        assert!(Version::baseline(7) < version(1, 1, 1));
    }

    #[test]
    fn a_base_is_read_as_it_was_written() {
        let version = Version { epoch: Epoch(2), incarnation: Incarnation(1), position: Position(23_456) };
        for number in [crate::foreign::NOTHING, 0, i64::MAX] {
            let base = Base { version, rules: 77, number };
            assert_eq!(base.to_string().parse(), Ok(base));
        }
        for text in ["", "1.1.1", "1.1.1:7", "1.1:7:7", "1.1.x:7:7", "1.1.1:x:7", "1.1.1:7:", "99999999999.1.1:7:7"] {
            assert_eq!(text.parse::<Base>(), Err(UnreadableBase), "{text}");
        }
    }

    #[test]
    fn a_winner_counts_only_when_the_primary_has_it_or_has_come_as_far() {
        let at = |position| Version { epoch: Epoch(1), incarnation: Incarnation(1), position: Position(position) };
        let recorded =
            |position| Recorded { write: WriteId(Uuid::from_u128(u128::from(position))), version: at(position) };
        assert!(recorded(5).proven(true, None).is_some());
        assert!(recorded(5).proven(false, Some(recorded(5))).is_some());
        assert!(recorded(5).proven(false, Some(recorded(6))).is_some());
        assert_eq!(recorded(5).proven(false, Some(recorded(4))), None);
        assert_eq!(recorded(5).proven(false, None), None);
    }

    #[test]
    fn nothing_said_of_a_change_settles_nothing() {
        let stale = Recorded { write: WriteId(Uuid::nil()), version: Version::baseline(1) };
        assert!(Applied::settle(&[Applied::Newer, Applied::There], 2));
        assert!(!Applied::settle(&[Applied::Newer], 2) && !Applied::settle(&[], 0) && !Applied::settle(&[], 1));
        assert!(!Applied::settle(&[Applied::Newer, Applied::Stale(stale)], 2));
        assert!(Applied::reason(&[Applied::Held, Applied::Barred]).is_some());
    }
}
