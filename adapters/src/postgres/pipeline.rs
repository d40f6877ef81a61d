//! Statements that are sent together and answered together: one round trip.

use futures::TryStreamExt;
use futures::future::join_all;
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

pub(super) type Answers = Vec<Result<Answer, tokio_postgres::Error>>;

/// Runs one prepared statement.
async fn run(session: &Session, statement: &Statement, values: &[Stored]) -> Result<Answer, tokio_postgres::Error> {
    let mut stream = Box::pin(session.client().query_raw(statement, values).await?);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await? {
        rows.push(row);
    }
    let affected = stream.rows_affected().unwrap_or_default();
    Ok(Answer { rows, affected })
}

/// Sends `first`, the prepared steps and `last` together. One answer each, in order.
pub(super) async fn pipeline(
    session: &Session,
    first: Option<&str>,
    steps: &[(Statement, Vec<Stored>)],
    last: Option<&str>,
) -> Answers {
    let plain = |text| {
        let sent = session.client().batch_execute(text);
        Box::pin(async move { sent.await.map(|()| Answer::default()) }) as futures::future::BoxFuture<'_, _>
    };
    let mut sent: Vec<futures::future::BoxFuture<'_, _>> = Vec::new();
    sent.extend(first.map(plain));
    for (statement, values) in steps {
        sent.push(Box::pin(run(session, statement, values)));
    }
    sent.extend(last.map(plain));
    // A future of the driver sends when it is first polled, and these are polled in order.
    join_all(sent).await
}
