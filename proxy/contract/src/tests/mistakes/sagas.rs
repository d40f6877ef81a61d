//! Mistakes in sagas.

use super::told_of;

#[test]
fn mistakes_in_sagas_are_told_with_what_to_do() {
    let shop = include_str!("../../../../strangler/tests/gateway/sagas/shop.graphql");
    let told = told_of(
        shop,
        &[
            ("unknown step", "do: \"createOrder\"", "do: \"createOrdr\""),
            ("a query as a step", "do: \"bookParcel\"", "do: \"parcel\""),
            ("a saga as a step", "do: \"bookParcel\"", "do: \"placeOrder\""),
            ("unknown undo", "undo: \"cancelOrder\"", "undo: \"cancelOder\""),
            ("nothing undoes a step", ", undo: \"cancelOrder\"", ""),
            ("two steps of one name", "name: \"order\", do", "name: \"stock\", do"),
            ("a step named like an argument", "name: \"stock\"", "name: \"sku\""),
            ("unknown argument of a step", "argument: \"orderId\"", "argument: \"orderID\""),
            ("a field that the step does not answer", "from: \":order.id\"", "from: \":order.ident\""),
            (
                "a step that comes later",
                "undo: \"releaseStock\" }",
                "undo: \"releaseStock\", with: [{ argument: \"sku\", from: \":order.sku\" }] }",
            ),
            ("a source of another type", "from: \":order.id\"", "from: \":order.quantity\""),
            ("a source that may be null", "placeOrder(id: ID!, sku: ID!", "placeOrder(id: ID!, sku: ID"),
            ("an argument that nobody gives", "placeOrder(id: ID!, sku", "placeOrder(sku"),
            ("an argument that no step uses", "placeOrder(id: ID!", "placeOrder(note: String, id: ID!"),
            ("unknown answer", "answer: \"order\"", "answer: \"ordr\""),
            ("an answer of another type", "quantity: Int!): Order!\n    @saga", "quantity: Int!): Parcel!\n    @saga"),
        ],
    );
    insta::assert_snapshot!(told);
}
