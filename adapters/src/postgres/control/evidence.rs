//! Evidence in PostgreSQL: sums by the minute, bounded samples, bitmaps of keys.
//!
//! Rows are touched in the order of their keys, so that two replicas that flush at once cannot deadlock.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{ClientWrapper, Transaction};
use model::control::sums::{SAMPLES_KEPT_FIRST, SAMPLES_KEPT_NEWEST, merge_bitmap};
use model::control::{BatchId, DifferenceKind, EvidenceFilter, Finding, Seen, Sums};
use model::evidence::{Cause, Sample, Verdict};
use model::{FieldName, Instant, RouteName};
use tokio_postgres::Row;

use super::connection::Broken;
use super::explained;

pub(super) type Time = DateTime<Utc>;

pub(super) async fn add(client: &mut ClientWrapper, batch: BatchId, sums: &Sums) -> Result<(), Broken> {
    let transaction = client.transaction().await?;
    let new = "INSERT INTO strangler_evidence_batch (id) VALUES ($1) ON CONFLICT DO NOTHING";
    if transaction.execute(new, &[&batch.0]).await? == 1 {
        add_comparisons(&transaction, &sums.comparisons).await?;
        add_differences(&transaction, sums).await?;
        explained::add(&transaction, &sums.explained).await?;
        add_fields(&transaction, &sums.fields).await?;
        add_samples(&transaction, &sums.samples).await?;
        add_keys(&transaction, &sums.keys).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Counts and spans as columns.
pub(super) struct Columns {
    pub(super) counts: Vec<i64>,
    pub(super) first: Vec<Time>,
    pub(super) last: Vec<Time>,
}

impl Columns {
    pub(super) fn of<'a>(seen: impl Iterator<Item = &'a Seen> + Clone) -> Self {
        Self {
            counts: seen.clone().map(|seen| i64::try_from(seen.count).unwrap_or(i64::MAX)).collect(),
            first: seen.clone().map(|seen| seen.first.to_utc()).collect(),
            last: seen.map(|seen| seen.last.to_utc()).collect(),
        }
    }
}

async fn add_comparisons(transaction: &Transaction<'_>, sums: &BTreeMap<Finding, Seen>) -> Result<(), Broken> {
    let statement = "INSERT INTO strangler_evidence_comparison AS sum \
        SELECT route, verdict, reason, date_trunc('minute', last), count, first, last \
        FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[]) \
            AS new (route, verdict, reason, count, first, last) \
        ON CONFLICT (route, verdict, reason, minute) DO UPDATE SET count = sum.count + excluded.count, \
            first_seen = least(sum.first_seen, excluded.first_seen), \
            last_seen = greatest(sum.last_seen, excluded.last_seen)";
    let routes: Vec<&str> = sums.keys().map(|finding| finding.route.as_str()).collect();
    let verdicts: Vec<&str> = sums.keys().map(|finding| finding.verdict.as_str()).collect();
    let reasons: Vec<&str> = sums.keys().map(|finding| finding.reason.as_deref().unwrap_or_default()).collect();
    let Columns { counts, first, last } = Columns::of(sums.values());
    transaction.execute(statement, &[&routes, &verdicts, &reasons, &counts, &first, &last]).await?;
    Ok(())
}

async fn add_differences(transaction: &Transaction<'_>, sums: &Sums) -> Result<(), Broken> {
    // A release that does not count answers leaves none in its rows, and none plus some is none again: not known.
    let statement = "INSERT INTO strangler_evidence_difference AS sum \
            (route, field, cause, verdict, minute, count, first_seen, last_seen, answers) \
        SELECT route, field, cause, verdict, date_trunc('minute', last), count, first, last, answers \
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], \
            $7::timestamptz[], $8::bigint[]) AS new (route, field, cause, verdict, count, first, last, answers) \
        ON CONFLICT (route, field, cause, verdict, minute) DO UPDATE SET count = sum.count + excluded.count, \
            first_seen = least(sum.first_seen, excluded.first_seen), \
            last_seen = greatest(sum.last_seen, excluded.last_seen), answers = sum.answers + excluded.answers";
    let kinds = &sums.differences;
    let routes: Vec<&str> = kinds.keys().map(|kind| kind.route.as_str()).collect();
    let fields: Vec<&str> = kinds.keys().map(|kind| stored_field(kind.field.as_ref())).collect();
    let causes: Vec<&str> = kinds.keys().map(|kind| kind.cause.as_str()).collect();
    let verdicts: Vec<&str> = kinds.keys().map(|kind| kind.verdict.as_str()).collect();
    let Columns { counts, first, last } = Columns::of(kinds.values());
    let stored = |count: &u64| i64::try_from(*count).unwrap_or(i64::MAX);
    let answers: Vec<Option<i64>> = kinds.keys().map(|kind| sums.answers.get(kind).map(stored)).collect();
    transaction.execute(statement, &[&routes, &fields, &causes, &verdicts, &counts, &first, &last, &answers]).await?;
    Ok(())
}

async fn add_fields(
    transaction: &Transaction<'_>,
    sums: &BTreeMap<(RouteName, FieldName), Seen>,
) -> Result<(), Broken> {
    let statement = "INSERT INTO strangler_evidence_field AS sum \
        SELECT route, field, date_trunc('minute', last), count, first, last \
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[]) \
            AS new (route, field, count, first, last) \
        ON CONFLICT (route, field, minute) DO UPDATE SET count = sum.count + excluded.count, \
            first_seen = least(sum.first_seen, excluded.first_seen), \
            last_seen = greatest(sum.last_seen, excluded.last_seen)";
    let routes: Vec<&str> = sums.keys().map(|(route, _)| route.as_str()).collect();
    let fields: Vec<&str> = sums.keys().map(|(_, field)| field.as_str()).collect();
    let Columns { counts, first, last } = Columns::of(sums.values());
    transaction.execute(statement, &[&routes, &fields, &counts, &first, &last]).await?;
    Ok(())
}

async fn add_samples(transaction: &Transaction<'_>, samples: &[Sample]) -> Result<(), Broken> {
    if samples.is_empty() {
        return Ok(());
    }
    let kinds: Vec<DifferenceKind> = samples.iter().map(DifferenceKind::of).collect();
    let ids: Vec<&str> = samples.iter().map(|sample| sample.id.as_str()).collect();
    let routes: Vec<&str> = kinds.iter().map(|kind| kind.route.as_str()).collect();
    let fields: Vec<&str> = kinds.iter().map(|kind| stored_field(kind.field.as_ref())).collect();
    let causes: Vec<&str> = kinds.iter().map(|kind| kind.cause.as_str()).collect();
    let verdicts: Vec<&str> = kinds.iter().map(|kind| kind.verdict.as_str()).collect();
    let times: Vec<Time> = samples.iter().map(|sample| sample.seen_at.to_utc()).collect();
    let differences: Result<Vec<String>, _> =
        samples.iter().map(|sample| serde_json::to_string(&sample.difference)).collect();
    let differences = differences.map_err(|_| Broken::garbled("a sample could not be written as JSON"))?;
    let insert = "INSERT INTO strangler_evidence_sample SELECT * FROM unnest($1::text[], $2::text[], $3::text[], \
        $4::text[], $5::text[], $6::timestamptz[], $7::text[]) ON CONFLICT DO NOTHING";
    transaction.execute(insert, &[&ids, &routes, &fields, &causes, &verdicts, &times, &differences]).await?;
    let prune = format!(
        "DELETE FROM strangler_evidence_sample WHERE id IN (SELECT id FROM (SELECT id, \
            row_number() OVER kind_in_order AS place, count(*) OVER kind AS samples \
            FROM strangler_evidence_sample WHERE route = ANY($1) \
            WINDOW kind AS (PARTITION BY route, field, cause, verdict), \
                kind_in_order AS (kind ORDER BY seen_at, id COLLATE \"C\")) AS placed \
         WHERE place > {SAMPLES_KEPT_FIRST} AND place + {SAMPLES_KEPT_NEWEST} <= samples)"
    );
    transaction.execute(&prune, &[&routes]).await?;
    Ok(())
}

async fn add_keys(transaction: &Transaction<'_>, keys: &BTreeMap<RouteName, Vec<u8>>) -> Result<(), Broken> {
    for (route, bitmap) in keys {
        let make = "INSERT INTO strangler_evidence_keys VALUES ($1, '') ON CONFLICT DO NOTHING";
        transaction.execute(make, &[&route.as_str()]).await?;
        let lock = "SELECT bitmap FROM strangler_evidence_keys WHERE route = $1 FOR UPDATE";
        let mut merged: Vec<u8> = transaction.query_one(lock, &[&route.as_str()]).await?.get(0);
        merge_bitmap(&mut merged, bitmap);
        let save = "UPDATE strangler_evidence_keys SET bitmap = $2 WHERE route = $1";
        transaction.execute(save, &[&route.as_str(), &merged]).await?;
    }
    Ok(())
}

pub(super) async fn read(client: &ClientWrapper, filter: &EvidenceFilter) -> Result<Sums, Broken> {
    let routes: Option<Vec<&str>> = filter.routes.as_ref().map(|routes| routes.iter().map(RouteName::as_str).collect());
    let field = filter.field.as_ref().map(FieldName::as_str);
    let cause = filter.cause.map(Cause::as_str);
    let since = filter.since.map(Instant::to_utc);
    let sum = "sum(count)::bigint, min(first_seen), max(last_seen)";
    let wanted = "($1::text[] IS NULL OR route = ANY($1)) AND ($2::timestamptz IS NULL OR last_seen >= $2)";
    let mut sums = Sums::default();

    let query = format!(
        "SELECT {sum}, route, verdict, reason FROM strangler_evidence_comparison WHERE {wanted} GROUP BY 4, 5, 6"
    );
    for row in client.query(&query, &[&routes, &since]).await? {
        let finding = Finding { route: route(&row, 3), verdict: verdict(&row, 4)?, reason: present(row.get(5)) };
        sums.comparisons.insert(finding, seen(&row));
    }
    let query = format!(
        "SELECT {sum}, route, field, cause, verdict, \
             CASE WHEN bool_and(answers IS NOT NULL) THEN sum(answers)::bigint END \
         FROM strangler_evidence_difference WHERE {wanted} \
         AND ($3::text IS NULL OR field = $3) AND ($4::text IS NULL OR cause = $4) GROUP BY 4, 5, 6, 7"
    );
    for row in client.query(&query, &[&routes, &since, &field, &cause]).await? {
        let kind = DifferenceKind {
            route: route(&row, 3),
            field: present(row.get(4)).map(FieldName::new),
            cause: cause_of(&row, 5)?,
            verdict: verdict(&row, 6)?,
        };
        let answers = row.get::<_, Option<i64>>(7).and_then(|answers| u64::try_from(answers).ok());
        sums.add_rows(kind, seen(&row), answers);
    }
    sums.explained = explained::read(client, filter).await?;
    let query = format!(
        "SELECT {sum}, route, field FROM strangler_evidence_field WHERE {wanted} \
         AND ($3::text IS NULL OR field = $3) GROUP BY 4, 5"
    );
    for row in client.query(&query, &[&routes, &since, &field]).await? {
        sums.fields.insert((route(&row, 3), FieldName::new(row.get::<_, String>(4))), seen(&row));
    }
    let query = "SELECT id, route, seen_at, difference FROM strangler_evidence_sample \
        WHERE ($1::text[] IS NULL OR route = ANY($1)) AND ($2::timestamptz IS NULL OR seen_at >= $2) \
        AND ($3::text IS NULL OR field = $3) AND ($4::text IS NULL OR cause = $4) ORDER BY seen_at, id COLLATE \"C\"";
    let rows = client.query(query, &[&routes, &since, &field, &cause]).await?;
    sums.samples = rows.iter().map(sample).collect::<Result<_, _>>()?;
    let query = "SELECT route, bitmap FROM strangler_evidence_keys WHERE $1::text[] IS NULL OR route = ANY($1)";
    for row in client.query(query, &[&routes]).await? {
        sums.keys.insert(route(&row, 0), row.get(1));
    }
    Ok(sums)
}

pub(super) async fn forget(client: &ClientWrapper, retention: Duration) -> Result<(), Broken> {
    let seconds = retention.as_secs_f64();
    let tables = [
        ("comparison", "last_seen"),
        ("difference", "last_seen"),
        ("explained", "last_seen"),
        ("field", "last_seen"),
        ("sample", "seen_at"),
        ("batch", "at"),
    ];
    for (table, time) in tables {
        let statement = format!(
            "DELETE FROM strangler_evidence_{table} WHERE {time} < clock_timestamp() - make_interval(secs => $1)"
        );
        client.execute(&statement, &[&seconds]).await?;
    }
    let replicas = "DELETE FROM strangler_replica WHERE seen_at < clock_timestamp() - make_interval(secs => $1)";
    client.execute(replicas, &[&seconds]).await?;
    Ok(())
}

pub(super) fn stored_field(field: Option<&FieldName>) -> &str {
    field.map(FieldName::as_str).unwrap_or_default()
}

pub(super) fn present(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(super) fn seen(row: &Row) -> Seen {
    Seen {
        count: u64::try_from(row.get::<_, i64>(0)).unwrap_or_default(),
        first: Instant::new(row.get(1)),
        last: Instant::new(row.get(2)),
    }
}

pub(super) fn route(row: &Row, column: usize) -> RouteName {
    RouteName::new(row.get::<_, String>(column))
}

pub(super) fn verdict(row: &Row, column: usize) -> Result<Verdict, Broken> {
    let name: String = row.get(column);
    let known = Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == name);
    known.ok_or_else(|| Broken::garbled(format!("there is no verdict `{name}`")))
}

pub(super) fn cause_of(row: &Row, column: usize) -> Result<Cause, Broken> {
    let name: String = row.get(column);
    Cause::named(&name).ok_or_else(|| Broken::garbled(format!("there is no cause `{name}`")))
}

fn sample(row: &Row) -> Result<Sample, Broken> {
    let difference = serde_json::from_str(row.get(3))
        .map_err(|_| Broken::garbled("a sample in strangler_evidence_sample is not understood"))?;
    Ok(Sample { id: row.get(0), route: route(row, 1), seen_at: Instant::new(row.get(2)), difference })
}
