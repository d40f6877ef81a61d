//! Orders for tests: a type whose key the ERP makes itself, with a home on each side, and its tables.

use std::sync::Arc;

use adapters::memory::{MemoryStore, Rows};
use model::contract::{ColumnType, Compare, Precision, Statement};
use model::sql::{NamedSql, Params};
use model::{Contract, EntityKey, EntityType, Field, Home, Kind, OwnKey, OwnNumber, PerSide, Record, Side, Value};

use crate::inventory;

/// The first number of the ERP's sequence.
pub const FIRST: u64 = 1_000;

/// The type alone. It is of the inventory's group.
pub fn contract() -> Arc<Contract> {
    let mut contract = Contract::default();
    contract.entities.insert("Order".into(), Arc::new(order()));
    Arc::new(contract)
}

/// The tables of one side in PostgreSQL.
pub fn ddl(side: Side) -> &'static str {
    match side {
        Side::Legacy => {
            "CREATE SEQUENCE ORDSEQ START WITH 1000; \
             CREATE TABLE ORDHDR (ORDNO numeric(10) NOT NULL PRIMARY KEY, ORDQTY numeric(10) NOT NULL)"
        }
        Side::Modern => {
            "CREATE TABLE orders (id varchar(200) PRIMARY KEY, order_no numeric(15) UNIQUE, quantity integer NOT NULL)"
        }
    }
}

/// The tables of legacy in an Oracle.
pub fn oracle_ddl() -> [&'static str; 2] {
    [
        "CREATE SEQUENCE ORDSEQ START WITH 1000",
        "CREATE TABLE ORDHDR (ORDNO NUMBER(10) NOT NULL PRIMARY KEY, ORDQTY NUMBER(10) NOT NULL)",
    ]
}

/// The order type.
pub fn order() -> EntityType {
    let whole = |digits| ColumnType::Numeric(Some(Precision { digits, scale: 0 }));
    let key = ColumnType::Varchar(Some(200));
    let field = |name: &str, kind, nullable, legacy, modern| Field {
        name: name.into(),
        kind,
        nullable,
        home: PerSide { legacy, modern },
        compare: Compare::default(),
        sensitive: false,
        stamped: false,
    };
    let fields = vec![
        field("id", Kind::Text, false, Home::new("ORDNO", key), Home::new("id", key)),
        field("number", Kind::Text, true, Home::new("ORDNO", whole(10)), Home::new("order_no", whole(15))),
        field("quantity", Kind::Int, false, Home::new("ORDQTY", whole(10)), Home::new("quantity", ColumnType::Integer)),
    ];
    let table = PerSide { legacy: "ORDHDR".into(), modern: "orders".into() };
    let order = EntityType::new("Order".into(), inventory::group(), table, fields, &["id"]).expect("id is a field");
    let number = order.index("number").expect("a field");
    order.with_own_key(OwnKey { number, sequence: "ORDSEQ".into() })
}

/// The key of an order.
pub fn key(id: &str) -> EntityKey {
    EntityKey::new("Order".into(), vec![id.into()])
}

/// An order without number, as modern makes it.
pub fn made(id: &str, quantity: i64) -> Record {
    Record::of(&order(), [("id", id.into()), ("number", Value::Null), ("quantity", quantity.into())])
}

/// The number that an order shows.
pub fn number(record: &Record) -> Option<OwnNumber> {
    match record.get(order().number_field().expect("orders have one")) {
        Some(Value::Text(text)) => OwnNumber::parse(text),
        _ => None,
    }
}

/// Puts an order into legacy under the number `:orderNo`.
pub fn place() -> Statement {
    let sql = NamedSql::parse("INSERT INTO ORDHDR (ORDNO, ORDQTY) VALUES (:orderNo, :quantity)");
    Statement { sql: sql.expect("one statement"), refuse: None }
}

/// Parameters of [`place`], and the key for a store without SQL.
pub fn placing(key: &EntityKey, number: OwnNumber, quantity: i64) -> Params {
    let pairs = [
        ("orderNo", Value::Int(number.get().cast_signed())),
        ("quantity", quantity.into()),
        ("key", key.parts()[0].clone()),
    ];
    pairs.into_iter().map(|(name, value): (&str, Value)| (name.to_owned(), value)).collect()
}

/// A memory store that knows [`place`].
pub fn in_memory(side: Side) -> MemoryStore {
    let store = MemoryStore::new(side, contract());
    store.teach(place().sql, |rows: &mut Rows, params| {
        let key = EntityKey::new("Order".into(), vec![params["key"].clone()]);
        let Value::Int(number) = params["orderNo"] else { return Ok(0) };
        rows.insert(key.clone(), row(&key, &number.to_string(), params["quantity"].clone()));
        Ok(1)
    });
    store
}

/// A whole row of legacy.
pub fn row(key: &EntityKey, number: &str, quantity: Value) -> Record {
    Record::of(&order(), [("id", key.parts()[0].clone()), ("number", number.into()), ("quantity", quantity)])
}
