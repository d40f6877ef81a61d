//! Evidence over time.

use model::Instant;
use model::control::{ControlStore, EvidenceFilter, Period, Span, Width};
use model::evidence::{Cause, Verdict};

use super::{batch, evidence};

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

/// Promise.
pub async fn a_trend_adds_up_what_was_seen_in_each_period(store: &dyn ControlStore) {
    let (level, product) = ("Query.stockLevel", "Query.product");
    for (route, field, cause, time) in [
        (level, Some("onHand"), Cause::Rounding, "2026-01-31T06:59:59Z"),
        (level, Some("onHand"), Cause::Rounding, "2026-01-31T08:00:00Z"),
        (level, Some("onHand"), Cause::Rounding, "2026-01-31T08:59:59Z"),
        (level, Some("countedAt"), Cause::TimeZone, "2026-01-31T10:30:00Z"),
        (product, None, Cause::MissingRow, "2026-01-31T10:30:10Z"),
        (product, None, Cause::MissingRow, "2026-01-31T12:01:00Z"),
    ] {
        store.add_evidence(batch(), &evidence(route, field, cause, at(time))).await.unwrap();
    }
    let span = Span { since: at("2026-01-31T07:30:00Z"), until: at("2026-01-31T12:00:00Z"), width: Width::Hour };
    let all = store.trend(&EvidenceFilter::default(), span).await.unwrap();
    let hours = |counts: &std::collections::BTreeMap<Period, u64>| -> Vec<(String, u64)> {
        counts.iter().map(|(period, count)| (period.0.to_string(), *count)).collect()
    };
    let hour = |hour: &str, count| (format!("2026-01-31T{hour}:00:00Z"), count);
    assert_eq!(hours(&all.comparisons[&(level.into(), Verdict::Mismatch)]), [hour("08", 2), hour("10", 1)]);
    assert_eq!(hours(&all.comparisons[&(product.into(), Verdict::Mismatch)]), [hour("10", 1)]);
    assert_eq!(all.differences.len(), 3);
    let counts = all.differences.values().flat_map(|counts| counts.values()).sum::<u64>();
    assert_eq!(counts, 4);
    let narrow = EvidenceFilter {
        routes: Some(vec![level.into()]),
        cause: Some(Cause::TimeZone),
        // Of no account: the span says when.
        since: Some(at("2027-01-01T00:00:00Z")),
        ..EvidenceFilter::default()
    };
    let found = store.trend(&narrow, span).await.unwrap();
    assert_eq!((found.comparisons.len(), found.differences.len()), (1, 1));
    let days = store.trend(&EvidenceFilter::default(), Span { width: Width::Day, ..span }).await.unwrap();
    assert_eq!(hours(&days.comparisons[&(level.into(), Verdict::Mismatch)]), [hour("00", 4)]);
}
