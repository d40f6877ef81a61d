//! A sequence at its end is its owner's trouble, and no mistake of the client whose write came too late.

use model::Record;
use model::Side;
use model::write::Work;
use testkit::contract::{self, WITHIN};
use testkit::inventory;

use super::postgres::{Fixture, connect};

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_at_its_end_is_named_and_is_nobodys_bad_value() {
    let fixture = Fixture::new(Side::Modern).await;
    let client = connect(&fixture.database).await;
    client
        .batch_execute(
            "CREATE SEQUENCE item_numbers START 2 MAXVALUE 2; \
             ALTER TABLE products ADD COLUMN number bigint NOT NULL DEFAULT nextval('item_numbers')",
        )
        .await
        .unwrap();
    let set = |sku: &str| {
        let key = inventory::product_key(sku);
        let record = Record::of(&contract::entity(&key), [("name", "lamp".into())]);
        contract::command(Work::Set(record), vec![key])
    };
    let store = fixture.subject();
    contract::now(store.execute(&set("A"), WITHIN).await);
    // WHEN there is no number for the second
    let command = set("B");
    let error = store.execute(&command, WITHIN).await.unwrap_err();
    // THEN whoever runs the store is told which sequence, and the side is no outage
    assert!(error.is_exhausted() && error.to_string().contains("item_numbers"), "{error}");
    assert!(!error.is_outage() && !error.may_have_applied());
    assert!(store.standing(&[command.write], WITHIN).await.unwrap().is_empty(), "nothing was written");
    client.batch_execute("ALTER SEQUENCE item_numbers MAXVALUE 9").await.unwrap();
    contract::now(store.execute(&set("B"), WITHIN).await);
}
