//! DDL under load: columns that every statement of the fleet reads become wider, so that plans which connections keep are no longer valid.
//!
//! It waits for nobody: a lock that is not to be had at once is asked for again. So clients have no excuse for any error.

use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Side;
use tokio::time::{sleep, timeout};

use super::world::World;

/// Columns of written and read rows, and how wide the fleet's contract has them.
fn columns(side: Side) -> [(&'static str, &'static str, usize); 2] {
    match side {
        Side::Legacy => [("MOVLOG", "RSNTXT", 80), ("ITMHDR", "ITMDSC", 60)],
        Side::Modern => [("stock_movement", "reason", 80), ("stock_level", "location", 4)],
    }
}

impl World {
    /// Makes columns of a side wider, one after the other and again, for ever.
    ///
    /// # Errors
    /// When the server is down.
    pub async fn widen(&self, side: Side) -> Result<(), tokio_postgres::Error> {
        let client = self.unhurried(side).await?;
        let done = self.widened.get(side);
        client.batch_execute("SET lock_timeout = '40ms'").await?;
        loop {
            for (table, column, width) in columns(side) {
                let wider = width + 1 + done.load(Ordering::Relaxed);
                let text = format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar({wider})");
                match timeout(Duration::from_secs(2), client.batch_execute(&text)).await {
                    Ok(Ok(())) => {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    // Somebody had the table.
                    Ok(Err(error)) if error.code().is_some_and(|code| code.code() == "55P03") => {}
                    Ok(Err(error)) => return Err(error),
                    Err(_) => return Ok(()),
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
