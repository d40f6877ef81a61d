//! The contract that we ship, served.

use gateway::GatewayConfig;
use serde_json::{Value as Json, json};

use crate::fake::{FakeRoads, World};

fn inventory() -> World {
    let text = include_str!("../../../../schema.graphql");
    let loaded = contract::load(text, "schema.graphql").unwrap_or_else(|errors| panic!("{errors}"));
    World::new(loaded.contract, loaded.client_schema, FakeRoads::default(), GatewayConfig::default())
}

#[tokio::test]
async fn every_query_of_the_inventory_reaches_its_road() {
    let world = inventory();
    let query = "query($skus: [ID!]!, $keys: [StockLevelKey!]!) { \
        product(sku: \"A\") { name unitPrice stockLevels { onHand } movements { reason product { name } } } \
        products(skus: $skus) { sku } productList { sku stockLevels { location } } \
        stockLevel(sku: \"A\", location: \"BER1\") { onHand product { name } } stockLevels(keys: $keys) { onHand } \
        lowStock(location: \"BER1\", below: 5) { sku product { name active } } \
        movement(id: \"1\") { quantity } movementsOfProduct(sku: \"A\", first: 3) { bookedAt kind } }";
    let variables = json!({"skus": ["A", "B"], "keys": [{"sku": "A", "location": "BER1"}]});
    let answer = world.ask_with(query, variables).await;
    let none: Json = json!({"product": null, "products": [null, null], "productList": [], "stockLevel": null,
        "stockLevels": [null], "lowStock": [], "movement": null, "movementsOfProduct": []});
    assert_eq!(answer, json!({ "data": none }));
    let mut calls = world.calls();
    calls.sort();
    insta::assert_snapshot!(calls.join("\n"));
}
