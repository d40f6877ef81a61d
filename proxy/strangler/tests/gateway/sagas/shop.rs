//! Two stores that keep the shop of `shop.graphql`: in memory, or in real databases.

use std::sync::Arc;

use adapters::memory::{MemoryStore, Rows};
use adapters::postgres::{PostgresStore, Settings};
use contract::Loaded;
use model::contract::{RootKind, WriteWork};
use model::sql::{NamedSql, Params};
use model::{EntityKey, PerSide, Record, SagaStatus, Side, Store, Value};
use testkit::postgres::Database;

use crate::erp::connect;
use crate::rig::{Ground, WITHIN, until};

const LEGACY: &str = "
CREATE TABLE STK (SKU char(8) PRIMARY KEY, FREE numeric NOT NULL, RSV numeric NOT NULL);
CREATE TABLE ORDHDR (ORDID char(40) PRIMARY KEY, SKU char(8) NOT NULL, QTY numeric NOT NULL);
CREATE TABLE PARCEL (PARID char(40) PRIMARY KEY, ORDID char(40) NOT NULL);
CREATE VIEW DUAL AS SELECT 'X'::char(1) AS dummy;
INSERT INTO STK VALUES ('A', 10, 0);";

const MODERN: &str = "
CREATE TABLE stock (sku varchar(8) PRIMARY KEY, free integer NOT NULL, reserved integer NOT NULL);
CREATE TABLE orders (id varchar(40) PRIMARY KEY, sku varchar(8) NOT NULL, quantity integer NOT NULL);
CREATE TABLE parcel (id varchar(40) PRIMARY KEY, order_id varchar(40) NOT NULL);
INSERT INTO stock VALUES ('A', 10, 0);";

pub(super) fn loaded() -> Loaded {
    changed(|contract| contract)
}

/// The shop's contract as a later release has it.
pub(super) fn changed(change: impl FnOnce(String) -> String) -> Loaded {
    let text = change(include_str!("shop.graphql").to_owned());
    contract::load(&text, "shop.graphql").unwrap_or_else(|errors| panic!("{errors}"))
}

/// A step of the saga asks another mutation, which does the same.
pub(super) fn renamed() -> Loaded {
    changed(|contract| contract.replace("reserveStock", "reserveGoods"))
}

/// A step of the saga is asked for with another argument.
pub(super) fn mapped() -> Loaded {
    changed(|contract| {
        contract
            .replace(
                r#"do: "createOrder", undo"#,
                r#"do: "createOrder", with: [{ argument: "id", from: ":sku" }], undo"#,
            )
            .replace(
                r#"undo: "cancelOrder" }"#,
                r#"undo: "cancelOrder", undoWith: [{ argument: "id", from: ":sku" }] }"#,
            )
            .replace("placeOrder(id: ID!, sku", "placeOrder(sku")
    })
}

/// The saga is taken out.
pub(super) fn removed() -> Loaded {
    changed(|contract| {
        let begins = contract.find("  \"Reserves stock,").expect("the saga");
        format!("{}}}\n", &contract[..begins])
    })
}

/// Another saga reserves stock, and then clears an order away, whether it is there or not.
pub(super) fn clearing() -> Loaded {
    changed(|contract| {
        let end = contract.rfind('}').expect("the end of the mutations");
        format!(
            r#"{}
  clearOrder(id: ID!): Boolean!
    @write(
      touches: [{{ type: "Order", key: [":id"] }}]
      legacy: [{{ sql: "DELETE FROM ORDHDR WHERE ORDID = :id" }}]
      modern: [{{ sql: "DELETE FROM orders WHERE id = :id" }}]
    )
  tidy(id: ID!, sku: ID!, quantity: Int!): Stock!
    @saga(
      steps: [{{ name: "stock", do: "reserveStock", undo: "releaseStock" }}, {{ name: "order", do: "clearOrder" }}]
      answer: "stock"
    )
}}
"#,
            &contract[..end]
        )
    })
}

/// What stands on one side: free and reserved pieces, orders, parcels.
pub(super) type Told = (i64, i64, usize, usize);

/// A shop: ten pieces of `A` are free, on both sides.
pub(crate) struct Shop {
    pub(super) ground: Ground,
    pub(super) memory: Option<PerSide<MemoryStore>>,
}

impl Shop {
    pub(super) async fn in_memory() -> Self {
        Self::of(loaded()).await
    }

    pub(super) async fn of(loaded: Loaded) -> Self {
        let memory = PerSide { legacy: (), modern: () }.map(|side, ()| store(side, &loaded));
        let stores = memory.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>);
        let ground = Ground::new(loaded, stores);
        ground.prepare().await;
        Self { ground, memory: Some(memory) }
    }

    pub(crate) async fn databases() -> PerSide<Database> {
        let databases = PerSide { legacy: Database::fresh("saga_erp").await, modern: Database::fresh("saga").await };
        connect(&databases.legacy).await.batch_execute(LEGACY).await.unwrap();
        connect(&databases.modern).await.batch_execute(MODERN).await.unwrap();
        databases
    }

    /// New connections, of this runtime.
    pub(super) async fn over(databases: &PerSide<Database>) -> Self {
        let loaded = loaded();
        let stores = PerSide { legacy: &databases.legacy, modern: &databases.modern }.map(|side, database| {
            let settings = Settings::new(database.url());
            Arc::new(PostgresStore::connect(side, Arc::clone(&loaded.contract), &settings).unwrap()) as Arc<dyn Store>
        });
        let ground = Ground::new(loaded, stores);
        ground.prepare().await;
        Self { ground, memory: None }
    }

    /// What stands on `side`.
    pub(super) async fn told(&self, side: Side) -> Told {
        let store = self.ground.stores.get(side);
        let all = async |name: &str| {
            let entity = self.ground.loaded.contract.entity(&name.into()).unwrap();
            (Arc::clone(entity), model::Scan::scan(store, entity, None, 100, WITHIN).await.unwrap())
        };
        let (entity, stock) = all("Stock").await;
        let number = |name: &str| match stock[0].get(entity.index(name).unwrap()) {
            Some(Value::Int(number)) => *number,
            other => panic!("{other:?}"),
        };
        (number("free"), number("reserved"), all("Order").await.1.len(), all("Parcel").await.1.len())
    }

    /// Waits until no replica has anything to do, and both sides have it all; what stands.
    pub(super) async fn rests(&self) -> Told {
        let legacy = &self.ground.stores.legacy;
        until("no saga is under way", async || {
            let sagas = model::SagaLog::sagas(legacy, None, 100, WITHIN).await.unwrap();
            sagas.iter().all(|saga| !saga.status.is_under_way())
        })
        .await;
        for side in Side::BOTH {
            let store = self.ground.stores.get(side);
            for group in self.ground.loaded.contract.groups() {
                until("every write is settled", async || store.backlog(&group, WITHIN).await.unwrap().writes == 0)
                    .await;
            }
        }
        let told = self.told(Side::Legacy).await;
        assert_eq!(self.told(Side::Modern).await, told, "settled means equal");
        told
    }

    /// Both stores.
    pub(super) fn stores(&self) -> PerSide<Arc<dyn Store>> {
        self.ground.stores.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>)
    }

    /// The statuses of all sagas.
    pub(super) async fn statuses(&self) -> Vec<SagaStatus> {
        let sagas = model::SagaLog::sagas(&self.ground.stores.legacy, None, 100, WITHIN).await.unwrap();
        sagas.into_iter().map(|saga| saga.status).collect()
    }

    /// How many pieces are reserved in legacy from now on, behind the proxy's back.
    pub(super) fn meddle(&self, reserved: i64) {
        let index = self.ground.loaded.contract.entity(&"Stock".into()).unwrap().index("reserved").unwrap();
        let memory = self.memory.as_ref().unwrap();
        memory.legacy.meddle(|rows| rows.get_mut(&stock_key("A")).unwrap().set(index, reserved.into()));
    }
}

fn stock_key(sku: &str) -> EntityKey {
    EntityKey::new("Stock".into(), vec![sku.into()])
}

fn statement(loaded: &Loaded, mutation: &str, side: Side) -> NamedSql {
    let root = loaded.contract.root(&format!("Mutation.{mutation}").as_str().into()).unwrap();
    let RootKind::Write(action) = &root.kind else { panic!("a write") };
    let WriteWork::Statements { sql, .. } = &action.work else { panic!("statements") };
    sql.get(side)[0].sql.clone()
}

fn number(params: &Params, name: &str) -> i64 {
    match params.get(name) {
        Some(Value::Int(number)) => *number,
        other => panic!("{name} is {other:?}"),
    }
}

fn given(params: &Params, name: &str) -> Value {
    params.get(name).cloned().unwrap()
}

/// A store that knows what the contract's SQL means.
fn store(side: Side, loaded: &Loaded) -> MemoryStore {
    let store = MemoryStore::new(side, Arc::clone(&loaded.contract));
    let entity = |name: &str| Arc::clone(loaded.contract.entity(&name.into()).unwrap());
    let (stock, order, parcel) = (entity("Stock"), entity("Order"), entity("Parcel"));
    store.meddle(|rows| {
        let fields = [("sku", "A".into()), ("free", 10.into()), ("reserved", 0.into())];
        rows.insert(stock_key("A"), Record::of(&stock, fields));
    });
    let (free, reserved) = (stock.index("free").unwrap(), stock.index("reserved").unwrap());
    let shift = move |rows: &mut Rows, params: &Params, sign: i64| {
        let Value::Text(sku) = given(params, "sku") else { return Ok(0) };
        let Some(row) = rows.get_mut(&stock_key(&sku)) else { return Ok(0) };
        let (Some(Value::Int(f)), Some(Value::Int(r))) = (row.get(free), row.get(reserved)) else { return Ok(0) };
        let (f, r) = (f - sign * number(params, "quantity"), r + sign * number(params, "quantity"));
        if f < 0 || r < 0 {
            return Ok(0);
        }
        row.set(free, f.into());
        row.set(reserved, r.into());
        Ok(1)
    };
    store.teach(statement(loaded, "reserveStock", side), move |rows, params| shift(rows, params, 1));
    store.teach(statement(loaded, "releaseStock", side), move |rows, params| shift(rows, params, -1));
    store.teach(statement(loaded, "createOrder", side), move |rows, params| {
        let fields = ["id", "sku", "quantity"].map(|name| (name, given(params, name)));
        if number(params, "quantity") > 8 {
            return Ok(0);
        }
        rows.insert(EntityKey::new("Order".into(), vec![given(params, "id")]), Record::of(&order, fields));
        Ok(1)
    });
    if loaded.contract.root(&"Mutation.clearOrder".into()).is_some() {
        store.teach(statement(loaded, "clearOrder", side), |rows, params| {
            let key = EntityKey::new("Order".into(), vec![given(params, "id")]);
            Ok(u64::from(rows.remove(&key).is_some()))
        });
    }
    store.teach(statement(loaded, "bookParcel", side), move |rows, params| {
        let fields = [("id", given(params, "write_id")), ("orderId", given(params, "orderId"))];
        if number(params, "quantity") > 5 {
            return Ok(0);
        }
        rows.insert(EntityKey::new("Parcel".into(), vec![given(params, "write_id")]), Record::of(&parcel, fields));
        Ok(1)
    });
    store
}
