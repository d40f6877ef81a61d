//! Our own tables in a PostgreSQL database: what there is of them, and the statements that make the rest.
//!
//! For a side and for the control store alike; their tables have names of their own, since they may share a database.

use std::collections::BTreeSet;

use model::Bookkeeping;
use tokio_postgres::Client;

use crate::steps::{self, Step};

/// What there is, compared with `steps`; `record` is where those that were run are recorded.
pub(super) async fn look(client: &Client, steps: &[Step], record: &str) -> Result<Bookkeeping, tokio_postgres::Error> {
    let tables: Vec<&str> = steps::tables(steps).into_iter().collect();
    let columns = "SELECT t.name, a.attname::text FROM unnest($1::text[]) AS t (name) \
                   JOIN pg_attribute a ON a.attrelid = to_regclass(t.name) WHERE a.attnum > 0 AND NOT a.attisdropped";
    let mut found = BTreeSet::new();
    for row in client.query(columns, &[&tables]).await? {
        found.insert((row.try_get(0)?, row.try_get(1)?));
    }
    let mut recorded = Vec::new();
    if found.iter().any(|(table, _): &(String, String)| table == record) {
        for row in client.query(&format!("SELECT step, works_from FROM {record}"), &[]).await? {
            let (step, works_from): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
            recorded.push((step.unsigned_abs(), works_from.unsigned_abs()));
        }
    }
    Ok(steps::compare(steps, &found, &recorded))
}

/// What has to be run on a database of which `found` is true. Harmless to repeat.
pub(super) fn statements(steps: &[Step], record: &str, found: &Bookkeeping) -> String {
    let due: Vec<_> = steps::due(steps, found).collect();
    // Recorded at the end: a later step makes the table for it.
    let rows = due.iter().map(|step| {
        format!(
            "INSERT INTO {record} (step, works_from) VALUES ({}, {}) ON CONFLICT (step) DO NOTHING;\n",
            step.number, step.works_from
        )
    });
    due.iter().map(|step| step.text.to_owned()).chain(rows).collect()
}

/// The same for a DBA; `None`: nothing is known of the database.
pub(super) fn ddl(steps: &[Step], record: &str, found: Option<&Bookkeeping>) -> String {
    let nothing = steps::nothing(steps);
    let found = found.unwrap_or(&nothing);
    steps::heading(steps, found) + &statements(steps, record, found)
}
