//! What fields hold stays out of what a replica says of itself: its log at the most talkative level, and its metrics.

use std::time::Duration;

use serde_json::{Value as Json, json};
use strangler::demo::storefront::Storefront;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::handover::Shelves;
use crate::replica::eventually;

/// What stands in every field that is no key, and in headers. Nobody else says this.
const MARKER: &str = "Xq7marked";

/// Sends `head` and `body` as they are, and reads until the connection is closed.
async fn sent(url: &str, head: &str, body: &str) -> String {
    let address = url.trim_start_matches("http://").split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let text = format!("{head}\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn metrics(admin: &str) -> String {
    sent(admin, "GET /metrics HTTP/1.1", "").await
}

/// What a text says around the marker, for whoever mends it.
fn leaks(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.contains(MARKER));
    lines.map(|line| line.chars().take(400).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_a_field_is_in_the_log_or_in_the_metrics_whatever_goes_wrong() {
    let mut shelves = Shelves::new().await;
    // GIVEN both sides full of the marker, a replica that says everything, and databases that quote rows in their errors
    let marked = format!("UPDATE shelf SET note = '{MARKER} ' || id");
    shelves.legacy.batch_execute(&marked).await.unwrap();
    shelves.modern.batch_execute(&marked).await.unwrap();
    shelves
        .legacy
        .batch_execute("ALTER TABLE SHELF ADD CONSTRAINT sober CHECK (NOTE NOT LIKE '%drunk%')")
        .await
        .unwrap();
    shelves
        .modern
        .batch_execute("ALTER TABLE shelf ADD CONSTRAINT awake CHECK (note NOT LIKE '%asleep%')")
        .await
        .unwrap();
    let talkative = "CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        RAISE WARNING 'row %', NEW; \
        IF NEW.note LIKE '%awry%' THEN RAISE EXCEPTION 'the row % is awry', NEW; END IF; RETURN NEW; END $$; \
        CREATE TRIGGER quoting BEFORE INSERT OR UPDATE ON shelf FOR EACH ROW EXECUTE FUNCTION quote()";
    shelves.legacy.batch_execute(talkative).await.unwrap();
    shelves.site.more.push_str("[log]\nfilter = \"trace\"\nformat = \"json\"\n");
    let replica = shelves.site.start("one").await;
    let shop = Storefront::new(replica.graphql.clone());
    assert!(shelves.set(&["--stage", "shift", "--reads", "50", "--shadow", "100"]).await.1);
    // WHEN clients read and write, are refused on either side and for either reason
    let put = "mutation($id: ID!, $note: String) { put(id: $id, onHand: 1, note: $note) { id onHand note } }";
    let mut told = String::new();
    for (place, word) in
        ["", "drunk", "asleep", "awry", "too long for any column of the contract, by far"].iter().enumerate()
    {
        for key in [format!("N{place}"), format!("A{}", place + 1)] {
            let reply = shop.ask(put, &json!({ "id": key, "note": format!("{MARKER} {word}") })).await.unwrap();
            told.push_str(&Json::from(reply.errors.clone()).to_string());
        }
    }
    let wrong = format!(
        "{{ shelf(id: \"{MARKER} is no key of eight\") {{ note }} shelves(ids: [\"A1\", \"A2\"]) {{ note }} }}"
    );
    let looks = ["{ shelfList { id onHand note } }", "{ shelf(id: \"A9\") { note } }", &wrong];
    // What a script does behind our back, on both sides, is seen by shadow reads.
    let behind = format!("UPDATE shelf SET note = '{MARKER} behind' WHERE id IN ('A9', 'A10')");
    shelves.modern.batch_execute(&behind).await.unwrap();
    for look in looks.iter().cycle().take(12) {
        let reply = shop.ask(look, &json!({})).await.unwrap();
        told.push_str(&Json::from(reply.errors.clone()).to_string());
    }
    // and their requests carry it where no field is
    let head = format!(
        "POST /graphql HTTP/1.1\r\ncontent-type: application/json\r\nauthorization: Bearer {MARKER}\r\n\
         cookie: session={MARKER}\r\nx-customer-id: {MARKER}"
    );
    let body = json!({ "query": "{ shelf(id: \"A1\") { note } }", "variables": { "x": MARKER } }).to_string();
    let answer = sent(&replica.graphql, &head, &body).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // and both sides have been compared, and differ,
    eventually("shadow reads have been compared", || async {
        for look in &looks {
            shop.ask(look, &json!({})).await.unwrap();
        }
        let counted = metrics(&replica.admin).await;
        counted.lines().any(|line| line.starts_with("strangler_comparisons_total") && !line.ends_with(" 0"))
    })
    .await;
    // and while modern refuses connections, and a person orders what can be ordered.
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    shelves.modern.batch_execute(cut).await.unwrap();
    for place in 11..15 {
        let reply =
            shop.ask(put, &json!({ "id": format!("A{place}"), "note": format!("{MARKER} late") })).await.unwrap();
        told.push_str(&Json::from(reply.errors.clone()).to_string());
    }
    shelves.site.run(&["reconcile", "stock"]).await;
    shelves.site.run(&["groups", "handover", "stock", "--to", "modern", "--dry-run"]).await;
    let (order, _) = shelves.site.run(&["groups", "rollback", "stock", "--who", "ada"]).await;
    told.push_str(&order);
    tokio::time::sleep(Duration::from_millis(500)).await;
    // THEN clients have read it, and nothing else says it.
    let read = shop.ask("{ shelf(id: \"A20\") { note } }", &json!({})).await.unwrap();
    assert!(read.data["shelf"]["note"].as_str().is_some_and(|note| note.contains(MARKER)), "{read:?}");
    let log = shelves.site.log("one");
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log says little:\n{}", &log[..log.len().min(2_000)]);
    assert_eq!(leaks(&log), Vec::<String>::new(), "in the log");
    assert_eq!(leaks(&metrics(&replica.admin).await), Vec::<String>::new(), "in the metrics");
    assert_eq!(leaks(&told), Vec::<String>::new(), "in errors");
}
