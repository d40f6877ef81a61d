//! One data folder and the postmaster that serves it. Everything here blocks; [`super::LocalServer`] keeps it off the
//! async threads. Time is counted in looks, not read from a clock: a test that pauses time must not time out here.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

use super::account::Account;
use super::binaries::{Binaries, Search};
use super::fetch::last_line;
use super::watchdog::Watchdog;
use super::{Durability, LocalServerError, Options, SUPERUSER};

const LOOK: Duration = Duration::from_millis(10);
/// Looks before we give up on a start (30 s) or on an end (10 s).
const LOOKS_AT_START: u32 = 3_000;
const LOOKS_AT_END: u32 = 1_000;
const PORTS_TRIED: u32 = 20;

pub(super) struct Cluster {
    binaries: Binaries,
    account: Account,
    options: Options,
    folder: PathBuf,
    port: u16,
    watchdog: Watchdog,
    postmaster: Option<Child>,
}

enum Began {
    Ready(Child),
    /// It ended by itself, having said this.
    Ended(String),
}

impl Cluster {
    pub(super) fn start(options: Options) -> Result<Self, LocalServerError> {
        let account = Account::for_server()?;
        let search = Search::of_this_machine(options.programs.clone(), account);
        let notice = |text: &str| {
            tracing::info!("{text}");
            if let Some(notice) = &options.notice {
                notice(text);
            }
        };
        let binaries = search.find(account, &notice)?;
        let folder = base(account).join(format!("strangler-postgres-{}", Uuid::new_v4().simple()));
        let watchdog = Watchdog::start(&folder, options.lifetime).map_err(doing("making its folder"))?;
        account.give(&folder).map_err(doing("handing over its folder"))?;
        let mut cluster = Self { binaries, account, options, folder, port: 0, watchdog, postmaster: None };
        cluster.init()?;
        cluster.begin_on_a_free_port()?;
        Ok(cluster)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// As in an outage: connections break, nothing is flushed or said goodbye to.
    pub(super) fn kill(&mut self) -> Result<(), LocalServerError> {
        let Some(mut postmaster) = self.postmaster.take() else {
            return Ok(());
        };
        let pid = pid(&postmaster);
        // Signals to a process that has just ended are lost, which is what we want of it.
        let _ = kill_process(pid, Signal::QUIT);
        signal_all(pid, Signal::CONT);
        for _ in 0..LOOKS_AT_END {
            if postmaster.try_wait().map_err(doing("waiting for its end"))?.is_some() {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        postmaster.kill().and_then(|()| postmaster.wait()).map_err(doing("killing it"))?;
        Ok(())
    }

    pub(super) fn restart(&mut self) -> Result<(), LocalServerError> {
        self.kill()?;
        let mut last = String::new();
        for _ in 0..PORTS_TRIED {
            match self.begin(self.port)? {
                Began::Ready(postmaster) => {
                    self.postmaster = Some(postmaster);
                    return Ok(());
                }
                // Somebody was quick; clients know this port, so wait for it.
                Began::Ended(said) if port_taken(&said) => last = said,
                Began::Ended(said) => {
                    return Err(LocalServerError::Ended { said: last_line(said.as_bytes()) });
                }
            }
            thread::sleep(LOOK * 10);
        }
        Err(LocalServerError::Ended { said: last_line(last.as_bytes()) })
    }

    pub(super) fn pause(&self) {
        if let Some(postmaster) = &self.postmaster {
            signal_all(pid(postmaster), Signal::STOP);
        }
    }

    pub(super) fn resume(&self) {
        if let Some(postmaster) = &self.postmaster {
            signal_all(pid(postmaster), Signal::CONT);
        }
    }

    /// Lets go of the server. When it was ours alone, waits until it and its folder are gone.
    pub(super) fn stop(&mut self) -> Result<(), LocalServerError> {
        if self.options.lifetime.is_shared() {
            self.watchdog.release();
            return Ok(());
        }
        self.kill()?;
        self.watchdog.release();
        self.watchdog.wait().map_err(doing("removing its folder"))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A command that the watchdog ends with us.
    fn command(&self, program: &Path) -> Command {
        let mut command = self.account.command(program);
        command.process_group(self.watchdog.group());
        command
    }

    fn init(&self) -> Result<(), LocalServerError> {
        // Runs its arguments, and lets the watchdog know for how long.
        const SCRIPT: &str = r#": >"$0" && { "$@"; status=$?; rm "$0"; exit "$status"; }"#;
        let output = self
            .command(Path::new("/bin/sh"))
            .args(["-c", SCRIPT])
            .arg(self.folder.join("initdb.running"))
            .arg(self.binaries.initdb())
            .args(["--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"])
            .arg("--pgdata")
            .arg(self.data())
            .output()
            .map_err(doing("running initdb"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(LocalServerError::Initdb { said: last_line(&output.stderr) })
    }

    fn begin_on_a_free_port(&mut self) -> Result<(), LocalServerError> {
        let mut last = String::new();
        for _ in 0..PORTS_TRIED {
            self.port = free_port().map_err(doing("looking for a free port"))?;
            match self.begin(self.port)? {
                Began::Ready(postmaster) => {
                    self.postmaster = Some(postmaster);
                    return Ok(());
                }
                Began::Ended(said) if port_taken(&said) => last = said,
                Began::Ended(said) => {
                    return Err(LocalServerError::Ended { said: last_line(said.as_bytes()) });
                }
            }
        }
        Err(LocalServerError::Ended { said: last_line(last.as_bytes()) })
    }

    fn begin(&self, port: u16) -> Result<Began, LocalServerError> {
        let log = self.folder.join("server.log");
        let sink = File::create(&log).map_err(doing("opening its log"))?;
        let mut command = self.command(&self.binaries.postgres());
        command.arg("-D").arg(self.data());
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        for (name, value) in settings(&self.options, port) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let mut postmaster = command.stdout(Stdio::null()).stderr(sink).spawn().map_err(doing("starting postgres"))?;
        for _ in 0..LOOKS_AT_START {
            if postmaster.try_wait().map_err(doing("waiting for its start"))?.is_some() {
                return Ok(Began::Ended(fs::read_to_string(&log).map_err(doing("reading its log"))?));
            }
            if is_ready(&self.data(), postmaster.id()) {
                return Ok(Began::Ready(postmaster));
            }
            thread::sleep(LOOK);
        }
        postmaster.kill().and_then(|()| postmaster.wait()).map_err(doing("killing it"))?;
        Err(LocalServerError::NotReady { limit: LOOK * LOOKS_AT_START })
    }
}

fn settings(options: &Options, port: u16) -> Vec<(&'static str, String)> {
    let durable = match options.durability {
        Durability::ProcessCrash => "off",
        Durability::MachineCrash => "on",
    };
    let fixed = [
        ("listen_addresses", "127.0.0.1"),
        // No socket file: it would have to be found, reached and removed.
        ("unix_socket_directories", ""),
        // In the data folder, not in /dev/shm, so that removing the folder removes everything.
        ("dynamic_shared_memory_type", "mmap"),
        ("wal_level", "logical"),
        ("max_replication_slots", "16"),
        ("max_wal_senders", "16"),
        // Off would delay logical decoding by 100-270 ms.
        ("synchronous_commit", "on"),
        ("fsync", durable),
        ("full_page_writes", durable),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
    ];
    let mut settings: Vec<_> = fixed.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    settings.push(("port", port.to_string()));
    settings.push(("max_connections", options.max_connections.to_string()));
    settings
}

/// The postmaster notes its state on the eighth line of its pid file. Unlike a connection, this cannot be somebody
/// else's server on the same port, and it needs no password.
fn is_ready(data: &Path, postmaster: u32) -> bool {
    let Ok(note) = fs::read_to_string(data.join("postmaster.pid")) else {
        return false;
    };
    let mut lines = note.lines();
    lines.next() == Some(&postmaster.to_string()) && lines.nth(6).is_some_and(|state| state.trim() == "ready")
}

fn port_taken(said: &str) -> bool {
    said.contains("Address already in use") || said.contains("could not bind")
}

/// A port that is free now. Below the range from which the kernel takes ports for outgoing connections: otherwise, while
/// the server is down, a client that keeps trying to reach it could be given its very port and block the restart.
fn free_port() -> io::Result<u16> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    for _ in 0..PORTS_TRIED {
        let (draw, _) = Uuid::new_v4().as_u64_pair();
        let port = 20_000 + u16::try_from(draw % 12_000).expect("less than 12 000");
        if is_free(port).is_ok() {
            return Ok(port);
        }
    }
    Ok(is_free(0)?.local_addr()?.port())
}

/// Where the server's folder goes: the machine's folder for temporary files, unless the server's account cannot get there.
fn base(account: Account) -> PathBuf {
    let preferred = std::env::temp_dir();
    if account.reaches(&preferred) { preferred } else { PathBuf::from("/tmp") }
}

fn pid(postmaster: &Child) -> Pid {
    Pid::from_child(postmaster)
}

/// Signals a postmaster and its backends. The postmaster first: when it stops it makes no new ones.
fn signal_all(postmaster: Pid, signal: Signal) {
    // A process that ended meanwhile needs no signal.
    let _ = kill_process(postmaster, signal);
    for child in children(postmaster) {
        let _ = kill_process(child, signal);
    }
}

/// By `/proc`, or by `ps` where there is none.
fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let table = fs::read_dir("/proc").map(|entries| {
        let stats = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        // `pid (name) state ppid …`, where the name may hold anything.
        stats
            .filter_map(|stat| {
                let (pid, rest) = stat.split_once(' ')?;
                let ppid = rest.rsplit_once(") ")?.1.split(' ').nth(1)?;
                Some((pid.to_owned(), ppid.to_owned()))
            })
            .collect::<Vec<_>>()
    });
    let table = table.ok().filter(|table| !table.is_empty()).unwrap_or_else(|| {
        let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).stdin(Stdio::null()).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
        pairs.map(|(pid, ppid)| (pid.to_owned(), ppid.trim().to_owned())).collect()
    });
    let of_parent = table.into_iter().filter(|(_, ppid)| *ppid == parent);
    of_parent.filter_map(|(pid, _)| Pid::from_raw(pid.parse().ok()?)).collect()
}

pub(super) fn doing(what: &'static str) -> impl Fn(io::Error) -> LocalServerError {
    move |source| LocalServerError::Io { doing: what, source }
}
