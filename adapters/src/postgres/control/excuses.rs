//! Accepted excuses in PostgreSQL: two tables to which rows are added and never changed.

use deadpool_postgres::ClientWrapper;
use model::control::{AcceptedExcuse, Author, ExcuseId, ExcuseRecord, ExcuseScope, Withdrawal};
use model::evidence::Cause;
use model::{FieldName, Instant, Rule};
use tokio_postgres::Row;

use super::connection::Broken;
use super::evidence::route;

pub(super) async fn add(client: &ClientWrapper, excuse: &AcceptedExcuse) -> Result<(), Broken> {
    let AcceptedExcuse { id, scope, owner, until, author } = excuse;
    let insert = "INSERT INTO strangler_excuse (id, route, field, cause, rule, owner, until, who, origin, reason) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    let field = scope.field.as_ref().map(FieldName::as_str);
    let rule = scope.rule.map(|rule| rule.to_string());
    client
        .execute(
            insert,
            &[
                &id.0,
                &scope.route.as_str(),
                &field,
                &scope.cause.as_str(),
                &rule,
                owner,
                until,
                &author.who,
                &author.origin,
                &author.reason,
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn withdraw(client: &ClientWrapper, id: ExcuseId, author: &Author) -> Result<bool, Broken> {
    let insert = "INSERT INTO strangler_excuse_withdrawal (excuse, who, origin, reason) \
        SELECT id, $2, $3, $4 FROM strangler_excuse WHERE id = $1 ON CONFLICT DO NOTHING";
    let added = client.execute(insert, &[&id.0, &author.who, &author.origin, &author.reason]).await?;
    if added == 1 {
        return Ok(true);
    }
    let known = "SELECT count(*) FROM strangler_excuse WHERE id = $1";
    Ok(client.query_one(known, &[&id.0]).await?.get::<_, i64>(0) == 1)
}

pub(super) async fn all(client: &ClientWrapper) -> Result<Vec<ExcuseRecord>, Broken> {
    let query = "SELECT e.id, e.at, e.route, e.field, e.cause, e.rule, e.owner, e.until, e.who, e.origin, e.reason, \
            w.at, w.who, w.origin, w.reason \
        FROM strangler_excuse AS e LEFT JOIN strangler_excuse_withdrawal AS w ON w.excuse = e.id ORDER BY e.at, e.id";
    client.query(query, &[]).await?.iter().map(record).collect()
}

fn record(row: &Row) -> Result<ExcuseRecord, Broken> {
    let cause: String = row.get(4);
    let rule: Option<String> = row.get(5);
    let garbled = || Broken::garbled("a row of strangler_excuse is not understood: a newer strangler wrote it");
    let scope = ExcuseScope {
        route: route(row, 2),
        field: row.get::<_, Option<String>>(3).map(FieldName::new),
        cause: Cause::named(&cause).ok_or_else(garbled)?,
        rule: rule.map(|rule| rule.parse::<Rule>()).transpose().map_err(|_| garbled())?,
    };
    let author = |from: usize| Author { who: row.get(from), origin: row.get(from + 1), reason: row.get(from + 2) };
    let withdrawn = row.get::<_, Option<chrono::DateTime<chrono::Utc>>>(11);
    Ok(ExcuseRecord {
        excuse: AcceptedExcuse {
            id: ExcuseId(row.get(0)),
            scope,
            owner: row.get(6),
            until: row.get(7),
            author: author(8),
        },
        at: Instant::new(row.get(1)),
        withdrawn: withdrawn.map(|at| Withdrawal { author: author(12), at: Instant::new(at) }),
    })
}
