//! From a noisy route down to the history of one key, an excuse, and the balance: the real binary.

use chrono::Utc;
use model::control::{BatchId, Sums};
use model::evidence::{Cause, Difference, Observation, Sample, Verdict};
use model::{Instant, PerSide, Rule};
use serde_json::json;
use uuid::Uuid;

use crate::cli::Bench;
use crate::follow::postgres;

const MONEY: [&str; 11] = [
    "breakeven",
    "--daily-transactions",
    "120000",
    "--cost-per-error",
    "18",
    "--licences-per-day",
    "2400",
    "--missed-revenue-per-day",
    "9000",
    "--team-per-day",
    "3600",
];

/// Three comparisons of one price, one of them a mismatch.
fn evidence() -> Sums {
    let (at, mut sums) = (Instant::new(Utc::now()), Sums::default());
    let difference = Difference {
        field: Some("unitPrice".into()),
        cause: Cause::Rounding,
        key: "[\"SKU-1\"]".into(),
        values: PerSide { legacy: "12.35".into(), modern: "12.345".into() },
        records: PerSide {
            legacy: json!({ "sku": "SKU-1", "unitPrice": "12.35" }),
            modern: json!({ "sku": "SKU-1", "unitPrice": "12.345" }),
        },
        excused: false,
        explained: vec![Rule::Scale(2)],
    };
    for verdict in [Verdict::Match, Verdict::Match, Verdict::Mismatch] {
        let differences = if verdict == Verdict::Mismatch { vec![difference.clone()] } else { Vec::new() };
        let observation = Observation {
            route: "Query.product".into(),
            verdict,
            reason: None,
            differences,
            fields: vec!["unitPrice".into()],
            keys: Vec::new(),
        };
        sums.absorb(&observation, at);
    }
    sums.samples.push(Sample { id: "feed01".into(), route: "Query.product".into(), seen_at: at, difference });
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_names_the_next_down_to_the_history_of_a_key() {
    let bench = Bench::new().await;
    bench.json(&["init"]);
    // Nothing was compared: the balance refuses to conclude, and says what to do.
    let (_, error, code) = bench.run(&MONEY);
    assert_eq!(code, 1);
    assert!(error.contains("nothing has been compared") && error.contains("--stage shadow"), "{error}");
    let (_, error, code) = bench.run(&["breakeven"]);
    assert_eq!(code, 2);
    assert!(error.contains("--daily-transactions") && error.contains("--team-per-day"), "{error}");

    let control = postgres(&bench.databases[1]).await;
    control.add_evidence(BatchId(Uuid::new_v4()), &evidence()).await.unwrap();
    let (list, _, code) = bench.run(&["diffs", "list"]);
    assert_eq!(code, 0);
    let next = "strangler diffs report --route Query.product --field unitPrice --cause rounding";
    assert!(list.contains(next), "{list}");
    let words: Vec<_> = next.split(' ').skip(1).collect();
    let (report, error, code) = bench.run(&words);
    assert_eq!(code, 0, "{error}");
    assert!(report.contains("legacy rounds to 2 digits: 1 of 1 row is explained by `scale: 2`"), "{report}");
    assert!(report.contains("@compare(scale: 2)") && report.contains("Mismatches by minute"), "{report}");
    assert!(report.contains("strangler diffs show feed01 --history"), "{report}");
    let (shown, error, code) = bench.run(&["diffs", "show", "feed01", "--history"]);
    // The tables of the contract are not in these databases: each side says so, and the command goes on.
    assert_eq!(code, 0, "{error}");
    assert!(shown.contains("legacy: not known") && shown.contains("modern: not known"), "{shown}");

    // Three are too few to say anything of so small a probability.
    let (_, error, code) = bench.run(&MONEY);
    assert_eq!(code, 1);
    assert!(error.contains("too few: 3 of about 432 answers"), "{error}");
    for _ in 0..150 {
        control.add_evidence(BatchId(Uuid::new_v4()), &Sums { samples: Vec::new(), ..evidence() }).await.unwrap();
    }
    let weighed = bench.json(&MONEY);
    assert_eq!(weighed["balance"], "errors-cost-more");
    assert_eq!(weighed["measured"]["mismatches"], 151);
    let told = &weighed["given"][1];
    assert_eq!(
        (&told["name"], &told["value"], &told["source"]),
        (&json!("cost_per_error"), &json!(18.0), &json!("--cost-per-error"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excuse_is_accepted_listed_and_taken_back() {
    let bench = Bench::new().await;
    bench.json(&["init"]);
    let until = (Utc::now().date_naive() + chrono::Days::new(30)).to_string();
    let excuse = |route: &str, field: &str, cause: &str, until: &str| {
        let arguments = [
            "diffs",
            "excuse",
            "--route",
            route,
            "--field",
            field,
            "--cause",
            cause,
            "--scale",
            "2",
            "--owner",
            "pricing",
            "--until",
            until,
            "--reason",
            "the ERP rounds",
        ];
        bench.run(&arguments)
    };
    for (route, field, cause, until, said) in [
        ("Query.prodcut", "unitPrice", "rounding", until.as_str(), "Query.product"),
        ("Query.product", "onHand", "rounding", &until, "no field `onHand`"),
        ("Query.product", "unitPrice", "rounded", &until, "rounding"),
        ("Query.product", "unitPrice", "missing-row", &until, "name no field"),
        ("Query.product", "unitPrice", "rounding", "2020-01-01", "is over"),
        ("Query.product", "unitPrice", "rounding", "2999-01-01", "more than a year"),
        ("Query.product", "unitPrice", "rounding", "soon", "--until"),
    ] {
        let (_, error, code) = excuse(route, field, cause, until);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(said), "{said}: {error}");
    }
    assert_eq!(bench.json(&["diffs", "excuses"]).as_array().unwrap().len(), 0);
    let (printed, error, code) = excuse("Query.product", "unitPrice", "rounding", &until);
    assert_eq!(code, 0, "{error}");
    assert!(printed.contains("strangler diffs unexcuse"), "{printed}");
    let listed = bench.json(&["diffs", "excuses"]);
    let known = &listed[0]["excuse"];
    assert_eq!(
        (&known["state"], &known["rule"], &known["who"]),
        (&json!("in-force"), &json!("scale: 2"), &json!("ada"))
    );
    let (report, _, _) = bench.run(&["diffs", "report", "--route", "Query.product"]);
    assert!(report.contains("owner pricing") && report.contains("in force"), "{report}");
    let id = &known["id"].as_str().unwrap()[..8];
    let back = ["diffs", "unexcuse", id, "--reason", "mended"];
    assert_eq!(bench.run(&back).2, 0);
    let (_, error, code) = bench.run(&back);
    assert_eq!(code, 1);
    assert!(error.contains("ada took it back already"), "{error}");
    assert_eq!(bench.json(&["diffs", "excuses"])[0]["excuse"]["state"], "withdrawn");
    assert_eq!(bench.run(&["diffs", "unexcuse", "zz", "--reason", "x"]).2, 1);
}
