//! Keys that the ERP makes itself: what is read, and what is refused with what to do.

use std::fmt::Write;

use model::Side;
use model::contract::ParamSource;

use super::super::load;

const ORDERS: &str = include_str!("../../../strangler/tests/gateway/own_keys.graphql");

#[test]
fn an_own_key_is_the_column_of_its_number_on_legacy_and_a_key_like_any_on_modern() {
    let loaded = load(ORDERS, "orders.graphql").unwrap_or_else(|errors| panic!("{errors}"));
    let order = loaded.contract.entity(&"Order".into()).unwrap();
    let own = order.own_key(Side::Legacy).unwrap();
    assert_eq!((own.sequence.as_str(), order.own_key(Side::Modern)), ("ORDSEQ", None));
    assert_eq!(order.number_field(), order.index("number"));
    let id = order.field(order.key()[0]);
    assert_eq!((id.home.legacy.column.as_str(), id.home.modern.column.as_str()), ("ORDNO", "id"));
    let place = super::write_of(&loaded, "Mutation.placeOrder");
    let model::contract::WriteWork::Statements { params, .. } = place.work else { panic!("it runs SQL") };
    let number = params.iter().find(|param| param.name == "orderNo").unwrap();
    assert_eq!(number.source, ParamSource::Number { touch: 0 });
    assert!(!loaded.client_sdl.contains("ownKey"), "{}", loaded.client_sdl);
}

#[test]
fn mistakes_in_own_keys_are_told_with_what_to_do() {
    let link = "type Line @entity(group: \"orders\", key: [\"id\"]) @table(legacy: \"ORDLIN\", modern: \"lines\") {\n  \
         id: ID! @home(legacy: { column: \"LINNO\", type: \"varchar(36)\" }, modern: { column: \"id\", type: \"text\" })\n  \
         orderId: ID! @home(legacy: { column: \"ORDNO\", type: \"numeric(10)\" }, modern: { column: \"order_id\", type: \"text\" })\n  \
         order: Order @byKey(key: [\":parent.orderId\"])\n}\n\ntype Query {\n  line(id: ID!): Line @byKey";
    let mistakes = [
        ("key of two fields", "key: [\"id\"]", "key: [\"id\", \"quantity\"]"),
        ("key that is no text", "key: [\"id\"]", "key: [\"quantity\"]"),
        ("bad sequence", "\"ORDSEQ\"", "\"ORD SEQ\""),
        ("unknown number", "@ownKey(number: \"number\"", "@ownKey(number: \"numbr\""),
        ("number that is the key", "@ownKey(number: \"number\"", "@ownKey(number: \"id\""),
        ("number that is required", "number: ID\n", "number: ID!\n"),
        (
            "number with more digits than a key has room for",
            "numeric(10)\" }, modern: { column: \"order_no\"",
            "numeric\" }, modern: { column: \"order_no\"",
        ),
        ("number that modern has no room for", "type: \"numeric(15)\"", "type: \"numeric(9)\""),
        ("number kept as text", "\"order_no\", type: \"numeric(15)\"", "\"order_no\", type: \"varchar(15)\""),
        (
            "home on legacy",
            "@home(modern: { column: \"id\"",
            "@home(legacy: { column: \"ID\", type: \"text\" }, modern: { column: \"id\"",
        ),
        (
            "other field without home on legacy",
            "@home(legacy: { column: \"ORDQTY\", type: \"numeric(10)\" }, modern",
            "@home(modern",
        ),
        ("no own key and no home on legacy", "@ownKey(number: \"number\", sequence: \"ORDSEQ\")\n", "\n"),
        ("added without number", "[\":write_id\"], number: \"orderNo\"", "[\":write_id\"]"),
        (
            "number called like an argument",
            "[\":write_id\"], number: \"orderNo\"",
            "[\":write_id\"], number: \"quantity\"",
        ),
        ("number that nobody uses", "VALUES_OF_NUMBER", ""),
        (
            "number on modern",
            "SET quantity = quantity + :by WHERE id = :id",
            "SET quantity = quantity + :by WHERE order_no = :orderNo OR id = :id",
        ),
        ("number that is set", "  quantity: Int!\n}\n\ntype Query", "  quantity: Int!\n  number: ID\n}\n\ntype Query"),
        ("link by a stored field", "type Query {", link),
        ("replay", "@write(\n", "@write(\n      dualWrite: replay\n"),
    ];
    let mut told = String::new();
    for (title, from, to) in mistakes {
        let text = match from {
            "VALUES_OF_NUMBER" => ORDERS.replacen("WHERE ORDNO = :orderNo", "WHERE ORDQTY = 1", 1),
            _ => {
                assert!(ORDERS.contains(from), "{title}: `{from}` is not in the contract");
                ORDERS.replacen(from, to, 1)
            }
        };
        let errors = match load(&text, "orders.graphql") {
            Ok(_) => "(accepted)".to_owned(),
            Err(errors) => errors.to_string(),
        };
        writeln!(told, "## {title}\n{errors}\n").unwrap();
    }
    assert!(!told.contains("(accepted)"), "{told}");
    insta::assert_snapshot!(told);
}
