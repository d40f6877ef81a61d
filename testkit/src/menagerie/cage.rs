//! Three databases, a role without special rights, and a superuser who sees all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapters::oracle::Settings;
use model::{PerSide, Side};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use uuid::Uuid;

use super::animal::Animal;
use super::judge::{Contents, Newest};
use super::pooler::Pooler;
use super::seat::Seat;
use crate::fleet::Site;
use crate::oracle;
use crate::postgres::Database;

/// What both sides hold at the beginning.
const TABLES: &str = "
    CREATE TABLE item (id varchar(18) PRIMARY KEY, name varchar(40) NOT NULL, qty integer NOT NULL);
    CREATE TABLE line (item varchar(18) NOT NULL, pos integer NOT NULL, txt varchar(40) NOT NULL, PRIMARY KEY (item, pos));
    INSERT INTO item SELECT 'A' || n, 'item ' || n, 100 FROM generate_series(1, 30) n;
    INSERT INTO line SELECT 'A' || n, 1, 'line' FROM generate_series(1, 30) n;";

/// As bytes, so that no encoding is in the way. Where a view covers a table, the table is looked at.
const CONTENTS: &str = "
    SELECT 'Item [' || to_json(encode(textsend(id::text), 'escape'))::text || ']',
           encode(textsend(name::text), 'escape') || '|' || qty FROM {item} WHERE id IS NOT NULL
    UNION ALL
    SELECT 'Line [' || to_json(encode(textsend(item::text), 'escape'))::text || ',' || pos || ']',
           encode(textsend(txt::text), 'escape') FROM {line}
    WHERE item IS NOT NULL AND pos IS NOT NULL ORDER BY 1, 2";

const LEDGER: &str = "
    SELECT DISTINCT ON (entity, key) entity || ' ' || key, (state = 'settled')::text FROM strangler_ledger
    WHERE key <> '' AND state <> 'abandoned'
    ORDER BY entity, key, epoch DESC, incarnation DESC, position DESC, ordinal DESC";

/// Everything that an animal needs.
pub(super) struct Cage {
    pub(super) site: Site,
    pub(super) hostile: Side,
    role: String,
    superuser: PerSide<Client>,
    tables: PerSide<(String, String)>,
    control: Client,
    databases: [Database; 3],
    _pooler: Option<Pooler>,
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server answers");
    tokio::spawn(connection);
    // The superuser waits for no standby and obeys no default of the animal's.
    client.batch_execute("SET synchronous_commit = local").await.expect("a superuser");
    // Bytes of any encoding can only be had as they are.
    let plain = "SELECT set_config('client_encoding', 'SQL_ASCII', false) WHERE current_setting('server_encoding') = 'SQL_ASCII'";
    client.batch_execute(plain).await.expect("a setting");
    client
}

impl Cage {
    pub(super) async fn new(animal: &Animal, seat: Seat, binary: &std::path::Path) -> Self {
        let hostile = seat.side();
        let how = |side| if side == hostile { animal.database.as_str() } else { "" };
        let (legacy, modern) =
            (Database::made("erp", how(Side::Legacy)).await, Database::made("shop", how(Side::Modern)).await);
        let control = Database::made("control", "").await;
        let role = format!("strangler_{}", Uuid::new_v4().simple());
        let clients = PerSide { legacy: connect(&legacy.url()).await, modern: connect(&modern.url()).await };
        clients.legacy.batch_execute(&format!("CREATE ROLE {role} LOGIN")).await.expect("a role");
        let url = |database: &Database| database.url().replacen("postgres@", &format!("{role}@"), 1);
        let addresses = PerSide { legacy: url(&legacy), modern: url(&modern) };
        let pooler = if animal.resets { Some(Pooler::before(legacy.port()).await) } else { None };
        let address = |side: Side| match &pooler {
            Some(pooler) if side == hostile => {
                addresses.get(side).replacen(&format!(":{}/", legacy.port()), &format!(":{}/", pooler.port), 1)
            }
            Some(_) | None => addresses.get(side).clone(),
        };
        let contract = super::animal::folder().join("schema.graphql");
        let mut site = Site::new(binary, address(Side::Legacy), address(Side::Modern), contract);
        if seat == Seat::Oracle {
            let settings = oracle::settings_over(&legacy);
            drop(oracle::come_through(&settings));
            let Settings { connect, client_lib_dir, .. } = settings;
            site.legacy_section = Some(format!(
                "kind = \"oracle\"\nconnect = {connect:?}\nuser = {role:?}\npassword = {role:?}\nclient_lib_dir = {:?}",
                client_lib_dir.expect("the stand-in"),
            ));
        }
        site.control = url(&control);
        site.more = "[handover]\nlimit_ms = 1500\n".to_owned();
        let control_client = connect(&control.url()).await;
        let plain = ("item".to_owned(), "line".to_owned());
        let mut cage = Self {
            site,
            hostile,
            role,
            superuser: clients,
            tables: PerSide { legacy: plain.clone(), modern: plain },
            control: control_client,
            databases: [legacy, modern, control],
            _pooler: pooler,
        };
        cage.fill(animal).await;
        if seat == Seat::Oracle {
            cage.sql(hostile, oracle::COMES_THROUGH).await;
        }
        cage
    }

    async fn fill(&mut self, animal: &Animal) {
        let role = self.role.clone();
        let create = format!("GRANT ALL ON SCHEMA public TO {role}");
        self.control.batch_execute(&create).await.expect("a grant");
        for side in Side::BOTH {
            self.sql(side, TABLES).await;
            if side == self.hostile {
                self.sql(side, &animal.tables).await;
            }
            let grants = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; \
                          GRANT ALL ON SCHEMA public TO {role}";
            self.sql(side, grants).await;
            let base = "SELECT coalesce(to_regclass('item_base'), 'item'::regclass)::text, \
                        coalesce(to_regclass('line_base'), 'line'::regclass)::text";
            let found = self.rows(side, base).await;
            *self.tables.get_mut(side) = found[0].clone();
        }
    }

    /// Runs SQL as the superuser; `{role}` is ours, `{database}` the side's.
    pub(super) async fn sql(&self, side: Side, text: &str) {
        let text = text.replace("{role}", &self.role).replace("{database}", self.database(side).name());
        let done = self.superuser.get(side).batch_execute(&text).await;
        done.unwrap_or_else(|error| panic!("{side}: {text}: {:?}", error.as_db_error()));
    }

    /// Changes the table of items itself; `{table}` is its name.
    pub(super) async fn change(&self, side: Side, text: &str) {
        let (item, _) = self.tables.get(side).clone();
        self.sql(side, &text.replace("{table}", &item)).await;
    }

    async fn rows(&self, side: Side, text: &str) -> Vec<(String, String)> {
        let answer = self.superuser.get(side).simple_query(text).await;
        let answer = answer.unwrap_or_else(|error| panic!("{side}: {text}: {:?}", error.as_db_error()));
        let pair = |message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((row.get(0).unwrap_or("null").to_owned(), row.get(1).unwrap_or("null").to_owned()))
            }
            _ => None,
        };
        answer.into_iter().filter_map(pair).collect()
    }

    /// What one side holds.
    pub(super) async fn contents(&self, side: Side) -> Contents {
        let (item, line) = self.tables.get(side);
        let rows = self.rows(side, &CONTENTS.replace("{item}", item).replace("{line}", line)).await;
        let mut contents = Contents::new();
        for (key, row) in rows {
            let text: &mut String = contents.entry(key).or_default();
            text.push_str(&row);
        }
        contents
    }

    /// Rows that have no key at all.
    pub(super) async fn without_key(&self, side: Side) -> usize {
        let (item, line) = self.tables.get(side);
        let text = format!(
            "SELECT count(*), 0 FROM (SELECT FROM {item} WHERE id IS NULL UNION ALL \
             SELECT FROM {line} WHERE item IS NULL OR pos IS NULL) x"
        );
        self.rows(side, &text).await[0].0.parse().expect("a count")
    }

    /// The newest state of each key in one side's ledger.
    pub(super) async fn ledger(&self, side: Side) -> BTreeMap<String, Newest> {
        let rows = self.rows(side, LEDGER).await;
        rows.into_iter().map(|(key, settled)| (key, Newest { settled: settled == "true" })).collect()
    }

    /// How many writes one side's ledger calls unsettled.
    pub(super) async fn unsettled(&self, side: Side) -> u64 {
        let rows =
            self.rows(side, "SELECT count(DISTINCT write_id), 0 FROM strangler_ledger WHERE state = 'unsettled'");
        rows.await[0].0.parse().expect("a count")
    }

    /// Takes the right to change the secondary's rows away, or gives it back.
    pub(super) async fn may_change(&self, side: Side, may: bool) {
        let (item, _) = self.tables.get(side).clone();
        let what = if may {
            format!("GRANT INSERT, UPDATE ON item, {item} TO {{role}}")
        } else {
            format!("REVOKE INSERT, UPDATE ON item, {item} FROM {{role}}")
        };
        self.sql(side, &what).await;
    }

    /// Cancels whatever our sessions on the hostile side do, every few milliseconds, until the flag is down.
    pub(super) fn cancels(&self) -> Arc<AtomicBool> {
        let on = Arc::new(AtomicBool::new(true));
        let (flag, role, url) = (Arc::clone(&on), self.role.clone(), self.database(self.hostile).url());
        tokio::spawn(async move {
            let client = connect(&url).await;
            let text = format!(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                 WHERE usename = '{role}' AND datname = current_database() AND state <> 'idle' AND random() < 0.3"
            );
            while flag.load(Ordering::Relaxed) {
                // A server that does not answer is cancelled next time.
                let _ = client.batch_execute(&text).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        on
    }

    fn database(&self, side: Side) -> &Database {
        let [legacy, modern, _] = &self.databases;
        match side {
            Side::Legacy => legacy,
            Side::Modern => modern,
        }
    }
}
