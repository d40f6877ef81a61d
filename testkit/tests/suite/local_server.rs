//! The launcher against a real PostgreSQL. Each test has a server of its own.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use adapters::local_server::{LocalServer, LocalServerError, Options, Programs};
use testkit::postgres::own_server;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn answers(client: &Client) -> bool {
    client.simple_query("SELECT 1").await.is_ok()
}

/// Looks for up to 100 seconds until nothing is left of what was in `place`; else fails and says what is.
fn comes_to_nothing(place: &Path, is_gone: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if is_gone() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let files = Command::new("ls").arg("-lR").arg(place).output().unwrap();
    let files: Vec<_> = String::from_utf8_lossy(&files.stdout).lines().take(60).map(str::to_owned).collect();
    panic!("left behind: processes {:#?}, files {files:#?}", processes_of(place));
}

/// Processes whose command line names `folder`: the postmaster and the watchdog do.
fn processes_of(folder: &Path) -> Vec<String> {
    let output = Command::new("ps").args(["-A", "-ww", "-o", "pid=,stat=,args="]).output().unwrap();
    let folder = folder.to_str().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().filter(|line| line.contains(folder)).map(str::to_owned).collect()
}

fn is_gone(folder: &Path) -> bool {
    !folder.exists() && processes_of(folder).is_empty()
}

#[tokio::test]
async fn a_server_starts_takes_databases_and_stops_without_a_trace() {
    let server = own_server().await;
    server.create_database("erp \"old\"").await.unwrap();
    let refused = server.create_database("erp \"old\"").await.unwrap_err();
    assert!(matches!(refused, LocalServerError::Sql { .. }), "{refused}");
    server.create_database("modern").await.unwrap();
    assert!(answers(&connect(&server.url("modern")).await).await);
    let folder = server.folder().to_owned();
    assert!(!processes_of(&folder).is_empty());

    server.stop().await.unwrap();

    comes_to_nothing(&folder, || is_gone(&folder));
}

#[tokio::test]
async fn a_dropped_server_goes_by_itself() {
    let server = own_server().await;
    let folder = server.folder().to_owned();
    drop(server);
    comes_to_nothing(&folder, || is_gone(&folder));
}

#[tokio::test]
async fn commits_survive_kill_and_restart_on_the_same_port() {
    // GIVEN a committed row and an open connection
    let server = own_server().await;
    let url = server.url("postgres");
    let before = connect(&url).await;
    before.batch_execute("CREATE TABLE stock (on_hand int); INSERT INTO stock VALUES (4)").await.unwrap();

    // WHEN the server crashes
    server.kill().await.unwrap();

    // THEN connections are broken and new ones refused, and killing it again is nothing
    assert!(!answers(&before).await);
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
    server.kill().await.unwrap();

    // AND after a restart the row is there
    server.restart().await.unwrap();
    let on_hand: i32 = connect(&url).await.query_one("SELECT on_hand FROM stock", &[]).await.unwrap().get(0);
    assert_eq!(on_hand, 4);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_paused_server_hangs_old_and_new_connections_and_resumes_where_it_was() {
    let server = own_server().await;
    let url = server.url("postgres");
    let client = connect(&url).await;
    let patience = Duration::from_millis(300);

    server.pause().await.unwrap();
    let asked = client.simple_query("SELECT 1");
    tokio::pin!(asked);
    assert!(timeout(patience, asked.as_mut()).await.is_err(), "a paused server answered");
    assert!(
        timeout(patience, tokio_postgres::connect(&url, NoTls)).await.is_err(),
        "a paused server took a connection"
    );

    server.resume().await.unwrap();
    asked.await.unwrap();
    assert!(answers(&connect(&url).await).await);

    // A paused server can be killed and stopped like any other.
    server.pause().await.unwrap();
    timeout(Duration::from_secs(4), server.stop()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_folder_without_programs_is_refused_by_name() {
    let empty = tempfile::tempdir().unwrap();
    let options = Options { programs: Programs::In(empty.path().to_owned()), ..Options::default() };
    let error = LocalServer::start(options).await.unwrap_err().to_string();
    assert!(error.contains(&format!("the PostgreSQL in {} cannot be used", empty.path().display())), "{error}");
}

/// A process that holds a server.
struct Holder {
    process: Child,
    url: String,
    folder: PathBuf,
}

impl Holder {
    fn start(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (url, folder) = line.trim().split_once(' ').expect("the holder says url and folder");
        Self { url: url.to_owned(), folder: folder.into(), process }
    }

    fn kill_dash_nine(mut self) -> PathBuf {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.folder
    }
}

fn holder() -> Command {
    Command::new(env!("CARGO_BIN_EXE_local-server-holder"))
}

#[tokio::test]
async fn kill_dash_nine_of_the_owner_leaves_no_process_and_no_folder() {
    let holder = Holder::start(holder());
    let client = connect(&holder.url).await;
    assert!(answers(&client).await);

    let folder = holder.kill_dash_nine();

    comes_to_nothing(&folder, || is_gone(&folder));
    assert!(!answers(&client).await);
}

#[tokio::test]
async fn kill_dash_nine_at_any_moment_of_the_start_leaves_nothing() {
    // GIVEN a folder of its own for temporary files, to see what is left in it
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o777)).unwrap();

    // WHEN owners are killed while they make the folder, run initdb, start the server
    for milliseconds in [5, 30, 80, 150, 300, 500] {
        let mut process = holder().env("TMPDIR", place.path()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        process.kill().unwrap();
        process.wait().unwrap();
    }

    // THEN nothing is left
    comes_to_nothing(place.path(), || {
        std::fs::read_dir(place.path()).unwrap().count() == 0 && processes_of(place.path()).is_empty()
    });
}

#[tokio::test]
async fn an_ordinary_user_can_run_it_too() {
    // GIVEN a program that anybody can run, since the build folder may be closed to others
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let program = place.path().join("holder");
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_local-server-holder")).arg(&program).status().unwrap();
    assert!(copied.success());
    let mut command = Command::new(&program);
    command.current_dir("/").env("HOME", place.path());
    if rustix::process::geteuid().is_root() {
        // Nobody's number, on Linux.
        command.uid(65_534).gid(65_534);
    }

    let holder = Holder::start(command);
    let client = connect(&holder.url).await;
    assert!(answers(&client).await);

    let folder = holder.kill_dash_nine();
    comes_to_nothing(&folder, || is_gone(&folder));
}
