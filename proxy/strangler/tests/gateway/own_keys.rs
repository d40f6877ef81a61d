//! Orders that the ERP numbers itself, in real databases: made on either side, named by either key.

use std::sync::Arc;
use testkit::begin::Begin as _;

use adapters::oracle::OracleStore;
use adapters::postgres::{PostgresStore, Settings};
use model::evidence::Verdict;
use model::own_key::{canonical_text, derived_key};
use model::{Holder, OwnNumber, PerSide, Role, Scan as _, Side, Stage, Store};
use serde_json::{Value as Json, json};
use testkit::faults::{Call, Fault};
use testkit::orders;
use testkit::postgres::Database;

use crate::erp::connect;
use crate::handover::hand_over_group;
use crate::rig::{Ground, Pace, Replica, WITHIN, until};

struct Shop {
    databases: PerSide<Database>,
    ground: Ground,
    replica: Replica,
}

impl Shop {
    /// Both sides empty, and `primary` the authority.
    async fn new(primary: Side, oracle: bool) -> Self {
        Self::with(primary, oracle, &Pace::default()).await
    }

    async fn with(primary: Side, oracle: bool, pace: &Pace) -> Self {
        let databases = PerSide { legacy: Database::fresh("erp").await, modern: Database::fresh("shop").await };
        for side in Side::BOTH {
            connect(databases.get(side)).await.batch_execute(orders::ddl(side)).await.unwrap();
        }
        // The ERP's SQL of the contract reads `DUAL`, which the stand-in brings along.
        if !oracle {
            let dual = "CREATE VIEW DUAL AS SELECT 'X' AS dummy";
            connect(&databases.legacy).await.batch_execute(dual).await.unwrap();
        }
        let loaded = contract::load(include_str!("own_keys.graphql"), "own_keys.graphql");
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        let store = |side: Side| -> Arc<dyn Store> {
            let (contract, database) = (Arc::clone(&loaded.contract), databases.get(side));
            if oracle && side == Side::Legacy {
                let settings = testkit::oracle::settings_over(database);
                return Arc::new(OracleStore::connect(side, contract, &settings).unwrap());
            }
            Arc::new(PostgresStore::connect(side, contract, &Settings::new(database.url())).unwrap())
        };
        let stores = PerSide { legacy: store(Side::Legacy), modern: store(Side::Modern) };
        let ground = Ground::new(loaded, stores);
        let groups = [ground.group()];
        ground.stores.get(primary).begin_as(&groups, Role::Primary, WITHIN).await.unwrap();
        ground.stores.get(primary.other()).begin_as(&groups, Role::Secondary, WITHIN).await.unwrap();
        if primary == Side::Modern {
            ground.set(Stage::Reverse, 100.0, 0.0);
        }
        let replica = Replica::ready(&ground, pace).await;
        Self { databases, ground, replica }
    }

    async fn ask(&self, query: &str) -> Json {
        let reply = self.replica.ask(query).await;
        assert!(reply.body["errors"].is_null(), "{query}: {}", reply.text);
        reply.body["data"].clone()
    }

    async fn code(&self, query: &str) -> Json {
        self.replica.ask(query).await.body["errors"][0]["extensions"]["code"].clone()
    }

    async fn place(&self, quantity: i64) -> String {
        let placed = self.ask(&format!("mutation {{ placeOrder(quantity: {quantity}) {{ id }} }}")).await;
        placed["placeOrder"]["id"].as_str().unwrap().to_owned()
    }

    async fn order(&self, id: &str) -> Json {
        self.ask(&format!("{{ order(id: \"{id}\") {{ id number quantity }} }}")).await["order"].clone()
    }

    async fn settled(&self, primary: Side) {
        let (group, store) = (self.ground.group(), self.ground.stores.get(primary));
        until("every write is settled", async || store.backlog(&group, WITHIN).await.unwrap().writes == 0).await;
        until("no key is pinned", async || self.replica.unsettled.all(&group).is_some_and(|keys| keys.is_empty()))
            .await;
    }

    /// The ERP's rows: number and quantity.
    async fn erp(&self) -> Vec<(i64, i64)> {
        let text = "SELECT ORDNO::int8, ORDQTY::int8 FROM ORDHDR ORDER BY 1";
        let rows = connect(&self.databases.legacy).await.query(text, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    async fn sides_are_equal(&self) {
        let order = self.ground.loaded.contract.entity(&"Order".into()).unwrap();
        let mut rows = Vec::new();
        for side in Side::BOTH {
            let mut all = self.ground.stores.get(side).scan(order, None, 1_000, WITHIN).await.unwrap();
            all.sort_by_key(|record| record.key(order));
            rows.push(all);
        }
        assert_eq!(rows[0], rows[1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_made_on_the_erp_has_both_keys_at_0_and_at_100_percent() {
    made_on_the_erp(Shop::new(Side::Legacy, false).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_made_on_an_oracle_has_both_keys_at_0_and_at_100_percent() {
    made_on_the_erp(Shop::new(Side::Legacy, true).await).await;
}

async fn made_on_the_erp(shop: Shop) {
    // GIVEN an order that was placed while the ERP is primary
    let id = shop.place(5).await;
    let number = shop.order(&id).await["number"].as_str().unwrap().to_owned();
    assert_eq!(number, "1000");
    shop.settled(Side::Legacy).await;
    let whole = json!({ "id": id, "number": number, "quantity": 5 });
    for (reads, side) in [(0.0, Side::Legacy), (100.0, Side::Modern)] {
        // WHEN it is asked for by either key
        shop.ground.set(Stage::Shift, reads, 0.0);
        let other = shop.ground.stores.get(side.other());
        let before = other.calls(Call::Fetch) + other.calls(Call::KeysOf);
        // THEN the answer is the same, and of one side alone
        assert_eq!((shop.order(&id).await, shop.order(&number).await), (whole.clone(), whole.clone()));
        let both = format!("{{ orders(ids: [\"{number}\", \"{id}\", \"{number}\"]) {{ id }} }}");
        assert_eq!(shop.ask(&both).await["orders"], json!([{ "id": id }, { "id": id }, { "id": id }]));
        assert_eq!(other.calls(Call::Fetch) + other.calls(Call::KeysOf), before, "the other side was asked");
        assert_eq!(shop.order("999").await, Json::Null);
    }
    // AND it is changed and cancelled by either
    for name in [&id, &number] {
        shop.ask(&format!("mutation {{ changeOrder(id: \"{name}\", by: 2) {{ quantity }} }}")).await;
    }
    shop.ask(&format!("mutation {{ setOrder(input: {{ id: \"{number}\", quantity: 11 }}) {{ id }} }}")).await;
    shop.settled(Side::Legacy).await;
    assert_eq!(shop.erp().await, [(1_000, 11)]);
    shop.sides_are_equal().await;
    assert_eq!(shop.code("mutation { placeOrder(quantity: 0) { id } }").await, "INVALID_QUANTITY");
    assert_eq!(shop.code("mutation { changeOrder(id: \"nobody\", by: 1) { id } }").await, "NOT_FOUND");
    shop.ask(&format!("mutation {{ cancelOrder(id: \"{number}\") }}")).await;
    shop.settled(Side::Legacy).await;
    assert_eq!((shop.order(&id).await, shop.order(&number).await), (Json::Null, Json::Null));
    assert_eq!(shop.code(&format!("mutation {{ cancelOrder(id: \"{number}\") }}")).await, "NOT_FOUND");
    // A refused order costs no number, and none that an order had is given twice.
    shop.place(1).await;
    assert_eq!(shop.erp().await, [(1_001, 1)]);
    shop.settled(Side::Legacy).await;
    shop.sides_are_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_made_on_modern_is_numbered_by_the_erp_and_shows_it() {
    made_on_modern(Shop::new(Side::Modern, false).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_made_on_modern_is_numbered_by_an_oracle_and_shows_it() {
    made_on_modern(Shop::new(Side::Modern, true).await).await;
}

async fn made_on_modern(shop: Shop) {
    // GIVEN an order that was placed while modern is primary
    let id = shop.place(5).await;
    shop.settled(Side::Modern).await;
    // THEN the ERP has one row of it, and modern shows the number
    let whole = json!({ "id": id, "number": "1000", "quantity": 5 });
    assert_eq!((shop.order(&id).await, shop.order("1000").await), (whole.clone(), whole));
    assert_eq!(shop.erp().await, [(1_000, 5)]);
    for name in [id.as_str(), "1000"] {
        shop.ask(&format!("mutation {{ changeOrder(id: \"{name}\", by: 2) {{ quantity }} }}")).await;
    }
    shop.ask("mutation { setOrder(input: { id: \"made-up\", quantity: 3 }) { id } }").await;
    shop.settled(Side::Modern).await;
    assert_eq!(shop.erp().await, [(1_000, 9), (1_001, 3)]);
    shop.sides_are_equal().await;
    shop.ask("mutation { cancelOrder(id: \"1000\") }").await;
    shop.settled(Side::Modern).await;
    assert_eq!(shop.erp().await, [(1_001, 3)]);
    shop.sides_are_equal().await;
    // A read while legacy is out of reach needs the ERP only for numbers that modern does not know.
    shop.ground.stores.legacy.down(true);
    assert_eq!(shop.order("1001").await["id"], "made-up");
    assert_eq!(shop.code("{ order(id: \"7\") { id } }").await, "UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_numbering_survives_every_fault_with_one_row_and_one_number() {
    for (side, call) in [(Side::Legacy, Call::Apply), (Side::Legacy, Call::Numbers), (Side::Modern, Call::Learn)] {
        for fault in [Fault::Reject, Fault::FailAfter] {
            // GIVEN modern as primary, and a fault in the first attempt to bring an order to the ERP
            let shop = Shop::new(Side::Modern, false).await;
            shop.ground.stores.get(side).on(call, 1, fault);
            let id = shop.place(5).await;
            // WHEN somebody finishes the write
            shop.settled(Side::Modern).await;
            // THEN there is one row under one number, and both sides know it
            assert_eq!(shop.erp().await, [(1_000, 5)], "{call:?} {fault:?}");
            shop.sides_are_equal().await;
            assert_eq!(shop.order("1000").await["id"], id.as_str(), "{call:?} {fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_the_erp_made_alone_are_read_and_changed_by_both_keys() {
    // GIVEN rows of the ERP that nobody copied
    let shop = Shop::new(Side::Legacy, false).await;
    let erp = connect(&shop.databases.legacy).await;
    erp.batch_execute("INSERT INTO ORDHDR VALUES (17, 1), (18, 1)").await.unwrap();
    let derived = derived_key(&"Order".into(), OwnNumber::new(17).unwrap());
    let id = canonical_text(&derived).unwrap();
    // WHEN they are asked for at 0 %
    let whole = json!({ "id": id, "number": "17", "quantity": 1 });
    assert_eq!((shop.order("17").await, shop.order(id).await), (whole.clone(), whole));
    assert_eq!(shop.ask("{ allOrders { id } }").await["allOrders"][0]["id"], id);
    // AND one is written
    shop.ask("mutation { changeOrder(id: \"17\", by: 4) { quantity } }").await;
    shop.settled(Side::Legacy).await;
    // THEN modern has it, under the same key, and the ERP still has one row
    shop.ground.set(Stage::Shift, 100.0, 0.0);
    let whole = json!({ "id": id, "number": "17", "quantity": 5 });
    assert_eq!((shop.order("17").await, shop.order(id).await), (whole.clone(), whole));
    assert_eq!(shop.erp().await, [(17, 5), (18, 1)]);
    // AND nobody can make a row that only the ERP could have made
    let foreign = derived_key(&"Order".into(), OwnNumber::new(1_000).unwrap());
    for id in [canonical_text(&foreign).unwrap(), "1000"] {
        let set = format!("mutation {{ setOrder(input: {{ id: \"{id}\", quantity: 3 }}) {{ id }} }}");
        assert_eq!(shop.code(&set).await, "NOT_FOUND", "{id}");
    }
    assert_eq!(shop.erp().await, [(17, 5), (18, 1)]);
    // AND who cancels one is told the same when the answer was lost
    let cancel = "mutation { cancelOrder(id: \"17\") }";
    for _ in 0..2 {
        let reply = shop.replica.ask_with(cancel, &Json::Null, &[("idempotency-key", "once")]).await;
        assert_eq!(reply.text, r#"{"data":{"cancelOrder":true}}"#);
    }
    assert_eq!((shop.code(cancel).await, shop.erp().await), ("NOT_FOUND".into(), vec![(18, 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_read_of_an_order_compares_both_sides_by_the_canonical_key() {
    let shop = Shop::new(Side::Legacy, false).await;
    let id = shop.place(5).await;
    shop.settled(Side::Legacy).await;
    shop.ground.set(Stage::Shift, 0.0, 100.0);
    for name in [id.as_str(), "1000"] {
        shop.order(name).await;
    }
    let erp = connect(&shop.databases.legacy).await;
    until("both were compared", async || shop.replica.observed.lock().len() == 2).await;
    let matched = |shop: &Shop| shop.replica.observed.lock().iter().all(|seen| seen.verdict == Verdict::Match);
    assert!(matched(&shop), "{:?}", shop.replica.observed.lock());
    erp.batch_execute("UPDATE ORDHDR SET ORDQTY = 6").await.unwrap();
    shop.order("1000").await;
    until("the difference was found", async || !matched(&shop)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_keep_both_keys_through_a_handover_there_and_back() {
    handed_over(Shop::with(Side::Legacy, false, &Pace { relay: None, ..Pace::default() }).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_of_an_oracle_keep_both_keys_through_a_handover_there_and_back() {
    handed_over(Shop::with(Side::Legacy, true, &Pace { relay: None, ..Pace::default() }).await).await;
}

async fn handed_over(shop: Shop) {
    shop.ground.set(Stage::Shift, 100.0, 0.0);
    let group = shop.ground.group();
    let first = shop.place(5).await;
    let handed = hand_over_group(&shop.ground, &group, Side::Modern, false).await.unwrap();
    assert_eq!(handed.to, Side::Modern);
    // GIVEN an order that was placed on modern, and changes by number, which the ERP does not take
    shop.ground.stores.legacy.always(Call::Apply, Fault::Reject);
    let second = shop.place(7).await;
    assert_eq!(shop.order(&second).await["number"], Json::Null);
    shop.ask("mutation { changeOrder(id: \"1000\", by: 1) { quantity } }").await;
    shop.ground.stores.legacy.heal();
    // WHEN the authority goes back, and only its drain is there to bring them over
    let handed = hand_over_group(&shop.ground, &group, Side::Legacy, false).await.unwrap();
    assert_eq!((handed.to, handed.left.writes), (Side::Legacy, 0));
    (shop.ground.hearer())(&group, Holder { side: Side::Legacy, epoch: handed.epoch, alone: false });
    // THEN the ERP has numbered the second, both sides show it, and each order goes by either key on either side
    let erp = shop.erp().await;
    // An attempt that met the fence has cost a number.
    let own = erp[1].0.to_string();
    assert_eq!(erp.iter().map(|(_, quantity)| *quantity).collect::<Vec<_>>(), [6, 7]);
    shop.sides_are_equal().await;
    for reads in [0.0, 100.0] {
        shop.ground.reads(reads);
        for (id, number, quantity) in [(&first, "1000", 6), (&second, own.as_str(), 7)] {
            let whole = json!({ "id": id, "number": number, "quantity": quantity });
            assert_eq!((shop.order(id).await, shop.order(number).await), (whole.clone(), whole));
        }
    }
    // AND what was made on modern is changed and cancelled by its number on the ERP
    shop.ask(&format!("mutation {{ changeOrder(id: \"{own}\", by: 1) {{ quantity }} }}")).await;
    shop.ask("mutation { cancelOrder(id: \"1000\") }").await;
    until("both are settled", async || shop.ground.backlog().await == 0).await;
    assert_eq!(shop.erp().await, [(erp[1].0, 8)]);
    shop.sides_are_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saga_names_orders_by_number_and_undoes_what_it_has_made() {
    for primary in Side::BOTH {
        let shop = Shop::new(primary, false).await;
        let first = shop.place(5).await;
        shop.settled(primary).await;
        // WHEN one step of two is refused
        let replace = |id: &str| format!("mutation {{ replaceOrder(id: \"{id}\", quantity: 2) {{ id number }} }}");
        assert_eq!(shop.code(&replace("999")).await, "NOT_FOUND");
        // THEN nothing is left of the other
        shop.settled(primary).await;
        assert_eq!(shop.erp().await, [(1_000, 5)], "{primary}");
        // WHEN both stand
        let placed = shop.ask(&replace("1000")).await["replaceOrder"]["id"].as_str().unwrap().to_owned();
        shop.settled(primary).await;
        assert_eq!(shop.erp().await.iter().map(|(_, quantity)| *quantity).collect::<Vec<_>>(), [2]);
        assert_eq!(shop.order(&first).await, Json::Null);
        assert_eq!(shop.order(&placed).await["quantity"], 2);
        shop.sides_are_equal().await;
    }
}

/// Anybody may send what is refused, as often as he likes.
async fn refusals_use_up_no_numbers(oracle: bool) {
    // GIVEN an ERP that takes no large orders
    let shop = Shop::new(Side::Legacy, oracle).await;
    let erp = connect(&shop.databases.legacy).await;
    erp.batch_execute("ALTER TABLE ORDHDR ADD CHECK (ORDQTY < 100)").await.unwrap();
    shop.place(1).await;
    // WHEN many are sent
    for _ in 0..20 {
        assert_eq!(shop.code("mutation { placeOrder(quantity: 500) { id } }").await, "REFUSED_BY_RULE");
    }
    // THEN the next one has the next number, and no entry is left without an order
    shop.place(2).await;
    let rows = shop.erp().await;
    assert_eq!(rows[1].0, rows[0].0 + 1, "{rows:?}");
    let entries = erp.query("SELECT own_key::int8 FROM strangler_id_map", &[]).await.unwrap();
    assert_eq!(entries.len(), rows.len());
    shop.settled(Side::Legacy).await;
    shop.sides_are_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_orders_use_up_none_of_the_erps_numbers() {
    refusals_use_up_no_numbers(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_orders_use_up_none_of_the_erps_numbers_on_an_oracle() {
    refusals_use_up_no_numbers(true).await;
}

/// Under keys of the client's own a number cannot be given back: how many are used up has a limit.
async fn fresh_keys_that_are_refused_are_limited(oracle: bool) {
    let shop = Shop::with(Side::Legacy, oracle, &Pace { refused_numbers: 0, ..Pace::default() }).await;
    let erp = connect(&shop.databases.legacy).await;
    erp.batch_execute("ALTER TABLE ORDHDR ADD CHECK (ORDQTY < 100)").await.unwrap();
    let set = |id: &str, quantity: i64| {
        format!("mutation {{ setOrder(input: {{ id: \"{id}\", quantity: {quantity} }}) {{ quantity }} }}")
    };
    shop.ask(&set("mine", 1)).await;
    let given = async || erp.query_one("SELECT count(*) FROM strangler_id_map", &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(shop.code(&set("bad", 500)).await, "REFUSED_BY_RULE");
    let before = given().await;
    // WHEN more fresh keys are sent, which the ERP would refuse or take
    for (id, quantity) in [("worse", 500), ("fine", 5)] {
        assert_eq!(shop.code(&set(id, quantity)).await, "TOO_MANY_REFUSED");
    }
    // THEN they use up nothing, while what has a number can be changed, and orders whose key is ours are made
    assert_eq!(given().await, before);
    shop.ask(&set("mine", 7)).await;
    shop.place(3).await;
    assert_eq!(shop.order("mine").await["quantity"], 7);
    shop.settled(Side::Legacy).await;
    shop.sides_are_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fresh_keys_that_the_erp_refuses_use_up_no_more_numbers_than_they_may() {
    fresh_keys_that_are_refused_are_limited(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fresh_keys_that_an_oracle_refuses_use_up_no_more_numbers_than_they_may() {
    fresh_keys_that_are_refused_are_limited(true).await;
}
