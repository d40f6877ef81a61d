//! `reconcile` and `repair` as operators use them: what is found is told, what is levelled is recorded.

use std::path::PathBuf;

use serde_json::Value as Json;
use tempfile::TempDir;
use testkit::postgres::Database;

use crate::cli::run;
use crate::follow::postgres;

/// A contract of shelves, tables of 50 on both sides, dual-write.
struct Site {
    _folder: TempDir,
    config: PathBuf,
    legacy: Database,
    modern: Database,
}

async fn sql(database: &Database, text: &str) {
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(text).await.unwrap();
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (legacy, modern) = (Database::fresh("drift").await, Database::fresh("drift").await);
        let rows = "SELECT 'A' || n, 100, NULL FROM generate_series(1, 50) n";
        let erp = "CREATE TABLE SHELF (ID char(8) PRIMARY KEY, QTY numeric NOT NULL, NOTE varchar(40))";
        let shop = "CREATE TABLE shelf (id varchar(8) PRIMARY KEY, on_hand integer NOT NULL, note varchar(40))";
        sql(&legacy, &format!("{erp}; INSERT INTO SHELF {rows}")).await;
        sql(&modern, &format!("{shop}; INSERT INTO shelf {rows}")).await;
        let config = folder.path().join("strangler.toml");
        let text = format!(
            "contract = {:?}\nstate_dir = {:?}\n[sides.legacy]\nurl = {:?}\n[sides.modern]\nurl = {:?}\n",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/shelves.graphql"),
            folder.path().join("state"),
            legacy.url(),
            modern.url()
        );
        std::fs::write(&config, text).unwrap();
        let site = Self { _folder: folder, config, legacy, modern };
        assert_eq!(site.run(&["init"]).2, 0);
        site
    }

    fn run(&self, arguments: &[&str]) -> (String, String, i32) {
        run(&[&["--config", self.config.to_str().unwrap()], arguments].concat())
    }

    fn json(&self, arguments: &[&str], expected: i32) -> Json {
        let (printed, error, code) = self.run(&[&["--json"], arguments].concat());
        assert_eq!(code, expected, "{printed}\n{error}");
        serde_json::from_str(&printed).unwrap()
    }

    fn dual_write(&self) {
        assert_eq!(self.run(&["groups", "set", "stock", "--stage", "dual-write", "--reason", "x"]).2, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_told_levelled_and_recorded() {
    let site = Site::new().await;
    let (_, error, code) = site.run(&["reconcile", "stock"]);
    assert_eq!(code, 1);
    assert!(error.contains("stage legacy") && error.contains("dual-write first"), "{error}");
    let (_, error, code) = site.run(&["repair", "--entity", "Shelf", "--key", r#"["A1"]"#, "--reason", "x"]);
    assert_eq!(code, 1);
    assert!(error.contains("stage legacy"), "{error}");
    assert_eq!(site.run(&["reconcile"]).2, 1, "no group is written to both sides");

    site.dual_write();
    let clean = site.json(&["reconcile"], 0);
    assert_eq!((&clean["complete"], &clean["drift"]), (&true.into(), &0.into()));
    assert_eq!(clean["types"][0]["findings"]["rows"]["modern"], 50);

    let planted = "DELETE FROM shelf WHERE id IN ('A1', 'A2'); UPDATE shelf SET on_hand = 7 WHERE id = 'A3'; \
                   INSERT INTO shelf VALUES ('EXTRA', 1, NULL)";
    sql(&site.modern, planted).await;
    let (printed, _, code) = site.run(&["reconcile", "stock"]);
    assert_eq!(code, 1);
    for told in ["4 have drifted", "missing-row, 2 rows", "extra-row, 1 rows", "onHand: different, 1 rows"] {
        assert!(printed.contains(told), "{told}: {printed}");
    }
    let missing = ["repair", "stock", "--cause", "missing-row", "--reason", "lost"];
    let tried = site.json(&[&missing[..], &["--dry-run"]].concat(), 0);
    assert_eq!(tried["types"][0]["keys"].as_array().unwrap().len(), 2);
    assert_eq!(site.json(&["reconcile"], 1)["drift"], 4, "a dry run changes nothing");
    assert_eq!(site.json(&missing, 0)["types"][0]["count"]["repaired"], 2);
    let keys = ["repair", "--entity", "Shelf", "--key", r#"["A3"]"#, "--key", r#"["A4"]"#, "--reason", "ticket 7"];
    let count = &site.json(&keys, 0)["types"][0]["count"];
    assert_eq!((&count["repaired"], &count["level"]), (&1.into(), &1.into()));
    let all = site.json(&["reconcile", "--repair", "--reason", "the rest"], 0);
    assert_eq!(all["types"][0]["repair"]["repaired"], 1);
    assert_eq!(site.json(&["reconcile"], 0)["drift"], 0);

    let control = postgres(&site.modern).await;
    let repairs = control.repairs(Some(&"stock".into()), 10).await.unwrap();
    let told: Vec<_> = repairs.iter().map(|one| one.order.asked.as_str()).collect();
    let expected = ["every row that reconcile named", r#"key ["A3"], ["A4"]"#, "every row with cause missing-row"];
    assert_eq!(told, expected);
    assert!(repairs.iter().all(|one| one.order.author.who == "ada" && one.count.is_some()));
    assert_eq!(repairs[1].order.author.reason.as_deref(), Some("ticket 7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_primary_does_not_empty_the_secondary() {
    let site = Site::new().await;
    site.dual_write();
    sql(&site.legacy, "DELETE FROM SHELF").await;
    for order in
        [&["reconcile", "--repair", "--reason", "x"][..], &["repair", "stock", "--cause", "extra-row", "--reason", "x"]]
    {
        let (_, error, code) = site.run(order);
        assert_eq!(code, 1);
        assert!(error.contains("legacy holds no row of Shelf at all"), "{error}");
    }
    let rows = site.json(&["reconcile"], 1)["types"][0]["findings"]["rows"].clone();
    assert_eq!((&rows["legacy"], &rows["modern"]), (&0.into(), &50.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_is_named_and_touches_nothing() {
    let site = Site::new().await;
    site.dual_write();
    let repair = |rest: &[&'static str]| [&["repair"], rest, &["--reason", "x"]].concat();
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (repair(&["--entity", "Shelv", "--key", "[\"A1\"]"]), "did you mean `Shelf`?"),
        (repair(&["--entity", "Shelf", "--key", "A1"]), "--key is a JSON array with id of Shelf"),
        (repair(&["--entity", "Shelf", "--key", "[\"A1\",2]"]), "--key is a JSON array"),
        (repair(&["--entity", "Shelf", "--key", "[7]"]), "--key is a JSON array"),
        (repair(&["stock", "--cause", "missing-rows"]), "did you mean `missing-row`?"),
        (repair(&["stock", "--cause", "order"]), "there is no cause `order` of a row"),
        (repair(&["stock", "--cause", "different", "--field", "onHnad"]), "did you mean `onHand`?"),
        (repair(&["stok", "--cause", "different"]), "there is no group `stok`"),
        (repair(&["stock"]), "required"),
        (repair(&["stock", "--key", "[\"A1\"]"]), "cannot be used with"),
        (vec!["repair", "stock", "--cause", "different"], "--reason"),
        (vec!["repair", "stock", "--cause", "different", "--reason", " "], "--reason is empty"),
        (vec!["reconcile", "stok"], "there is no group `stok`"),
        (vec!["reconcile", "--entity", "Shelv"], "did you mean `Shelf`?"),
        (vec!["reconcile", "--repair"], "--reason"),
    ];
    for (case, expected) in cases {
        let (printed, error, code) = site.run(&case);
        assert_eq!((printed.as_str(), code), ("", 2), "{case:?}: {error}");
        assert!(error.contains(expected), "{case:?}: {error}");
    }
    let control = postgres(&site.modern).await;
    assert!(control.repairs(None, 10).await.unwrap().is_empty());
    for command in ["reconcile", "repair"] {
        let (printed, _, code) = site.run(&[command, "--help"]);
        assert_eq!(code, 0);
        assert!(printed.contains("--entity") && printed.contains("--reason"), "{printed}");
    }
}
