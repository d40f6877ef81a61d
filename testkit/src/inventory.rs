//! A small inventory for tests: two entity types with a home on each side, and their tables.
//!
//! The legacy tables look like an ERP's: short upper-case names, blank-padded keys, 'Y'/'N', numbers
//! without scale, local times without zone, 9999-12-31 and '' where others say null.

use std::sync::Arc;

use adapters::memory::{MemoryStore, Rows};
use model::contract::{ColumnType, Compare, Precision, Refusal, Statement};
use model::sql::{NamedSql, Params};
use model::{
    Contract, EntityKey, EntityType, Field, GroupName, Home, Instant, Kind, PerSide, Record, Side, StoreError, Value,
};

/// The group of both types.
pub fn group() -> GroupName {
    GroupName::from("inventory")
}

/// Both types.
pub fn contract() -> Arc<Contract> {
    let mut contract = Contract::default();
    for entity in [product(), stock_level()] {
        contract.entities.insert(entity.name.clone(), Arc::new(entity));
    }
    Arc::new(contract)
}

/// The same with other fields of one type: what an older or newer contract might say of the same tables.
///
/// # Panics
/// When there is no such type, or its key is gone.
pub fn contract_with(entity: &str, change: impl FnOnce(&mut Vec<Field>)) -> Arc<Contract> {
    let mut contract = Contract::clone(&contract());
    let before = EntityType::clone(contract.entity(&entity.into()).expect("a type of the inventory"));
    let key: Vec<_> = before.key().iter().map(|index| before.field(*index).name.to_string()).collect();
    let key: Vec<_> = key.iter().map(String::as_str).collect();
    let mut fields = before.fields;
    change(&mut fields);
    let changed = EntityType::new(before.name, before.group, before.table, fields, &key).expect("the key is kept");
    contract.entities.insert(changed.name.clone(), Arc::new(changed));
    Arc::new(contract)
}

/// The tables of one side.
pub fn ddl(side: Side) -> &'static str {
    match side {
        Side::Legacy => {
            "CREATE TABLE INV_ITM_MST (
                 ITM_NO  char(18) NOT NULL PRIMARY KEY,
                 ITM_DSC varchar(60) NOT NULL DEFAULT '',
                 ACT_FL  char(1) NOT NULL DEFAULT 'Y' CHECK (ACT_FL IN ('Y', 'N')),
                 ITM_CLS char(2),
                 PRC     numeric,
                 WGT     numeric(12, 4),
                 UPD_DT  timestamp,
                 END_DT  timestamp(0) NOT NULL DEFAULT '9999-12-31'
             );
             CREATE TABLE INV_LOC_BAL (
                 ITM_NO  char(18) NOT NULL,
                 LOC_CD  char(4) NOT NULL,
                 OH_QTY  numeric NOT NULL CONSTRAINT oh_qty_not_negative CHECK (OH_QTY >= 0),
                 CNT_DT  timestamp,
                 PRIMARY KEY (ITM_NO, LOC_CD)
             );"
        }
        Side::Modern => {
            "CREATE TABLE products (
                 sku             varchar(18) PRIMARY KEY,
                 name            varchar(60) NOT NULL DEFAULT '',
                 active          boolean NOT NULL DEFAULT true,
                 class           text,
                 price           numeric(14, 4),
                 weight          numeric(12, 4),
                 updated_at      timestamptz,
                 discontinued_at timestamptz
             );
             CREATE TABLE stock_levels (
                 sku        varchar(18) NOT NULL,
                 location   varchar(4) NOT NULL,
                 on_hand    integer NOT NULL CONSTRAINT on_hand_not_negative CHECK (on_hand >= 0),
                 counted_at timestamptz,
                 PRIMARY KEY (sku, location)
             );"
        }
    }
}

/// The tables of one side in an Oracle, one statement each.
pub fn oracle_ddl(side: Side) -> Vec<&'static str> {
    match side {
        Side::Legacy => vec![
            "CREATE TABLE INV_ITM_MST (
                 ITM_NO  CHAR(18 CHAR) NOT NULL PRIMARY KEY,
                 ITM_DSC VARCHAR2(60 CHAR),
                 ACT_FL  CHAR(1) DEFAULT 'Y' NOT NULL CHECK (ACT_FL IN ('Y', 'N')),
                 ITM_CLS CHAR(2),
                 PRC     NUMBER,
                 WGT     NUMBER(12, 4),
                 UPD_DT  TIMESTAMP(6),
                 END_DT  DATE DEFAULT TIMESTAMP '9999-12-31 00:00:00' NOT NULL
             )",
            "CREATE TABLE INV_LOC_BAL (
                 ITM_NO  CHAR(18 CHAR) NOT NULL,
                 LOC_CD  CHAR(4 CHAR) NOT NULL,
                 OH_QTY  NUMBER NOT NULL CONSTRAINT oh_qty_not_negative CHECK (OH_QTY >= 0),
                 CNT_DT  TIMESTAMP(6),
                 PRIMARY KEY (ITM_NO, LOC_CD)
             )",
        ],
        Side::Modern => vec![
            "CREATE TABLE products (
                 sku             VARCHAR2(18 CHAR) PRIMARY KEY,
                 name            VARCHAR2(60 CHAR),
                 active          NUMBER(1) DEFAULT 1 NOT NULL,
                 class           VARCHAR2(200),
                 price           NUMBER(14, 4),
                 weight          NUMBER(12, 4),
                 updated_at      TIMESTAMP(6) WITH TIME ZONE,
                 discontinued_at TIMESTAMP(6) WITH TIME ZONE
             )",
            "CREATE TABLE stock_levels (
                 sku        VARCHAR2(18 CHAR) NOT NULL,
                 location   VARCHAR2(4 CHAR) NOT NULL,
                 on_hand    NUMBER(10) NOT NULL CONSTRAINT on_hand_not_negative CHECK (on_hand >= 0),
                 counted_at TIMESTAMP(6) WITH TIME ZONE,
                 PRIMARY KEY (sku, location)
             )",
        ],
    }
}

fn field(name: &str, kind: Kind, nullable: bool, legacy: Home, modern: Home) -> Field {
    Field {
        name: name.into(),
        kind,
        nullable,
        home: PerSide { legacy, modern },
        compare: Compare::default(),
        sensitive: false,
        stamped: false,
    }
}

fn local(column: &str, column_type: ColumnType) -> Home {
    Home {
        zone: Some(model::Zone::named("Europe/Berlin").expect("a zone of the database of zones")),
        ..Home::new(column, column_type)
    }
}

fn product() -> EntityType {
    use ColumnType::{Boolean, Char, Numeric, Timestamp, TimestampSeconds, TimestampTz, Varchar};
    let flag = Home {
        map: vec![(Value::Bool(true), "Y".into()), (Value::Bool(false), "N".into())],
        ..Home::new("ACT_FL", Char(1))
    };
    let class =
        Home { map: vec![("FAST".into(), "F".into()), ("SLOW".into(), "SL".into())], ..Home::new("ITM_CLS", Char(2)) };
    let name = Home { empty_is_null: true, ..Home::new("ITM_DSC", Varchar(Some(60))) };
    let never = Instant::parse("9999-12-30T23:00:00Z").expect("an instant");
    let end = Home { null_instants: vec![never], ..local("END_DT", TimestampSeconds) };
    let precise = |digits, scale| Numeric(Some(Precision { digits, scale }));
    let fields = vec![
        field("sku", Kind::Text, false, Home::new("ITM_NO", Char(18)), Home::new("sku", Varchar(Some(18)))),
        field("name", Kind::Text, true, name, Home { empty_is_null: true, ..Home::new("name", Varchar(Some(60))) }),
        field("active", Kind::Bool, false, flag, Home::new("active", Boolean)),
        field("class", Kind::Text, true, class, Home { empty_is_null: true, ..Home::new("class", Varchar(None)) }),
        field("price", Kind::Decimal, true, Home::new("PRC", Numeric(None)), Home::new("price", precise(14, 4))),
        field("weight", Kind::Decimal, true, Home::new("WGT", precise(12, 4)), Home::new("weight", precise(12, 4))),
        field("updatedAt", Kind::Instant, true, local("UPD_DT", Timestamp), Home::new("updated_at", TimestampTz)),
        field("discontinuedAt", Kind::Instant, true, end, Home::new("discontinued_at", TimestampTz)),
    ];
    let table = PerSide { legacy: "INV_ITM_MST".into(), modern: "products".into() };
    EntityType::new("Product".into(), group(), table, fields, &["sku"]).expect("sku is a field")
}

fn stock_level() -> EntityType {
    use ColumnType::{Char, Integer, Numeric, Timestamp, TimestampTz, Varchar};
    let fields = vec![
        field("sku", Kind::Text, false, Home::new("ITM_NO", Char(18)), Home::new("sku", Varchar(Some(18)))),
        field("location", Kind::Text, false, Home::new("LOC_CD", Char(4)), Home::new("location", Varchar(Some(4)))),
        field("onHand", Kind::Int, false, Home::new("OH_QTY", Numeric(None)), Home::new("on_hand", Integer)),
        field("countedAt", Kind::Instant, true, local("CNT_DT", Timestamp), Home::new("counted_at", TimestampTz)),
    ];
    let table = PerSide { legacy: "INV_LOC_BAL".into(), modern: "stock_levels".into() };
    EntityType::new("StockLevel".into(), group(), table, fields, &["sku", "location"])
        .expect("sku and location are fields")
}

/// The key of a product.
pub fn product_key(sku: &str) -> EntityKey {
    EntityKey::new("Product".into(), vec![sku.into()])
}

/// The key of a stock level.
pub fn level_key(sku: &str, location: &str) -> EntityKey {
    EntityKey::new("StockLevel".into(), vec![sku.into(), location.into()])
}

/// A whole stock level.
pub fn level(sku: &str, location: &str, on_hand: i64) -> Record {
    Record::of(
        &stock_level(),
        [("sku", sku.into()), ("location", location.into()), ("onHand", on_hand.into()), ("countedAt", Value::Null)],
    )
}

/// Adds `:delta` to a stock level that has enough; refused with `INSUFFICIENT_STOCK`.
pub fn adjust(side: Side) -> Statement {
    let sql = match side {
        Side::Legacy => {
            "UPDATE INV_LOC_BAL SET OH_QTY = OH_QTY + :delta \
             WHERE ITM_NO = :sku AND LOC_CD = :location AND OH_QTY + :delta >= 0"
        }
        Side::Modern => {
            "UPDATE stock_levels SET on_hand = on_hand + :delta \
             WHERE sku = :sku AND location = :location AND on_hand + :delta >= 0"
        }
    };
    statement(sql, Some("INSUFFICIENT_STOCK"))
}

/// Removes a stock level; no matter whether it was there.
pub fn remove(side: Side) -> Statement {
    let sql = match side {
        Side::Legacy => "DELETE FROM INV_LOC_BAL WHERE ITM_NO = :sku AND LOC_CD = :location",
        Side::Modern => "DELETE FROM stock_levels WHERE sku = :sku AND location = :location",
    };
    statement(sql, None)
}

/// Gives a stock level `:delta` on hand, whether it is there or not. In this order whoever makes it at the same moment
/// is met by one of the two.
pub fn put_level(side: Side) -> Vec<Statement> {
    let (insert, update) = match side {
        Side::Legacy => (
            "INSERT INTO INV_LOC_BAL (ITM_NO, LOC_CD, OH_QTY) SELECT :sku, :location, 0 + :delta FROM \
             (SELECT COUNT(*) AS n FROM INV_LOC_BAL WHERE ITM_NO = :sku AND LOC_CD = :location) q WHERE q.n = 0",
            "UPDATE INV_LOC_BAL SET OH_QTY = :delta WHERE ITM_NO = :sku AND LOC_CD = :location",
        ),
        Side::Modern => (
            "INSERT INTO stock_levels (sku, location, on_hand) SELECT :sku, :location, 0 + :delta FROM \
             (SELECT COUNT(*) AS n FROM stock_levels WHERE sku = :sku AND location = :location) q WHERE q.n = 0",
            "UPDATE stock_levels SET on_hand = :delta WHERE sku = :sku AND location = :location",
        ),
    };
    vec![statement(insert, None), statement(update, None)]
}

/// The stock levels of `:skus`, by key.
pub fn levels_of(side: Side) -> NamedSql {
    let sql = match side {
        Side::Legacy => "SELECT {columns} FROM INV_LOC_BAL WHERE ITM_NO = ANY(:skus) ORDER BY ITM_NO, LOC_CD",
        Side::Modern => "SELECT {columns} FROM stock_levels WHERE sku = ANY(:skus) ORDER BY sku, location",
    };
    NamedSql::parse(sql).expect("one statement")
}

fn statement(sql: &str, refuse: Option<&str>) -> Statement {
    Statement {
        sql: NamedSql::parse(sql).expect("one statement"),
        refuse: refuse.map(|code| Refusal { code: code.into(), message: "there is not enough".into() }),
    }
}

/// Parameters of [`adjust`], [`remove`] and [`put_level`].
pub fn at(sku: &str, location: &str, delta: i64) -> Params {
    let pairs = [("sku", sku.into()), ("location", location.into()), ("delta", delta.into())];
    pairs.into_iter().map(|(name, value): (&str, Value)| (name.to_owned(), value)).collect()
}

/// A memory store that knows this inventory's statements.
pub fn in_memory(side: Side) -> MemoryStore {
    let store = MemoryStore::new(side, contract());
    let on_hand = stock_level().index("onHand").expect("a field");
    store.teach(adjust(side).sql, move |rows: &mut Rows, params| {
        let Some(row) = rows.get_mut(&key_of(params)) else {
            return Ok(0);
        };
        let (Some(Value::Int(now)), Some(Value::Int(delta))) = (row.get(on_hand), params.get("delta")) else {
            return Ok(0);
        };
        let then = now + delta;
        if then < 0 {
            return Ok(0);
        }
        row.set(on_hand, then.into());
        Ok(1)
    });
    store.teach(remove(side).sql, |rows: &mut Rows, params| -> Result<u64, StoreError> {
        Ok(u64::from(rows.remove(&key_of(params)).is_some()))
    });
    let [insert, update] = <[Statement; 2]>::try_from(put_level(side)).expect("two statements");
    store.teach(update.sql, move |rows: &mut Rows, params| {
        let found = rows.get_mut(&key_of(params)).zip(params.get("delta"));
        Ok(found.map_or(0, |(row, on_hand_now)| {
            row.set(on_hand, on_hand_now.clone());
            1
        }))
    });
    store.teach(insert.sql, |rows: &mut Rows, params| {
        let (key, Some(Value::Int(on_hand))) = (key_of(params), params.get("delta")) else { return Ok(0) };
        let [Value::Text(sku), Value::Text(location)] = key.parts() else { return Ok(0) };
        let made = level(sku, location, *on_hand);
        let fresh = !rows.contains_key(&key);
        rows.entry(key.clone()).or_insert(made);
        Ok(u64::from(fresh))
    });
    store.teach_list(levels_of(side), |rows, params| {
        let Some(Value::List(skus)) = params.get("skus") else {
            return Vec::new();
        };
        let wanted = |key: &EntityKey| key.entity().as_str() == "StockLevel" && skus.contains(&key.parts()[0]);
        let found = rows.iter().filter(|(key, _)| wanted(key));
        found.map(|(_, record)| record.clone()).collect()
    });
    store
}

fn key_of(params: &Params) -> EntityKey {
    let part = |name| params.get(name).cloned().unwrap_or(Value::Null);
    EntityKey::new("StockLevel".into(), vec![part("sku"), part("location")])
}
