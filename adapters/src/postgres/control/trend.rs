//! Evidence over time in PostgreSQL: the counts by the minute, added up by period.

use deadpool_postgres::ClientWrapper;
use model::control::{DifferenceKind, EvidenceFilter, Period, Span, Trend};
use model::evidence::Cause;
use model::{FieldName, Instant, RouteName};
use tokio_postgres::Row;

use super::connection::Broken;
use super::evidence::{cause_of, present, route, verdict};

pub(super) async fn read(client: &ClientWrapper, filter: &EvidenceFilter, span: Span) -> Result<Trend, Broken> {
    let routes: Option<Vec<&str>> = filter.routes.as_ref().map(|routes| routes.iter().map(RouteName::as_str).collect());
    let field = filter.field.as_ref().map(FieldName::as_str);
    let cause = filter.cause.map(Cause::as_str);
    let (width, since, until) = (span.width.as_str(), span.width.floor(span.since).0.to_utc(), span.until.to_utc());
    let sum = "sum(count)::bigint, date_trunc($2, minute, 'UTC')";
    let wanted = "($1::text[] IS NULL OR route = ANY($1)) AND minute BETWEEN $3 AND $4";
    let mut trend = Trend::default();
    let query = format!(
        "SELECT {sum}, route, verdict FROM strangler_evidence_comparison WHERE {wanted} GROUP BY 2, route, verdict"
    );
    for row in client.query(&query, &[&routes, &width, &since, &until]).await? {
        let counts = trend.comparisons.entry((route(&row, 2), verdict(&row, 3)?)).or_default();
        counts.insert(period(&row), count(&row));
    }
    let query = format!(
        "SELECT {sum}, route, field, cause, verdict FROM strangler_evidence_difference WHERE {wanted} \
         AND ($5::text IS NULL OR field = $5) AND ($6::text IS NULL OR cause = $6) \
         GROUP BY 2, route, field, cause, verdict"
    );
    for row in client.query(&query, &[&routes, &width, &since, &until, &field, &cause]).await? {
        let kind = DifferenceKind {
            route: route(&row, 2),
            field: present(row.get(3)).map(FieldName::new),
            cause: cause_of(&row, 4)?,
            verdict: verdict(&row, 5)?,
        };
        trend.differences.entry(kind).or_default().insert(period(&row), count(&row));
    }
    Ok(trend)
}

fn count(row: &Row) -> u64 {
    u64::try_from(row.get::<_, i64>(0)).unwrap_or_default()
}

fn period(row: &Row) -> Period {
    Period(Instant::new(row.get(1)))
}
