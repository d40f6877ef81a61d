//! The dashboard in a real browser: Chromium, driven by `tests/browser/run.mjs`, on a replica over real databases.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value as Json, json};
use tokio::process::Command;

use super::fleet::{Fleet, storefront};
use crate::erp::{article, connect};
use crate::rig::until;

/// Three sagas that are stuck, as a replica notes them.
const STUCK: &str = r#"
INSERT INTO strangler_saga (id, route, status, revision, document, due_at)
SELECT id, 'Mutation.placeOrder', 'stuck', 9, '{
  "arguments": { "id": "O-1" }, "fingerprint": "f", "attempts": 8, "refusals": 8, "problem": "NOT_RESERVED", "halted": "stuck",
  "steps": [
    { "name": "stock", "state": { "done": { "write": null, "states": [] } }, "attempts": 9, "tried_at": "2026-01-31T08:00:00Z" },
    { "name": "order", "state": { "refused": { "code": "TOO_MANY", "message": "no" } }, "attempts": 2, "tried_at": "2026-01-31T07:59:00Z" },
    { "name": "parcel", "state": "open" }
  ] }', clock_timestamp()
FROM unnest(ARRAY['stuck-one', 'stuck-two', 'stuck-three']) AS id"#;

/// `None`, said aloud, where a developer has none. CI must have one: `bin/test` installs it.
fn chromium() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned()));
    if path.exists() {
        return Some(path);
    }
    let missing = format!("no Chromium at {} (apt install chromium, or set CHROMIUM)", path.display());
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "the dashboard cannot be tested: {missing}");
    eprintln!("SKIPPED: the dashboard is not tested in a browser: {missing}");
    None
}

async fn packages(folder: &Path) {
    if !folder.join("node_modules/playwright-core").exists() || !folder.join("node_modules/axe-core").exists() {
        let install = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
        let installed = Command::new("npm").args(install).current_dir(folder).status().await;
        let installed = installed.expect("the browser test needs Node.js 20 with npm on the path");
        assert!(installed.success(), "npm ci failed in {}", folder.display());
    }
}

/// A new token for `role`, in the file that the replicas of `fleet` know from now on.
async fn token(fleet: &mut Fleet, role: &str) -> String {
    let text = fleet.site.must_run(&["--json", "token", "new", "--name", role, "--role", role]).await;
    let made: Json = serde_json::from_str(&text).unwrap();
    let file = fleet.site.folder().join("tokens");
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    std::fs::write(&file, format!("{known}{}\n", made["line"].as_str().unwrap())).unwrap();
    fleet.site.more_of_admin = format!("tokens_file = {file:?}");
    made["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_shift_roll_back_and_drill_down_in_a_real_browser() {
    let Some(chromium) = chromium() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    packages(&folder).await;
    // GIVEN a group in stage shift with every read compared, and a defect on the modern side
    let mut fleet = Fleet::new().await;
    fleet.set(&["--stage", "shift", "--shadow", "100"]).await;
    let replica = fleet.site.start("one").await;
    let modern = connect(&fleet.erp.databases.modern).await;
    modern.batch_execute("UPDATE stock_level SET on_hand = 77 WHERE sku = 'ITM-003'").await.unwrap();
    modern.batch_execute("UPDATE product SET unit_price = round(unit_price, 1)").await.unwrap();
    connect(&fleet.erp.databases.legacy).await.batch_execute(STUCK).await.unwrap();
    let storefront = storefront(&replica);
    let look = "query($s: ID!) { stockLevel(sku: $s, location: \"BER1\") { onHand reserved } product(sku: $s) { name unitPrice } }";
    for number in 0..20 {
        storefront.ask(look, &json!({ "s": article(number) })).await.unwrap();
    }
    until("the differences are known", async || {
        let list = fleet.site.must_run(&["diffs", "list"]).await;
        list.contains("stockLevel") && list.contains("unitPrice")
    })
    .await;
    // WHEN somebody walks through the dashboard
    let screenshots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../browser-screenshots");
    let tokens = [token(&mut fleet, "viewer").await, token(&mut fleet, "operator").await];
    let guarded = fleet.site.start("guarded").await;
    let walk = Command::new("node")
        .arg("run.mjs")
        .current_dir(&folder)
        .env("CHROMIUM", chromium)
        .env("OPEN", format!("http://{}", replica.admin))
        .env("GUARDED", format!("http://{}", guarded.admin))
        .env("VIEWER_TOKEN", &tokens[0])
        .env("OPERATOR_TOKEN", &tokens[1])
        .env("SCREENSHOTS", &screenshots)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    // THEN every step went as it should
    let told = String::from_utf8_lossy(&walk.stdout);
    assert!(walk.status.success(), "{told}{}", String::from_utf8_lossy(&walk.stderr));
    assert!(told.trim_end().ends_with("every step went as it should"), "{told}");
    eprintln!("{told}");
    // and what was ordered there stands in the record
    let history = fleet.site.must_run(&["groups", "history", "inventory"]).await;
    assert!(history.contains("the browser shifts") && history.contains("the browser rolls back"), "{history}");
    let orders = fleet.site.must_run(&["history", "list"]).await;
    assert!(orders.contains("the browser has mended it") && orders.contains("mends it by hand"), "{orders}");
}
