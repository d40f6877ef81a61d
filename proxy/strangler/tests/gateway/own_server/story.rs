//! The demo keeps its promises.

use std::process::Stdio;

use serde_json::Value as Json;

use super::fleet::BINARY;

#[tokio::test]
async fn the_demo_tells_its_story_to_the_end_and_keeps_every_promise() {
    let demo = tokio::process::Command::new(BINARY)
        .args(["demo", "--headless", "--graphql-port", "0", "--admin-port", "0", "--items", "5000"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (told, errors) = (String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
    let last = told.trim_end().lines().next_back().unwrap_or_default();
    let figures: Json = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}\n{told}\n{errors}"));
    assert!(demo.status.success(), "{told}\n{errors}");
    for zero in ["clientErrors", "lostWrites", "unsettled"] {
        assert_eq!(figures[zero], 0, "{zero} in {figures}");
    }
    for positive in ["requests", "acknowledgedWrites"] {
        assert!(figures[positive].as_u64() > Some(0), "{positive} in {figures}");
    }
    for cause in ["rounding", "missing-row", "time-zone"] {
        assert!(figures["mismatches"][cause].as_u64() > Some(0), "{cause} in {figures}");
    }
    assert_eq!(figures["sidesEqual"], true);
    assert!(figures["rollbackMillis"].as_f64().is_some_and(|millis| millis < 1_000.0), "{figures}");
    // In one chapter nobody looks: the guard of the fleet's second replica has seen it, and rolled back by itself.
    let by_itself = figures["guardRollbackMillis"].as_f64();
    assert!(by_itself.is_some_and(|millis| millis > 0.0 && millis < 30_000.0), "{figures}");
    // Lines are broken where they are long.
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("nobody looks") && words.contains("the guard rolled back by itself: "), "{told}");
}
