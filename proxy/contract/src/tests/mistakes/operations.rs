//! Mistakes in roots, links and mutations.

use super::told;

#[test]
fn mistakes_in_operations_are_told_with_what_to_do() {
    let told = told(&[
        ("root without directive", "Item @byKey\n", "Item\n"),
        ("root with two directives", "Item @byKey\n", "Item @byKey @byKeys\n"),
        ("write on a query", "Item @byKey\n", "Item @set\n"),
        ("by key returns non-null", "item(sku: ID!): Item @", "item(sku: ID!): Item! @"),
        ("by keys returns non-null items", "[Item]! @byKeys", "[Item!]! @byKeys"),
        (
            "list returns nullable items",
            "low(place: ID!, below: Int!): [Stock!]!",
            "low(place: ID!, below: Int!): [Stock]!",
        ),
        ("root returns a scalar", "item(sku: ID!): Item @", "item(sku: ID!): String @"),
        ("argument missing for the key", "item(sku: ID!): Item", "item(id: ID!): Item"),
        ("nullable key argument", "item(sku: ID!): Item", "item(sku: ID): Item"),
        ("key argument of another type", "item(sku: ID!): Item", "item(sku: Int!): Item"),
        ("keys that are no list", "skus: [ID!]!", "skus: ID!"),
        ("keys without a part", "input Place { sku: ID!, place: ID! }", "input Place { sku: ID!, plaze: ID! }"),
        ("keys argument unknown", "@byKeys(keys: \":keys\")", "@byKeys(keys: \":kes\")"),
        ("unknown parameter", "PLC = :place AND QTY < :below", "PLC = :plaec AND QTY < :below"),
        ("argument that nobody uses", "low(place: ID!", "low(shop: ID!, place: ID!"),
        ("no columns", "SELECT {columns} FROM STK WHERE PLC", "SELECT * FROM STK WHERE PLC"),
        ("list that changes", "SELECT {columns} FROM STK WHERE PLC", "DELETE {columns} FROM STK WHERE PLC"),
        ("open quote", "FROM STK WHERE PLC = :place", "FROM STK WHERE PLC = ':place"),
        ("two statements", "FROM STK WHERE PLC = :place", "FROM STK; SELECT 1 WHERE PLC = :place"),
        ("parent outside a link", "QTY < :below\"", "QTY < :below AND ITMNO = :parent.sku\""),
        ("parent field unknown", "[\":parent.sku\"]", "[\":parent.sk\"]"),
        ("source without colon", "[\":parent.sku\"]", "[\"parent.sku\"]"),
        ("write id in a query", "QTY < :below\"", "QTY < :below AND ITMNO = :write_id\""),
        ("link with too many keys", "[\":parent.sku\"]", "[\":parent.sku\", \":parent.place\"]"),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn mistakes_in_mutations_are_told_with_what_to_do() {
    let told = told(&[
        ("touches lack a key part", "[\":sku\", \":place\"]", "[\":sku\"]"),
        ("touches an unknown type", "{ type: \"Stock\", key", "{ type: \"Stok\", key"),
        ("touches nothing", "[{ type: \"Stock\", key: [\":sku\", \":place\"] }]", "[]"),
        (
            "touches one thing twice",
            "[{ type: \"Stock\", key: [\":sku\", \":place\"] }]",
            "[{ type: \"Stock\", key: [\":sku\", \":place\"] }, { type: \"Stock\", key: [\":sku\", \":place\"] }]",
        ),
        (
            "two groups in one write",
            "key: [\":sku\", \":place\"] }]",
            "key: [\":sku\", \":place\"] }, { type: \"Rate\", key: [\":sku\"] }]",
        ),
        ("answers with what it does not touch", "count: Int!): Stock! @write", "count: Int!): Item! @write"),
        ("write answers null", "count: Int!): Stock! @write", "count: Int!): Stock @write"),
        ("refusal without code", "code: \"NOT_FOUND\"", "code: \"not found\""),
        ("refusal without words", "message: \"no such stock\"", "message: \" \""),
        ("columns in a write", "SET count = count + :count", "SET {columns} = count + :count"),
        (
            "one side does nothing",
            "modern: [{ sql: \"UPDATE stock SET count = count + :count WHERE sku = :sku AND place = :place\" }]",
            "modern: []",
        ),
        (
            "whole input as parameter",
            "put(input: ItemInput!): Item! @set(values: \":input\")",
            "put(input: ItemInput!): Item! @write(touches: [{ type: \"Item\", key: [\":input.sku\"] }], legacy: [{ sql: \"SELECT :input\" }], modern: [{ sql: \"SELECT :input.nam\" }])",
        ),
        ("set of an unknown field", "name: String, price", "nome: String, price"),
        ("set of another type", "price: Decimal! }", "price: Int! }"),
        ("set without the key", "input ItemInput { sku: ID!,", "input ItemInput {"),
        ("set without values", "@set(values: \":input\")", "@set(values: \":inptu\")"),
        ("set answers a list", "put(input: ItemInput!): Item!", "put(input: ItemInput!): [Item!]!"),
        ("delete answers an entity", "drop(sku: ID!): Boolean!", "drop(sku: ID!): Item!"),
        ("delete of an unknown type", "@delete(type: \"Item\")", "@delete(type: \"Itm\")"),
        ("delete by another key", "drop(sku: ID!)", "drop(id: ID!)"),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn a_statement_that_changes_what_it_does_not_touch_is_a_mistake_on_either_side() {
    let told = told(&[
        ("of modern", "UPDATE stock SET count", "UPDATE item SET count"),
        ("of legacy, in another spelling", "UPDATE STK SET QTY", "update itm set QTY"),
    ]);
    assert_eq!(told.matches("and `Item` is not in `touches`").count(), 2, "{told}");
}
