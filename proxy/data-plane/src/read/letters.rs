//! Letters that a side's encoding does not have, in the arguments of a list. One side would refuse them, or compare with
//! something else, where the other finds rows: so they are refused whoever would answer.
//!
//! Not here: keys, which name no record on a side that cannot hold them; writes (`write::letters`).

use model::sql::Params;
use model::{PerSide, Side, Stage, fit};

use super::serve::ReadSide;
use crate::write::letters::texts_are_had;
use request::error::ClientError;

/// Refuses `params` where a side that may be asked in this stage cannot hold their texts.
///
/// # Errors
/// `BAD_CHARACTER`.
pub(super) fn require(params: &Params, stage: Stage, sides: &PerSide<ReadSide>) -> Result<(), ClientError> {
    let is_asked = |side: &Side| match side {
        Side::Legacy => stage != Stage::Modern,
        Side::Modern => stage != Stage::Legacy,
    };
    let lacks = |side: &Side| !params.values().all(|value| texts_are_had(&sides.get(*side).store, value));
    match Side::BOTH.into_iter().filter(is_asked).find(lacks) {
        None => Ok(()),
        Some(side) => {
            let message = format!("an argument holds a character that the encoding of {side}'s database does not have");
            Err(ClientError::new(fit::BAD_CHARACTER, message))
        }
    }
}
