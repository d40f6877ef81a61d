//! OpenFeature: a flag of an external provider says which percentage of a group's reads modern answers.
//!
//! The control store stays the authority. A flag only asks: what it says is published as an ordinary rollout under
//! the name `openfeature:<provider>`, so that history, audit, approvals, guard and rollback hold for it as for a
//! person. No request ever evaluates a flag.
//!
//! *Promise*: a flag that is absent, makes no sense or cannot be asked for changes nothing. After somebody has
//! lowered the group's reads, or rolled it back, only another value that has stood for a while raises them, and never
//! more often within an hour than is set. So two servers behind one address that disagree undo no rollback.
//! Not here: stages. They are for people.

mod decide;
mod file;
mod governor;
mod ofrep;
mod provider;

use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use model::ReplicaId;

use crate::desk::Desk;
use telemetry::tasks::Tasks;

pub use decide::Limits;
pub use governor::Governor;

/// The only provider so far: a flagd, or the file that one would serve.
pub const FLAGD: &str = "flagd";

/// Where flags come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    /// Where they are asked for.
    pub source: Source,
    /// Pause between two looks.
    pub interval: Duration,
    /// What they must keep to.
    pub limits: Limits,
}

/// Where flags are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file in flagd's format, read at each look.
    File(PathBuf),
    /// A server that speaks OpenFeature's remote protocol (OFREP), as flagd does: its base address.
    Server(Uri),
}

/// Starts to listen to flags, if there are any.
pub fn start(flags: Option<&Flags>, desk: &Desk, replica: &ReplicaId, tasks: &Tasks) {
    if let Some(flags) = flags {
        let (flags, desk, replica) = (flags.clone(), desk.clone(), replica.clone());
        tasks.keep("flags", move |stop| {
            let (flags, desk, replica) = (flags.clone(), desk.clone(), replica.clone());
            async move { Governor::new(&flags, desk, replica).await.run(stop).await }
        });
    }
}
