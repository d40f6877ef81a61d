//! Of the differences of a kind, those that a comparison rule explains: sums by the minute in PostgreSQL.

use std::collections::BTreeMap;

use deadpool_postgres::{ClientWrapper, Transaction};
use model::control::{DifferenceKind, EvidenceFilter, Seen};
use model::evidence::Cause;
use model::{FieldName, Instant, RouteName, Rule};

use super::connection::Broken;
use super::evidence::{Columns, cause_of, present, route, seen, stored_field, verdict};

pub(super) async fn add(
    transaction: &Transaction<'_>,
    sums: &BTreeMap<(DifferenceKind, Rule), Seen>,
) -> Result<(), Broken> {
    let statement = "INSERT INTO strangler_evidence_explained AS sum \
        SELECT route, field, cause, verdict, rule, date_trunc('minute', last), count, first, last \
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], \
            $8::timestamptz[]) AS new (route, field, cause, verdict, rule, count, first, last) \
        ON CONFLICT (route, field, cause, verdict, rule, minute) DO UPDATE SET count = sum.count + excluded.count, \
            first_seen = least(sum.first_seen, excluded.first_seen), \
            last_seen = greatest(sum.last_seen, excluded.last_seen)";
    let mut sums: Vec<(&DifferenceKind, String, &Seen)> =
        sums.iter().map(|((kind, rule), seen)| (kind, rule.to_string(), seen)).collect();
    sums.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let routes: Vec<&str> = sums.iter().map(|(kind, ..)| kind.route.as_str()).collect();
    let fields: Vec<&str> = sums.iter().map(|(kind, ..)| stored_field(kind.field.as_ref())).collect();
    let causes: Vec<&str> = sums.iter().map(|(kind, ..)| kind.cause.as_str()).collect();
    let verdicts: Vec<&str> = sums.iter().map(|(kind, ..)| kind.verdict.as_str()).collect();
    let rules: Vec<&str> = sums.iter().map(|(_, rule, _)| rule.as_str()).collect();
    let Columns { counts, first, last } = Columns::of(sums.iter().map(|(.., seen)| *seen));
    transaction.execute(statement, &[&routes, &fields, &causes, &verdicts, &rules, &counts, &first, &last]).await?;
    Ok(())
}

pub(super) async fn read(
    client: &ClientWrapper,
    filter: &EvidenceFilter,
) -> Result<BTreeMap<(DifferenceKind, Rule), Seen>, Broken> {
    let routes: Option<Vec<&str>> = filter.routes.as_ref().map(|routes| routes.iter().map(RouteName::as_str).collect());
    let field = filter.field.as_ref().map(FieldName::as_str);
    let cause = filter.cause.map(Cause::as_str);
    let since = filter.since.map(Instant::to_utc);
    let query = "SELECT sum(count)::bigint, min(first_seen), max(last_seen), route, field, cause, verdict, rule \
        FROM strangler_evidence_explained WHERE ($1::text[] IS NULL OR route = ANY($1)) \
        AND ($2::timestamptz IS NULL OR last_seen >= $2) AND ($3::text IS NULL OR field = $3) \
        AND ($4::text IS NULL OR cause = $4) GROUP BY 4, 5, 6, 7, 8";
    let mut explained = BTreeMap::new();
    for row in client.query(query, &[&routes, &since, &field, &cause]).await? {
        let kind = DifferenceKind {
            route: route(&row, 3),
            field: present(row.get(4)).map(FieldName::new),
            cause: cause_of(&row, 5)?,
            verdict: verdict(&row, 6)?,
        };
        // A rule that a newer release counts explains nothing here.
        if let Ok(rule) = row.get::<_, &str>(7).parse() {
            explained.insert((kind, rule), seen(&row));
        }
    }
    Ok(explained)
}
