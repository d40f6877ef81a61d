//! Rows that a policy hides from our account on an Oracle. On a PostgreSQL, its sessions refuse: see `not_taken`.

use std::sync::Arc;
use std::time::Duration;

use model::{Applied, Scan as _, Side, Store as _, StoreError};
use testkit::contract::{Subject, WITHIN, adjust, bring, change, entity, on_hand, set_level};
use testkit::inventory::{level_key, product_key};
use testkit::oracle::COMES_THROUGH;

use super::any_oracle::Fixture;
use super::postgres::connect;

/// Longer than a policy may go unnoticed.
const NOTICED: Duration = Duration::from_secs(15);

fn names_the_policy<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> bool {
    match answer {
        Err(StoreError::Misfit { problem, .. }) => {
            problem.contains("INV_LOC_BAL") && problem.contains("EXEMPT ACCESS POLICY")
        }
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oracle_is_asked_nothing_of_a_table_whose_rows_a_policy_may_hide() {
    let fixture = Fixture::new(Side::Legacy).await;
    let owner = fixture.subject();
    set_level(&owner, "A", "BER", 10).await;
    let role = format!("hidden_{}", testkit::contract::write_id().0.simple());
    let under = connect(fixture.database.under()).await;
    let account =
        format!("CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; ");
    under.batch_execute(&(account + &COMES_THROUGH.replace("{role}", &role))).await.unwrap();
    let oracle = fixture.with(|settings| (settings.user, settings.password) = (role.clone(), "x".to_owned()));
    let store: Subject = Arc::new(oracle.clone());
    assert_eq!(on_hand(&store, "A", "BER").await, Some(10));

    // WHEN somebody hides the row while we work
    let policy =
        "ALTER TABLE inv_loc_bal ENABLE ROW LEVEL SECURITY; CREATE POLICY small ON inv_loc_bal USING (oh_qty > 100)";
    under.batch_execute(policy).await.unwrap();

    // THEN it is soon not said to be gone, but nothing is said at all,
    let (level, product) = (level_key("A", "BER"), product_key("A"));
    let fetch = async |key: &model::EntityKey| {
        let entity = entity(key);
        oracle.fetch(&entity, std::slice::from_ref(key), entity.all_fields(), WITHIN).await
    };
    let until = tokio::time::Instant::now() + NOTICED;
    while !names_the_policy(fetch(&level).await) {
        assert!(tokio::time::Instant::now() < until, "the policy is not noticed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // whatever is asked,
    assert!(names_the_policy(store.execute(&adjust(&store, "A", "BER", -3), WITHIN).await));
    let brought = bring(&store, &[change("A", "BER", 2, None)]).await;
    assert!(brought.as_ref().map_or(true, |applied| !Applied::settle(applied, 1)), "{brought:?}");
    assert!(names_the_policy(oracle.scan(&entity(&level), None, 10, WITHIN).await));
    // while other tables answer,
    assert!(fetch(&product).await.is_ok());
    assert_eq!(on_hand(&owner, "A", "BER").await, Some(10));

    // and it is asked again when our account is exempt from a policy that stays.
    let exempt = format!(
        "INSERT INTO oracle.said_policies VALUES ('PUBLIC', 'INV_LOC_BAL', 'PLANTS', 'YES'); ALTER ROLE {role} BYPASSRLS"
    );
    under.batch_execute(&exempt).await.unwrap();
    let until = tokio::time::Instant::now() + NOTICED;
    while fetch(&level).await.is_err() {
        assert!(tokio::time::Instant::now() < until, "that it is exempt is not noticed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A view has a name of its own, and no policy; what lies beneath it hides rows all the same, however many views away.
#[tokio::test(flavor = "multi_thread")]
async fn an_oracle_is_asked_nothing_of_a_view_beneath_which_a_policy_may_hide_rows() {
    let fixture = Fixture::new(Side::Legacy).await;
    set_level(&fixture.subject(), "A", "BER", 10).await;
    let role = format!("beneath_{}", testkit::contract::write_id().0.simple());
    let under = connect(fixture.database.under()).await;
    let views = "ALTER TABLE inv_loc_bal RENAME TO stock_rows; \
                 CREATE VIEW stock_of_plants WITH (security_invoker = true) AS SELECT * FROM stock_rows; \
                 CREATE VIEW inv_loc_bal WITH (security_invoker = true) AS SELECT * FROM stock_of_plants; ";
    let account =
        format!("{views} CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; ");
    under.batch_execute(&(account + &COMES_THROUGH.replace("{role}", &role))).await.unwrap();
    let oracle = fixture.with(|settings| (settings.user, settings.password) = (role.clone(), "x".to_owned()));
    let (level, product) = (level_key("A", "BER"), product_key("A"));
    let fetch = async |key: &model::EntityKey| {
        let entity = entity(key);
        oracle.fetch(&entity, std::slice::from_ref(key), entity.all_fields(), WITHIN).await
    };
    assert!(fetch(&level).await.unwrap()[0].is_some());

    // WHEN somebody hides the row beneath
    let policy =
        "ALTER TABLE stock_rows ENABLE ROW LEVEL SECURITY; CREATE POLICY small ON stock_rows USING (oh_qty > 100)";
    under.batch_execute(policy).await.unwrap();

    // THEN it is soon not said to be gone, and other tables answer
    let until = tokio::time::Instant::now() + NOTICED;
    while !names_the_policy(fetch(&level).await) {
        assert!(tokio::time::Instant::now() < until, "the policy is not noticed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(fetch(&product).await.is_ok());
}
