//! The record on the command line: what was done, and the chain for other systems.

use chrono::Utc;
use serde_json::Value as Json;

use crate::cli::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn the_record_says_what_was_done_is_searched_and_taken_elsewhere() {
    let bench = Bench::new().await;
    bench.json(&["init"]);
    let until = (Utc::now().date_naive() + chrono::Days::new(30)).to_string();
    let excuse = [
        "diffs",
        "excuse",
        "--route",
        "Query.product",
        "--field",
        "unitPrice",
        "--cause",
        "rounding",
        "--scale",
        "1",
        "--owner",
        "pricing",
        "--until",
        &until,
        "--reason",
        "=1+1, \"so\"",
    ];
    assert_eq!(bench.run(&excuse).2, 0);
    let set =
        ["groups", "set", "inventory", "--stage=shift", "--reads=3", "--shadow=100", "--past-gates", "--reason", "x"];
    let (printed, error, code) = bench.run(&set);
    assert_eq!(code, 0, "{error}");
    assert!(printed.contains("gates do not hold: mismatches"), "{printed}");
    assert!(printed.contains("Back: strangler groups undo inventory --rollout 2 --reason WHY"), "{printed}");
    let (printed, error, code) = bench.run(&["groups", "rollback", "inventory"]);
    assert_eq!(code, 0, "{error}");
    assert!(printed.contains("It was: rollback inventory: reads 3 % -> 0 %."), "{printed}");
    assert!(printed.contains("Back: strangler groups undo inventory --rollout 3 --reason WHY"), "{printed}");

    let (listed, _, _) = bench.run(&["history", "list"]);
    let excused = format!("excused rounding in unitPrice of Query.product (scale: 1) until {until}, owner pricing");
    for words in [excused.as_str(), "stage legacy -> shift, reads 0 % -> 3 %"] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
    let found = bench.json(&["history", "list", "--event", "excused", "--who", "ada", "--since", "1h"]);
    assert_eq!((found.as_array().unwrap().len(), found[0]["summary"].as_str()), (1, Some(excused.as_str())));
    let (page, _, _) = bench.run(&["history", "list", "--limit", "1"]);
    assert!(page.contains("Further back: strangler history list --before "), "{page}");
    let (none, _, code) = bench.run(&["history", "list", "--who", "nobody"]);
    assert_eq!(code, 0);
    assert!(none.contains("No entry of the record is like that") && !none.contains("yet"), "{none}");
    assert_eq!(bench.run(&["history", "list", "--event", "excusd"]).2, 2);

    let (lines, _, code) = bench.run(&["history", "export"]);
    assert_eq!(code, 0);
    let chain: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(chain.len() >= 4, "{lines}");
    for pair in chain.windows(2) {
        assert_eq!(pair[0]["hash"], pair[1]["previous"]);
    }
    let first = chain[0]["place"].to_string();
    let (rest, _, _) = bench.run(&["history", "export", "--after", &first]);
    assert_eq!(rest.lines().count(), chain.len() - 1);
    let (csv, _, _) = bench.run(&["history", "export", "--format", "csv"]);
    assert!(csv.starts_with("\"place\",\"at\",\"event\"") && csv.contains("\"'=1+1, \"\"so\"\"\""), "{csv}");
    assert!(chain.iter().all(|entry| csv.contains(entry["hash"].as_str().unwrap())), "{csv}");
}
