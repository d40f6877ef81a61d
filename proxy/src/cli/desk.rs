//! What commands work with: configuration, backends, the names that operators may use.

use std::path::Path;
use std::sync::Arc;

use adapters::Lane;
use model::control::{Author, ControlStore, RolloutRecord};
use model::{Contract, GroupName, Instant, Side, Store};

use super::print::Printer;
use super::{Stop, args};
use crate::app::Backends;
use crate::config::Config;
use crate::contract::suggest;
use crate::rollout::fleet::{Cache, REMEMBERED};
use crate::state_dir::StateDir;

/// Everything a command needs.
pub(super) struct Desk {
    pub(super) config: Config,
    pub(super) backends: Backends,
    pub(super) out: Printer,
}

impl Desk {
    /// Reads configuration and contract. Connects to nothing yet.
    pub(super) fn open(config: &Path, out: Printer) -> Result<Self, Stop> {
        let config = Config::load(config).map_err(|error| Stop::BadConfig(error.to_string()))?;
        let backends = Backends::open(&config).map_err(|error| Stop::BadConfig(error.to_string()))?;
        Ok(Self { config, backends, out })
    }

    pub(super) fn contract(&self) -> &Arc<Contract> {
        &self.backends.loaded.contract
    }

    pub(super) fn control(&self) -> &dyn ControlStore {
        self.backends.control.as_ref()
    }

    /// A side, for work that must not wait behind scans.
    pub(super) fn side(&self, side: Side) -> &Arc<dyn Store> {
        self.backends.sides.get(side).get(Lane::Admin)
    }

    /// The group called `name`; else an error that names the known ones.
    pub(super) fn group(&self, name: &str) -> Result<GroupName, Stop> {
        let groups = self.contract().groups();
        groups.iter().find(|group| group.as_str() == name).cloned().ok_or_else(|| {
            let known = suggest::or_all(name, "", groups.iter().map(GroupName::as_str));
            Stop::BadUse(format!("there is no group `{name}`: {known}"))
        })
    }

    /// The newest rollout.
    pub(super) async fn newest(&self) -> Result<RolloutRecord, Stop> {
        let newest = self.control().newest().await?;
        newest.ok_or_else(|| Stop::No("there is no rollout yet: run `strangler init`".to_owned()))
    }

    /// The list of replicas that the state folder keeps; `None` when the folder cannot be used.
    pub(super) fn known_replicas(&self) -> Option<Cache> {
        StateDir::open(&self.config.state_dir).ok().map(Cache::new)
    }

    /// Keeps the list of replicas for a rollback while the control store is down. Best effort.
    pub(super) async fn remember_replicas(&self) {
        if let (Ok(replicas), Some(mut cache)) = (self.control().replicas(REMEMBERED).await, self.known_replicas()) {
            cache.remember(replicas).await;
        }
    }

    /// Who makes a change from this machine.
    pub(super) fn author(&self, who: &args::WhoArgs, reason: Option<String>) -> Option<Author> {
        author(who.who.as_deref(), reason)
    }

    /// Who makes a change from this machine; an error when nobody is named.
    pub(super) fn named_author(&self, who: Option<&str>, reason: Option<String>) -> Result<Author, Stop> {
        author(who, reason).ok_or_else(|| Stop::BadUse("say who you are: --who NAME".to_owned()))
    }
}

fn author(who: Option<&str>, reason: Option<String>) -> Option<Author> {
    let login = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let who = who.map(str::to_owned).or_else(login).map(|who| who.trim().to_owned()).filter(|who| !who.is_empty())?;
    Some(Author { who, origin: crate::state_dir::machine_name(), reason })
}

/// The wall clock.
pub(super) fn now() -> Instant {
    Instant::new(chrono::Utc::now())
}
