//! What any Oracle must do, real or played: nothing here needs faults. Nextest's profile `oracle` runs this, the contract
//! suite and `both` on the server that `ORACLE_TEST_URL` names.

use std::sync::Arc;
use std::time::Duration;

use adapters::oracle::{OracleStore, Settings, fence_lock};
use model::contract::Statement;
use model::sql::NamedSql;
use model::write::Work;
use model::{Side, Store, StoreError};
use oracle::sql_type::OracleType;
use testkit::contract::{Subject, WITHIN, adjust, command, entity, now, on_hand, set_level};
use testkit::inventory::{self, level_key};
use testkit::oracle::ErpDatabase;

/// A store of an empty inventory in a database of its own.
pub(super) struct Fixture {
    // Goes first: an account with sessions cannot be dropped.
    pub(super) store: OracleStore,
    pub(super) database: ErpDatabase,
}

impl Fixture {
    pub(super) async fn new(side: Side) -> Self {
        let database = ErpDatabase::fresh("erp").await;
        let store = database.inventory(side).await;
        Self { database, store }
    }

    /// Another store on the same database.
    pub(super) fn with(&self, change: impl FnOnce(&mut Settings)) -> OracleStore {
        let mut settings = self.database.settings();
        change(&mut settings);
        OracleStore::connect(Side::Legacy, inventory::contract(), &settings).unwrap()
    }

    pub(super) fn subject(&self) -> Subject {
        Arc::new(self.store.clone())
    }
}

pub(super) async fn level(store: &OracleStore, within: Duration) -> Result<(), StoreError> {
    let key = level_key("A", "BER");
    let entity = entity(&key);
    store.fetch(&entity, &[key], entity.all_fields(), within).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_or_refuses_us_is_told_apart() {
    let fixture = Fixture::new(Side::Legacy).await;
    let nobody = fixture.with(|settings| settings.connect = "127.0.0.1:1/erp".into());
    assert!(matches!(level(&nobody, WITHIN).await, Err(StoreError::Unreachable { .. })));
    let nowhere = fixture.with(|settings| settings.connect = "erp".into());
    let misfit = level(&nowhere, WITHIN).await.unwrap_err();
    assert!(misfit.to_string().contains("names no service"), "{misfit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dba_can_make_the_bookkeeping_from_what_is_printed() {
    let database = ErpDatabase::fresh("erp").await;
    database.run(&inventory::oracle_ddl(Side::Legacy));
    let store = OracleStore::connect(Side::Legacy, inventory::contract(), &database.settings()).unwrap();
    let ddl = store.bookkeeping_ddl(None, &[inventory::group()]);
    insta::assert_snapshot!(ddl);
    let plain: String = ddl.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n");
    let statements: Vec<_> = plain.split(';').map(str::trim).filter(|statement| !statement.is_empty()).collect();
    database.run(&statements);
    let names: Vec<_> = inventory::contract().entities.keys().cloned().collect();
    assert_eq!(store.inspect(&names, WITHIN).await.unwrap().problems, Vec::<String>::new());
}

/// Takes the group's fence as a handover does, until the end of the transaction; what `DBMS_LOCK` answers.
pub(super) fn take_fence_alone(session: &oracle::Connection, seconds: i64) -> i64 {
    let text = "BEGIN :r := DBMS_LOCK.REQUEST(:l, 6, :w, TRUE); END;";
    let mut block = session.statement(text).build().unwrap();
    let lock = i64::try_from(fence_lock(&inventory::group())).unwrap();
    block.execute_named(&[("r", &OracleType::Int64), ("l", &lock), ("w", &seconds)]).unwrap();
    block.bind_value("r").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_waits_for_whoever_moves_the_fence_and_sees_what_he_did() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.subject();
    set_level(&store, "A", "BER", 10).await;
    let closer = fixture.database.connection();
    assert_eq!(take_fence_alone(&closer, 10), 0);

    let in_vain = store.execute(&adjust(&store, "A", "BER", -1), Duration::from_secs(3)).await;
    assert!(matches!(in_vain, Err(StoreError::Conflict { .. })), "{in_vain:?}");
    let waiting = tokio::spawn({
        let (store, command) = (Arc::clone(&store), adjust(&store, "A", "BER", -1));
        async move { store.execute(&command, WITHIN).await }
    });
    closer.execute("UPDATE strangler_fence SET state = 'frozen' WHERE grp = 'inventory'", &[]).unwrap();
    closer.commit().unwrap();

    let fenced = waiting.await.unwrap();
    assert!(matches!(fenced, Err(StoreError::Fenced { .. })), "{fenced:?}");
    assert_eq!(on_hand(&store, "A", "BER").await, Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_may_be_a_block_of_the_erps_own_language() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.subject();
    set_level(&store, "A", "BER", 10).await;
    let block =
        "BEGIN UPDATE INV_LOC_BAL SET OH_QTY = OH_QTY + :delta WHERE ITM_NO = :sku AND LOC_CD = :location; END;";
    let statement = Statement { sql: NamedSql::parse(block).unwrap(), refuse: None };
    let work = Work::Run { statements: vec![statement], params: inventory::at("A", "BER", -3) };

    let changes = now(store.execute(&command(work, vec![level_key("A", "BER")]), WITHIN).await);

    assert_eq!(changes[0].state.as_ref(), Some(&inventory::level("A", "BER", 7)));
    assert_eq!(on_hand(&store, "A", "BER").await, Some(7));
}
