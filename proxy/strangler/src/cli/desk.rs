//! What commands work with: configuration, backends, the names that operators may use.

use std::path::Path;
use std::sync::Arc;

use adapters::Lane;
use model::control::{Author, ControlStore};
use model::{Contract, GroupName, Instant, Side, Store};

use super::link::Link;
use super::print::Printer;
use super::{Stop, args};
use crate::app::Backends;
use crate::config::Config;
use contract::suggest;
use control_plane::desk::Desk as Office;
use data_plane::lives::memories::Memories;
use data_plane::state_dir::StateDir;

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

    /// What is remembered of the sides, with this machine's folder where there is one.
    pub(super) fn memories(&self) -> Memories {
        Memories {
            stores: self.backends.lane(Lane::Admin),
            control: Arc::clone(&self.backends.control),
            state: StateDir::open(&self.config.state_dir).ok(),
            within: self.config.writes.apply_timeout,
        }
    }

    /// The group called `name`; else an error that names the known ones.
    pub(super) fn group(&self, name: &str) -> Result<GroupName, Stop> {
        let groups = self.contract().groups();
        groups.iter().find(|group| group.as_str() == name).cloned().ok_or_else(|| {
            let known = suggest::or_all(name, "", groups.iter().map(GroupName::as_str));
            Stop::BadUse(format!("there is no group `{name}`: {known}"))
        })
    }

    /// What operators can ask and order, on the databases of the configuration.
    pub(super) fn office(&self) -> Office {
        self.backends.desk(&self.config)
    }

    /// The admin API, asked by whoever sits at this machine.
    pub(super) fn link(&self, who: Option<&args::WhoArgs>) -> Link {
        Link::here(self.office(), who_is(who.and_then(|who| who.who.as_deref())))
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
    let origin = data_plane::state_dir::machine_name();
    who_is(who).map(|who| Author { who, origin, reason })
}

/// The name that was given, else the login name.
fn who_is(given: Option<&str>) -> Option<String> {
    let login = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    given.map(str::to_owned).or_else(login).map(|who| who.trim().to_owned()).filter(|who| !who.is_empty())
}

/// The wall clock.
pub(super) fn now() -> Instant {
    Instant::new(chrono::Utc::now())
}
