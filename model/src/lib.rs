//! The words of `strangler` as types, and the ports through which the rest of the world is reached.
//!
//! Read this crate first. A word that is not here does not exist in the code, and a word that is
//! here has no synonym: *side*, *role*, *route*, *group*, *policy*, *rollout*, *bucket*, *change*,
//! *version*, *ledger*, *unsettled*, *verdict*, *cause*.
//!
//! Promise: nothing in this crate does IO, reads a clock or draws a random number.
//! Not here: how a store speaks (`adapters`), what makes two answers equal (`shadow-compare`),
//! who answers a read (`proxy::route`).

pub mod change;
pub mod checksum;
pub mod contract;
pub mod control;
pub mod decimal;
pub mod evidence;
pub mod fence;
pub mod fit;
pub mod foreign;
pub mod history;
pub mod home;
pub mod name;
pub mod own_key;
pub mod policy;
pub mod record;
pub mod rule;
pub mod saga;
pub mod scan;
pub mod share;
pub mod side;
pub mod sql;
pub mod store;
pub mod value;
pub mod write;

pub use change::{Applied, Change, Epoch, Incarnation, Position, Version, WriteId};
pub use contract::{Contract, EntityType, Field, FieldIndex, FieldSet, Home, Root, RootKind};
pub use decimal::Decimal;
pub use fence::{Authority, Fence, Stand};
pub use name::{EntityName, FieldName, GroupName, ReplicaId, RouteName, WebhookName};
pub use own_key::{OwnKey, OwnKeys, OwnNumber, Unnumbered};
pub use policy::{Policy, Rollout, RolloutVersion, Stage};
pub use record::{EntityKey, Record};
pub use rule::Rule;
pub use saga::{SagaId, SagaLog, SagaRow, SagaStatus};
pub use scan::Scan;
pub use share::{Bucket, Percentage};
pub use side::{PerSide, Role, Side};
pub use store::{Store, StoreError};
pub use value::{Instant, Kind, Value};
pub use write::{Command, Fingerprint, IdempotencyKey, Rehearsal, Rehearsed, States, Work, Written};
