//! What a handover would cost is told before it is ordered; what would be lost is named, and written down when it is
//! forced.

use serde_json::{Value as Json, json};
use strangler::demo::storefront::Storefront;
use testkit::fleet::Site;
use testkit::postgres::Database;
use tokio_postgres::Client;

pub(super) const CONTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/shelves.graphql");
const TO_MODERN: [&str; 5] = ["groups", "handover", "stock", "--to", "modern"];
const TO_LEGACY: [&str; 5] = ["groups", "handover", "stock", "--to", "legacy"];
const FOR_THE_RECORD: [&str; 4] = ["--reason", "the ERP goes", "--who", "ada"];

/// Tables of 50 shelves on both sides.
pub(super) struct Shelves {
    pub(super) site: Site,
    pub(super) legacy: Client,
    pub(super) modern: Client,
    _databases: [Database; 2],
}

async fn connect(database: &Database) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Shelves {
    pub(super) async fn new() -> Self {
        let (erp, shop) = (Database::fresh("erp").await, Database::fresh("shop").await);
        let (legacy, modern) = (connect(&erp).await, connect(&shop).await);
        let rows = "SELECT 'A' || n, 100, NULL FROM generate_series(1, 50) n";
        let table = "CREATE TABLE SHELF (ID char(8) PRIMARY KEY, QTY numeric NOT NULL, NOTE varchar(40))";
        legacy.batch_execute(&format!("{table}; INSERT INTO SHELF {rows}")).await.unwrap();
        // Its texts may be longer than the contract says, and than the ERP's.
        let table = "CREATE TABLE shelf (id varchar(8) PRIMARY KEY, on_hand integer NOT NULL, note varchar)";
        modern.batch_execute(&format!("{table}; INSERT INTO shelf {rows}")).await.unwrap();
        let mut site = Site::new(env!("CARGO_BIN_EXE_strangler"), erp.url(), shop.url(), CONTRACT);
        site.more = "[handover]\nlimit_ms = 700\n".to_owned();
        site.must_run(&["init"]).await;
        Self { site, legacy, modern, _databases: [erp, shop] }
    }

    pub(super) async fn set(&self, what: &[&str]) -> (String, bool) {
        self.site
            .run(&[&["groups", "set", "stock", "--past-gates", "--reason", "x", "--who", "ada"], what].concat())
            .await
    }

    async fn dry_run(&self, order: &[&str]) -> (Json, bool) {
        let (text, ok) = self.site.run(&[&["--json"], order, &["--dry-run"]].concat()).await;
        // What it says of a no stands behind it.
        let json = serde_json::Deserializer::from_str(&text).into_iter().next();
        (json.unwrap().unwrap_or_else(|error| panic!("{error}: {text}")), ok)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_goes_only_where_and_when_it_may_and_is_told_how() {
    let shelves = Shelves::new().await;
    let site = &shelves.site;
    let no = async |order: &[&str], told: &str| {
        let (text, ok) = site.run(&[order, &FOR_THE_RECORD].concat()).await;
        assert!(!ok && text.contains(told), "{told}: {text}");
        let (text, ok) = site.run(&[order, &["--dry-run"]].concat()).await;
        assert!(!ok && text.contains(told), "{told}: {text}");
    };
    no(&TO_MODERN, "group `stock` is at stage `legacy`: modern becomes primary from stage `shift` at 100 %").await;
    assert!(shelves.set(&["--stage", "shift", "--reads", "40"]).await.1);
    no(&TO_MODERN, "modern answers 40 % of the reads of group `stock`: promote it to 100 %").await;
    assert!(shelves.set(&["--reads", "100"]).await.1);
    // The stage is no setting: the command to use is named.
    let (text, ok) = shelves.set(&["--stage", "reverse"]).await;
    assert!(!ok && text.contains("strangler groups handover GROUP --to modern"), "{text}");
    let (text, ok) = site.run(&TO_MODERN).await;
    assert!(!ok && text.contains("--reason"), "{text}");
    site.must_run(&[&TO_MODERN[..], &FOR_THE_RECORD].concat()).await;
    // Legacy only follows now: its answers are no way back.
    let (text, ok) = site.run(&["groups", "rollback", "stock", "--who", "ada"]).await;
    assert!(!ok && text.contains("strangler groups handover stock --to legacy"), "{text}");
    let (text, ok) = shelves.set(&["--stage", "shift"]).await;
    assert!(!ok && text.contains("strangler groups handover GROUP --to legacy"), "{text}");
    // What was done stands in the record, with how long each step took.
    let history = site.must_run(&["--json", "groups", "history", "stock"]).await;
    let history: Json = serde_json::from_str(&history).unwrap();
    assert_eq!(history[0]["author"]["reason"], "the ERP goes");
    assert!(history[0]["summary"].as_str().unwrap().starts_with("handover stock: stage shift -> reverse"), "{history}");
    let told = &history[0]["evidence"]["handover"];
    assert_eq!(told["to"], "modern");
    let step_by_step = |told: &Json, steps: &[&str]| {
        for (place, step) in steps.iter().enumerate() {
            assert_eq!(told["steps"][place]["step"], *step, "{told}");
            assert!(told["steps"][place]["millis"].as_f64() > Some(0.0), "{told}");
        }
    };
    // The rollout comes before modern is opened; the whole of it is in the audit, with how long writes waited.
    step_by_step(told, &["freeze", "drain"]);
    let audit: Json = serde_json::from_str(&site.must_run(&["--json", "history", "list"]).await).unwrap();
    let told = audit.as_array().unwrap().iter().find(|entry| entry["action"] == "handed-over").unwrap();
    step_by_step(&told["detail"], &["freeze", "drain", "publish", "open"]);
    assert!(told["detail"]["pauseMillis"].as_f64() > Some(0.0), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_names_what_would_wait_and_what_would_be_lost_and_changes_nothing() {
    let shelves = Shelves::new().await;
    assert!(shelves.set(&["--stage", "shift", "--reads", "100"]).await.1);
    let (told, ok) = shelves.dry_run(&TO_MODERN).await;
    assert!(ok, "{told}");
    assert_eq!((&told["safe"], &told["rows"], &told["missing"]), (&true.into(), &50.into(), &0.into()));
    shelves.site.must_run(&[&TO_MODERN[..], &FOR_THE_RECORD].concat()).await;
    // GIVEN modern as primary, with a row that the ERP lacks and one that it cannot hold
    let row = "DELETE FROM SHELF WHERE ID = 'A7'";
    shelves.legacy.batch_execute(row).await.unwrap();
    let row = "UPDATE shelf SET note = repeat('x', 41) WHERE id = 'A8'";
    shelves.modern.batch_execute(row).await.unwrap();
    // and a write that waits for the ERP
    let replica = shelves.site.start("one").await;
    shelves.legacy.batch_execute("BEGIN; LOCK TABLE SHELF IN EXCLUSIVE MODE").await.unwrap();
    let shop = Storefront::new(replica.graphql.clone());
    let moved = shop.ask("mutation { move(from: \"A1\", to: \"A2\", quantity: 1) { onHand } }", &json!({})).await;
    assert_eq!(moved.unwrap().errors, Vec::<Json>::new());
    // WHEN somebody asks what going back would cost
    let (told, ok) = shelves.dry_run(&TO_LEGACY).await;
    // THEN all three are named, by key
    assert!(!ok, "{told}");
    assert_eq!((&told["safe"], &told["rows"], &told["unsettled"]), (&false.into(), &50.into(), &1.into()), "{told}");
    assert_eq!(told["unsettledKeys"], json!(["Shelf [\"A1\"]", "Shelf [\"A2\"]"]), "{told}");
    assert_eq!((&told["missing"], &told["missingKeys"]), (&1.into(), &json!(["Shelf [\"A7\"]"])), "{told}");
    assert_eq!(told["unfit"], json!([{ "code": "TOO_LONG", "rows": 1 }]), "{told}");
    assert!(told["unfitKeys"][0].as_str().unwrap().contains("A8"), "{told}");
    let (text, ok) = shelves.site.run(&[&TO_LEGACY[..], &["--dry-run"]].concat()).await;
    assert!(!ok && text.contains("Would be lost to readers: 1 rows") && text.contains("strangler repair"), "{text}");
    let shown = shelves.site.must_run(&["--json", "groups", "show", "stock"]).await;
    assert!(shown.contains("\"reverse\""), "nothing was changed: {shown}");

    // WHEN it is ordered, it is undone, and the keys in the way are named
    let (text, ok) = shelves.site.run(&[&TO_LEGACY[..], &FOR_THE_RECORD].concat()).await;
    assert!(!ok, "{text}");
    for told in ["1 writes could not be brought to legacy", "was undone", "Shelf [\"A1\"]", "--force"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let shown = shelves.site.must_run(&["--json", "groups", "show", "stock"]).await;
    assert!(shown.contains("\"reverse\""), "modern has the authority again: {shown}");
    // and when it is forced, what is left behind stands in the record
    let (text, ok) = shelves.site.run(&[&TO_LEGACY[..], &FOR_THE_RECORD, &["--force"]].concat()).await;
    assert!(ok && text.contains("1 writes were left behind") && text.contains("A2"), "{text}");
    let history = shelves.site.must_run(&["--json", "groups", "history", "stock"]).await;
    let history: Json = serde_json::from_str(&history).unwrap();
    let left = &history[0]["evidence"]["handover"]["left"];
    assert_eq!(
        (&left["writes"], &left["keys"]),
        (&1.into(), &json!(["Shelf [\"A1\"]", "Shelf [\"A2\"]"])),
        "{history}"
    );
    assert!(history[1]["evidence"]["handover"]["undone"] == true, "{history}");
    // Nobody brings it over by itself, and it is told.
    shelves.legacy.batch_execute("COMMIT").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let sql = "SELECT QTY::int8 FROM SHELF WHERE ID = 'A2'";
    assert_eq!(shelves.legacy.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 100);
    let (text, _) = shelves.site.run(&["groups", "show", "stock"]).await;
    assert!(text.contains("1 were left behind"), "{text}");
    let (told, ok) = shelves.dry_run(&TO_MODERN).await;
    assert!(!ok && told["leftBehind"] == 1, "{told}");
}

/// Nothing is handed to, or from, a side that lacks what was settled there; and a dry run says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_has_gone_back_takes_no_authority_and_no_dry_run_calls_it_safe() {
    let shelves = Shelves::new().await;
    assert!(shelves.set(&["--stage", "shift", "--reads", "100"]).await.1);
    for (side, name) in [(&shelves.modern, "modern"), (&shelves.legacy, "legacy")] {
        side.batch_execute("UPDATE strangler_life SET suspended = 'a test'").await.unwrap();
        for how in [&["--dry-run"][..], &FOR_THE_RECORD[..], &[&FOR_THE_RECORD[..], &["--force"]].concat()] {
            let (text, ok) = shelves.site.run(&[&TO_MODERN[..], how].concat()).await;
            assert!(!ok, "{text}");
            for told in [&format!("{name} is suspended (a test)"), "strangler sides raise"] {
                assert!(text.contains(told), "{told}: {text}");
            }
        }
        let shown = shelves.site.must_run(&["--json", "groups", "show", "stock"]).await;
        assert!(shown.contains("\"shift\""), "nothing was changed: {shown}");
        // That nothing is known of it is no proof that it is well.
        side.batch_execute("CREATE TABLE kept AS SELECT * FROM strangler_life; DELETE FROM strangler_life")
            .await
            .unwrap();
        let (text, ok) = shelves.site.run(&[&TO_MODERN[..], &["--dry-run"]].concat()).await;
        assert!(!ok && text.contains(&format!("{name} has no life")), "{text}");
        side.batch_execute("INSERT INTO strangler_life SELECT * FROM kept; DROP TABLE kept").await.unwrap();
        side.batch_execute("UPDATE strangler_life SET suspended = NULL").await.unwrap();
    }
    shelves.site.must_run(&[&TO_MODERN[..], &FOR_THE_RECORD].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_rows_that_share_a_key() {
    let shelves = Shelves::new().await;
    assert!(shelves.set(&["--stage", "shift", "--reads", "100"]).await.1);
    let more = "ALTER TABLE SHELF DROP CONSTRAINT shelf_pkey; \
                INSERT INTO SHELF SELECT * FROM SHELF WHERE ID IN ('A7', 'A8')";
    shelves.legacy.batch_execute(more).await.unwrap();
    let (told, ok) = shelves.dry_run(&TO_MODERN).await;
    assert!(!ok, "{told}");
    assert_eq!((&told["safe"], &told["rows"], &told["keyless"]), (&false.into(), &52.into(), &4.into()), "{told}");
    assert_eq!(told["keylessKeys"], json!(["Shelf [\"A7\"]", "Shelf [\"A8\"]"]), "{told}");
}

/// What the approval does is told, step by step; nothing leads back, and fences that contradict each other are no "so already".
#[tokio::test(flavor = "multi_thread")]
async fn an_approved_end_of_dual_write_says_what_was_done_and_nothing_leads_back() {
    let shelves = Shelves::new().await;
    assert!(shelves.set(&["--stage", "shift", "--reads", "100"]).await.1);
    shelves.site.must_run(&[&TO_MODERN[..], &FOR_THE_RECORD].concat()).await;
    let (told, ok) = shelves.set(&["--stage", "modern"]).await;
    assert!(ok && told.contains("it takes a second person"), "{told}");
    let id = told.split("groups approve ").nth(1).unwrap().split_whitespace().next().unwrap();
    let approve = ["groups", "approve", id, "--reason", "agreed", "--who", "somebody else"];
    let told = shelves.site.must_run(&approve).await;
    for step in ["freeze", "drain", "bar", "alone", "No replica is live"] {
        assert!(told.contains(step), "{step}: {told}");
    }
    let (told, ok) = shelves.set(&["--stage", "modern"]).await;
    assert!(ok && told.contains("is so already"), "{told}");
    let (told, ok) = shelves.site.run(&["groups", "rollback", "stock", "--reason", "x", "--who", "ada"]).await;
    assert!(!ok && told.contains("point of no return") && !told.contains("handover stock --to legacy"), "{told}");

    shelves.legacy.batch_execute("UPDATE strangler_fence SET state = 'open', epoch = epoch + 1").await.unwrap();
    let (told, ok) = shelves.set(&["--stage", "modern"]).await;
    assert!(!ok && told.contains("contradict each other"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_modern_would_not_run_is_named_by_check_and_keeps_the_authority_away_from_it() {
    let mut shelves = Shelves::new().await;
    // GIVEN a statement of modern with a column that is not there
    let right = std::fs::read_to_string(CONTRACT).unwrap();
    let wrong =
        right.replace("SET on_hand = on_hand + :quantity WHERE id = :to", "SET onhand = onhand + 1 WHERE id = :to");
    assert_ne!(right, wrong);
    let (folder, [erp, shop]) = (tempfile::tempdir().unwrap(), &shelves._databases);
    let contract = folder.path().join("schema.graphql");
    std::fs::write(&contract, wrong).unwrap();
    shelves.site = Site::new(env!("CARGO_BIN_EXE_strangler"), erp.url(), shop.url(), contract.to_str().unwrap());
    let site = &shelves.site;
    // THEN check says which one, and where
    let (text, ok) = site.run(&["check"]).await;
    assert!(!ok && text.contains("Mutation.move, statement 2 (line 41 of the contract): column \"onhand\""), "{text}");
    // and a replica serves all the same, what does not need it on modern.
    let replica = site.start("one").await;
    let shop = Storefront::new(replica.graphql.clone());
    let put = "mutation { put(id: \"A1\", onHand: 7) { onHand } }";
    let reply = shop.ask(put, &json!({})).await.unwrap();
    assert_eq!(reply.data["put"]["onHand"], 7, "{reply:?}");
    // The authority does not go there, and the dry run says so before.
    assert!(shelves.set(&["--stage", "shift", "--reads", "100"]).await.1);
    let (text, ok) = site.run(&[&TO_MODERN[..], &["--dry-run"]].concat()).await;
    assert!(!ok && text.contains("onhand"), "{text}");
    let (text, ok) = site.run(&[&TO_MODERN[..], &FOR_THE_RECORD].concat()).await;
    assert!(!ok && text.contains("onhand"), "{text}");
    let shown: Json = serde_json::from_str(&site.must_run(&["--json", "groups", "show", "stock"]).await).unwrap();
    assert_eq!(shown["stage"], "shift", "{shown}");
}
