//! What the doctor says of databases that do things on their own. The menagerie shows what then happens.

use adapters::oracle::OracleStore;
use model::{Side, Store};
use testkit::begin::Begin as _;
use testkit::contract::WITHIN;
use testkit::inventory;
use testkit::oracle::ErpDatabase;

use super::postgres::{Fixture, connect};

/// Problems and notices of a modern inventory after `sql`.
async fn said(sql: &str) -> (String, String) {
    let fixture = Fixture::new(Side::Modern).await;
    connect(&fixture.database).await.batch_execute(sql).await.unwrap();
    let names: Vec<_> = inventory::contract().entities.keys().cloned().collect();
    let found = fixture.store.inspect(&names, WITHIN).await.unwrap();
    (found.problems.join("\n"), found.notices.join("\n"))
}

fn trigger(name: &str, when: &str, body: &str) -> String {
    format!(
        "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$; \
         CREATE TRIGGER {name} {when} EXECUTE FUNCTION {name}();"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_named_with_what_it_may_do() {
    let rows = "BEFORE INSERT OR UPDATE ON products FOR EACH ROW";
    for (when, body, told) in [
        (rows, "NEW.sku := upper(NEW.sku); RETURN NEW;", "may change the key (sku)"),
        (
            rows,
            "NEW.name = trim(NEW.name); RETURN NEW;",
            "sets name: what strangler applies here would stand otherwise",
        ),
        (rows, "IF NEW.name = '' THEN RETURN NULL; END IF; RETURN NEW;", "may drop the change (RETURN NULL)"),
        (rows, "RETURN OLD;", "may keep the old row (RETURN OLD)"),
        (rows, "NEW := OLD; RETURN NEW;", "may replace the whole row"),
        (
            "AFTER INSERT ON products FOR EACH ROW",
            "INSERT INTO stock_levels VALUES (NEW.sku, 'X', 0); RETURN NULL;",
            "changes stock_levels, which comes to the other side only where `touches` names its rows",
        ),
        ("AFTER UPDATE ON products", "UPDATE products SET weight = 1; RETURN NULL;", "changes rows of products itself"),
    ] {
        let (problems, _) = said(&trigger("busy", when, body)).await;
        let found = problems.lines().any(|line| line.starts_with("trigger busy on products (") && line.contains(told));
        assert!(found, "{body}: {told}: {problems}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_breaks_no_promise_is_a_notice() {
    let rows = "BEFORE INSERT OR UPDATE ON products FOR EACH ROW";
    for (when, body, told) in [
        (rows, "IF NEW.price < 0 THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW;", "may refuse it"),
        (
            "BEFORE UPDATE ON products FOR EACH ROW WHEN (current_user <> 'postgres')",
            "NEW.name := ''; RETURN NEW;",
            "(WHEN)",
        ),
        ("AFTER INSERT ON products FOR EACH ROW", "EXECUTE 'SELECT 1'; RETURN NULL;", "put together at run time"),
    ] {
        let (problems, notices) = said(&trigger("busy", when, body)).await;
        assert_eq!(problems, "", "{body}");
        assert!(notices.contains("trigger busy on products") && notices.contains(told), "{body}: {notices}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hides_or_redirects_rows_is_a_problem() {
    let (problems, _) = said(
        "ALTER TABLE products RENAME TO base; CREATE VIEW products AS SELECT * FROM base WHERE active; \
         CREATE RULE gone AS ON DELETE TO stock_levels DO INSTEAD NOTHING;",
    )
    .await;
    assert!(problems.contains("products is a view with a condition"), "{problems}");
    assert!(problems.contains("rule gone on stock_levels does something else instead"), "{problems}");
    // A view that shows all rows, and a domain over the right type, are no trouble.
    let (problems, notices) = said(
        "CREATE DOMAIN code AS varchar(18); ALTER TABLE products ALTER COLUMN sku TYPE code; \
         ALTER TABLE stock_levels RENAME TO base; CREATE VIEW stock_levels AS SELECT * FROM base;",
    )
    .await;
    assert_eq!(problems, "");
    assert!(notices.contains("products.sku is of the domain code"), "{notices}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_columns_that_the_database_decides_on_are_problems() {
    if !testkit::postgres::knows_icu().await {
        return;
    }
    let (problems, notices) = said(
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         ALTER TABLE products ALTER COLUMN sku TYPE varchar(18) COLLATE ci; \
         ALTER TABLE products DROP COLUMN weight; \
         ALTER TABLE products ADD COLUMN weight numeric(12, 4) GENERATED ALWAYS AS (price) STORED; \
         ALTER TABLE stock_levels DROP CONSTRAINT stock_levels_pkey; \
         ALTER TABLE stock_levels ALTER COLUMN location DROP NOT NULL; ALTER TABLE stock_levels ADD UNIQUE (sku, location); \
         ALTER TABLE stock_levels ALTER COLUMN on_hand ADD GENERATED ALWAYS AS IDENTITY; \
         ALTER TABLE products ADD COLUMN colour text; INSERT INTO products (sku, colour) VALUES ('A', 'red'), ('B', NULL)",
    )
    .await;
    insta::assert_snapshot!(problems, @r#"
    products.sku is part of the key, and its collation ci takes different texts for the same key: the other side does not; ALTER TABLE products ALTER COLUMN sku TYPE varchar(18) COLLATE "C"
    products.weight is generated by the database, and cannot be written: let the field have its home in columns that can, or take it out of the contract
    stock_levels.location is part of the key and may be null: rows without it have no key, and are not compared, copied or handed over; give them one and ALTER TABLE stock_levels ALTER COLUMN location SET NOT NULL
    stock_levels.on_hand is an identity that the database always makes itself: what the other side has is refused; ALTER TABLE stock_levels ALTER COLUMN on_hand SET GENERATED BY DEFAULT
    "#);
    let left_out = "products.colour (text) is in no field, so that the other side never has it: 1 of 2 rows looked at have a value";
    assert!(notices.contains(left_out), "{notices}");
}

#[tokio::test(flavor = "multi_thread")]
async fn references_that_cascade_within_the_contract_are_problems_and_others_notices() {
    let (problems, notices) = said(
        "ALTER TABLE stock_levels ADD CONSTRAINT of_product FOREIGN KEY (sku) REFERENCES products ON DELETE CASCADE; \
         CREATE TABLE review (sku varchar(18) CONSTRAINT of_review REFERENCES products ON DELETE SET NULL); \
         CREATE UNIQUE INDEX one_name ON products (name);",
    )
    .await;
    assert_eq!(problems.lines().count(), 1, "{problems}");
    assert!(problems.starts_with("foreign key of_product changes rows of stock_levels by itself"), "{problems}");
    for told in [
        "of_review changes rows of review, which is not in the contract",
        "of_product of stock_levels is not deferrable",
        "one_name",
    ] {
        assert!(notices.contains(told), "{told}: {notices}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_acts_on_our_own_tables_is_named() {
    let swallow = trigger("swallow", "BEFORE INSERT ON strangler_ledger FOR EACH ROW", "RETURN NULL;");
    let (problems, _) =
        said(&format!("{swallow} CREATE RULE quiet AS ON UPDATE TO strangler_version DO INSTEAD NOTHING;")).await;
    assert!(problems.contains("trigger swallow on strangler_ledger: nobody but strangler may act on it"), "{problems}");
    assert!(problems.contains("rule quiet on strangler_version"), "{problems}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oracle_names_triggers_policies_and_cascades_by_its_dictionary() {
    let database = ErpDatabase::fresh("erp").await;
    let store = OracleStore::connect(Side::Legacy, inventory::contract(), &database.settings()).unwrap();
    database.run(&inventory::oracle_ddl(Side::Legacy));
    store.begin_as(&[inventory::group()], model::Role::Primary, WITHIN).await.unwrap();
    let under = connect(database.under()).await;
    under
        .batch_execute(
            "INSERT INTO oracle.all_triggers SELECT upper(current_schema()), t, upper(current_schema()), n, \
                 'BEFORE EACH ROW', 'INSERT OR UPDATE', w, 'ENABLED' FROM (VALUES \
                 ('ALPHA', 'INV_ITM_MST', NULL), ('STAMP', 'INV_LOC_BAL', 'USER <> ''STRANGLER'''), \
                 ('CHECKS', 'INV_LOC_BAL', NULL), ('AUDIT', 'STRANGLER_LEDGER', NULL)) v(t, n, w); \
             INSERT INTO oracle.all_trigger_cols VALUES (upper(current_schema()), 'ALPHA', 'ITM_NO', 'NEW IN OUT'), \
                 (upper(current_schema()), 'ALPHA', 'PRC', 'NEW IN'), (upper(current_schema()), 'STAMP', 'CNT_DT', 'NEW OUT'); \
             INSERT INTO oracle.said_dependencies VALUES (upper(current_schema()), 'ALPHA', 'TRIGGER', 'INV_LOC_BAL', 'TABLE'); \
             INSERT INTO oracle.said_policies VALUES (upper(current_schema()), 'INV_LOC_BAL', 'PLANTS', 'YES'); \
             ALTER TABLE inv_loc_bal ADD CONSTRAINT of_item FOREIGN KEY (itm_no) REFERENCES inv_itm_mst ON DELETE CASCADE",
        )
        .await
        .unwrap();
    let names: Vec<_> = inventory::contract().entities.keys().cloned().collect();
    let found = store.inspect(&names, WITHIN).await.unwrap();
    insta::assert_snapshot!(found.problems.join("\n"), @r"
    trigger ALPHA on INV_ITM_MST (BEFORE EACH ROW, INSERT OR UPDATE) may change the key (ITM_NO): the row stands under another key than the one named, and uses INV_LOC_BAL, whose rows come to the other side only where `touches` names them: drop it, or let it leave the rows of strangler's account alone (WHEN (USER <> '…'))
    foreign key OF_ITEM changes rows of INV_LOC_BAL by itself when one of INV_ITM_MST is deleted (ON DELETE CASCADE): they come to the other side only where `touches` names them; see that both sides cascade alike
    policy PLANTS on INV_LOC_BAL may hide rows (DBMS_RLS), and a hidden row looks like none: no statement is sent to it; grant EXEMPT ACCESS POLICY to our account
    trigger AUDIT on strangler_ledger: nobody but strangler may act on it; drop it
    ");
    let notices = found.notices.join("\n");
    assert!(notices.contains("trigger STAMP on INV_LOC_BAL"), "{notices}");
    assert!(
        notices
            .contains("trigger CHECKS on INV_LOC_BAL (BEFORE EACH ROW, INSERT OR UPDATE) runs with every such write"),
        "{notices}"
    );
}
