//! What a run happens to: two database servers, three replicas, and a wire from each replica to each side.
//!
//! The control store is in the modern database, as it is by default: what happens to modern happens to it.
//!
//! A disk cannot be filled without rights that tests do not have. Instead a trigger on the ledger raises what PostgreSQL
//! raises then, SQLSTATE 53100, while a switch is on: on every insert and update of the ledger, so a transaction that
//! writes it fails as a whole. What PostgreSQL itself does when its log cannot grow is not shown by that.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use adapters::local_server::{LocalServer, LocalServerError};
use model::{PerSide, Side};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::clock::Clock;
use super::journal::Shelf;
use super::place::{Place, url};
use super::plan::REPLICAS;
use super::releases::Release;
use super::sagas;
use super::standby::Standby;
use super::wire::Wire;
use crate::fleet::{Site, get};
use crate::postgres::own_server_with;

/// What is on hand of everything at the beginning.
pub const INITIAL: i64 = 100;
pub(super) const DATABASE: &str = "torture";
pub(super) const NAMES: [&str; REPLICAS] = ["one", "two", "three"];
const ARTICLES: [&str; 4] = ["TOR-001", "TOR-002", "TOR-003", "TOR-004"];
const LOCATIONS: [&str; 2] = ["BER1", "HAM1"];
/// How long a replica may take to come back while things are disturbed.
pub(super) const BACK_WITHIN: Duration = Duration::from_secs(60);
const COMMAND_WITHIN: Duration = Duration::from_secs(30);

const LEGACY: &str = concat!(include_str!("../../../proxy/strangler/src/demo/erp.sql"), "
INSERT INTO ITMHDR (ITMNO, ITMDSC, UPRICE) SELECT sku, 'Article ' || sku, 1.5 FROM unnest($articles) AS sku;
ALTER TABLE STKBAL ADD COLUMN RMK varchar(40);
INSERT INTO STKBAL (ITMNO, LOCCD, QTYOH) SELECT sku, location, $initial FROM unnest($articles) AS sku, unnest($locations) AS location;");
const MODERN: &str = concat!(include_str!("../../../proxy/strangler/src/demo/modern.sql"), "
INSERT INTO product (sku, name, unit_price) SELECT sku, 'Article ' || sku, 1.5 FROM unnest($articles) AS sku;
ALTER TABLE stock_level ADD COLUMN remark varchar(40);
INSERT INTO stock_level (sku, location, on_hand) SELECT sku, location, $initial FROM unnest($articles) AS sku, unnest($locations) AS location;");
const DISK: &str = "
CREATE TABLE torture_disk (is_full boolean NOT NULL);
INSERT INTO torture_disk VALUES (false);
CREATE FUNCTION torture_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT is_full FROM torture_disk) THEN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER torture_disk BEFORE INSERT OR UPDATE ON strangler_ledger FOR EACH ROW EXECUTE FUNCTION torture_disk();";

/// Everything a run happens to.
pub struct World {
    servers: PerSide<LocalServer>,
    pub(super) standby: Standby,
    clocks: PerSide<Clock>,
    /// How orders and those who check reach the sides; nothing befalls these wires.
    calm: PerSide<Wire>,
    /// Who gives orders, with either release's contract.
    operators: [Site; 2],
    orders_by_new: AtomicBool,
    pub(super) places: Vec<Place>,
    pub(super) contracts: TempDir,
    /// How often columns were made wider.
    pub(super) widened: PerSide<AtomicUsize>,
}

impl World {
    /// Two servers with the same small inventory on both sides, and three replicas of `binary` at stage `shift`.
    /// With `clocks`, a library for fake clocks, the replicas' wall clocks can be moved. One side has a synchronous standby.
    ///
    /// # Panics
    /// When something cannot be started.
    pub async fn build(binary: &Path, contract: &Path, clocks: Option<&Path>, with_standby: Side) -> Self {
        let clocks_of_sides = PerSide { legacy: Clock::new(clocks), modern: Clock::new(clocks) };
        let server = |side| own_server_with(clocks_of_sides.get(side).environment());
        let (legacy, modern, standby) = tokio::join!(server(Side::Legacy), server(Side::Modern), server(with_standby));
        let servers = PerSide { legacy, modern };
        for side in Side::BOTH {
            servers.get(side).create_database(DATABASE).await.unwrap();
            servers.get(side).run(DATABASE, &tables(side)).await.unwrap();
        }
        let standby = Standby::of(with_standby, servers.get(with_standby), standby).await;
        let wire = async |side: Side| Wire::to(servers.get(side).port()).await.unwrap();
        let calm = PerSide { legacy: wire(Side::Legacy).await, modern: wire(Side::Modern).await };
        let (legacy, modern) = (url(&calm.legacy), url(&calm.modern));
        let contracts = tempfile::tempdir().unwrap();
        Release::write(contract, contracts.path());
        let operators = Release::ALL
            .map(|release| Site::new(binary, legacy.clone(), modern.clone(), release.contract(contracts.path())));
        operators[0].must_run(&["init"]).await;
        for side in Side::BOTH {
            servers.get(side).run(DATABASE, DISK).await.unwrap();
        }
        let mut places = Vec::new();
        for _ in NAMES {
            places.push(Place::new(binary, &Release::Old.contract(contracts.path()), &servers, clocks).await);
        }
        let (orders_by_new, widened) = (AtomicBool::new(false), PerSide::default());
        let clocks = clocks_of_sides;
        let world = Self { servers, standby, clocks, calm, operators, orders_by_new, places, contracts, widened };
        for replica in 0..REPLICAS {
            world.revive(replica).await;
        }
        world.order(&["set", "inventory", "--stage", "shift", "--reads", "50", "--past-gates"]).await.unwrap();
        for group in sagas::GROUPS {
            world.order(&["set", group, "--stage", "dual-write"]).await.unwrap();
        }
        world
    }

    /// Where clients ask.
    pub fn urls(&self) -> Vec<String> {
        self.places.iter().map(|place| format!("http://127.0.0.1:{}/graphql", place.graphql)).collect()
    }

    /// The wire from a replica to a side.
    pub fn wire(&self, replica: usize, side: Side) -> &Wire {
        self.places[replica].wires.get(side)
    }

    /// The server of a side.
    pub fn server(&self, side: Side) -> &LocalServer {
        let taken_over = self.standby.side == side && self.standby.over.load(Ordering::SeqCst);
        if taken_over { &self.standby.server } else { self.servers.get(side) }
    }

    /// The address of a side is another server's from now on.
    pub(super) fn lead_to(&self, side: Side, port: u16) {
        let wires = self.places.iter().map(|place| &place.wires).chain([&self.calm]);
        wires.for_each(|wires| wires.get(side).lead_to(port));
    }

    /// A connection past all wires.
    ///
    /// # Errors
    /// When the server is down.
    pub async fn connect(&self, side: Side) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.server(side).url(DATABASE), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// From now on orders are given with this release's contract.
    pub fn order_as(&self, release: Release) {
        self.orders_by_new.store(release == Release::New, Ordering::SeqCst);
    }

    /// Registers a release's contract; what is said when that is refused.
    ///
    /// # Errors
    /// What the command said.
    pub async fn accept(&self, release: Release) -> Result<(), String> {
        let operator = &self.operators[usize::from(release == Release::New)];
        match timeout(COMMAND_WITHIN, operator.run(&["init", "--accept-contract"])).await {
            Ok((_, true)) => Ok(()),
            Ok((said, false)) => Err(said),
            Err(_) => Err(format!("no end within {COMMAND_WITHIN:?}")),
        }
    }

    fn operator(&self) -> &Site {
        &self.operators[usize::from(self.orders_by_new.load(Ordering::SeqCst))]
    }

    /// Asks a command for JSON: what it said, and whether it ended with success. `None`: it said nothing in time.
    pub async fn ask(&self, arguments: &[&str]) -> Option<(Json, bool)> {
        let asked = [&["--json"], arguments].concat();
        let output = timeout(COMMAND_WITHIN, self.operator().call(&asked)).await.ok()?;
        let said = serde_json::Deserializer::from_slice(&output.stdout).into_iter().next()?.ok()?;
        Some((said, output.status.success()))
    }

    /// Asks a command for words, on one line: what it said, and whether it ended with success.
    pub async fn say(&self, arguments: &[&str]) -> (String, bool) {
        match timeout(COMMAND_WITHIN, self.operator().run(arguments)).await {
            Ok((said, done)) => (said.lines().map(str::trim).collect::<Vec<_>>().join("; "), done),
            Err(_) => (format!("no end within {COMMAND_WITHIN:?}"), false),
        }
    }

    /// The share of reads that modern answers, by the replicas that answer.
    pub async fn shares(&self) -> Vec<(usize, f64)> {
        let mut shares = Vec::new();
        for (replica, place) in self.places.iter().enumerate() {
            let admin = format!("127.0.0.1:{}", place.admin);
            let Ok(Ok((200, text))) = timeout(Duration::from_secs(1), get(&admin, "/metrics")).await else { continue };
            let line = "strangler_reads_modern_ratio{group=\"inventory\"} ";
            let share = text.lines().find_map(|known| known.strip_prefix(line)?.trim().parse().ok());
            shares.extend(share.map(|share| (replica, share)));
        }
        shares
    }

    /// The wall clock of a replica.
    pub fn clock_of_replica(&self, replica: usize) -> &Clock {
        &self.places[replica].clock
    }

    /// The wall clock of a side's server.
    pub fn clock_of_side(&self, side: Side) -> &Clock {
        self.clocks.get(side)
    }

    /// Whether the ledger of a side takes rows.
    ///
    /// # Errors
    /// When the server is down.
    pub async fn set_disk(&self, side: Side, full: bool) -> Result<(), tokio_postgres::Error> {
        let set = format!("UPDATE torture_disk SET is_full = {full}");
        self.unhurried(side).await?.batch_execute(&set).await
    }

    /// Gives the statements of a side a few milliseconds, or as long as they take. Insists: the server may just be away.
    ///
    /// # Errors
    /// When the server does not come back.
    pub async fn set_hurry(&self, side: Side, hurry: bool) -> Result<(), tokio_postgres::Error> {
        let set = if hurry { "SET statement_timeout = '4ms'" } else { "RESET statement_timeout" };
        let began = Instant::now();
        loop {
            let done = async {
                let client = self.unhurried(side).await?;
                client.batch_execute(&format!("ALTER SYSTEM {set}")).await?;
                client.batch_execute("SELECT pg_reload_conf()").await
            };
            match timeout(COMMAND_WITHIN, done).await {
                Ok(Err(error)) if began.elapsed() > BACK_WITHIN => return Err(error),
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) | Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// A connection past all wires that takes the time it needs.
    pub(super) async fn unhurried(&self, side: Side) -> Result<Client, tokio_postgres::Error> {
        let mut config: tokio_postgres::Config = self.server(side).url(DATABASE).parse()?;
        config.options("-c statement_timeout=0");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Cancels what replicas run on a side, one statement every few milliseconds, for ever.
    ///
    /// # Errors
    /// When the server is down.
    pub async fn cancel_at_random(&self, side: Side) -> Result<(), tokio_postgres::Error> {
        let client = self.unhurried(side).await?;
        let one = "SELECT pg_cancel_backend(pid) FROM (SELECT pid FROM pg_stat_activity \
                   WHERE application_name = 'strangler' AND state <> 'idle' AND pid <> pg_backend_pid() \
                   ORDER BY random() LIMIT 1) AS one";
        loop {
            client.batch_execute(one).await?;
            sleep(Duration::from_millis(3)).await;
        }
    }

    /// Holds tables of a side against all writers, until it is dropped.
    ///
    /// # Errors
    /// When the server is down.
    pub async fn hold(&self, side: Side, business: bool) -> Result<(), tokio_postgres::Error> {
        let tables = match (side, business) {
            (Side::Legacy, true) => "STKBAL",
            (Side::Modern, true) => "stock_level",
            (_, false) => "strangler_ledger, strangler_version",
        };
        let client = self.unhurried(side).await?;
        client.batch_execute(&format!("BEGIN; LOCK TABLE {tables} IN EXCLUSIVE MODE")).await?;
        std::future::pending().await
    }

    /// How many reads each side has answered, by the replicas that live.
    pub async fn answered(&self) -> PerSide<u64> {
        let mut answered = PerSide { legacy: 0, modern: 0 };
        for place in &self.places {
            let admin = format!("127.0.0.1:{}", place.admin);
            // One that is killed or paused tells nothing.
            let Ok(Ok((_, text))) = timeout(Duration::from_secs(1), get(&admin, "/metrics")).await else { continue };
            for side in Side::BOTH {
                let label = format!("side=\"{side}\"");
                let of_reads = |line: &&str| {
                    line.starts_with("strangler_request_duration_seconds_count") && line.contains("Query.")
                };
                let lines = text.lines().filter(of_reads).filter(|line| line.contains(&label));
                let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
                let count = counts.sum::<f64>() as u64;
                *answered.get_mut(side) += count;
            }
        }
        answered
    }

    /// An order to the fleet: `groups …`; what it says when it does not succeed.
    ///
    /// # Errors
    /// What the command said.
    pub async fn order(&self, arguments: &[&str]) -> Result<(), String> {
        let why = ["--reason", "torture", "--who", "torturer"];
        let command = [&["groups"], arguments, why.as_slice()].concat();
        match timeout(COMMAND_WITHIN, self.operator().run(&command)).await {
            Ok((_, true)) => Ok(()),
            Ok((said, false)) => Err(said),
            Err(_) => Err(format!("no end within {COMMAND_WITHIN:?}")),
        }
    }

    /// The logs of the replicas, by name.
    pub fn logs(&self) -> impl Iterator<Item = (&'static str, String)> {
        NAMES.into_iter().zip(&self.places).map(|(name, place)| (name, place.site.lock().log(name)))
    }

    /// Ends everything.
    ///
    /// # Errors
    /// When a server's folder cannot be removed.
    pub async fn end(self) -> Result<(), LocalServerError> {
        drop(self.places);
        self.standby.server.stop().await?;
        self.servers.legacy.stop().await?;
        self.servers.modern.stop().await
    }
}

fn tables(side: Side) -> String {
    let text = match side {
        Side::Legacy => LEGACY,
        Side::Modern => MODERN,
    };
    let list = |names: &[&str]| format!("ARRAY['{}']", names.join("','"));
    let text = format!("{text}\n{}", sagas::tables(side));
    text.replace("$articles", &list(&ARTICLES))
        .replace("$locations", &list(&LOCATIONS))
        .replace("$initial", &INITIAL.to_string())
}

/// Every shelf, by article.
pub fn shelves() -> Vec<[Shelf; 2]> {
    ARTICLES.map(|sku| LOCATIONS.map(|location| Shelf { sku: sku.to_owned(), location: location.to_owned() })).to_vec()
}
