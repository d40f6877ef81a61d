//! Secondaries that do something of their own with what they are brought: a row that is not what was written, or cannot
//! be seen, is no success. Both engines; the Oracle is the stand-in over a PostgreSQL, which plays the triggers.

use std::sync::Arc;

use model::foreign::Found;
use model::{Applied, Change, Side, StoreError};
use testkit::contract::{Subject, WITHIN, bring, bring_over, change, entity, on_hand};
use testkit::inventory::{level, level_key};
use testkit::postgres::Database;

use super::{any_oracle, postgres};

/// One engine, and how its database is reached by somebody else.
enum Engine {
    Postgres(postgres::Fixture),
    Oracle(any_oracle::Fixture),
}

impl Engine {
    async fn both() -> Vec<Self> {
        let oracle = any_oracle::Fixture::new(Side::Legacy).await;
        vec![Self::Postgres(postgres::Fixture::new(Side::Modern).await), Self::Oracle(oracle)]
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Postgres(fixture) => fixture.subject(),
            Self::Oracle(fixture) => fixture.subject(),
        }
    }

    fn database(&self) -> &Database {
        match self {
            Self::Postgres(fixture) => &fixture.database,
            Self::Oracle(fixture) => fixture.database.under(),
        }
    }

    /// Runs statements in which `{table}`, `{qty}` and `{loc}` stand for the levels' table and columns.
    async fn run(&self, text: &str) {
        let (table, qty, loc) = match self {
            Self::Postgres(_) => ("stock_levels", "on_hand", "location"),
            Self::Oracle(_) => ("inv_loc_bal", "oh_qty", "loc_cd"),
        };
        let text = text.replace("{table}", table).replace("{qty}", qty).replace("{loc}", loc);
        postgres::connect(self.database()).await.batch_execute(&text).await.expect("statements");
    }
}

/// A trigger whose function does `body`.
fn trigger(when: &str, body: &str) -> String {
    format!(
        "CREATE FUNCTION hostile() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$; \
         CREATE TRIGGER hostile {when} ON {{table}} FOR EACH ROW EXECUTE FUNCTION hostile()"
    )
}

async fn one(store: &Subject, change: &Change) -> Applied {
    let mut applied = bring(store, std::slice::from_ref(change)).await.expect("an answer");
    assert_eq!(applied.len(), 1);
    applied.remove(0)
}

async fn stands(store: &Subject, change: &Change) -> bool {
    !store.standing(&[change.write], WITHIN).await.expect("an answer").is_empty()
}

/// Nothing of the change is there, however often it is brought, by whatever order; and once the cause is mended it is.
async fn is_left_alone(engine: &Engine, store: &Subject, change: Change, expected: Applied) {
    for _ in 0..2 {
        assert_eq!(one(store, &change).await, expected);
        assert_eq!(
            bring_over(store, std::slice::from_ref(&change)).await.expect("an answer"),
            std::slice::from_ref(&expected)
        );
        assert!(!stands(store, &change).await);
        let recorded = store.recorded(std::slice::from_ref(&change.key), WITHIN).await.expect("an answer");
        assert!(recorded[0].is_none_or(|recorded| recorded.write != change.write));
    }
    engine.run("DROP FUNCTION hostile CASCADE").await;
    assert_eq!(one(store, &change).await, Applied::Newer);
    assert!(stands(store, &change).await);
}

fn altered(on_hand: i64) -> Applied {
    Applied::Altered(Found::Record(level("A", "BER", on_hand)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_keeps_the_old_row_or_writes_another_is_no_success() {
    let bodies = [
        ("BEFORE UPDATE", "RETURN OLD;", 1),
        ("BEFORE UPDATE", "NEW.{qty} := NEW.{qty} + 10; RETURN NEW;", 12),
        ("AFTER UPDATE", "IF NEW.{qty} <> 77 THEN UPDATE {table} SET {qty} = 77; END IF; RETURN NULL;", 77),
    ];
    for (when, body, left) in bodies {
        for engine in Engine::both().await {
            let store = engine.subject();
            assert_eq!(one(&store, &change("A", "BER", 1, Some(1))).await, Applied::Newer);
            engine.run(&trigger(when, body)).await;
            is_left_alone(&engine, &store, change("A", "BER", 2, Some(2)), altered(left)).await;
            assert_eq!(on_hand(&store, "A", "BER").await, Some(2), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_swallows_a_row_is_no_success() {
    for (when, before, after, expected) in [
        ("BEFORE INSERT", None, Some(2), Applied::NotThere),
        ("BEFORE UPDATE", Some(1), Some(2), altered(1)),
        ("BEFORE DELETE", Some(1), None, altered(1)),
    ] {
        for engine in Engine::both().await {
            let store = engine.subject();
            if before.is_some() {
                assert_eq!(one(&store, &change("A", "BER", 1, before)).await, Applied::Newer);
            }
            engine.run(&trigger(when, "RETURN NULL;")).await;
            is_left_alone(&engine, &store, change("A", "BER", 2, after), expected.clone()).await;
            assert_eq!(on_hand(&store, "A", "BER").await, after, "{when}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_waits_for_the_end_of_the_transaction_is_seen() {
    let engine = Engine::Postgres(postgres::Fixture::new(Side::Modern).await);
    let store = engine.subject();
    let text = trigger("AFTER INSERT", "UPDATE {table} SET {qty} = 77; RETURN NULL;");
    let deferred = text
        .replace("CREATE TRIGGER hostile", "CREATE CONSTRAINT TRIGGER hostile")
        .replace(" FOR EACH ROW", " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW");
    engine.run(&deferred).await;
    is_left_alone(&engine, &store, change("A", "BER", 2, Some(2)), altered(77)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_write_that_is_altered_holds_up_no_other() {
    for engine in Engine::both().await {
        let store = engine.subject();
        engine.run(&trigger("BEFORE INSERT", "IF NEW.{qty} = 2 THEN NEW.{qty} := 9; END IF; RETURN NEW;")).await;
        let first = change("A", "BER", 1, Some(2));
        let second = Change { write: first.write, ordinal: 1, ..change("B", "BER", 1, Some(1)) };
        let call = [change("C", "BER", 1, Some(1)), first, second, change("D", "BER", 1, None)];
        let applied = bring(&store, &call).await.expect("an answer");
        assert_eq!(applied, [Applied::Newer, altered(9), Applied::Held, Applied::Newer]);
        assert_eq!(on_hand(&store, "A", "BER").await, None);
        assert_eq!(on_hand(&store, "B", "BER").await, None);
        assert_eq!(on_hand(&store, "C", "BER").await, Some(1));
    }
}

/// The tables belong to somebody else, who hides rows from our role.
async fn with_a_role(engine: &Engine, policy: &str) -> Subject {
    let role = format!("hidden_{}", testkit::contract::write_id().0.simple());
    let text = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; \
         ALTER TABLE {{table}} ENABLE ROW LEVEL SECURITY; {policy}"
    );
    engine.run(&text).await;
    let url = engine.database().url();
    let (_, place) = url.split_once('@').expect("an address with a user");
    let url = format!("postgres://{role}:x@{place}");
    let settings = adapters::postgres::Settings::new(url);
    let contract = testkit::inventory::contract();
    Arc::new(adapters::postgres::PostgresStore::connect(Side::Modern, contract, &settings).expect("a store"))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_policy_hides_are_not_taken_for_gone_or_written() {
    let engine = Engine::Postgres(postgres::Fixture::new(Side::Modern).await);
    let owner = engine.subject();
    for sku in ["A", "B"] {
        assert_eq!(one(&owner, &change(sku, "BER", 1, Some(1))).await, Applied::Newer);
    }
    engine.run("INSERT INTO {table} (sku, {loc}, {qty}) VALUES ('NEVER', 'BER', 5)").await;
    let policy = "CREATE POLICY small ON {table} USING ({qty} > 100) WITH CHECK (true)";
    let store = with_a_role(&engine, policy).await;
    // A row that we left there, one that we never wrote, and one that would be hidden at once; by whatever order.
    for change in [
        change("A", "BER", 2, None),
        change("NEVER", "BER", 2, None),
        change("B", "BER", 2, Some(2)),
        change("NEW", "BER", 2, Some(2)),
    ] {
        let call = std::slice::from_ref(&change);
        for answer in [bring(&store, call).await, bring_over(&store, call).await] {
            assert!(answer.as_ref().map_or(true, |applied| !Applied::settle(applied, 1)), "{answer:?}");
        }
        assert!(!stands(&owner, &change).await);
    }
    for (sku, left) in [("A", Some(1)), ("B", Some(1)), ("NEVER", Some(5)), ("NEW", None)] {
        assert_eq!(on_hand(&owner, sku, "BER").await, left, "{sku}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_view_hides_are_not_taken_for_gone_or_written() {
    for engine in Engine::both().await {
        let store = engine.subject();
        assert_eq!(one(&store, &change("A", "BER", 1, Some(1))).await, Applied::Newer);
        engine
            .run("ALTER TABLE {table} RENAME TO kept; CREATE VIEW {table} AS SELECT * FROM kept WHERE {qty} > 100")
            .await;
        assert_eq!(one(&store, &change("A", "BER", 2, None)).await, Applied::NotThere);
        let put = bring(&store, &[change("A", "BER", 2, Some(2))]).await;
        assert!(put.as_ref().map_or(true, |applied| !Applied::settle(applied, 1)), "{put:?}");
        let made = bring(&store, &[change("B", "BER", 2, Some(2))]).await;
        assert!(made.as_ref().map_or(true, |applied| !Applied::settle(applied, 1)), "{made:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_another_key_or_a_second_row_is_never_no_such_record() {
    for engine in Engine::both().await {
        let store = engine.subject();
        for sku in ["A", "B"] {
            assert_eq!(one(&store, &change(sku, "BER", 1, Some(1))).await, Applied::Newer);
        }
        let keys = |skus: &[&str]| -> Vec<_> { skus.iter().map(|sku| level_key(sku, "BER")).collect() };
        let entity = entity(&level_key("A", "BER"));
        let fetch = async |skus: &[&str]| store.fetch(&entity, &keys(skus), entity.all_fields(), WITHIN).await;
        // The side takes both for the same, as a collation may.
        let rename = match engine {
            Engine::Postgres(_) => {
                "ALTER TABLE {table} RENAME TO kept; CREATE VIEW {table} AS SELECT 'A'::varchar(18) AS sku, {loc}, {qty}, counted_at FROM kept"
            }
            Engine::Oracle(_) => {
                "ALTER TABLE {table} RENAME TO kept; CREATE VIEW {table} AS SELECT 'A'::char(18) AS itm_no, {loc}, {qty}, cnt_dt FROM kept"
            }
        };
        engine.run(rename).await;
        for asked in [&["A"][..], &["A", "X"]] {
            let twice = fetch(asked).await;
            assert!(matches!(twice, Err(StoreError::Misfit { .. })), "{twice:?}");
        }
        assert_eq!(fetch(&["X", "Y"]).await.expect("an answer"), [None, None]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_comes_back_under_another_key_is_named() {
    if !testkit::postgres::knows_icu().await {
        return;
    }
    let engine = Engine::Postgres(postgres::Fixture::new(Side::Modern).await);
    let store = engine.subject();
    engine
        .run(
            "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
             ALTER TABLE {table} ALTER COLUMN sku TYPE varchar(18) COLLATE any_case; \
             INSERT INTO {table} (sku, {loc}, {qty}) VALUES ('abc', 'BER', 1)",
        )
        .await;
    let entity = entity(&level_key("A", "BER"));
    for asked in [vec![level_key("ABC", "BER")], vec![level_key("X", "BER"), level_key("ABC", "BER")]] {
        let other = store.fetch(&entity, &asked, entity.all_fields(), WITHIN).await;
        let Err(StoreError::Misfit { problem, .. }) = &other else { panic!("{other:?}") };
        assert!(problem.contains("abc"), "{problem}");
    }
}
