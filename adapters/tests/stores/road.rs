//! The road to a real server, tried on the stand-in: what `ORACLE_TEST_URL` names is reached, and left as it was.

use std::sync::Arc;

use model::Side;
use testkit::contract::{Subject, WITHIN, on_hand, set_level};
use testkit::inventory;
use testkit::oracle::server::{Expected, Server};
use testkit::oracle::{ErpDatabase, client_lib_dir};
use testkit::postgres::Database;

/// The address under which the stand-in lets this database be reached, as `ORACLE_TEST_URL` has it.
fn url(database: &Database) -> String {
    format!("postgres/postgres@127.0.0.1:{}/{}", database.port(), database.name())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_given_has_an_account_for_each_test_and_keeps_none() {
    let under = Database::fresh("road").await;
    let server = Server::at(&url(&under), client_lib_dir(), Expected::StandIn).unwrap();
    let accounts = async || {
        let client = super::postgres::connect(&under).await;
        let text = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'strangler_test_%'";
        client.query_one(text, &[]).await.unwrap().get::<_, i64>(0)
    };

    {
        let (one, other) = (ErpDatabase::on(&server), ErpDatabase::on(&server));
        let stores: [Subject; 2] =
            [Arc::new(one.inventory(Side::Legacy).await), Arc::new(other.inventory(Side::Legacy).await)];
        set_level(&stores[0], "A", "BER", 7).await;
        assert_eq!(on_hand(&stores[0], "A", "BER").await, Some(7));
        assert_eq!(on_hand(&stores[1], "A", "BER").await, None);
        let names: Vec<_> = inventory::contract().entities.keys().cloned().collect();
        assert_eq!(stores[0].inspect(&names, WITHIN).await.unwrap().problems, Vec::<String>::new());
        // A moment that is kept is no reason to leave an account behind.
        stores[0].snapshot(WITHIN).await.unwrap();
        assert_eq!(accounts().await, 2);
    }

    assert_eq!(accounts().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_the_stand_in_for_an_oracle() {
    let under = Database::fresh("road").await;
    let refused = Server::at(&url(&under), client_lib_dir(), Expected::Oracle).unwrap_err();
    assert!(refused.contains("proves nothing about an Oracle"), "{refused}");
    let nowhere = Server::at("postgres/postgres@127.0.0.1:1/none", client_lib_dir(), Expected::StandIn).unwrap_err();
    assert!(nowhere.contains("ORA-12541"), "{nowhere}");
}
