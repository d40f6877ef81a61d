//! A wall clock of a process that can be made to jump, by `libfaketime` in front of the C library.
//!
//! The wall clock alone: the monotonic one does not jump on a real machine either. The library looks into a file for
//! its offset, again after a second; so a jump happens while the process runs, and within that second.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The clock of one process. Where the library is missing it cannot be moved, and the process has none of this.
#[derive(Debug)]
pub struct Clock {
    moved: Option<(PathBuf, TempDir)>,
}

impl Clock {
    /// A clock that goes right.
    ///
    /// # Panics
    /// When there is no temporary folder.
    pub fn new(library: Option<&Path>) -> Self {
        let moved = library.map(|library| {
            let folder = tempfile::tempdir().unwrap();
            // Databases run as another user when we are root.
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
            (library.to_owned(), folder)
        });
        let clock = Self { moved };
        clock.set(0);
        clock
    }

    /// What the process must be started with.
    pub fn environment(&self) -> Vec<(String, String)> {
        let Some((library, folder)) = &self.moved else { return Vec::new() };
        [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", folder.path().join("offset").display().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// From now on it is so many seconds off.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn set(&self, seconds: i64) {
        if let Some((_, folder)) = &self.moved {
            // Renamed over the old one: nobody reads half of it.
            let (new, offset) = (folder.path().join("new"), folder.path().join("offset"));
            std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644)).unwrap();
            std::fs::rename(&new, &offset).unwrap();
        }
    }
}

/// The library, where it is installed.
pub fn fake_clocks() -> Option<PathBuf> {
    let multiarch = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
    let folders = [multiarch.as_str(), "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime"];
    folders.iter().map(|folder| Path::new(folder).join("libfaketimeMT.so.1")).find(|library| library.exists())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_clock_jumps_in_the_process_that_has_it() {
        let Some(library) = fake_clocks() else {
            eprintln!("SKIPPED: no clock jumps: libfaketime is not installed (apt install faketime)");
            return;
        };
        let clock = Clock::new(Some(&library));
        let now = || -> i64 {
            let output = Command::new("date").arg("+%s").envs(clock.environment()).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
        };
        let right = now();
        clock.set(7_200);
        assert!((7_200..7_260).contains(&(now() - right)), "two hours later");
        clock.set(-7_200);
        assert!((-7_200..-7_140).contains(&(now() - right)), "two hours earlier");
    }
}
