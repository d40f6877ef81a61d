//! Transactions, whose statements are sent together and answered together: one round trip.
//!
//! Every statement is a message of its own to the server, with a Sync of its own: none waits for the answer to the one
//! before. What makes that safe:
//! - *A lost `BEGIN`* (cancelled before it ran) leaves the others to run alone. They change nothing: outside of a
//!   transaction that says `READ WRITE` the session is read-only (`line`). Only this module says so.
//! - *A failed statement* fails all that follow, the `COMMIT` among them.
//! - *A `COMMIT`* counts only when it and all before it were answered, and no warning came with it. The isolation is
//!   spelled out, whatever the server's, the database's or the role's default is.
//! - *After `COMMIT` was sent nobody cancels* (`session`): a server that waits for its standby would stop waiting, and
//!   show a commit that may yet be lost. So the server gives up by itself what takes longer than the call, up to the
//!   `COMMIT`, which has no limit there.
//!
//! The costs: functions that change something in spite of a read-only transaction (`dblink`, session-level advisory
//! locks, `pg_notify`, temporary tables) are not held up by it. A contract's statement that calls one may do so alone.

use std::time::Duration;

use futures::TryStreamExt;
use futures::future::{BoxFuture, join_all};
use model::StoreError;
use tokio_postgres::{Row, Statement};

use super::session::Session;
use super::wire::Stored;

/// What one statement answered.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    pub(super) affected: u64,
}

/// A statement with its values.
pub(super) struct Step {
    pub(super) text: String,
    pub(super) values: Vec<Stored>,
}

/// The same, prepared.
pub(super) type Prepared = (Statement, Vec<Stored>);

/// One for each statement, in order. After one that failed all others failed too.
pub(super) type Answers = Vec<Result<Answer, tokio_postgres::Error>>;

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It stands, and survives whatever the server is set up to survive.
    Commit,
    /// It stands until the server crashes: for what may be lost, since it is done again.
    CommitLoosely,
    RollBack,
}

impl End {
    fn text(self) -> &'static str {
        match self {
            // Said last: a function of the store may have said otherwise.
            Self::Commit => {
                "SET LOCAL statement_timeout = 0; SELECT set_config('synchronous_commit', 'on', true) \
                 WHERE current_setting('synchronous_commit') = 'off'; COMMIT"
            }
            Self::CommitLoosely => "SET LOCAL statement_timeout = 0; SET LOCAL synchronous_commit = off; COMMIT",
            Self::RollBack => "ROLLBACK",
        }
    }
}

/// How a transaction of ours begins.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// The longest limit that the server takes, in milliseconds.
const LONGEST: u128 = i32::MAX as u128;

/// The same, with a limit to what each statement takes; `setup` are further statements without parameters.
pub(super) fn begin(session: &Session, setup: &str) -> String {
    // A little more than the call has: it is the call that says how it ended, and nothing goes on long after it.
    let limit = (session.left() + Duration::from_millis(50)).as_millis().min(LONGEST);
    format!("{BEGIN}; SET LOCAL statement_timeout = {limit}; {setup}")
}

/// Begins a transaction and leaves it open.
///
/// # Errors
/// Why it did not begin; nothing was changed.
pub(super) async fn open(session: &Session, setup: &str, steps: &[Prepared]) -> Result<Answers, StoreError> {
    session.may_write()?;
    session.begins();
    let begin = begin(session, setup);
    let mut sent = vec![plain(session, &begin)];
    sent.extend(steps.iter().map(|step| prepared(session, step)));
    let mut answers = in_order(sent).await;
    if let Err(error) = answers.remove(0) {
        let error = session.error(error);
        if !matches!(error, StoreError::NoAnswer { .. }) {
            session.roll_back().await;
        }
        return Err(error);
    }
    Ok(answers)
}

/// Runs the last statements of the open transaction and commits it.
///
/// # Errors
/// Why it did not commit, or that nobody knows. Not why a statement failed: that is in its answer.
pub(super) async fn close(session: &Session, steps: &[Prepared]) -> Result<Answers, StoreError> {
    let doubts = Some(session.commits());
    let mut sent: Vec<_> = steps.iter().map(|step| prepared(session, step)).collect();
    sent.push(plain(session, End::Commit.text()));
    let mut answers = in_order(sent).await;
    let ended = answers.pop();
    end(session, doubts, &answers, ended).await?;
    Ok(answers)
}

/// Runs a whole transaction.
///
/// # Errors
/// As [`open`] and [`close`].
pub(super) async fn whole(session: &Session, setup: &str, steps: &[Prepared], how: End) -> Result<Answers, StoreError> {
    session.may_write()?;
    session.begins();
    let doubts = (how != End::RollBack).then(|| session.commits());
    let begin = begin(session, setup);
    let mut sent = vec![plain(session, &begin)];
    sent.extend(steps.iter().map(|step| prepared(session, step)));
    sent.push(plain(session, how.text()));
    let mut answers = in_order(sent).await;
    let (began, ended) = (answers.remove(0), answers.pop());
    if let Err(error) = began {
        let error = session.error(error);
        if !matches!(error, StoreError::NoAnswer { .. }) {
            session.roll_back().await;
        }
        return Err(error);
    }
    end(session, doubts, &answers, ended).await?;
    Ok(answers)
}

/// What the answer to the end of a transaction means. `doubts`: as they were before `COMMIT` was sent.
async fn end(
    session: &Session,
    doubts: Option<u64>,
    answers: &Answers,
    ended: Option<Result<Answer, tokio_postgres::Error>>,
) -> Result<(), StoreError> {
    let failed = answers.iter().any(Result::is_err);
    match ended {
        Some(Ok(_)) if doubts.is_none_or(|before| before == session.doubts()) => {
            session.ended();
            Ok(())
        }
        // It stands on this server and may be nowhere else, or there was no transaction any more.
        Some(Ok(_)) | None => Err(session.no_answer()),
        Some(Err(error)) => {
            let error = session.error(error);
            // Refused since a statement had failed, or cancelled before it ran: the transaction is still there.
            if !matches!(error, StoreError::NoAnswer { .. }) {
                session.roll_back().await;
            }
            // Then it is for the statement to say what was wrong.
            if failed { Ok(()) } else { Err(error) }
        }
    }
}

/// Runs one prepared statement.
fn prepared<'a>(session: &'a Session, (statement, values): &'a Prepared) -> Sent<'a> {
    Box::pin(async move {
        let mut stream = Box::pin(session.client().query_raw(statement, values).await?);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await? {
            rows.push(row);
        }
        let affected = stream.rows_affected().unwrap_or(0);
        Ok(Answer { rows, affected })
    })
}

fn plain<'a>(session: &'a Session, text: &'a str) -> Sent<'a> {
    let sent = session.client().batch_execute(text);
    Box::pin(async move { sent.await.map(|()| Answer::default()) })
}

type Sent<'a> = BoxFuture<'a, Result<Answer, tokio_postgres::Error>>;

/// A future of the driver sends when it is first polled, and these are polled in order.
async fn in_order(sent: Vec<Sent<'_>>) -> Answers {
    join_all(sent).await
}

#[cfg(test)]
mod tests;
