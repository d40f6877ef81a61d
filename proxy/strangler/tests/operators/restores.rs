//! What docs/operate/restore.md says to do, done: real servers whose data go back or move, a replica that serves meanwhile,
//! and an operator with the command line. No acknowledged write is gone without being told of, and both sides are equal
//! at the end.

mod lost;
mod moved;
mod restored;
mod sagas;
mod started;
mod told;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use adapters::local_server::LocalServer;
use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use model::Side;
use serde_json::{Value as Json, json};
use testkit::fleet::{Replica, Site};
use testkit::postgres::own_server;

const ERP: &str = "CREATE TABLE SHELF (ID char(8) PRIMARY KEY, QTY numeric NOT NULL, NOTE varchar(40)); \
     CREATE TABLE SLIP (ID char(8) PRIMARY KEY, QTY numeric NOT NULL)";
const SHOP: &str = "CREATE TABLE shelf (id varchar(8) PRIMARY KEY, on_hand integer NOT NULL, note varchar(40)); \
     CREATE TABLE slip (id varchar(8) PRIMARY KEY, pieces integer NOT NULL)";
const NAME: &str = "kept";
const CONTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/shelves.graphql");

/// Three databases, each on a server of its own, and one replica. Legacy is primary, and modern is kept equal.
pub(super) struct Kept {
    pub(super) legacy: LocalServer,
    pub(super) modern: LocalServer,
    pub(super) control: LocalServer,
    pub(super) site: Site,
    pub(super) replica: Replica,
}

impl Kept {
    pub(super) async fn new() -> Self {
        Self::with("").await
    }

    /// With more in its contract.
    pub(super) async fn with(more: &str) -> Self {
        let (legacy, modern, control) = tokio::join!(own_server(), own_server(), own_server());
        for server in [&legacy, &modern, &control] {
            server.create_database(NAME).await.unwrap();
        }
        legacy.run(NAME, ERP).await.unwrap();
        modern.run(NAME, SHOP).await.unwrap();
        let mut site = Site::new(env!("CARGO_BIN_EXE_strangler"), legacy.url(NAME), modern.url(NAME), CONTRACT);
        site.control = control.url(NAME);
        if !more.is_empty() {
            let whole = fs::read_to_string(CONTRACT).unwrap() + more;
            site.contract = site.folder().join("contract.graphql");
            fs::write(&site.contract, whole).unwrap();
        }
        site.must_run(&["init"]).await;
        site.must_run(&["groups", "set", "stock", "--stage", "dual-write", "--reason", "x", "--who", "ada"]).await;
        let replica = site.start("a").await;
        let kept = Self { legacy, modern, control, site, replica };
        for side in Side::BOTH {
            kept.until_remembered(side).await;
        }
        kept
    }

    pub(super) fn server(&self, side: Side) -> &LocalServer {
        match side {
            Side::Legacy => &self.legacy,
            Side::Modern => &self.modern,
        }
    }

    /// What a client is answered who puts so much on a shelf: nothing, or the code of the error.
    pub(super) async fn put(&self, shelf: &str, on_hand: i64) -> Result<(), String> {
        let answer = self.ask(&format!("put(id: \"{shelf}\", onHand: {on_hand}) {{ id }}"), None).await;
        match answer["errors"][0]["extensions"]["code"].as_str() {
            Some(code) => Err(code.to_owned()),
            None => Ok(()),
        }
    }

    /// What a client is answered to a mutation, with its idempotency key.
    pub(super) async fn ask(&self, mutation: &str, key: Option<&str>) -> Json {
        let body = Full::new(Bytes::from(json!({ "query": format!("mutation {{ {mutation} }}") }).to_string()));
        let mut request = Request::post(&self.replica.graphql).header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request.body(body).unwrap()).await.unwrap();
        let answer = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&answer).unwrap()
    }

    /// A write that is acknowledged, tried until the replica has its connections again; and that is on both sides.
    pub(super) async fn stands(&self, shelf: &str, on_hand: i64) {
        eventually("a write is acknowledged", || async { self.put(shelf, on_hand).await.is_ok() }).await;
        self.until_settled().await;
    }

    pub(super) async fn until_settled(&self) {
        let unsettled = "SELECT count(*) FROM strangler_ledger WHERE state = 'unsettled'";
        eventually("all is settled", || async { number(&self.legacy, unsettled).await == Some(0) }).await;
    }

    /// Waits until a mark that is made from now on is remembered by the control database.
    pub(super) async fn until_remembered(&self, side: Side) {
        let newest = "SELECT max(mark) FROM strangler_mark";
        let before = number(self.server(side), newest).await.unwrap_or(0);
        let remembered = format!("SELECT mark FROM strangler_control_memory WHERE side = '{side}'");
        let passed = || async { number(&self.control, &remembered).await.is_some_and(|mark| mark > before) };
        eventually("a mark is remembered", passed).await;
    }

    /// Until the replica has seen how the side is.
    pub(super) async fn until_suspended(&self, side: Side, suspended: bool) {
        let wanted = format!("strangler_side_suspended{{side=\"{side}\"}} {}\n", u8::from(suspended));
        let seen = || async { self.replica.get("/metrics").await.is_ok_and(|(_, text)| text.contains(&wanted)) };
        eventually("the replica has seen how the side is", seen).await;
    }

    /// As `strangler sides show --json` tells it of one side.
    pub(super) async fn show(&self, side: Side) -> Json {
        let output = self.site.call(&["--json", "sides", "show"]).await;
        let all: Json = serde_json::from_slice(&output.stdout).unwrap();
        let of_side = |one: &&Json| one["side"] == side.as_str();
        all.as_array().unwrap().iter().find(of_side).unwrap().clone()
    }

    pub(super) async fn raise(&self, side: Side, more: &[&str]) -> String {
        let order = ["sides", "raise", side.as_str(), "--reason", "restored", "--who", "ada"];
        self.site.must_run(&[&order[..], more].concat()).await
    }

    /// Both sides are equal, in their own words and in those of `reconcile`, and hold this.
    pub(super) async fn both_have(&self, wanted: &[(&str, i64)]) {
        let wanted: BTreeMap<String, i64> = wanted.iter().map(|(id, qty)| ((*id).to_owned(), *qty)).collect();
        let text = |columns| format!("SELECT {columns} FROM shelf ORDER BY 1");
        assert_eq!(rows(&self.legacy, &text("trim(id), qty::int8")).await, wanted, "legacy");
        assert_eq!(rows(&self.modern, &text("id, on_hand::int8")).await, wanted, "modern");
        let told = self.site.must_run(&["--json", "reconcile", "stock", "--who", "ada"]).await;
        let told: Json = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["complete"], &told["drift"]), (&true.into(), &0.into()), "{told}");
        let (shown, well) = self.site.run(&["sides", "show"]).await;
        assert!(well, "{shown}");
    }
}

/// Servers start and recover meanwhile, and machines are shared.
pub(super) async fn eventually<F: Future<Output = bool>>(what: &str, wanted: impl Fn() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(90), async {
        while !wanted().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}

pub(super) async fn connect(server: &LocalServer) -> Option<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(&server.url(NAME), tokio_postgres::NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

async fn number(server: &LocalServer, text: &str) -> Option<i64> {
    connect(server).await?.query_opt(text, &[]).await.ok()??.get(0)
}

async fn rows(server: &LocalServer, text: &str) -> BTreeMap<String, i64> {
    let rows = connect(server).await.unwrap().query(text, &[]).await.unwrap();
    rows.into_iter().map(|row| (row.get(0), row.get(1))).collect()
}

pub(super) fn data(server: &LocalServer) -> PathBuf {
    server.folder().join("data")
}

/// A copy of the whole server, of a moment at which it is down.
pub(super) async fn back_up(server: &LocalServer) -> PathBuf {
    server.kill().await.unwrap();
    let copy = server.folder().join("copy");
    copy_folder(&data(server), &copy);
    server.restart().await.unwrap();
    copy
}

/// The copy takes the server's place.
pub(super) async fn put_back(server: &LocalServer, copy: &Path) {
    server.kill().await.unwrap();
    fs::remove_dir_all(data(server)).unwrap();
    copy_folder(copy, &data(server));
    server.restart().await.unwrap();
}

/// Copies a folder with its owners: the server runs under another account where tests run as root.
fn copy_folder(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// A program of the running server's installation, as the account that the server runs as; `None` where it is missing.
pub(super) fn program(server: &LocalServer, name: &str) -> Option<Command> {
    let written = fs::read_to_string(data(server).join("postmaster.pid")).unwrap();
    let postmaster = fs::read_link(format!("/proc/{}/exe", written.lines().next().unwrap())).unwrap();
    let path = postmaster.parent().unwrap().join(name);
    if !path.exists() {
        eprintln!("SKIPPED: this PostgreSQL comes without {name}");
        return None;
    }
    let (mut command, owner) = (Command::new(path), fs::metadata(data(server)).unwrap());
    if rustix::process::geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.env("LC_ALL", "C").current_dir(server.folder());
    Some(command)
}

/// Runs it to its end.
pub(super) fn must(mut command: Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}
