//! Which statements a connection has prepared: a bounded number, and those that it uses.
//!
//! The server keeps a prepared statement in the connection's own memory until it is told to forget it. Sets of columns
//! are few (`columns`), so a contract of ordinary size never comes near the bound; it holds whatever is asked.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Statements of one connection. Each holds some kilobytes of the server's memory.
pub(super) const MOST: usize = 500;

/// The statements of one connection, by text, with when each was used last.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    uses: u64,
    last: HashMap<String, u64>,
}

impl Statements {
    /// `text` is used. The one that is to be given up in its place, if there is one too many.
    pub(super) fn used(&self, text: &str) -> Option<String> {
        let used = &mut *self.0.lock();
        used.uses += 1;
        if let Some(last) = used.last.get_mut(text) {
            *last = used.uses;
            return None;
        }
        used.last.insert(text.to_owned(), used.uses);
        if used.last.len() <= MOST {
            return None;
        }
        let oldest = used.last.iter().min_by_key(|(_, last)| **last).map(|(text, _)| text.clone())?;
        used.last.remove(&oldest);
        Some(oldest)
    }

    /// All of them were given up.
    pub(super) fn clear(&self) {
        self.0.lock().last.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use model::{FieldIndex, FieldSet, Side, Store as _};
    use testkit::inventory::{self, product_key};
    use testkit::postgres::Database;
    use tokio_postgres::NoTls;

    use super::*;
    use crate::Lane;
    use crate::columns;
    use crate::postgres::read::query;
    use crate::postgres::session::{Session, Use};
    use crate::postgres::{PostgresStore, Settings};

    const WITHIN: Duration = Duration::from_secs(20);

    /// A store with one connection for reads.
    async fn store(database: &Database) -> PostgresStore {
        let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(inventory::ddl(Side::Legacy)).await.unwrap();
        let settings = Settings { reads: NonZeroUsize::MIN, ..Settings::new(database.url()) };
        PostgresStore::connect(Side::Legacy, inventory::contract(), &settings).unwrap()
    }

    /// What the server keeps for that connection.
    async fn kept(session: &Session) -> i64 {
        let count = session.prepare(&["SELECT count(*) FROM pg_prepared_statements"]).await.unwrap();
        query(session, &count[0], &[]).await.unwrap()[0].try_get(0).unwrap()
    }

    #[tokio::test]
    async fn clients_that_ask_for_every_set_of_columns_leave_few_statements_on_the_server() {
        let database = Database::fresh("statements").await;
        let store = store(&database).await;
        let contract = inventory::contract();
        let product = contract.entity(product_key("A").entity()).unwrap();
        for bits in 0_u32..1 << product.fields.len() {
            let fields: FieldSet =
                (0..product.fields.len()).filter(|bit| bits & (1 << bit) != 0).map(FieldIndex::new).collect();
            store.fetch(product, &[product_key("A")], fields, WITHIN).await.unwrap();
        }
        let session = store.pools().session(Lane::Client, Use::Read, WITHIN).await.unwrap();
        let kept = usize::try_from(kept(&session).await).unwrap();
        assert!(kept <= columns::MOST + 2, "{kept} statements are kept");
    }

    #[tokio::test]
    async fn a_server_forgets_the_statements_that_a_connection_gives_up() {
        let database = Database::fresh("statements").await;
        let store = store(&database).await;
        let session = store.pools().session(Lane::Client, Use::Read, WITHIN).await.unwrap();
        for n in 0..MOST + 20 {
            session.prepare(&[&format!("SELECT {n}")]).await.unwrap();
        }
        assert_eq!(usize::try_from(kept(&session).await).unwrap(), MOST);
    }

    #[test]
    fn what_was_not_used_for_longest_is_given_up() {
        let statements = Statements::default();
        for n in 0..MOST {
            assert_eq!(statements.used(&n.to_string()), None);
        }
        assert_eq!(statements.used("0"), None);
        assert_eq!(statements.used("one more"), Some("1".to_owned()));
        assert_eq!(statements.used("another"), Some("2".to_owned()));
        statements.clear();
        assert_eq!(statements.used("1"), None);
    }
}
