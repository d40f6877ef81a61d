//! Replicas of two contracts side by side, forth and back, over one pair of real databases.

use std::sync::Arc;
use std::time::Duration;

use adapters::postgres::{PostgresStore, Settings};
use contract::Loaded;
use data_plane::catchup::shapes::Shapes;
use model::shape::registered;
use model::{PerSide, Shape, ShapeLog as _, Side, Stage, Store};
use serde_json::{Value as Json, json};
use testkit::postgres::Database;
use tokio_postgres::{Client, NoTls};

use crate::rig::{Ground, Pace, Replica, WITHIN, until};

/// The widest contract.
const WHOLE: &str = include_str!("contracts.graphql");

/// The contract without what one word leads to: a line of a field, and the arguments that set it.
fn without_note() -> String {
    let kept = WHOLE.lines().filter(|line| !line.trim_start().starts_with("note: String"));
    kept.collect::<Vec<_>>().join("\n").replace(", note: String", "")
}

fn without_box() -> String {
    let mut text = WHOLE.replace("  box(id: ID!): Box @byKey\n", "");
    for (from, to) in [("type Box @entity", "type Query"), ("  pack(shelf", "}\n")] {
        let start = text.find(from).unwrap();
        let end = if to == "}\n" { text.rfind('}').unwrap() } else { start + text[start..].find(to).unwrap() };
        text.replace_range(start..end, "");
    }
    text
}

/// A pair of databases that any number of contracts look at.
struct World {
    databases: PerSide<Database>,
    clients: PerSide<Client>,
    first: Ground,
}

impl World {
    /// Shelves A to F on both sides, under `text`.
    async fn new(text: &str) -> Self {
        let databases = PerSide { legacy: Database::fresh("erp").await, modern: Database::fresh("shop").await };
        let clients = PerSide { legacy: connect(&databases.legacy).await, modern: connect(&databases.modern).await };
        let legacy = "CREATE TABLE SHELF (ID char(8) PRIMARY KEY, QTY numeric NOT NULL, NOTE varchar(40)); \
                      CREATE TABLE BOX (ID char(8) PRIMARY KEY, LBL varchar(40) NOT NULL); \
                      INSERT INTO SHELF SELECT chr(n), 100 FROM generate_series(65, 70) n";
        let modern = "CREATE TABLE shelf (id varchar(8) PRIMARY KEY, on_hand integer NOT NULL, note varchar(40)); \
                      CREATE TABLE box (id varchar(8) PRIMARY KEY, label varchar(40) NOT NULL); \
                      INSERT INTO shelf SELECT chr(n), 100 FROM generate_series(65, 70) n";
        clients.legacy.batch_execute(legacy).await.unwrap();
        clients.modern.batch_execute(modern).await.unwrap();
        let first = Ground::new(load(text), stores(&databases, &load(text)));
        first.prepare().await;
        Self { databases, clients, first }
    }

    /// The same databases and rollout, under another contract.
    fn under(&self, text: &str) -> Ground {
        self.first.over(load(text), stores(&self.databases, &load(text)))
    }

    /// Every row of a side, as text.
    async fn rows(&self, side: Side) -> Vec<String> {
        let sql = match side {
            Side::Legacy => {
                "SELECT concat_ws('|', 'shelf', trim(ID), QTY::text, coalesce(NOTE, '-')) FROM SHELF \
                 UNION ALL SELECT concat_ws('|', 'box', trim(ID), LBL) FROM BOX ORDER BY 1"
            }
            Side::Modern => {
                "SELECT concat_ws('|', 'shelf', id, on_hand::text, coalesce(note, '-')) FROM shelf \
                 UNION ALL SELECT concat_ws('|', 'box', id, label) FROM box ORDER BY 1"
            }
        };
        self.clients.get(side).query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Both sides are the same, and it is not nothing.
    async fn is_level(&self) -> Vec<String> {
        let (legacy, modern) = (self.rows(Side::Legacy).await, self.rows(Side::Modern).await);
        assert_eq!(legacy, modern);
        assert!(!legacy.is_empty());
        legacy
    }
}

async fn connect(database: &Database) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn load(text: &str) -> Loaded {
    contract::load(text, "contracts.graphql").unwrap_or_else(|errors| panic!("{errors}"))
}

fn stores(databases: &PerSide<Database>, loaded: &Loaded) -> PerSide<Arc<dyn Store>> {
    let store = |side| -> Arc<dyn Store> {
        let settings = Settings::new(databases.get(side).url());
        Arc::new(PostgresStore::connect(side, Arc::clone(&loaded.contract), &settings).unwrap())
    };
    PerSide { legacy: store(Side::Legacy), modern: store(Side::Modern) }
}

/// What a replica does when it starts, as `app` does it.
async fn start(ground: &Ground) -> (Replica, Arc<Shapes>) {
    let dynamic = ground.stores.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>);
    let shapes = Shapes::new(Arc::clone(&ground.loaded.contract), dynamic);
    shapes.start().await.unwrap();
    (Replica::ready(ground, &Pace { deadline: Duration::from_secs(10), ..Pace::default() }).await, shapes)
}

async fn acknowledged(replica: &Replica, mutation: &str) -> Json {
    let reply = replica.ask(&format!("mutation {{ {mutation} }}")).await;
    assert!(reply.body["errors"].is_null(), "{mutation}: {}", reply.body);
    reply.body["data"].clone()
}

/// Fault 3a: what the newer contract wrote while it was cut off is not buried by what the older one writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_the_older_contract_buries_nothing_of_the_newer_one() {
    let world = World::new(&without_note()).await;
    let (old_ground, new_ground) = (&world.first, world.under(WHOLE));
    let (old, _) = start(old_ground).await;
    let (new, _) = start(&new_ground).await;
    new_ground.stores.modern.down(true);
    acknowledged(&new, r#"write(id: "A", onHand: 5, note: "red") { onHand note }"#).await;
    acknowledged(&old, r#"put(id: "A", onHand: 7) { onHand }"#).await;
    acknowledged(&old, r#"move(from: "A", to: "B") { onHand }"#).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(old_ground.backlog().await >= 2, "the older one applies nothing of it");
    new_ground.stores.modern.heal();
    new_ground.settled().await;
    let rows = world.is_level().await;
    assert!(rows.contains(&"shelf|A|6|red".to_owned()) && rows.contains(&"shelf|B|101|-".to_owned()), "{rows:?}");
}

/// The same where nobody could raise the shape on modern, since it was down when the newer replica started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_was_down_when_the_newer_contract_came_loses_nothing() {
    let world = World::new(&without_note()).await;
    let (old_ground, new_ground) = (&world.first, world.under(WHOLE));
    let (old, _) = start(old_ground).await;
    new_ground.stores.modern.down(true);
    let (new, shapes) = start(&new_ground).await;
    acknowledged(&new, r#"write(id: "A", onHand: 5, note: "red") { onHand note }"#).await;
    acknowledged(&old, r#"put(id: "A", onHand: 7) { onHand }"#).await;
    until("the older replica has brought its own over", async || {
        world.rows(Side::Modern).await.contains(&"shelf|A|7|-".to_owned())
    })
    .await;
    new_ground.stores.modern.heal();
    shapes.look(Side::Modern, WITHIN).await.unwrap();
    new_ground.settled().await;
    assert!(world.is_level().await.contains(&"shelf|A|7|red".to_owned()));
}

/// Faults 3b and 3c, and what the older replica says of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_replica_knows_what_waits_and_answers_a_repeat() {
    let world = World::new(&without_note()).await;
    let (old_ground, new_ground) = (&world.first, world.under(WHOLE));
    let (old, shapes) = start(old_ground).await;
    let (new, _) = start(&new_ground).await;
    new_ground.stores.modern.down(true);
    let write = r#"mutation { write(id: "A", onHand: 5, note: "red") { onHand note } }"#;
    let headers = [("idempotency-key", "k")];
    let first = new.ask_with(write, &json!({}), &headers).await;
    assert!(first.body["errors"].is_null(), "{}", first.body);
    let key = model::EntityKey::new("Shelf".into(), vec!["A".into()]);
    until("the older replica knows the key", async || old.unsettled.contains(&old_ground.group(), &key)).await;
    old_ground.set(Stage::Shift, 100.0, 0.0);
    let read = old.ask(r#"{ shelf(id: "A") { onHand } }"#).await;
    assert_eq!(read.body["data"]["shelf"]["onHand"], 5, "read where it was written");
    shapes.look(Side::Legacy, WITHIN).await.unwrap();
    assert_eq!(shapes.behind(), ["Shelf: this contract does not have the field note"]);
    let left = old_ground.stores.legacy.left_to_newer(&old_ground.group(), 10, WITHIN).await.unwrap();
    assert_eq!(left.iter().map(|one| one.key.clone()).collect::<Vec<_>>(), [key]);
    // A repeat of a mutation that both know, at the older replica.
    let put = r#"mutation { put(id: "B", onHand: 9) { onHand } }"#;
    let headers = [("idempotency-key", "p")];
    let first = new.ask_with(put, &json!({}), &headers).await;
    let again = old.ask_with(put, &json!({}), &headers).await;
    assert!(first.body["errors"].is_null());
    assert_eq!(first.body, again.body, "the first result, once");
    new_ground.stores.modern.heal();
    new_ground.settled().await;
    world.is_level().await;
}

/// One client of each replica, and disturbances of modern for both.
async fn load_both(old: &Replica, new: &Replica, grounds: [&Ground; 2], rounds: u32) {
    let one = async |replica: &Replica, mutations: &[&str], seed: u32| {
        for round in 0..rounds {
            let n = (round * 7 + seed) % 6;
            let (here, there) = (char::from(b'A' + n as u8), char::from(b'A' + ((n + 1) % 6) as u8));
            let mutation = mutations[(round + seed) as usize % mutations.len()];
            let mutation = mutation.replace("THERE", &there.to_string()).replace("HERE", &here.to_string());
            let mutation = mutation.replace("ROUND", &round.to_string());
            let reply = replica.ask(&format!("mutation {{ {mutation} }}")).await;
            let code = reply.body["errors"][0]["extensions"]["code"].clone();
            // A move names a shelf that somebody dropped: it is done, and has no record to show.
            let dropped = code == "NOT_FOUND" || (code == "NULL_VALUE" && mutation.starts_with("move"));
            assert!(code.is_null() || dropped, "{mutation}: {}", reply.body);
        }
    };
    let narrow = [
        r#"put(id: "HERE", onHand: ROUND) { onHand }"#,
        r#"move(from: "HERE", to: "THERE") { onHand }"#,
        r#"drop(id: "HERE")"#,
        r#"put(id: "HERE", onHand: 50) { onHand }"#,
    ];
    let wide: &[&str] = &[
        r#"put(id: "HERE", onHand: ROUND) { onHand }"#,
        r#"write(id: "HERE", onHand: ROUND, note: "n ROUND") { note }"#,
        r#"pack(shelf: "HERE", box: "THERE", label: "l ROUND") { label }"#,
        r#"write(id: "HERE", onHand: 70) { note }"#,
    ];
    let has = |ground: &Ground, name: &str| {
        ground.loaded.contract.root(&format!("Mutation.{name}").as_str().into()).is_some()
    };
    let with_note = |ground: &Ground| {
        let shelf = ground.loaded.contract.entity(&"Shelf".into()).unwrap();
        shelf.index("note").is_some()
    };
    let of = |ground: &Ground| -> Vec<&'static str> {
        let fits = |text: &&&str| {
            (!text.contains("note") || with_note(ground)) && (!text.starts_with("pack") || has(ground, "pack"))
        };
        let wide = wide.iter().filter(fits).copied();
        narrow.iter().copied().chain(wide).collect()
    };
    let (ours, theirs) = (of(grounds[0]), of(grounds[1]));
    let disturb = async {
        for round in 0..4 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let ground = grounds[round % 2];
            ground.stores.modern.down(true);
            tokio::time::sleep(Duration::from_millis(100)).await;
            ground.stores.modern.heal();
        }
    };
    tokio::join!(one(old, &ours, 0), one(new, &theirs, 3), one(old, &ours, 2), one(new, &theirs, 5), disturb);
}

/// What `init --accept-contract` does once nothing of the other contract waits.
async fn accept(ground: &Ground) {
    for side in Side::BOTH {
        let store = ground.stores.get(side);
        let remembered = store.shapes(WITHIN).await.unwrap();
        for (name, entity) in &ground.loaded.contract.entities {
            let (own, now) = (Shape::of(entity), registered(&remembered, name).unwrap());
            if now.id != own.id() {
                assert!(store.register(&own, now.rank, WITHIN).await.unwrap());
            }
        }
    }
}

/// The older contract, then both under load, then the older one alone again.
async fn forth_and_back(old_text: &str, new_text: &str) {
    let world = World::new(old_text).await;
    let (old_ground, new_ground) = (world.first.clone(), world.under(new_text));
    let (old, _) = start(&old_ground).await;
    {
        let (new, _) = start(&new_ground).await;
        load_both(&old, &new, [&old_ground, &new_ground], 60).await;
        new_ground.settled().await;
        world.is_level().await;
        load_both(&old, &new, [&old_ground, &new_ground], 20).await;
        new_ground.settled().await;
    }
    accept(&old_ground).await;
    load_both(&old, &old, [&old_ground, &old_ground], 20).await;
    old_ground.settled().await;
    world.is_level().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_is_added_and_taken_back_under_load() {
    forth_and_back(&without_note(), WHOLE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_is_removed_and_comes_back_under_load() {
    forth_and_back(WHOLE, &without_note()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_is_added_and_taken_back_under_load() {
    forth_and_back(&without_box(), WHOLE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_is_made_required_and_optional_again_under_load() {
    let required = WHOLE.replace("  note: String @home", "  note: String! @home");
    let noted = |text: &str| text.replace(", note: String)", ", note: String! = \"none\")");
    let world_text = noted(WHOLE);
    forth_and_back(&world_text, &noted(&required)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_rules_of_comparison_come_and_go_under_load() {
    let rules = WHOLE.replace("  note: String @home", "  note: String @compare(ignoreCase: true) @home");
    forth_and_back(WHOLE, &rules).await;
}

/// What cannot run side by side is refused before the first write, with type, field and what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_run_side_by_side_is_refused_at_start() {
    let world = World::new(WHOLE).await;
    let _old = start(&world.first).await;
    let column = WHOLE.replace(r#"column: "note", type"#, r#"column: "remark", type"#);
    let table = WHOLE.replace(r#"modern: "box")"#, r#"modern: "boxes")"#);
    let group = WHOLE.replace(r#"type Box @entity(group: "stock""#, r#"type Box @entity(group: "boxes""#);
    for (text, said) in [
        (column, "Shelf: note lives in another column on modern"),
        (table, "Box: the type lives in another table on modern"),
        (group, "Box: the type was in group stock"),
    ] {
        let Ok(loaded) = contract::load(&text, "contracts.graphql") else {
            // A write that spans two groups is refused by the contract itself.
            assert!(text.contains("\"boxes\""));
            continue;
        };
        let stores = stores(&world.databases, &loaded);
        let shapes = Shapes::new(Arc::clone(&loaded.contract), stores);
        let refused = shapes.start().await.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
        assert!(refused.contains("strangler init --accept-contract"), "{refused}");
    }
    let remembered = world.first.stores.modern.shapes(WITHIN).await.unwrap();
    assert!(remembered.iter().all(|one| one.rank <= 1), "nothing was raised: {remembered:?}");
}
