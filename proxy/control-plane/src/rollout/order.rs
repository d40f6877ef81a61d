//! The wire form of a rollback that is told to replicas directly.

use model::control::{Author, OverrideId};
use serde::{Deserialize, Serialize};

/// What `POST /api/v1/groups/{group}/rollback` takes: who, and an id, so that told twice counts once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackOrder {
    /// The same for every replica that is told.
    pub id: OverrideId,
    /// Who wants it, from where, and why if they said.
    pub author: Author,
    /// Whether a replica passes it on, which somebody else has told.
    #[serde(default)]
    pub passed_on: bool,
}
