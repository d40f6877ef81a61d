//! Lanes: connections of one store that are kept apart, so that one kind of work cannot make another wait.

use std::sync::Arc;

use model::Store;

/// On whose behalf a store works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// A client waits: reads and writes each have connections of their own.
    Client,
    /// Shadow reads.
    Shadow,
    /// Reading at large: baseline copies, checksums, reports.
    Scan,
    /// Relay, settled marks, bookkeeping, doctor: short steps that must not wait behind a scan.
    Admin,
}

/// One store, as each lane sees it. Cheap to clone.
#[derive(Clone)]
pub struct Lanes {
    client: Arc<dyn Store>,
    shadow: Arc<dyn Store>,
    scan: Arc<dyn Store>,
    admin: Arc<dyn Store>,
}

impl Lanes {
    /// Asks `view` for each lane's view of the store.
    pub fn of(view: impl Fn(Lane) -> Arc<dyn Store>) -> Self {
        Self {
            client: view(Lane::Client),
            shadow: view(Lane::Shadow),
            scan: view(Lane::Scan),
            admin: view(Lane::Admin),
        }
    }

    /// The store as `lane` sees it.
    pub fn get(&self, lane: Lane) -> &Arc<dyn Store> {
        match lane {
            Lane::Client => &self.client,
            Lane::Shadow => &self.shadow,
            Lane::Scan => &self.scan,
            Lane::Admin => &self.admin,
        }
    }
}
