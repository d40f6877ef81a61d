//! The replicas that are known even while the control store is down: from the config, and as last
//! heard from the control store or from another replica, kept in the state folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::control::Replica;

use data_plane::state_dir::StateDir;

/// Its name in the state folder.
const FILE: &str = "known-replicas.json";
/// A replica not heard of for this long is no longer told rollbacks. Much longer than
/// [`model::control::LIVE_WITHIN`]: one that lost the control store may still answer clients.
pub const REMEMBERED: Duration = Duration::from_secs(3_600);

/// This replica among the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fleet {
    /// The replica's name; `None`: made once and kept in the state directory.
    pub id: Option<String>,
    /// The admin address under which other machines reach this replica; `None`: as it listens.
    pub admin_address: Option<String>,
    /// Admin addresses that `groups rollback` tells directly, whatever the control store knows.
    pub replicas: Vec<String>,
    /// The authorities that signed the certificates of the replicas' admin ports; `None`: those of this machine.
    pub ca_file: Option<PathBuf>,
    /// The token that commands show to the admin ports.
    pub token_file: Option<PathBuf>,
}

/// The list in the state folder.
#[derive(Debug, Clone)]
pub struct Cache {
    state: StateDir,
    last: Vec<String>,
}

impl Cache {
    /// Opens the list of `state`.
    pub fn new(state: StateDir) -> Self {
        Self { state, last: Vec::new() }
    }

    /// The admin addresses kept; empty when there are none or they cannot be read.
    pub fn addresses(&self) -> Vec<String> {
        let kept = self.state.read(FILE).ok().flatten().unwrap_or_default();
        serde_json::from_slice(&kept).unwrap_or_default()
    }

    /// Keeps the addresses of `replicas` in the place of the old ones. Best effort: the list only
    /// helps a rollback to find replicas, the config's list is always used as well.
    pub async fn remember(&mut self, replicas: Vec<Replica>) {
        let by_id: BTreeMap<_, _> = replicas.into_iter().map(|replica| (replica.id, replica.admin_address)).collect();
        let addresses: Vec<String> = by_id.into_values().collect();
        if addresses == self.last {
            return;
        }
        let state = self.state.clone();
        let bytes = serde_json::to_vec(&addresses).expect("a list of texts is JSON");
        let written = tokio::task::spawn_blocking(move || state.write(FILE, &bytes)).await;
        match written {
            Ok(Ok(())) => self.last = addresses,
            Ok(Err(error)) => tracing::debug!(%error, "the list of replicas could not be kept: {error}"),
            Err(_) => {}
        }
    }
}
