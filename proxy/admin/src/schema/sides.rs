//! The lives of the sides, as the admin API shows them. No field's value is among it.

use async_graphql::SimpleObject;
use model::{PerSide, Side, StoreError};

use super::types::rfc3339;
use control_plane::desk::SideSeen;
use request::error::with_root;

/// Whether a side is the database that we knew, and what it has lost.
#[derive(SimpleObject)]
#[graphql(name = "Side")]
pub(super) struct SideShape {
    /// legacy or modern.
    name: String,
    /// Whether it is the database that we knew, and is known to lack nothing.
    well: bool,
    /// What is known of it.
    sentence: String,
    /// Rises when the side was restored, moved or started anew; null where it has no life, or does not answer.
    incarnation: Option<u32>,
    /// Why it takes no writes of ours; null where it takes them.
    suspended: Option<String>,
    /// When its newest mark was made, by its own clock.
    marked_at: Option<String>,
    /// Writes of the other side that are to be brought to it again; null where that is not known.
    to_bring: Option<usize>,
    /// Writes that it has acknowledged and that only the other side has; null where that is not known.
    lost: Option<usize>,
}

/// Both, legacy first.
pub(super) fn both(seen: PerSide<Result<SideSeen, StoreError>>) -> Vec<SideShape> {
    vec![one(Side::Legacy, seen.legacy), one(Side::Modern, seen.modern)]
}

fn one(side: Side, seen: Result<SideSeen, StoreError>) -> SideShape {
    let unknown = |sentence| SideShape {
        name: side.to_string(),
        well: false,
        sentence,
        incarnation: None,
        suspended: None,
        marked_at: None,
        to_bring: None,
        lost: None,
    };
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => return unknown(format!("nothing is known of {side}: {}", with_root(&error))),
    };
    let known = unknown(match &seen.missing {
        Ok(_) => format!("{side} {}", seen.words()),
        Err(error) => format!("{side} {}; what it lacks is not known: {}", seen.words(), with_root(error)),
    });
    let missing = seen.missing.as_ref().ok();
    let (to_bring, lost) = (missing.map(|missing| missing.to_bring.len()), missing.map(|missing| missing.lost.len()));
    let well = seen.is_well();
    let Some(life) = seen.life else { return SideShape { well, to_bring, lost, ..known } };
    SideShape {
        well,
        incarnation: Some(life.incarnation.0),
        suspended: life.suspended,
        marked_at: Some(rfc3339(life.marked_at)),
        to_bring,
        lost,
        ..known
    }
}
