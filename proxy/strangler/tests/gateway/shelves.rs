//! Two stores in memory that keep shelves, and the contract about them.

use std::sync::Arc;
use testkit::begin::Begin as _;

use adapters::memory::{MemoryStore, Rows};
use contract::Loaded;
use model::contract::{RootKind, WriteWork};
use model::sql::Params;
use model::{EntityKey, EntityType, PerSide, Record, Role, Root, Side, Store, Value};

use crate::rig::{Ground, WITHIN};

/// How many shelves there are where there are many.
pub(crate) const MANY: usize = 150;

/// The beginning of the queries, with a list of shelves of one name.
const CALLED: &str = r#"type Query {
  shelvesCalled(id: String!): [Shelf!]!
    @list(
      legacy: "SELECT {columns} FROM SHELF WHERE ID = :id"
      modern: "SELECT {columns} FROM shelf WHERE id = :id"
    )
"#;

/// The name of one of many shelves.
pub(crate) fn name(place: usize) -> String {
    format!("M{place:03}")
}

/// Both stores, and what replicas share.
pub(crate) struct Shelves {
    pub(crate) memory: PerSide<MemoryStore>,
    pub(crate) ground: Ground,
}

impl Shelves {
    /// Shelves `A`, `B` and `C` with 100 on hand each, the same on both sides.
    pub(crate) async fn new() -> Self {
        let shelves = Self::only_in_legacy().await;
        let rows = shelves.memory.legacy.rows();
        shelves.memory.modern.meddle(|modern| *modern = rows);
        shelves
    }

    /// The same, with an empty modern side.
    pub(crate) async fn only_in_legacy() -> Self {
        Self::of(include_str!("shelves.graphql"), Side::Legacy).await
    }

    /// The same on both sides, under a contract whose mutations replay; `primary` takes the writes.
    pub(crate) async fn replaying(primary: Side) -> Self {
        let text = include_str!("shelves.graphql");
        let text = text.replace("@write(", "@write(dualWrite: replay, ").replace("@set", "@set(dualWrite: replay)");
        let shelves = Self::of(&text.replace("@delete(", "@delete(dualWrite: replay, "), primary).await;
        let rows = shelves.memory.legacy.rows();
        shelves.memory.modern.meddle(|modern| *modern = rows);
        shelves
    }

    /// The same on both sides, with [`MANY`] shelves more, and a list that legacy looks up as a `char` without case:
    /// blanks at the end of what is asked for are nothing to it, and neither is case.
    pub(crate) async fn many() -> Self {
        let text = include_str!("shelves.graphql").replace("type Query {", CALLED);
        let shelves = Self::of(&text, Side::Legacy).await;
        let entity = shelf_type(&shelves.ground.loaded);
        shelves.memory.legacy.meddle(|rows| {
            rows.extend((0..MANY).map(name).map(|id| (key(&id), shelf(&entity, &id, 100))));
        });
        let rows = shelves.memory.legacy.rows();
        shelves.memory.modern.meddle(|modern| *modern = rows);
        shelves
    }

    async fn of(text: &str, primary: Side) -> Self {
        let loaded = contract::load(text, "shelves.graphql").unwrap_or_else(|errors| panic!("{errors}"));
        let memory = PerSide { legacy: (), modern: () }.map(|side, ()| store(side, &loaded));
        let entity = shelf_type(&loaded);
        memory.legacy.meddle(|rows| {
            for id in ["A", "B", "C"] {
                rows.insert(key(id), shelf(&entity, id, 100));
            }
        });
        let stores = memory.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>);
        let ground = Ground::new(loaded, stores);
        for side in Side::BOTH {
            let role = if side == primary { Role::Primary } else { Role::Secondary };
            ground.stores.get(side).begin_as(&ground.loaded.contract.groups(), role, WITHIN).await.unwrap();
        }
        Self { memory, ground }
    }

    /// What a side has on hand on every shelf: `A=90 B=110 C=100`.
    pub(crate) fn told(&self, side: Side) -> String {
        let entity = shelf_type(&self.ground.loaded);
        let on_hand = entity.index("onHand").unwrap();
        let rows = self.memory.get(side).rows();
        let one = |(key, record): (&EntityKey, &Record)| {
            format!("{}={}", key.parts()[0].to_json().as_str().unwrap(), record.get(on_hand).unwrap().to_json())
        };
        rows.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Whether both sides hold the same records.
    pub(crate) fn are_equal(&self) -> bool {
        self.memory.legacy.rows() == self.memory.modern.rows()
    }
}

/// The type of a shelf.
pub(crate) fn shelf_type(loaded: &Loaded) -> Arc<EntityType> {
    Arc::clone(loaded.contract.entity(&"Shelf".into()).unwrap())
}

/// The key of a shelf.
pub(crate) fn key(id: &str) -> EntityKey {
    EntityKey::new("Shelf".into(), vec![id.into()])
}

/// A whole shelf.
pub(crate) fn shelf(entity: &EntityType, id: &str, on_hand: i64) -> Record {
    Record::of(entity, [("id", id.into()), ("onHand", on_hand.into()), ("note", Value::Null)])
}

fn root(loaded: &Loaded, route: &str) -> Arc<Root> {
    Arc::clone(loaded.contract.root(&route.into()).unwrap())
}

/// A store that knows what the contract's SQL means.
fn store(side: Side, loaded: &Loaded) -> MemoryStore {
    let store = MemoryStore::new(side, Arc::clone(&loaded.contract));
    let on_hand = shelf_type(loaded).index("onHand").unwrap();
    let RootKind::Write(action) = &root(loaded, "Mutation.move").kind else { panic!("a write") };
    let WriteWork::Statements { sql, .. } = &action.work else { panic!("statements") };
    let [take, give] = sql.get(side).as_slice() else { panic!("two statements") };
    let change = move |rows: &mut Rows, params: &Params, place: &str, sign: i64| {
        let (Some(Value::Text(id)), Some(Value::Int(quantity))) = (params.get(place), params.get("quantity")) else {
            return Ok(0);
        };
        let Some(row) = rows.get_mut(&key(id)) else { return Ok(0) };
        let Some(Value::Int(now)) = row.get(on_hand) else { return Ok(0) };
        let then = now + sign * quantity;
        if then >= 0 {
            row.set(on_hand, then.into());
        }
        Ok(u64::from(then >= 0))
    };
    store.teach(take.sql.clone(), move |rows, params| change(rows, params, "from", -1));
    store.teach(give.sql.clone(), move |rows, params| change(rows, params, "to", 1));
    let RootKind::Write(action) = &root(loaded, "Mutation.clear").kind else { panic!("a write") };
    let WriteWork::Statements { sql, .. } = &action.work else { panic!("statements") };
    store.teach(sql.get(side)[0].sql.clone(), |rows, params| match params.get("id") {
        Some(Value::Text(id)) => Ok(u64::from(rows.remove(&key(id)).is_some())),
        _ => Ok(0),
    });
    let RootKind::List { sql, .. } = &root(loaded, "Query.shelfList").kind else { panic!("a list") };
    store.teach_list(sql.get(side).clone(), |rows, _| rows.values().cloned().collect());
    if let Some(called) = loaded.contract.root(&"Query.shelvesCalled".into()) {
        let RootKind::List { sql, .. } = &called.kind else { panic!("a list") };
        store.teach_list(sql.get(side).clone(), move |rows, params| {
            let Some(Value::Text(asked)) = params.get("id") else { return Vec::new() };
            let asked = if side == Side::Legacy { asked.trim_end().to_uppercase() } else { asked.clone() };
            rows.get(&key(&asked)).cloned().into_iter().collect()
        });
    }
    store
}
