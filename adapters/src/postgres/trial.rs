//! Tries what the contract would run here, without running any of it.
//!
//! Each text is prepared first: the server parses it, finds tables, columns and functions, and says which types it wants
//! for the parameters. Then it is explained as a plan for parameters of any value, which looks for the rights to tables and
//! functions. Neither calls a function that changes anything. What has no plan (`CALL`, `SET CONSTRAINTS`) is prepared only.
//!
//! Not here: whether values fit; what triggers and constraints say when it is run.

use model::contract::{Param, TrialOf, Wrong, trials};
use model::sql::NamedSql;
use model::{Contract, EntityType, Side, StoreError};
use tokio_postgres::Statement;
use tokio_postgres::error::ErrorPosition;

use super::session::Session;
use super::table::Table;
use super::{apply_text, bind, wire, write_text};

/// What has a plan.
const PLANNED: [&str; 7] = ["select", "insert", "update", "delete", "merge", "with", "values"];

/// Before a plan is made: nothing can be written.
const SET_UP: &str = "BEGIN READ ONLY; SET LOCAL plan_cache_mode = force_generic_plan";

/// A table that somebody has locked is not waited for: not for long, since each statement that names it would be.
const LIMIT: &str = "SET lock_timeout = '200ms'";

/// Said of what is locked, or was stopped: nothing is known of it.
const LOCKED: &str = "it could not be tried";

/// See `Tries::wrong_statements`.
pub(super) async fn wrong(session: &Session, contract: &Contract, side: Side) -> Result<Vec<Wrong>, StoreError> {
    let set = async |text: &str| session.client().batch_execute(text).await.map_err(|error| session.error(error));
    set(LIMIT).await?;
    let wrong = all(session, contract, side).await;
    set("RESET lock_timeout").await?;
    wrong
}

async fn all(session: &Session, contract: &Contract, side: Side) -> Result<Vec<Wrong>, StoreError> {
    let mut wrong = Vec::new();
    for trial in trials(contract, side) {
        let mut said = match &trial.of {
            TrialOf::Sql { sql, params, columns } => {
                of_sql(session, side, sql, params, columns.map(AsRef::as_ref)).await?
            }
            TrialOf::Type(entity) => of_type(session, Table::new(entity, side)).await?,
        };
        said.dedup();
        let of = |said: String| if said == LOCKED { Wrong::untried(&trial) } else { Wrong::of(&trial, said) };
        wrong.extend(said.into_iter().map(of));
    }
    Ok(wrong)
}

/// A statement of the contract.
async fn of_sql(
    session: &Session,
    side: Side,
    sql: &NamedSql,
    params: &[Param],
    entity: Option<&EntityType>,
) -> Result<Vec<String>, StoreError> {
    let columns = entity.map_or_else(String::new, |entity| Table::new(entity, side).columns(entity.all_fields()));
    let text = bind::text(sql, &columns);
    let statement = match prepare(session, &text).await? {
        Ok(statement) => statement,
        Err(said) => return Ok(vec![said]),
    };
    let mut said = bind::misfits(sql, params, &statement);
    if let Some(entity) = entity {
        said.extend(unread(entity, &statement));
    }
    said.extend(plan(session, &text, statement.params().len()).await?);
    Ok(said)
}

/// What strangler makes of a type.
async fn of_type(session: &Session, table: Table<'_>) -> Result<Vec<String>, StoreError> {
    let mut said = Vec::new();
    for text in
        [table.select_many(table.entity.all_fields()), insert(table), update(table), write_text::delete_one(table)]
    {
        match prepare(session, &text).await? {
            Ok(statement) => said.extend(plan(session, &text, statement.params().len()).await?),
            // The text is ours, and its places mean nothing to anybody.
            Err(words) => said.push(words.split(", at `").next().unwrap_or_default().to_owned()),
        }
    }
    Ok(said)
}

fn insert(table: Table<'_>) -> String {
    let fields = apply_text::put_fields(table, table.entity.all_fields());
    let columns = table.list(fields.iter().copied(), |index| table.column(index).to_owned());
    let casts: Vec<_> =
        (1..).zip(&fields).map(|(place, index)| format!("${place}::{}", table.type_name(*index))).collect();
    format!("INSERT INTO {} ({columns}) VALUES ({})", table.name(), casts.join(", "))
}

fn update(table: Table<'_>) -> String {
    let fields = apply_text::put_fields(table, table.entity.all_fields());
    let set = |(place, index): (usize, &model::FieldIndex)| {
        format!("{} = ${place}::{}", table.column(*index), table.type_name(*index))
    };
    let sets: Vec<_> = (1..).zip(&fields).map(set).collect();
    format!("UPDATE {} AS t SET {} WHERE {}", table.name(), sets.join(", "), table.key_equals(fields.len() + 1))
}

/// What of a list query's answer could not be read as `entity`.
fn unread(entity: &EntityType, statement: &Statement) -> Vec<String> {
    let (columns, wanted) = (statement.columns(), entity.fields.len());
    if columns.len() < wanted {
        return vec![format!("it gives {} columns, and `{{columns}}` are {wanted}", columns.len())];
    }
    let odd = entity.fields.iter().zip(columns).filter(|(_, column)| !wire::reads(column.type_()));
    odd.map(|(field, column)| format!("{} comes as {}, which is not read", field.name, column.type_())).collect()
}

/// Prepares a text on this session alone; or what the server says against it.
async fn prepare(session: &Session, text: &str) -> Result<Result<Statement, String>, StoreError> {
    match session.client().prepare(text).await {
        Ok(statement) => Ok(Ok(statement)),
        Err(error) => said(session, text, error).map(Err),
    }
}

/// Has a plan made, for parameters of any value.
async fn plan(session: &Session, text: &str, params: usize) -> Result<Option<String>, StoreError> {
    let first = text.split_whitespace().next().unwrap_or_default().trim_start_matches('(').to_ascii_lowercase();
    if first == "call" {
        return may_call(session, text).await;
    }
    if !PLANNED.contains(&first.as_str()) {
        return Ok(None);
    }
    let nulls = vec!["NULL"; params].join(", ");
    let values = if params == 0 { String::new() } else { format!("({nulls})") };
    // The text may end with a comment.
    let explain =
        format!("{SET_UP}; PREPARE strangler_trial AS {text}\n; EXPLAIN EXECUTE strangler_trial{values}; ROLLBACK");
    session.begins();
    let planned = session.client().batch_execute(&explain).await;
    let found = match planned {
        Ok(()) => {
            session.ended();
            None
        }
        Err(error) => {
            // Before anything else is said on this session.
            session.roll_back().await;
            Some(said(session, "", error)?)
        }
    };
    // It outlives its transaction; there is none where it could not be prepared.
    let _ = session.client().batch_execute("DEALLOCATE strangler_trial").await;
    Ok(found)
}

/// A call has no plan. The server is asked for the right by the procedure's name, where that names one alone.
async fn may_call(session: &Session, text: &str) -> Result<Option<String>, StoreError> {
    let name = text.trim_start().get(4..).unwrap_or_default().split('(').next().unwrap_or_default().trim();
    let asked = "SELECT has_function_privilege(to_regproc($1::text), 'EXECUTE')";
    let answer = match session.client().query_opt(asked, &[&name]).await {
        Ok(answer) => answer,
        Err(error) => return said(session, "", error).map(Some),
    };
    let may = answer.and_then(|row| row.try_get::<_, Option<bool>>(0).ok().flatten());
    Ok((may == Some(false)).then(|| format!("permission denied for procedure {name}")))
}

/// The server's words, and where in `text`.
fn said(session: &Session, text: &str, error: tokio_postgres::Error) -> Result<String, StoreError> {
    let words = error.as_db_error().map(|db| {
        let place = match db.position() {
            Some(ErrorPosition::Original(place)) => word_at(text, *place as usize),
            Some(ErrorPosition::Internal { .. }) | None => None,
        };
        match place {
            Some((line, word)) => format!("{}, at `{word}` in its line {line}", db.message()),
            None => db.message().to_owned(),
        }
    });
    match session.error(error) {
        StoreError::Conflict { .. } => Ok(LOCKED.to_owned()),
        StoreError::Refused { refusal, .. } => Ok(words.unwrap_or(refusal.message)),
        StoreError::Misfit { problem, .. } => Ok(words.unwrap_or(problem)),
        other @ (StoreError::Unreachable { .. }
        | StoreError::Unwritable { .. }
        | StoreError::NoAnswer { .. }
        | StoreError::KeyReused
        | StoreError::Fenced { .. }
        | StoreError::SnapshotLost { .. }) => Err(other),
    }
}

/// The line and the word at the `place`th letter of `text`, both counted from 1.
fn word_at(text: &str, place: usize) -> Option<(usize, String)> {
    let at = place.checked_sub(1)?;
    let before: String = text.chars().take(at).collect();
    let word: String = text.chars().skip(at).take_while(|letter| !letter.is_whitespace()).take(60).collect();
    (!word.is_empty()).then(|| (before.matches('\n').count() + 1, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_by_its_line_and_word() {
        assert_eq!(word_at("UPDATE item\nSET quantity = 1", 17), Some((2, "quantity".to_owned())));
        assert_eq!(word_at("UPDATE item", 1), Some((1, "UPDATE".to_owned())));
        assert_eq!(word_at("UPDATE item", 99), None);
        assert_eq!(word_at("UPDATE item", 0), None);
    }
}
