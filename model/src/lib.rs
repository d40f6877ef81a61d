//! The words of `strangler` as types, and the ports through which the rest of the world is reached.
//!
//! Read this crate first. A word that is not here does not exist in the code, and a word that is
//! here has no synonym: *side*, *role*, *route*, *group*, *policy*, *rollout*, *bucket*, *change*,
//! *version*, *ledger*, *unsettled*, *verdict*, *cause*.
//!
//! Promise: nothing in this crate does IO, reads a clock or draws a random number; but for the machine's data of time
//! zones, which are read once.
//! Not here: how a store speaks (`adapters`), what makes two answers equal (`shadow-compare`),
//! who answers a read (`proxy::route`).

pub mod bookkeeping;
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
pub mod life;
pub mod name;
pub mod own_key;
pub mod policy;
pub mod record;
pub mod rule;
pub mod saga;
pub mod scan;
pub mod shape;
pub mod share;
pub mod side;
pub mod sql;
pub mod store;
pub mod trial;
pub mod value;
pub mod write;
pub mod zone;

pub use bookkeeping::Bookkeeping;
pub use change::{
    Applied, Base, Change, Epoch, Incarnation, NotRead, Position, Proven, Recorded, UnreadableBase, Version, Why,
    WriteId,
};
pub use contract::{Contract, EntityType, Field, FieldIndex, FieldSet, Home, Root, RootKind};
pub use decimal::Decimal;
pub use fence::{Authority, Fence, Holder, Stand};
pub use life::Lives;
pub use name::{EntityName, FieldName, GroupName, ReplicaId, RouteName, WebhookName};
pub use own_key::{OwnKey, OwnKeys, OwnNumber, Unnumbered};
pub use policy::{Policy, Rollout, RolloutVersion, Stage};
pub use record::{EntityKey, Record};
pub use rule::Rule;
pub use saga::{SagaId, SagaLog, SagaRow, SagaStatus};
pub use scan::{Keyless, LeftOut, Scan};
pub use shape::{Shape, ShapeId, ShapeLog};
pub use share::{Bucket, Percentage};
pub use side::{PerSide, Role, Side};
pub use store::{Store, StoreError};
pub use trial::Tries;
pub use value::{Instant, Kind, Value};
pub use write::{Command, Fingerprint, IdempotencyKey, Rehearsal, Rehearsed, States, Work, Written};
pub use zone::Zone;
