//! Statements that set a local server up: databases, tables, rows.

use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::{LocalServerError, url};

/// A row with every value as text; `None` is null.
pub type TextRow = Vec<Option<String>>;

/// Makes an empty database in the local server on `port`.
///
/// # Errors
/// [`LocalServerError::Sql`] when there is one of that name or the server is down.
pub async fn create_database(port: u16, name: &str) -> Result<(), LocalServerError> {
    // From template0: template1 cannot be copied while anybody is connected to it.
    let name = name.replace('"', "\"\"");
    administer(port, "creating a database", &format!("CREATE DATABASE \"{name}\" TEMPLATE template0")).await
}

/// Removes a database from the local server on `port`, with whoever is connected to it.
///
/// # Errors
/// [`LocalServerError::Sql`] when the server is down.
pub async fn drop_database(port: u16, name: &str) -> Result<(), LocalServerError> {
    let name = name.replace('"', "\"\"");
    administer(port, "dropping a database", &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).await
}

async fn administer(port: u16, doing: &'static str, statement: &str) -> Result<(), LocalServerError> {
    run(&url(port, "postgres"), doing, statement).await.map(drop)
}

/// Runs `script` on a connection of its own; see `LocalServer::run`.
pub(super) async fn run(url: &str, doing: &'static str, script: &str) -> Result<Vec<TextRow>, LocalServerError> {
    let sql = |source| LocalServerError::Sql { doing, source };
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(sql)?;
    let connection = tokio::spawn(connection);
    let outcome = client.simple_query(script).await.map_err(sql);
    drop(client);
    // Waited for, so that the connection is gone when we say that we are done; how it ended does not matter any more.
    let _ = connection.await;
    let text = |message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|place| row.get(place).map(str::to_owned)).collect()),
        _ => None,
    };
    Ok(outcome?.into_iter().filter_map(text).collect())
}
