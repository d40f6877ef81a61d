//! What a run happens to: two database servers, three replicas, and a wire from each replica to each side.
//!
//! The control store is in the modern database, as it is by default: what happens to modern happens to it.
//!
//! A disk cannot be filled without rights that tests do not have. Instead a trigger on the ledger raises what PostgreSQL
//! raises then, SQLSTATE 53100, while a switch is on: on every insert and update of the ledger, so a transaction that
//! writes it fails as a whole. What PostgreSQL itself does when its log cannot grow is not shown by that.

use std::path::Path;
use std::time::Duration;

use adapters::local_server::{self, LocalServer, LocalServerError};
use model::{PerSide, Side};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::clock::Clock;
use super::journal::Shelf;
use super::plan::REPLICAS;
use super::wire::Wire;
use crate::fleet::{Replica, Site, free_port};
use crate::postgres::own_server_with;

/// What is on hand of everything at the beginning.
pub const INITIAL: i64 = 100;
const DATABASE: &str = "torture";
const NAMES: [&str; REPLICAS] = ["one", "two", "three"];
const ARTICLES: [&str; 4] = ["TOR-001", "TOR-002", "TOR-003", "TOR-004"];
const LOCATIONS: [&str; 2] = ["BER1", "HAM1"];
/// How long a replica may take to come back while things are disturbed.
const BACK_WITHIN: Duration = Duration::from_secs(60);
const COMMAND_WITHIN: Duration = Duration::from_secs(30);

const LEGACY: &str = concat!(include_str!("../../../proxy/src/demo/erp.sql"), "
INSERT INTO ITMHDR (ITMNO, ITMDSC, UPRICE) SELECT sku, 'Article ' || sku, 1.5 FROM unnest($articles) AS sku;
INSERT INTO STKBAL (ITMNO, LOCCD, QTYOH) SELECT sku, location, $initial FROM unnest($articles) AS sku, unnest($locations) AS location;");
const MODERN: &str = concat!(include_str!("../../../proxy/src/demo/modern.sql"), "
INSERT INTO product (sku, name, unit_price) SELECT sku, 'Article ' || sku, 1.5 FROM unnest($articles) AS sku;
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

/// One replica, its configuration, and how it reaches the sides.
struct Place {
    site: Site,
    graphql: u16,
    admin: u16,
    wires: PerSide<Wire>,
    replica: Mutex<Option<Replica>>,
    clock: Clock,
}

/// Everything a run happens to.
pub struct World {
    servers: PerSide<LocalServer>,
    clocks: PerSide<Clock>,
    operator: Site,
    places: Vec<Place>,
}

impl World {
    /// Two servers with the same small inventory on both sides, and three replicas of `binary` at stage `shift`.
    /// With `clocks`, a library for fake clocks, the replicas' wall clocks can be moved.
    ///
    /// # Panics
    /// When something cannot be started.
    pub async fn build(binary: &Path, contract: &Path, clocks: Option<&Path>) -> Self {
        let clocks_of_sides = PerSide { legacy: Clock::new(clocks), modern: Clock::new(clocks) };
        let server = |side| own_server_with(clocks_of_sides.get(side).environment());
        let (legacy, modern) = tokio::join!(server(Side::Legacy), server(Side::Modern));
        let servers = PerSide { legacy, modern };
        for side in Side::BOTH {
            servers.get(side).create_database(DATABASE).await.unwrap();
            servers.get(side).run(DATABASE, &tables(side)).await.unwrap();
        }
        let (legacy, modern) = (servers.legacy.url(DATABASE), servers.modern.url(DATABASE));
        let operator = Site::new(binary, legacy, modern, contract);
        operator.must_run(&["init"]).await;
        for side in Side::BOTH {
            servers.get(side).run(DATABASE, DISK).await.unwrap();
        }
        let mut places = Vec::new();
        for _ in NAMES {
            places.push(Place::new(binary, contract, &servers, clocks).await);
        }
        let world = Self { servers, clocks: clocks_of_sides, operator, places };
        for replica in 0..REPLICAS {
            world.revive(replica).await;
        }
        world.order(&["set", "inventory", "--stage", "shift", "--reads", "50"]).await.unwrap();
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
        self.servers.get(side)
    }

    /// A connection past all wires.
    ///
    /// # Errors
    /// When the server is down.
    pub async fn connect(&self, side: Side) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.servers.get(side).url(DATABASE), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Kills a replica.
    pub async fn kill(&self, replica: usize) {
        if let Some(mut killed) = self.places[replica].replica.lock().await.take() {
            killed.kill();
        }
    }

    /// Starts a replica and waits until it is ready; starts it again when it ends by itself, as an orchestrator
    /// would. How often that was; `None` when it does not come back.
    pub async fn revive(&self, replica: usize) -> Option<usize> {
        let place = &self.places[replica];
        let mut held = place.replica.lock().await;
        let began = Instant::now();
        for attempt in 0.. {
            let mut launched = place.site.launch(NAMES[replica], place.graphql, place.admin);
            let ready = launched.ready().await;
            if ready {
                *held = Some(launched);
                return Some(attempt);
            }
            if began.elapsed() > BACK_WITHIN {
                break;
            }
            drop(launched);
            sleep(Duration::from_millis(500)).await;
        }
        None
    }

    /// Sends a replica a signal, if it lives.
    pub async fn signal(&self, replica: usize, signal: rustix::process::Signal) {
        if let Some(replica) = &*self.places[replica].replica.lock().await {
            replica.signal(signal);
        }
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
        self.connect(side).await?.batch_execute(&set).await
    }

    /// An order to the fleet: `groups …`; what it says when it does not succeed.
    ///
    /// # Errors
    /// What the command said.
    pub async fn order(&self, arguments: &[&str]) -> Result<(), String> {
        let why = ["--reason", "torture", "--who", "torturer"];
        let command = [&["groups"], arguments, why.as_slice()].concat();
        match timeout(COMMAND_WITHIN, self.operator.run(&command)).await {
            Ok((_, true)) => Ok(()),
            Ok((said, false)) => Err(said),
            Err(_) => Err(format!("no end within {COMMAND_WITHIN:?}")),
        }
    }

    /// Replicas whose process is gone though nobody killed it.
    pub async fn ended_by_themselves(&self) -> usize {
        let mut ended = 0;
        for place in &self.places {
            ended += usize::from(place.replica.lock().await.as_mut().is_none_or(Replica::has_ended));
        }
        ended
    }

    /// The logs of the replicas, by name.
    pub fn logs(&self) -> impl Iterator<Item = (&'static str, String)> {
        NAMES.into_iter().zip(&self.places).map(|(name, place)| (name, place.site.log(name)))
    }

    /// Ends everything.
    ///
    /// # Errors
    /// When a server's folder cannot be removed.
    pub async fn end(self) -> Result<(), LocalServerError> {
        drop(self.places);
        self.servers.legacy.stop().await?;
        self.servers.modern.stop().await
    }
}

impl Place {
    async fn new(binary: &Path, contract: &Path, servers: &PerSide<LocalServer>, clocks: Option<&Path>) -> Self {
        let wire = async |side: Side| Wire::to(servers.get(side).port()).await.unwrap();
        let wires = PerSide { legacy: wire(Side::Legacy).await, modern: wire(Side::Modern).await };
        let url = |wire: &Wire| local_server::url(wire.port(), DATABASE);
        let mut site = Site::new(binary, url(&wires.legacy), url(&wires.modern), contract);
        let clock = Clock::new(clocks);
        site.environment = clock.environment();
        Self { site, graphql: free_port().await, admin: free_port().await, wires, replica: Mutex::default(), clock }
    }
}

fn tables(side: Side) -> String {
    let text = match side {
        Side::Legacy => LEGACY,
        Side::Modern => MODERN,
    };
    let list = |names: &[&str]| format!("ARRAY['{}']", names.join("','"));
    text.replace("$articles", &list(&ARTICLES))
        .replace("$locations", &list(&LOCATIONS))
        .replace("$initial", &INITIAL.to_string())
}

/// Every shelf, by article.
pub fn shelves() -> Vec<[Shelf; 2]> {
    ARTICLES.map(|sku| LOCATIONS.map(|location| Shelf { sku: sku.to_owned(), location: location.to_owned() })).to_vec()
}
