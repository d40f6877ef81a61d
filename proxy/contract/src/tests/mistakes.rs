//! Mistakes, each made in a small contract that is right otherwise.

mod operations;
mod sagas;

use std::fmt::Write;

use super::super::load;

const SMALL: &str = include_str!("small.graphql");

/// What is told when `from` reads `to` instead.
fn told(mistakes: &[(&str, &str, &str)]) -> String {
    told_of(SMALL, mistakes)
}

/// The same of another contract.
fn told_of(contract: &str, mistakes: &[(&str, &str, &str)]) -> String {
    let mut told = String::new();
    for (title, from, to) in mistakes {
        assert!(contract.contains(from), "{title}: `{from}` is not in the contract");
        let text = contract.replacen(from, to, 1);
        let errors = match load(&text, "schema.graphql") {
            Ok(_) => "(accepted)".to_owned(),
            Err(errors) => errors.to_string(),
        };
        writeln!(told, "## {title}\n{errors}\n").unwrap();
    }
    assert!(!told.contains("(accepted)"), "{told}");
    told
}

#[test]
fn the_small_contract_is_right() {
    if let Err(errors) = load(SMALL, "schema.graphql") {
        panic!("{errors}");
    }
}

#[test]
fn mistakes_of_graphql_itself_are_told_with_their_place() {
    let told = told(&[
        ("syntax", "type Query {", "type Query {{"),
        ("unknown type", "item: Item @byKey", "item: Itme @byKey"),
        ("unknown directive", "@stamped", "@stampd"),
        ("directive argument missing", "@table(legacy: \"RAT\", modern: \"rate\")", "@table(legacy: \"RAT\")"),
        ("directive argument unknown", "@compare(scale: 2)", "@compare(scala: 2)"),
        ("column without type", "{ column: \"COD\", type: \"char(3)\" }", "{ column: \"COD\" }"),
        ("excused without owner", "@stamped", "@excused(reason: \"slow\", until: \"2026-12-31\")"),
        ("group missing", "@entity(group: \"money\", key: [\"code\"])", "@entity(key: [\"code\"])"),
        ("another dual write", "@set(values: \":input\")", "@set(values: \":input\", dualWrite: replai)"),
        ("a type twice", "input Place {", "type Rate { a: Int } input Place {"),
        ("no query", "type Query {", "type Queries {"),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn mistakes_in_entity_types_are_told_with_what_to_do() {
    let told = told(&[
        ("type without entity", "@entity(group: \"money\", key: [\"code\"]) ", ""),
        ("type without table", "@table(legacy: \"RAT\", modern: \"rate\") ", ""),
        ("bad table", "legacy: \"RAT\"", "legacy: \"RAT; DROP\""),
        ("bad group", "group: \"money\"", "group: \"My Money\""),
        (
            "field without home",
            "@home(legacy: { column: \"NAM\", type: \"varchar(60)\" }, modern: { column: \"name\", type: \"text\" })",
            "",
        ),
        ("unknown key field", "key: [\"code\"]", "key: [\"cod\"]"),
        ("empty key", "key: [\"code\"]", "key: []"),
        ("key twice", "key: [\"code\"]", "key: [\"code\", \"code\"]"),
        ("nullable key field", "code: ID!", "code: ID"),
        ("key of a kind with several forms", "key: [\"sku\"])", "key: [\"price\"])"),
        ("link without directive", "@byKey(key: [\":parent.sku\"])", ""),
        ("list in a column", "name: String @", "name: [String] @"),
        ("float", "price: Decimal!", "price: Float!"),
        ("unknown scalar", "scalar DateTime", "scalar DateTime scalar Money"),
        ("argument on a stored field", "name: String @", "name(short: Boolean): String @"),
        ("duplicate column", "column: \"NAM\"", "column: \"prc\""),
        ("interface", "type Stock ", "interface Kept { sku: ID! } type Stock implements Kept "),
        ("union", "input Place {", "union Any = Item | Stock input Place {"),
        ("subscription", "input Place {", "type Subscription { item: Item } input Place {"),
        ("scale on text", "type: \"text\" })", "type: \"text\" }) @compare(scale: 2)"),
        ("scale beyond the column", "@compare(scale: 2)", "@compare(scale: 4)"),
        ("toSeconds on a decimal", "@compare(scale: 2)", "@compare(toSeconds: true)"),
        ("seconds on one side", "type: \"timestamp\"", "type: \"timestamp(0)\""),
        ("stamped text", "type: \"text\" })", "type: \"text\" }) @stamped"),
        ("excused with a bad day", "@stamped", "@excused(reason: \"slow\", owner: \"\", until: \"soon\")"),
        ("compare on a link", "@byKey(key: [\":parent.sku\"])", "@byKey(key: [\":parent.sku\"]) @sensitive"),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn mistakes_in_columns_are_told_with_what_to_do() {
    let told = told(&[
        ("unknown column type", "type: \"varchar(60)\"", "type: \"varchr(60)\""),
        ("column type of nowhere", "type: \"varchar(60)\"", "type: \"xml\""),
        ("char of nothing", "type: \"char(3)\"", "type: \"char(0)\""),
        ("scale larger than precision", "type: \"numeric(12,2)\"", "type: \"numeric(2,12)\""),
        ("bad column", "column: \"NAM\"", "column: \"NAM E\""),
        ("unknown zone", "Europe/Berlin", "Europe/Belin"),
        ("zone missing", ", zone: \"Europe/Berlin\"", ""),
        ("zone on an instant", "type: \"timestamptz\"", "type: \"timestamptz\", zone: \"UTC\""),
        ("map not one to one", "stored: \"L\"", "stored: \"S\""),
        ("map of an unknown value", "value: \"LARGE\"", "value: \"LARG\""),
        ("map with a hole", ", { value: \"false\", stored: \"N\" }", ""),
        ("map that does not fit", "stored: \"L\"", "stored: \"LL\""),
        ("map on text", "type: \"varchar(60)\"", "type: \"varchar(60)\", map: [{ value: \"a\", stored: \"b\" }]"),
        (
            "map into a boolean",
            "{ column: \"active\", type: \"boolean\" }",
            "{ column: \"active\", type: \"boolean\", map: [{ value: \"true\", stored: \"1\" }, { value: \"false\", stored: \"0\" }] }",
        ),
        (
            "boolean in numeric",
            "{ column: \"active\", type: \"boolean\" }",
            "{ column: \"active\", type: \"numeric\" }",
        ),
        ("decimal in integer", "type: \"numeric(12,2)\"", "type: \"integer\""),
        (
            "whole number with scale",
            "{ column: \"QTY\", type: \"numeric\" }",
            "{ column: \"QTY\", type: \"numeric(9,3)\" }",
        ),
        ("enum too long", "type: \"varchar(5)\"", "type: \"varchar(4)\""),
        (
            "empty is null, never null",
            "{ column: \"COD\", type: \"char(3)\" }",
            "{ column: \"COD\", type: \"char(3)\", emptyIsNull: true }",
        ),
        ("null instant that is none", "zone: \"Europe/Berlin\"", "zone: \"Europe/Berlin\", nullInstants: [\"never\"]"),
        ("null instant on text", "type: \"varchar(60)\"", "type: \"varchar(60)\", nullInstants: [\"9999-12-31\"]"),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn more_fields_than_a_set_can_hold_are_refused() {
    let mut many = String::new();
    for n in 0..128 {
        writeln!(many, "f{n}: Int @home(legacy: {{ column: \"F{n}\", type: \"integer\" }}, modern: {{ column: \"f{n}\", type: \"integer\" }})").unwrap();
    }
    let text = SMALL.replacen("code: ID!", &format!("{many} code: ID!"), 1);
    let errors = load(&text, "schema.graphql").unwrap_err();
    assert_eq!(errors.mistakes[0].what, "type `Rate` has 129 stored fields");
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = SMALL
        .replacen("type: \"varchar(60)\"", "type: \"varchr(60)\"", 1)
        .replacen("Europe/Berlin", "Europe/Belin", 1)
        .replacen("Item @byKey\n", "Item\n", 1)
        .replacen("[\":sku\", \":place\"]", "[\":sku\"]", 1)
        .replacen("drop(sku: ID!)", "drop(sku: IDD!)", 1);
    insta::assert_snapshot!(load(&text, "schema.graphql").unwrap_err());
}
