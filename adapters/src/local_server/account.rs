//! PostgreSQL refuses to run as root, and containers and CI often are root: find somebody else to run it as.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::LocalServerError;

/// Whom the server runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// Ourselves.
    Own,
    /// We are root and become this user.
    Other { uid: u32, gid: u32 },
}

impl Account {
    pub(super) fn for_server() -> Result<Self, LocalServerError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        ["postgres", "nobody"].into_iter().find_map(named).ok_or(LocalServerError::NoAccount)
    }

    /// Whether this account can get at what is in `folder` (or in its nearest existing ancestor).
    pub(super) fn reaches(self, folder: &Path) -> bool {
        match self {
            Self::Own => true,
            Self::Other { .. } => folder
                .ancestors()
                .filter_map(|ancestor| fs::metadata(ancestor).ok())
                .all(|metadata| metadata.permissions().mode() & 0o001 != 0),
        }
    }

    /// A command that will run as this account, in the C locale whatever the user's is, with nothing to read.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid } = self {
            // Rust also drops root's supplementary groups when a uid is set.
            command.uid(uid).gid(gid);
        }
        command.env("LC_ALL", "C").stdin(Stdio::null()).current_dir("/");
        command
    }

    pub(super) fn give(self, path: &Path) -> std::io::Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid } => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        }
    }
}

/// By `id`, since users may come from elsewhere than /etc/passwd.
fn named(user: &str) -> Option<Account> {
    Some(Account::Other { uid: id("-u", user)?, gid: id("-g", user)? })
}

fn id(which: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([which, user]).stdin(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
