//! The row is kept under another key than the one named, or not at all: then nothing is.

use model::contract::Statement;
use model::sql::NamedSql;
use model::write::{KEY_NOT_KEPT, Work};
use model::{Command, Side, StoreError};
use testkit::contract::{self, Subject, WITHIN, command};
use testkit::inventory::{self, level_key};
use testkit::postgres::Database;

use super::any_oracle;
use super::postgres::{Fixture, connect};

/// A side, and the database under it.
struct Under<'a> {
    store: Subject,
    database: &'a Database,
    side: Side,
}

impl Under<'_> {
    fn table(&self) -> (&'static str, &'static str) {
        match self.side {
            Side::Legacy => ("INV_LOC_BAL", "ITM_NO"),
            Side::Modern => ("stock_levels", "sku"),
        }
    }

    async fn run(&self, text: &str) {
        connect(self.database).await.batch_execute(text).await.unwrap();
    }

    /// How many rows the table and the ledger have.
    async fn counts(&self) -> (i64, i64) {
        let text = format!("SELECT (SELECT count(*) FROM {}), (SELECT count(*) FROM strangler_ledger)", self.table().0);
        let row = connect(self.database).await.query_one(&text, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }

    async fn is_refused_and_leaves_nothing(&self, what: &str, command: Command) {
        let before = self.counts().await;
        let code = contract::refusal(self.store.execute(&command, WITHIN).await);
        assert_eq!(code, KEY_NOT_KEPT, "{} {what}", self.side);
        let seeing = Command { write: contract::write_id(), ..command };
        let code = contract::refusal(self.store.execute_seeing(&seeing, WITHIN).await);
        assert_eq!(code, KEY_NOT_KEPT, "{} {what}", self.side);
        assert_eq!(self.counts().await, before, "{} {what}", self.side);
    }

    fn set(&self, sku: &str) -> Command {
        command(Work::Set(inventory::level(sku, "BER", 5)), vec![level_key(sku, "BER")])
    }

    fn put(&self, sku: &str) -> Command {
        let work = Work::Run { statements: inventory::put_level(self.side), params: inventory::at(sku, "BER", 5) };
        command(work, vec![level_key(sku, "BER")])
    }

    /// A trigger as an ERP has them: keys are capitals.
    async fn capitals(&self) {
        let (table, key) = self.table();
        self.run(&format!(
            "CREATE FUNCTION capitals() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN NEW.{key} := upper(NEW.{key}); RETURN NEW; END';
             CREATE TRIGGER capitals BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION capitals();"
        ))
        .await;
        contract::set_level(&self.store, "BOLT", "BER", 5).await;
        self.is_refused_and_leaves_nothing("set", self.set("bolt-9")).await;
        self.is_refused_and_leaves_nothing("run", self.put("bolt-9")).await;
        // What is sent as it is kept goes on.
        contract::set_level(&self.store, "BOLT-9", "BER", 5).await;
        contract::now(self.store.execute(&self.put("BOLT-8"), WITHIN).await);
        assert_eq!(contract::on_hand(&self.store, "BOLT-8", "BER").await, Some(5));
    }

    /// A row from before there was the trigger takes another key when it is changed; one that is renamed does so as well,
    /// and is named.
    async fn moved(&self) {
        let (table, key) = self.table();
        contract::set_level(&self.store, "old", "BER", 5).await;
        self.run(&format!(
            "CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN NEW.{key} := upper(NEW.{key}); RETURN NEW; END';
             CREATE TRIGGER move BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION move();"
        ))
        .await;
        self.is_refused_and_leaves_nothing("moved", contract::adjust(&self.store, "old", "BER", -1)).await;
        let rename = |from: &str, to: &str| {
            let sql = format!("UPDATE {table} SET {key} = '{to}' WHERE {key} = '{from}' AND 0 < :delta");
            let statement = Statement { sql: NamedSql::parse(&sql).unwrap(), refuse: None };
            let work = Work::Run { statements: vec![statement], params: inventory::at(from, "BER", 1) };
            command(work, vec![level_key(from, "BER"), level_key(to, "BER")])
        };
        contract::set_level(&self.store, "ONE", "BER", 5).await;
        let renamed = contract::now(self.store.execute(&rename("ONE", "TWO"), WITHIN).await);
        assert_eq!(renamed.iter().map(|change| change.state.is_some()).collect::<Vec<_>>(), [false, true]);
        self.is_refused_and_leaves_nothing("moved elsewhere", rename("TWO", "three")).await;
    }

    /// A trigger that keeps nothing.
    async fn swallowed(&self) {
        let (table, key) = self.table();
        self.run(&format!(
            "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER swallow BEFORE INSERT ON {table} FOR EACH ROW WHEN (NEW.{key} LIKE 'X%')
             EXECUTE FUNCTION swallow();"
        ))
        .await;
        self.is_refused_and_leaves_nothing("swallowed", self.set("X1")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_makes_another_key_of_it_or_keeps_nothing_refuses_the_write() {
    for side in Side::BOTH {
        let fixture = Fixture::new(side).await;
        let under = Under { store: fixture.subject(), database: &fixture.database, side };
        under.moved().await;
        under.swallowed().await;
    }
    for side in Side::BOTH {
        let fixture = Fixture::new(side).await;
        let under = Under { store: fixture.subject(), database: &fixture.database, side };
        under.capitals().await;
    }
    for side in Side::BOTH {
        let fixture = any_oracle::Fixture::new(side).await;
        let under = Under { store: fixture.subject(), database: fixture.database.under(), side };
        under.capitals().await;
        under.swallowed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collation_that_takes_two_keys_for_one_changes_no_row_of_another_key() {
    if !testkit::postgres::knows_icu().await {
        return;
    }
    let fixture = Fixture::new(Side::Modern).await;
    let under = Under { store: fixture.subject(), database: &fixture.database, side: Side::Modern };
    under
        .run(
            "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             ALTER TABLE stock_levels ALTER COLUMN sku TYPE varchar(18) COLLATE ci;",
        )
        .await;
    let store = &under.store;
    contract::set_level(store, "Bolt-M8", "BER", 5).await;
    under.is_refused_and_leaves_nothing("set", under.set("bolt-m8")).await;
    under.is_refused_and_leaves_nothing("run", contract::adjust(store, "BOLT-M8", "BER", -1)).await;
    let key = || vec![level_key("BOLT-m8", "BER")];
    under.is_refused_and_leaves_nothing("delete", command(Work::Delete, key())).await;
    let removal =
        Work::Run { statements: vec![inventory::remove(Side::Modern)], params: inventory::at("BOLT-m8", "BER", 0) };
    under.is_refused_and_leaves_nothing("run a delete", command(removal, key())).await;
    under.is_refused_and_leaves_nothing("touch", command(Work::Touch, key())).await;
    assert_eq!(contract::on_hand(store, "Bolt-M8", "BER").await, Some(5));
    contract::now(store.execute(&command(Work::Delete, vec![level_key("Bolt-M8", "BER")]), WITHIN).await);
}

/// A function says nothing of what it changed; the server does.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_makes_another_key_refuses_the_write_and_one_that_does_nothing_does_not() {
    let fixture = Fixture::new(Side::Modern).await;
    let under = Under { store: fixture.subject(), database: &fixture.database, side: Side::Modern };
    under
        .run(
            "CREATE FUNCTION add_level(item text) RETURNS void LANGUAGE sql AS
                 'INSERT INTO stock_levels (sku, location, on_hand) SELECT upper(item), ''BER'', 1 WHERE item <> ''none''';",
        )
        .await;
    let add = |sku: &str| {
        let statement = Statement { sql: NamedSql::parse("SELECT add_level(:sku)").unwrap(), refuse: None };
        command(
            Work::Run { statements: vec![statement], params: inventory::at(sku, "BER", 0) },
            vec![level_key(sku, "BER")],
        )
    };
    under.is_refused_and_leaves_nothing("function", add("bolt")).await;
    assert_eq!(contract::now(under.store.execute(&add("none"), WITHIN).await), []);
    assert_eq!(contract::now(under.store.execute(&add("BOLT"), WITHIN).await).len(), 1);
}

/// What a deferred trigger makes of a row is part of the state that is told.
#[tokio::test(flavor = "multi_thread")]
async fn deferred_triggers_run_before_the_row_is_read_back() {
    for side in Side::BOTH {
        let fixture = Fixture::new(side).await;
        let under = Under { store: fixture.subject(), database: &fixture.database, side };
        let (table, key) = under.table();
        let counted = if side == Side::Legacy { "CNT_DT" } else { "counted_at" };
        under
            .run(&format!(
                "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS
                     'BEGIN UPDATE {table} SET {counted} = ''2026-02-03'' WHERE {key} = NEW.{key}; RETURN NULL; END';
                 CREATE CONSTRAINT TRIGGER stamp AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW WHEN (NEW.{counted} IS NULL) EXECUTE FUNCTION stamp();"
            ))
            .await;
        for command in [under.set("A"), contract::adjust(&under.store, "A", "BER", -1)] {
            let change = contract::now(under.store.execute(&command, WITHIN).await).remove(0);
            assert_eq!(change.state, contract::read(&under.store, &change.key).await, "{side}");
        }
        let rehearsed = under.store.rehearse(&under.put("B"), WITHIN).await.unwrap();
        let written = contract::now(under.store.execute(&under.put("B"), WITHIN).await).remove(0);
        let expected = model::Rehearsed::Done(vec![(written.key, written.state)]);
        assert_eq!(rehearsed.outcome, expected, "{side}");
    }
}

/// A trigger or policy on our own table: no row, no write.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_keeps_no_row_lets_nothing_be_written() {
    let swallow = "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
                   CREATE TRIGGER swallow BEFORE INSERT ON strangler_ledger FOR EACH ROW EXECUTE FUNCTION swallow();";
    let pg = Fixture::new(Side::Legacy).await;
    let erp = any_oracle::Fixture::new(Side::Legacy).await;
    let sides = [
        Under { store: pg.subject(), database: &pg.database, side: Side::Legacy },
        Under { store: erp.subject(), database: erp.database.under(), side: Side::Legacy },
    ];
    for under in sides {
        contract::set_level(&under.store, "A", "BER", 5).await;
        under.run(swallow).await;
        let write = contract::adjust(&under.store, "A", "BER", -1);
        let refused = under.store.execute(&write, WITHIN).await;
        assert!(matches!(refused, Err(StoreError::Misfit { .. })), "{refused:?}");
        assert_eq!(contract::on_hand(&under.store, "A", "BER").await, Some(5));
        // Nobody can say of a write that it was given up, either.
        let claim = under.store.claim(write.write, WITHIN).await;
        assert!(matches!(claim, Err(StoreError::Conflict { .. })), "{claim:?}");
    }
}

/// A trigger that keeps our version rows as they were: the statement counts all the same, so the write looks.
#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_kept_as_they_were_let_nothing_be_written_or_applied() {
    let keep = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
                CREATE TRIGGER keep BEFORE UPDATE ON strangler_version FOR EACH ROW EXECUTE FUNCTION keep();";
    let pg = Fixture::new(Side::Legacy).await;
    let erp = any_oracle::Fixture::new(Side::Legacy).await;
    let sides = [
        Under { store: pg.subject(), database: &pg.database, side: Side::Legacy },
        Under { store: erp.subject(), database: erp.database.under(), side: Side::Legacy },
    ];
    for under in sides {
        contract::set_level(&under.store, "A", "BER", 5).await;
        under.run(keep).await;
        let refused = under.store.execute(&contract::adjust(&under.store, "A", "BER", -1), WITHIN).await;
        assert!(matches!(refused, Err(StoreError::Misfit { .. })), "{refused:?}");
        assert_eq!(contract::on_hand(&under.store, "A", "BER").await, Some(5));
        // What has no version yet is not hindered.
        contract::set_level(&under.store, "B", "BER", 1).await;
    }
}
