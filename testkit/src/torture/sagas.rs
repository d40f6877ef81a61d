//! Sagas over three groups while replicas are killed and replaced: each order is whole, or nothing of it stands.
//!
//! The shop is that of the saga tests: a client reserves stock, makes an order and books its parcel. Some are refused at the second or third step and must be
//! undone. Clients repeat with the same key until they are told how it ended. The books are read with SQL.
//!
//! [`audit`] is pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{PerSide, Side};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::client::{Client, GIVE_UP, Ground, Reply};
use super::journal::Trouble;
use super::plan::REPLICAS;

/// The groups of the shop.
pub const GROUPS: [&str; 3] = ["stock", "orders", "parcels"];
/// Pieces that are free at the beginning. They do not run out.
const PIECES: i64 = 1_000_000;
const PLACE: &str = "mutation($id: ID!, $n: Int!) { placeOrder(id: $id, sku: \"A\", quantity: $n) { id quantity } }";
/// Refusals of a step: everything before it was undone.
const UNDONE: [&str; 4] = ["TOO_MANY", "TOO_HEAVY", "SAGA_UNDONE", "SAGA_TIMED_OUT"];
const BOOKS: PerSide<[&str; 3]> = PerSide {
    legacy: [
        "SELECT rtrim(ORDID), QTY::int8 FROM ORDHDR",
        "SELECT rtrim(ORDID), count(*) FROM PARCEL GROUP BY 1",
        "SELECT FREE::int8, RSV::int8 FROM STK",
    ],
    modern: [
        "SELECT id, quantity::int8 FROM orders",
        "SELECT order_id, count(*) FROM parcel GROUP BY 1",
        "SELECT free::int8, reserved::int8 FROM stock",
    ],
};

/// The tables of the shop.
pub fn tables(side: Side) -> String {
    match side {
        Side::Legacy => format!(
            "CREATE TABLE STK (SKU char(8) PRIMARY KEY, FREE numeric NOT NULL, RSV numeric NOT NULL);
             CREATE TABLE ORDHDR (ORDID char(40) PRIMARY KEY, SKU char(8) NOT NULL, QTY numeric NOT NULL);
             CREATE TABLE PARCEL (PARID char(40) PRIMARY KEY, ORDID char(40) NOT NULL);
             INSERT INTO STK VALUES ('A', {PIECES}, 0);"
        ),
        Side::Modern => format!(
            "CREATE TABLE stock (sku varchar(8) PRIMARY KEY, free integer NOT NULL, reserved integer NOT NULL);
             CREATE TABLE orders (id varchar(40) PRIMARY KEY, sku varchar(8) NOT NULL, quantity integer NOT NULL);
             CREATE TABLE parcel (id varchar(40) PRIMARY KEY, order_id varchar(40) NOT NULL);
             INSERT INTO stock VALUES ('A', {PIECES}, 0);"
        ),
    }
}

/// What a client was told of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is placed.
    Placed,
    /// Nothing of it stands.
    Undone,
    /// Nothing yet.
    Nothing,
    /// What nobody should be told.
    Wrong(String),
}

/// One order of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id, and its idempotency key.
    pub id: String,
    /// How many pieces.
    pub quantity: i64,
    /// How it ended.
    pub told: Told,
}

/// What stands of the shop on one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stands {
    /// Orders with their quantity.
    pub orders: BTreeMap<String, i64>,
    /// Parcels of each order.
    pub parcels: BTreeMap<String, i64>,
    /// Pieces that are free and reserved.
    pub stock: (i64, i64),
}

impl Stands {
    /// Reads one side. Nobody should be writing.
    ///
    /// # Errors
    /// Of the database.
    pub async fn read(side: Side, client: &tokio_postgres::Client) -> Result<Self, tokio_postgres::Error> {
        let [orders, parcels, stock] = *BOOKS.get(side);
        let mut stands = Self::default();
        for row in client.query(orders, &[]).await? {
            stands.orders.insert(row.get(0), row.get(1));
        }
        for row in client.query(parcels, &[]).await? {
            stands.parcels.insert(row.get(0), row.get(1));
        }
        let stock = client.query_one(stock, &[]).await?;
        stands.stock = (stock.get(0), stock.get(1));
        Ok(stands)
    }
}

/// Places one order after the other until it is told to stop.
pub async fn shop(ground: Arc<Ground>, number: usize) -> Vec<Order> {
    let client = Client::new(Arc::clone(&ground), number);
    let mut random = StdRng::seed_from_u64(ground.seed.rotate_left(29) ^ number as u64);
    let mut orders = Vec::new();
    while !ground.stop.load(Ordering::Relaxed) {
        let load = ground.load.read().await;
        let (id, quantity) = (format!("S{number:02}-{:05}", orders.len()), random.random_range(1..=9));
        let told = place(&client, &ground, &id, quantity, random.random_range(0..REPLICAS)).await;
        drop(load);
        orders.push(Order { id, quantity, told });
        tokio::time::sleep(ground.pause * 4).await;
    }
    orders
}

async fn place(client: &Client, ground: &Ground, id: &str, quantity: i64, mut replica: usize) -> Told {
    let began = ground.epoch.elapsed();
    let variables = json!({ "id": id, "n": quantity });
    loop {
        let passes = match client.ask(replica, PLACE, &variables, &[("idempotency-key", id)]).await {
            Ok(Reply { code: None, data, .. }) if data["placeOrder"]["id"] == id => return Told::Placed,
            Ok(Reply { code: None, data, .. }) => return Told::Wrong(data.to_string()),
            Ok(Reply { code: Some(code), .. }) if UNDONE.contains(&code.as_str()) => return Told::Undone,
            Ok(Reply { code: Some(code), .. }) if code == "SAGA_UNDER_WAY" || Trouble::Code(code.clone()).passes() => {
                true
            }
            Ok(Reply { code: Some(code), .. }) => return Told::Wrong(code),
            Err(trouble) => trouble.passes(),
        };
        if !passes || ground.epoch.elapsed() - began > GIVE_UP {
            return Told::Nothing;
        }
        replica = (replica + 1) % REPLICAS;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What is wrong with the shop of a side.
pub fn audit(side: Side, orders: &[Order], stands: &Stands) -> Vec<String> {
    let mut wrong = Vec::new();
    for Order { id, quantity, told } in orders {
        let found = (stands.orders.get(id).copied(), stands.parcels.get(id).copied().unwrap_or_default());
        let (whole, nothing) = (found == (Some(*quantity), 1), found == (None, 0));
        let right = match told {
            Told::Placed => whole,
            Told::Undone => nothing,
            Told::Nothing => whole || nothing,
            Told::Wrong(_) => false,
        };
        if !right {
            wrong.push(format!("{side}: order {id} of {quantity}, {told:?}: it stands as {found:?}"));
        }
    }
    let known: BTreeSet<_> = orders.iter().map(|order| &order.id).collect();
    let strangers = stands.orders.keys().chain(stands.parcels.keys()).filter(|id| !known.contains(id));
    wrong.extend(strangers.map(|id| format!("{side}: nobody asked for order {id}")));
    let (sold, (free, reserved)) = (stands.orders.values().sum::<i64>(), stands.stock);
    if reserved != sold || free + reserved != PIECES {
        wrong.push(format!("{side}: {sold} pieces are in orders, {reserved} are reserved and {free} are free"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(id: &str, told: Told) -> Order {
        Order { id: id.into(), quantity: 2, told }
    }

    fn stands(orders: &[&str], parcels: &[&str], reserved: i64) -> Stands {
        Stands {
            orders: orders.iter().map(|id| ((*id).into(), 2)).collect(),
            parcels: parcels.iter().map(|id| ((*id).into(), 1)).collect(),
            stock: (PIECES - reserved, reserved),
        }
    }

    #[test]
    fn an_order_is_whole_or_nothing_of_it_stands() {
        let wrong = |told: Told, stands: &Stands| audit(Side::Legacy, &[order("a", told)], stands).len();
        let (whole, none) = (stands(&["a"], &["a"], 2), stands(&[], &[], 0));
        let half = stands(&["a"], &[], 2);
        assert_eq!([wrong(Told::Placed, &whole), wrong(Told::Placed, &none), wrong(Told::Placed, &half)], [0, 1, 1]);
        assert_eq!([wrong(Told::Undone, &whole), wrong(Told::Undone, &none), wrong(Told::Undone, &half)], [1, 0, 1]);
        assert_eq!([wrong(Told::Nothing, &whole), wrong(Told::Nothing, &none), wrong(Told::Nothing, &half)], [0, 0, 1]);
        assert_eq!(wrong(Told::Wrong("INTERNAL".into()), &none), 1);
    }

    #[test]
    fn stock_is_reserved_for_orders_and_for_nothing_else() {
        assert_eq!(audit(Side::Modern, &[order("a", Told::Undone)], &stands(&[], &[], 2)).len(), 1);
        assert_eq!(audit(Side::Modern, &[], &stands(&["a"], &["a"], 2)).len(), 2, "a stranger, and its parcel");
    }
}
