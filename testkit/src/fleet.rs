//! A fleet for end-to-end tests and benches: two real databases and replicas of the real binary.
//!
//! Replicas are processes of their own, so that a test can kill, stop and continue them as an
//! operating system would. Everything ends with the value that holds it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long a replica may take to be ready. Generous: test machines are shared.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Where the databases are, and what replicas share.
#[derive(Debug)]
pub struct Site {
    /// The binary `strangler`.
    pub binary: PathBuf,
    /// Address of the legacy database.
    pub legacy: String,
    /// What stands in section `sides.legacy` in the place of its address: an Oracle has none.
    pub legacy_section: Option<String>,
    /// Address of the modern database.
    pub modern: String,
    /// Address of the control database.
    pub control: String,
    /// The contract.
    pub contract: PathBuf,
    /// More lines for `strangler.toml`.
    pub more: String,
    /// More lines for its section `admin`.
    pub more_of_admin: String,
    /// Whether the guard rolls back by itself. Off: tests break sides on purpose.
    pub guard: bool,
    /// Variables for the replicas' processes.
    pub environment: Vec<(String, String)>,
    folder: TempDir,
}

/// One replica.
#[derive(Debug)]
pub struct Replica {
    child: Child,
    /// Where clients send GraphQL.
    pub graphql: String,
    /// Where health, metrics and the admin API are.
    pub admin: String,
}

impl Site {
    /// A site with its control tables in the modern database.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    pub fn new(binary: impl Into<PathBuf>, legacy: String, modern: String, contract: impl Into<PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let control = modern.clone();
        Self {
            binary: binary.into(),
            legacy,
            legacy_section: None,
            modern,
            control,
            contract: contract.into(),
            more: String::new(),
            more_of_admin: String::new(),
            guard: false,
            environment: Vec::new(),
            folder,
        }
    }

    /// Writes the configuration of the replica called `name`; commands may use it too.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn config(&self, name: &str, graphql: u16, admin: u16) -> PathBuf {
        let path = self.folder.path().join(format!("{name}.toml"));
        let state = self.folder.path().join(name);
        let legacy = self.legacy_section.clone().unwrap_or_else(|| format!("url = {:?}", self.legacy));
        let text = format!(
            "contract = {:?}\nstate_dir = {:?}\n{}\n\
             [sides.legacy]\n{legacy}\n[sides.modern]\nurl = {:?}\n[control]\nurl = {:?}\n\
             [gateway]\nlisten = \"127.0.0.1:{graphql}\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n{}\n[guard]\nenabled = {}\n",
            self.contract, state, self.more, self.modern, self.control, self.more_of_admin, self.guard
        );
        // Put there whole: another command may be reading it.
        let whole = tempfile::NamedTempFile::new_in(self.folder.path()).expect("a file beside it");
        std::fs::write(whole.path(), text).expect("the configuration is written");
        whole.persist(&path).expect("the configuration is put in its place");
        path
    }

    /// Runs a command of the binary to its end; its output, and whether it exited with 0.
    ///
    /// # Panics
    /// When the binary cannot be started.
    pub async fn run(&self, arguments: &[&str]) -> (String, bool) {
        let output = self.call(arguments).await;
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&text).into_owned(), output.status.success())
    }

    /// As [`Site::run`]: what it printed where, and its exit code.
    ///
    /// # Panics
    /// When the binary cannot be started.
    pub async fn call(&self, arguments: &[&str]) -> Output {
        let config = self.config("operator", 1, 1);
        tokio::process::Command::new(&self.binary)
            .arg("--config")
            .arg(config)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("the binary starts")
    }

    /// As [`Site::run`], and insists on success.
    ///
    /// # Panics
    /// When the command says no.
    pub async fn must_run(&self, arguments: &[&str]) -> String {
        let (text, ok) = self.run(arguments).await;
        assert!(ok, "strangler {} said no:\n{text}", arguments.join(" "));
        text
    }

    /// Starts the replica called `name` on free ports and waits until it is ready.
    ///
    /// # Panics
    /// When it is not ready in time; its log is in the message.
    pub async fn start(&self, name: &str) -> Replica {
        let (graphql, admin) = (free_port().await, free_port().await);
        self.start_on(name, graphql, admin).await
    }

    /// As [`Site::start`], on given ports: a replica that comes back where it was.
    ///
    /// # Panics
    /// As [`Site::start`].
    pub async fn start_on(&self, name: &str, graphql: u16, admin: u16) -> Replica {
        let mut replica = self.launch(name, graphql, admin);
        if !replica.ready().await {
            panic!("replica {name} is not ready after {READY_WITHIN:?}:\n{}", self.log(name));
        }
        replica
    }

    /// As [`Site::start_on`], and does not wait.
    ///
    /// # Panics
    /// When the binary cannot be started.
    pub fn launch(&self, name: &str, graphql: u16, admin: u16) -> Replica {
        let config = self.config(name, graphql, admin);
        let log = self.folder.path().join(format!("{name}.log"));
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let child = Command::new(&self.binary)
            .arg("--config")
            .arg(config)
            .arg("serve")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(open())
            .stderr(open())
            .spawn()
            .expect("the binary starts");
        let admin = format!("127.0.0.1:{admin}");
        Replica { child, graphql: format!("http://127.0.0.1:{graphql}/graphql"), admin }
    }

    /// The folder with configuration, state and logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The log of the replica called `name`.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default()
    }
}

impl Replica {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// When the process cannot be waited for.
    pub fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        self.child.wait().expect("the process is ours");
    }

    /// Asks it to end (SIGTERM) and waits until it has; whether it exited with 0.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn terminate(&mut self) -> bool {
        self.signal(rustix::process::Signal::TERM);
        for _ in 0..300 {
            if let Some(status) = self.child.try_wait().expect("the process is ours") {
                return status.success();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the replica does not end");
    }

    /// Sends it a signal: SIGSTOP and SIGCONT make it sleep and wake up.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // A process that has just ended cannot be signalled, and need not be.
            let _ = rustix::process::kill_process(id, signal);
        }
    }

    /// `GET` on the admin port: status and body.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        get(&self.admin, path).await
    }

    /// Whether its process has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits until it says that it is ready; `false` when it ends, or takes too long.
    pub async fn ready(&mut self) -> bool {
        for _ in 0..READY_WITHIN.as_millis() / 50 {
            if self.has_ended() {
                return false;
            }
            if matches!(self.get("/health/ready").await, Ok((200, _))) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on now.
///
/// # Panics
/// When the machine has none.
pub async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Asks the admin port at `address`: status and body.
///
/// # Errors
/// When nobody answers there.
pub async fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}
