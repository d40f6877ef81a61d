//! What the demo's ERP runs on: a PostgreSQL that plays the ERP, or the same behind our Oracle adapter.
//!
//! There is no Oracle to be had for a demo. Behind the adapter stands the tests' stand-in for Oracle's client library:
//! binds, threads, time limits and error codes are those of a real run; the server is a PostgreSQL, and every place
//! that names it says so. The stand-in is built from this repository and never shipped.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use adapters::local_server::LocalServer;

use super::DemoArgs;
use super::world::DemoError;

/// Without this variable the stand-in refuses to be loaded.
const GUARD: &str = "STRANGLER_OCI_STAND_IN";

/// The file that the driver looks for.
const LIBRARY: &str = "libclntsh.so";

/// What the demo's ERP runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Erp {
    /// A PostgreSQL plays the ERP
    #[default]
    Postgres,
    /// The Oracle adapter, over the stand-in for Oracle's client library
    Oracle,
}

impl Erp {
    /// One line of what stands behind the name; nothing claims more.
    pub fn label(self) -> &'static str {
        match self {
            Self::Postgres => "the ERP is played by a PostgreSQL",
            Self::Oracle => {
                "the ERP is behind the Oracle adapter and a stand-in for Oracle's client library: no Oracle server is here"
            }
        }
    }

    /// The section of the configuration that names the ERP.
    pub(super) fn section(self, legacy: &LocalServer, arguments: &DemoArgs) -> Result<String, DemoError> {
        match self {
            Self::Postgres => Ok(format!("[sides.legacy]\nurl = {:?}\n", legacy.url("erp"))),
            Self::Oracle => Ok(format!(
                "[sides.legacy]\nkind = \"oracle\"\nconnect = \"127.0.0.1:{}/erp\"\nuser = \"postgres\"\n\
                 password = \"none\"\nclient_lib_dir = {:?}\n",
                legacy.port(),
                library_dir(arguments)?
            )),
        }
    }
}

/// Starts this program anew with the guard set, if the demo needs it: a process must not change its own environment
/// once it has threads.
///
/// # Errors
/// [`DemoError::Other`] when that is not possible. Does not return when it is needed and works.
pub fn guard(arguments: &DemoArgs) -> Result<(), DemoError> {
    if arguments.erp == Erp::Postgres || std::env::var_os(GUARD).is_some() {
        return Ok(());
    }
    library_dir(arguments)?;
    let failed = |error: std::io::Error| DemoError::Other(format!("the demo cannot start itself anew: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    Err(failed(Command::new(program).args(std::env::args_os().skip(1)).env(GUARD, "1").exec()))
}

/// The folder of the stand-in: the one given, or where cargo builds it, beside this program.
fn library_dir(arguments: &DemoArgs) -> Result<PathBuf, DemoError> {
    let holds = |folder: &Path| folder.join(LIBRARY).is_file();
    if let Some(given) = &arguments.oracle_client {
        let missing = || DemoError::Other(format!("there is no {LIBRARY} in {}", given.display()));
        return holds(given).then(|| given.clone()).ok_or_else(missing);
    }
    let program = std::env::current_exe().ok();
    let beside = program.as_deref().and_then(Path::parent);
    let found = beside.into_iter().flat_map(|folder| [folder.to_owned(), folder.join("deps")]).find(|dir| holds(dir));
    found.ok_or_else(|| {
        DemoError::Other(format!(
            "{LIBRARY} is not here: build the stand-in with `cargo build --release -p oci-stand-in`, \
             or name its folder with --oracle-client"
        ))
    })
}
