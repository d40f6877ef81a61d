//! The stand-in through the unmodified driver: what an application sees is what an Oracle would show it.

#![expect(clippy::unwrap_used, reason = "a test tells what went wrong by panicking")]

mod contract_sql;
mod errors;
mod faults;
mod guard;
mod statements;
mod types;

use oracle::Connection;
use testkit::oracle::ErpDatabase;

/// A database with two tables, and a session.
pub(crate) struct Site {
    pub(crate) database: ErpDatabase,
    pub(crate) session: Connection,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let database = ErpDatabase::fresh("stand_in").await;
        database.run(&[
            "CREATE TABLE item (id NUMBER(10) PRIMARY KEY, code VARCHAR2(5) NOT NULL, name VARCHAR2(5 CHAR), \
             price NUMBER(5,2) CONSTRAINT price_not_negative CHECK (price >= 0))",
            "CREATE TABLE stock (item NUMBER(10) NOT NULL REFERENCES item (id), qty NUMBER)",
            "INSERT INTO item (id, code, price) VALUES (1, 'A', 1.5)",
            "INSERT INTO stock (item, qty) VALUES (1, 10)",
        ]);
        let session = database.connection();
        Self { database, session }
    }

    pub(crate) fn another(&self) -> Connection {
        self.database.connection()
    }
}

/// Runs a script on the PostgreSQL under the stand-in: what Oracle's SQL of the stand-in cannot say.
pub(crate) async fn run_under(site: &Site, script: &str) {
    let under = tokio_postgres::connect(&site.database.under().url(), tokio_postgres::NoTls).await;
    let (client, connection) = under.unwrap();
    tokio::spawn(connection);
    client.batch_execute(script).await.unwrap();
}

/// Oracle's code of a failure, or the driver's where it hides Oracle's.
pub(crate) fn code(error: &oracle::Error) -> i32 {
    match error.oci_code() {
        Some(code) if code != 0 => code,
        _ => error.dpi_code().unwrap_or(0),
    }
}
