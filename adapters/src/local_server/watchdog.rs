//! The watchdog: a shell that outlives us, ends the server and removes its folder.
//!
//! A destructor does not run after `kill -9`, and `PR_SET_PDEATHSIG` needs unsafe code and exists on Linux only. A pipe
//! does it everywhere: the kernel closes our end whatever way we die, and Rust opens it close-on-exec, so that no other
//! child of ours keeps it open.
//!
//! Not here: starting the server. Whoever does must put it into [`Watchdog::group`].

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Lifetime;

const SCRIPT: &str = include_str!("watchdog.sh");
/// The named pipe of a shared server; who holds it open for writing is a user.
const LIFELINE: &str = "lifeline";
/// Exists while a shared server takes new users.
const OPEN: &str = "open";

/// A hold on a server: while it exists, in any process, the server stays up.
#[derive(Debug)]
pub struct Lifeline(#[expect(dead_code, reason = "held, never used: the kernel tells when it closes")] OwnedFd);

impl Lifeline {
    /// Joins the users of the shared server in `folder`. `None` when it is gone or about to go.
    pub fn join(folder: &Path) -> Option<Self> {
        let lifeline = open_lifeline(folder).ok()?;
        folder.join(OPEN).exists().then_some(lifeline)
    }
}

pub(super) struct Watchdog {
    process: Child,
    lifeline: Option<Lifeline>,
}

impl Watchdog {
    /// Makes `folder` (which must not exist) and guards it from its first moment.
    pub(super) fn start(folder: &Path, lifetime: Lifetime) -> io::Result<Self> {
        let linger = match lifetime {
            Lifetime::Owned => 0,
            Lifetime::Shared { linger } => tenths(linger).max(1),
        };
        let mut process = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "strangler-watchdog"])
            .arg(folder)
            .arg(linger.to_string())
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = process.stdin.take().expect("standard input was asked for");
        let answer = process.stdout.take().expect("standard output was asked for");
        let mut ready = String::new();
        BufReader::new(answer).read_line(&mut ready)?;
        if ready.trim() != "ready" {
            process.wait()?;
            return Err(io::Error::other("the folder could not be made"));
        }
        let lifeline = match lifetime {
            Lifetime::Owned => Lifeline(pipe.into()),
            // Taken before `pipe` is dropped, so that there is no moment without a user.
            Lifetime::Shared { .. } => open_lifeline(folder)?,
        };
        Ok(Self { process, lifeline: Some(lifeline) })
    }

    /// The process group which the watchdog ends.
    pub(super) fn group(&self) -> i32 {
        i32::try_from(self.process.id()).expect("a process id is a positive i32")
    }

    /// Lets other processes join.
    pub(super) fn open(folder: &Path) -> io::Result<()> {
        File::create(folder.join(OPEN)).map(drop)
    }

    /// Lets go. The watchdog of an owned server ends it now; that of a shared one when nobody else holds it.
    pub(super) fn release(&mut self) {
        self.lifeline = None;
    }

    /// Waits until server and folder are gone. Only for an owned server: others may hold a shared one for ever.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("the watchdog could not remove the folder")) }
    }
}

fn open_lifeline(folder: &Path) -> io::Result<Lifeline> {
    let no_wait = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("open flags fit an i32");
    // Without waiting: when the watchdog was killed, nobody reads and an ordinary open would hang.
    let mut pipe = OpenOptions::new().write(true).custom_flags(no_wait).open(folder.join(LIFELINE))?;
    // The line tells the watchdog of a user who came and went while it was not looking.
    pipe.write_all(b"user\n")?;
    Ok(Lifeline(pipe.into()))
}

fn tenths(duration: Duration) -> u128 {
    duration.as_millis() / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_dies_before_it_hears_that_all_is_ready_leaves_no_folder() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("server");
        // Nobody reads what the watchdog says.
        let (hears, says) = io::pipe().unwrap();
        drop(hears);
        let mut watchdog = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "strangler-watchdog"])
            .arg(&folder)
            .arg("0")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(says)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert!(watchdog.wait().unwrap().success(), "the watchdog was killed by a closed pipe");
        assert!(!folder.exists());
    }
}
