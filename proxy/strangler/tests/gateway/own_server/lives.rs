//! Databases that go back, move or fail over: real servers, whose data folders are copied and put back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::begin::Begin as _;

use adapters::local_server::LocalServer;
use adapters::memory::control::MemoryControl;
use adapters::postgres::{PostgresStore, Settings};
use data_plane::lives::lost::Order;
use data_plane::lives::memories::Memories;
use data_plane::lives::{LifeWatch, raise};
use data_plane::state_dir::StateDir;
use model::life::{Life, Verdict};
use model::{Change, PerSide, Role, Side, Store, StoreError};
use testkit::contract::{WITHIN, adjust, on_hand, set_level, unsettled};
use testkit::inventory;
use testkit::postgres::{Database, own_server};

use crate::rig::until;

/// A pair of sides; the one that things befall has a server of its own.
pub(super) struct Pair {
    pub(super) server: LocalServer,
    pub(super) stores: PerSide<Arc<dyn Store>>,
    /// Of one replica, that goes on living.
    pub(super) watch: LifeWatch,
    befallen: Side,
    _other: Database,
    _folder: tempfile::TempDir,
}

pub(super) const NAME: &str = "befallen";

pub(super) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn store(side: Side, url: String, role: Role) -> Arc<dyn Store> {
    connect(&url).await.batch_execute(inventory::ddl(side)).await.unwrap();
    let store = PostgresStore::connect(side, inventory::contract(), &Settings::new(url)).unwrap();
    store.begin_as(&[inventory::group()], role, WITHIN).await.unwrap();
    Arc::new(store)
}

impl Pair {
    /// Legacy is primary, and `befallen` is the side with a server of its own.
    pub(super) async fn new(befallen: Side) -> Self {
        let (server, other) = (own_server().await, Database::fresh("other").await);
        server.create_database(NAME).await.unwrap();
        let url = |side| if side == befallen { server.url(NAME) } else { other.url() };
        let stores = PerSide {
            legacy: store(Side::Legacy, url(Side::Legacy), Role::Primary).await,
            modern: store(Side::Modern, url(Side::Modern), Role::Secondary).await,
        };
        let folder = tempfile::tempdir().unwrap();
        let memories = Memories {
            stores: stores.clone(),
            control: Arc::new(MemoryControl::new()),
            state: Some(StateDir::open(folder.path()).unwrap()),
            within: WITHIN,
        };
        let watch = LifeWatch {
            memories,
            compared: Arc::default(),
            answers: Arc::new(|_| {}),
            heard: Arc::new(|_, _| {}),
            spells: PerSide::default(),
        };
        Self { server, stores, watch, befallen, _other: other, _folder: folder }
    }

    fn data(&self) -> PathBuf {
        self.server.folder().join("data")
    }

    /// A copy of the whole database as a crash of the machine would leave it now. It goes on under the same start.
    pub(super) async fn back_up(&self) -> PathBuf {
        self.server.pause().await.unwrap();
        let copy = self.server.folder().join("copy");
        copy_folder(&self.data(), &copy);
        self.server.resume().await.unwrap();
        copy
    }

    /// The copy takes the database's place; as a standby that takes over, or as it was.
    pub(super) async fn put_back(&self, copy: &Path, as_standby: bool) {
        self.server.kill().await.unwrap();
        fs::remove_dir_all(self.data()).unwrap();
        copy_folder(copy, &self.data());
        if as_standby {
            signal_file(&self.data().join("standby.signal"), copy);
        }
        self.server.restart().await.unwrap();
        if as_standby {
            let client = connect(&self.server.url(NAME)).await;
            client.batch_execute("SELECT pg_promote()").await.unwrap();
            until("the standby has taken over", async || {
                let standby: bool = client.query_one("SELECT pg_is_in_recovery()", &[]).await.unwrap().get(0);
                !standby
            })
            .await;
        }
    }

    pub(super) async fn tick(&self, side: Side) -> Verdict {
        self.watch.tick(side).await.unwrap().0
    }

    pub(super) async fn life(&self) -> Life {
        self.stores.get(self.befallen).life(&[], WITHIN).await.unwrap().life.unwrap()
    }

    /// A write of legacy that is on both sides and settled.
    pub(super) async fn write(&self, sku: &str, on_hand: i64) -> Change {
        let change = set_level(&self.stores.legacy, sku, "BER", on_hand).await;
        self.bring(&change).await;
        change
    }

    pub(super) async fn bring(&self, change: &Change) {
        let applied = self.stores.modern.apply(std::slice::from_ref(change), WITHIN).await.unwrap();
        assert!(applied[0].is_done(), "{applied:?}");
        self.stores.legacy.settle(&[change.write], WITHIN).await.unwrap();
    }

    async fn write_is_refused(&self) {
        let refused = self.stores.legacy.execute(&adjust(&self.stores.legacy, "A", "BER", 1), WITHIN).await;
        assert!(matches!(refused, Err(StoreError::Unwritable { .. })), "{refused:?}");
    }

    /// As the order does: what was lost is given up, and the side is raised.
    async fn give_up_and_raise(&self) {
        let life = self.life().await;
        let missing = raise::missing(&self.watch.memories, self.befallen, &life).await.unwrap();
        if !missing.lost.is_empty() {
            let (memories, contract) = (&self.watch.memories, inventory::contract());
            let order = Order { memories, contract: &contract, side: self.befallen, of: life.incarnation };
            let outcome = order.give_up(&missing.lost).await.unwrap();
            assert!(outcome.is_whole(), "{outcome:?}");
        }
        raise::raise(&self.watch.memories, self.befallen, &life, &missing.to_bring).await.unwrap().unwrap();
        assert_eq!(self.tick(self.befallen).await, Verdict::Same);
    }

    pub(super) async fn both(&self, sku: &str) -> (Option<i64>, Option<i64>) {
        (on_hand(&self.stores.legacy, sku, "BER").await, on_hand(&self.stores.modern, sku, "BER").await)
    }
}

/// Copies a folder; the server runs under another account where tests run as root, so owners are copied too.
fn copy_folder(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// An empty file that belongs to whom `like` belongs.
fn signal_file(path: &Path, like: &Path) {
    fs::write(path, "").unwrap();
    let owner = std::process::Command::new("chown").arg("--reference").arg(like).arg(path).status().unwrap();
    assert!(owner.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_copy_acknowledges_nothing_until_it_is_raised_and_later_writes_are_on_both_sides() {
    // GIVEN writes before and after a copy
    let pair = Pair::new(Side::Legacy).await;
    assert_eq!(pair.tick(Side::Legacy).await, Verdict::Same);
    let before = pair.write("A", 10).await;
    let copy = pair.back_up().await;
    pair.tick(Side::Legacy).await;
    pair.write("A", 11).await;
    pair.write("B", 5).await;

    // WHEN the copy is put back: nothing is acknowledged, before and after somebody has looked
    pair.put_back(&copy, false).await;
    pair.write_is_refused().await;
    let verdict = pair.tick(Side::Legacy).await;
    assert!(matches!(verdict, Verdict::GoneBack(_)), "{verdict:?}");
    pair.write_is_refused().await;

    // THEN after an order the primary's truth is on both sides, and so is what is written later
    pair.give_up_and_raise().await;
    assert_eq!(pair.both("A").await, (Some(10), Some(10)));
    assert_eq!(pair.both("B").await, (None, None));
    let after = pair.write("A", 12).await;
    assert!(after.version.incarnation > before.version.incarnation);
    assert_eq!(pair.both("A").await, (Some(12), Some(12)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_takes_over_without_the_tail_waits_for_a_person() {
    let pair = Pair::new(Side::Legacy).await;
    pair.write("A", 10).await;
    pair.tick(Side::Legacy).await;
    let copy = pair.back_up().await;
    // The tail is shorter than the time between two marks.
    pair.write("A", 11).await;
    pair.put_back(&copy, true).await;

    pair.write_is_refused().await;
    let verdict = pair.tick(Side::Legacy).await;
    assert!(matches!(verdict, Verdict::Suspended(_)), "{verdict:?}");
    pair.write_is_refused().await;
    pair.give_up_and_raise().await;
    assert_eq!(pair.both("A").await, (Some(10), Some(10)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_takes_over_with_everything_is_raised_by_itself() {
    let pair = Pair::new(Side::Legacy).await;
    let before = pair.write("A", 10).await;
    pair.tick(Side::Legacy).await;
    let copy = pair.back_up().await;
    pair.put_back(&copy, true).await;

    pair.write_is_refused().await;
    assert_eq!(pair.tick(Side::Legacy).await, Verdict::Moved);
    assert_eq!(pair.tick(Side::Legacy).await, Verdict::Same);
    let after = pair.write("A", 11).await;
    assert!(after.version.incarnation > before.version.incarnation);
    assert_eq!(pair.both("A").await, (Some(11), Some(11)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_secondary_gets_back_what_it_has_lost() {
    let pair = Pair::new(Side::Modern).await;
    pair.tick(Side::Modern).await;
    pair.write("A", 10).await;
    let copy = pair.back_up().await;
    pair.tick(Side::Modern).await;
    let lost = pair.write("A", 11).await;
    pair.put_back(&copy, false).await;

    let verdict = pair.tick(Side::Modern).await;
    assert!(matches!(verdict, Verdict::GoneBack(_)), "{verdict:?}");
    pair.give_up_and_raise().await;
    assert_eq!(unsettled(&pair.stores.legacy).await, 1, "what was settled is to be brought again");
    pair.bring(&lost).await;
    assert_eq!(pair.both("A").await, (Some(11), Some(11)));
}

/// A dump loaded into another server, or a planned upgrade: another system identifier, and the log begins anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_move_by_dump_is_raised_by_itself_and_later_writes_are_newer() {
    let pair = Pair::new(Side::Legacy).await;
    let before = pair.write("A", 10).await;
    pair.tick(Side::Legacy).await;
    let from = connect(&pair.server.url(NAME)).await;

    let new = own_server().await;
    new.create_database(NAME).await.unwrap();
    let moved = store(Side::Legacy, new.url(NAME), Role::Primary).await;
    let to = connect(&new.url(NAME)).await;
    move_rows(&from, &to).await;
    pair.server.kill().await.unwrap();
    let mut stores = pair.stores.clone();
    stores.legacy = Arc::clone(&moved);
    let memories = Memories { stores: stores.clone(), ..pair.watch.memories.clone() };
    let watch = LifeWatch {
        memories,
        compared: Arc::default(),
        answers: Arc::new(|_| {}),
        heard: Arc::new(|_, _| {}),
        spells: PerSide::default(),
    };

    // A connection made after the move is compared before its first use.
    let fresh = PostgresStore::connect(Side::Legacy, inventory::contract(), &Settings::new(new.url(NAME))).unwrap();
    let fresh: Arc<dyn Store> = Arc::new(fresh);
    let refused = fresh.execute(&adjust(&fresh, "A", "BER", 1), WITHIN).await;
    assert!(matches!(refused, Err(StoreError::Unwritable { .. })), "{refused:?}");
    assert_eq!(watch.tick(Side::Legacy).await.unwrap().0, Verdict::Moved);
    assert_eq!(watch.tick(Side::Legacy).await.unwrap().0, Verdict::Same);
    let after = set_level(&moved, "A", "BER", 11).await;
    assert!(after.version.incarnation > before.version.incarnation);
    let applied = stores.modern.apply(&[after], WITHIN).await.unwrap();
    assert!(applied[0].is_done(), "{applied:?}");
    assert_eq!(on_hand(&stores.modern, "A", "BER").await, Some(11));
}

/// All rows of all tables, as a dump has them.
async fn move_rows(from: &tokio_postgres::Client, to: &tokio_postgres::Client) {
    use futures::{SinkExt as _, TryStreamExt as _};
    let tables =
        "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    to.batch_execute("SET session_replication_role = replica").await.unwrap();
    for row in from.query(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        to.batch_execute(&format!("TRUNCATE {table} CASCADE")).await.unwrap();
        let out = from.copy_out(&format!("COPY {table} TO STDOUT")).await.unwrap();
        let rows: Vec<bytes::Bytes> = out.try_collect().await.unwrap();
        let mut sink = Box::pin(to.copy_in(&format!("COPY {table} FROM STDIN")).await.unwrap());
        for row in rows {
            sink.send(row).await.unwrap();
        }
        sink.close().await.unwrap();
    }
}
