//! Every bomb that is known, and some of our own, thrown at a real replica while another client measures. Nothing here
//! is judged by the clock, but for generous deadlines: what the process and the ERP hold, and that everybody else is
//! answered, and rightly. How much slower they are answered the benchmark says (`--only harm`).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use model::{PerSide, Side};
use serde_json::json;
use testkit::fleet::{Replica, Site};
use testkit::harm::{Attack, Bomb};
use testkit::orders;
use testkit::postgres::Database;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::fleet::{BINARY, Fleet, metric, reads, storefront};
use crate::erp::{ARTICLES, Erp, article, connect};
use crate::rig::until;

/// What a replica may take at its fullest, in kB, with nothing but default limits.
const RESIDENT: u64 = 300_000;
/// Generous: the machine is the attacker's, too.
const PATIENCE: Duration = Duration::from_secs(20);
/// Numbers of the ERP that one address may use up by refusals in an hour, and those that were under way.
const NUMBERS: i64 = 100 + 20;
/// How often a bomb is thrown at least: more connections than one address has room for in most budgets.
const SENT: usize = 12;
const HELD: usize = 800;
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const ADJUST: &str = "mutation($s: ID!) { adjustStock(sku: $s, location: \"BER1\", delta: 1) { onHand } }";
const LOOK: &str = "query($s: ID!) { stockLevel(sku: $s, location: \"BER1\") { onHand } }";

/// The shipped contract, with orders that the ERP numbers.
fn contract() -> String {
    let (shipped, orders) = (include_str!("../../../../../schema.graphql"), include_str!("../own_keys.graphql"));
    let body = |kind: &str| {
        let begins = orders.find(&format!("type {kind} {{")).unwrap() + format!("type {kind} {{").len();
        let length = orders[begins..].find("\n}").unwrap();
        &orders[begins..begins + length]
    };
    let types = &orders[..orders.find("type Query {").unwrap()];
    let with = |text: String, kind: &str| {
        let begins = format!("type {kind} {{");
        text.replacen(&begins, &format!("{begins}{}\n", body(kind)), 1)
    };
    with(with(shipped.to_owned(), "Query"), "Mutation") + "\n" + types
}

async fn fleet(folder: &Path) -> Fleet {
    let databases = PerSide { legacy: Database::fresh("erp").await, modern: Database::fresh("shop").await };
    for side in Side::BOTH {
        connect(databases.get(side)).await.batch_execute(orders::ddl(side)).await.unwrap();
    }
    connect(&databases.legacy).await.batch_execute("ALTER TABLE ORDHDR ADD CHECK (ORDQTY > 0)").await.unwrap();
    let (text, file) = (contract(), folder.join("schema.graphql"));
    std::fs::write(&file, &text).unwrap();
    let erp = Erp::under(databases, &text).await;
    let site = Site::new(BINARY, erp.databases.legacy.url(), erp.databases.modern.url(), file);
    site.must_run(&["init"]).await;
    let fleet = Fleet { erp, site };
    for group in ["inventory", "orders"] {
        fleet
            .site
            .must_run(&["groups", "set", group, "--stage", "dual-write", "--reason", "a test", "--who", "me"])
            .await;
    }
    fleet.erp.copy().await;
    fleet
}

/// Of a process: the most that was resident in kB, and its open files. Nothing where there is no /proc.
fn process(replica: &Replica) -> (u64, usize) {
    let folder = Path::new("/proc").join(replica.id().to_string());
    let status = std::fs::read_to_string(folder.join("status")).expect("a replica that runs");
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("what Linux says of each process");
    let most = most.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    (most, std::fs::read_dir(folder.join("fd")).expect("a replica that runs").count())
}

/// What the ERP holds for us.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Held {
    backends: i64,
    ledger: i64,
    sagas: i64,
    map: i64,
    number: i64,
    bytes: i64,
}

impl Held {
    async fn by(erp: &Client) -> Self {
        let text = "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()), \
             (SELECT count(*) FROM strangler_ledger), (SELECT count(*) FROM strangler_saga), \
             (SELECT count(*) FROM strangler_id_map), (SELECT last_value FROM ORDSEQ), \
             (SELECT sum(pg_total_relation_size(oid))::int8 FROM pg_class WHERE relkind = 'r' AND relnamespace <> 'pg_catalog'::regnamespace)";
        let row = erp.query_one(text, &[]).await.unwrap();
        let number = |place| row.get::<_, i64>(place);
        Self {
            backends: number(0),
            ledger: number(1),
            sagas: number(2),
            map: number(3),
            number: number(4),
            bytes: number(5),
        }
    }
}

/// A customer of its own address, who writes and reads what he wrote.
async fn is_served(replica: &Replica, bomb: Bomb, on_hand: &mut i64) {
    let customer = storefront(replica);
    let sku = json!({ "s": article(1) });
    for _ in 0..5 {
        *on_hand += 1;
        let written = timeout(PATIENCE, customer.ask(ADJUST, &sku)).await.unwrap().unwrap();
        assert_eq!((written.code(), &written.data["adjustStock"]["onHand"]), (None, &json!(*on_hand)), "{bomb:?}");
        let read = timeout(PATIENCE, customer.ask(LOOK, &sku)).await.unwrap().unwrap();
        assert_eq!(read.data["stockLevel"]["onHand"], json!(*on_hand), "{bomb:?}: {:?}", read.errors);
    }
}

/// The budget of which a bomb takes all that one address may have.
fn budget_of(bomb: Bomb) -> Option<&'static str> {
    match bomb {
        Bomb::SlowBodies => Some("bodies"),
        Bomb::SilentSockets | Bomb::UnfinishedMessages => Some("sockets"),
        Bomb::UnfinishedHeads => Some("heads"),
        Bomb::UnreadAnswers => Some("memory"),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_every_bomb_others_are_served_and_neither_the_replica_nor_the_erp_grows() {
    // GIVEN a replica with default limits at 100 %
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = fleet(folder.path()).await;
    fleet.set(&["--stage", "shift", "--reads", "100"]).await;
    // As the image has it: the allocator keeps what threads have given back, for each of them.
    fleet.site.environment.push(("MALLOC_ARENA_MAX".to_owned(), "2".to_owned()));
    let replica = fleet.site.start("one").await;
    let graphql: SocketAddr = replica.graphql["http://".len()..].trim_end_matches("/graphql").parse().unwrap();
    let articles: Vec<_> = (1..=ARTICLES).map(article).collect();
    let erp = connect(&fleet.erp.databases.legacy).await;
    let mut on_hand = 100;
    is_served(&replica, Bomb::Deep, &mut on_hand).await;
    let (mut held, (quiet, files)) = (Held::by(&erp).await, process(&replica));
    println!("quiet: {quiet} kB, {files} files, {held:?}");
    for bomb in Bomb::ALL {
        // WHEN somebody throws it
        let attack = Attack::begin(bomb, graphql, ATTACKER, &articles);
        until("the attack is under way", async || attack.thrown() > if bomb.is_held() { HELD } else { SENT }).await;
        // THEN others get right answers
        is_served(&replica, bomb, &mut on_hand).await;
        // AND probes and operators are answered
        let health = timeout(PATIENCE, replica.get("/health/ready")).await.unwrap().unwrap();
        assert_eq!(health.0, 200, "{bomb:?}");
        let order = ["groups", "rollback", "inventory", "--reason", "an attack"];
        timeout(PATIENCE, fleet.site.must_run(&order)).await.unwrap();
        assert!(reads(&replica).await.abs() < 1e-9, "{bomb:?}");
        is_served(&replica, bomb, &mut on_hand).await;
        fleet.set(&["--stage", "shift", "--reads", "100"]).await;
        let thrown = attack.thrown();
        drop(attack);
        if let Some(budget) = budget_of(bomb) {
            let line = format!("strangler_overloaded_total{{budget=\"{budget}\",reason=\"address\"}}");
            assert!(metric(&replica, &line).await.is_some_and(|away| away > 0.0), "{bomb:?}: nobody was sent away");
        }
        // AND when it is over nothing is held
        until("nothing is held", async || {
            let names = ["strangler_body_bytes ", "strangler_request_bytes ", "strangler_connection_bytes "];
            let mut held = 0.0;
            for name in names {
                // A gauge that is not there tells nothing.
                let Some(now) = metric(&replica, name).await else { return false };
                held += now;
            }
            held == 0.0 && process(&replica).1 <= files + 60
        })
        .await;
        let (now, (resident, open)) = (Held::by(&erp).await, process(&replica));
        println!("{:<20} {thrown:>6} thrown, {resident:>7} kB, {open:>4} files, {now:?}", bomb.name());
        assert!(resident <= RESIDENT, "{bomb:?}: {resident} kB");
        // AND the ERP holds what the customer has written, and no more
        assert_eq!((now.ledger, now.sagas), (held.ledger + 2 * 10, held.sagas), "{bomb:?}");
        let used = (now.number - held.number, now.map - held.map);
        assert!(used.0 <= NUMBERS && used.1 <= NUMBERS, "{bomb:?} used {used:?} numbers up with {thrown} requests");
        assert!(now.bytes - held.bytes < 1_000_000 && now.backends <= 40, "{bomb:?}: {held:?}, {now:?}");
        held = now;
    }
    // WHEN all are thrown at once
    let attacks: Vec<_> = Bomb::ALL.into_iter().map(|bomb| Attack::begin(bomb, graphql, ATTACKER, &articles)).collect();
    until("the attack is under way", async || attacks.iter().map(Attack::thrown).sum::<usize>() > 2_000).await;
    // THEN it is no worse
    is_served(&replica, Bomb::Deep, &mut on_hand).await;
    assert_eq!(timeout(PATIENCE, replica.get("/health/ready")).await.unwrap().unwrap().0, 200);
    let thrown: usize = attacks.iter().map(Attack::thrown).sum();
    let (resident, open) = process(&replica);
    println!("all at once          {thrown:>6} thrown, {resident:>7} kB, {open:>4} files");
    assert!(resident <= RESIDENT, "{resident} kB");
}
