//! Letters that a side's encoding does not have.

use futures::future::join_all;
use model::Stage;
use serde_json::json;

use super::*;
use crate::rig::WITHIN;

const CONTRACT: &str = r#"
type Client @entity(group: "clients", key: ["id"]) @table(legacy: "CLI", modern: "client") {
  id: ID! @home(legacy: {column: "CLINO", type: "varchar(20)"}, modern: {column: "id", type: "varchar(20)"})
  name: String @home(legacy: {column: "NAM", type: "varchar(40)"}, modern: {column: "name", type: "varchar(40)"})
}
input ClientInput { id: ID! name: String }
type Query {
  client(id: ID!): Client @byKey
  clients(ids: [ID!]!): [Client]! @byKeys(keys: ":ids")
  named(name: String!): [Client!]! @list(legacy: "SELECT {columns} FROM CLI WHERE NAM = :name", modern: "SELECT {columns} FROM client WHERE name = :name")
  all: [Client!]! @list(legacy: "SELECT {columns} FROM CLI ORDER BY 1", modern: "SELECT {columns} FROM client ORDER BY 1")
}
type Mutation { setClient(input: ClientInput!): Client! @set(values: ":input") }
"#;

fn tables(more: &'static str) -> PerSide<&'static str> {
    PerSide { legacy: more, modern: "CREATE TABLE client (id varchar(20) PRIMARY KEY, name varchar(40))" }
}

const LATIN: &str = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'";
const BYTES: &str = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_an_encoding_cannot_hold_names_no_record_and_disturbs_nobody() {
    let rows =
        "CREATE TABLE cli (clino varchar(20) PRIMARY KEY, nam varchar(40)); INSERT INTO cli VALUES ('C1', 'plain')";
    let met = Met::made(CONTRACT, tables(rows), LATIN).await;
    let (_ground, replica) = met.serve().await;
    let asked = (0..24).map(|number| {
        let key = match number % 3 {
            0 => "C1",
            1 => "😀",
            _ => "10 €",
        };
        (key, replica.ask(format!(r#"{{ client(id: "{key}") {{ name }} }}"#).leak()))
    });
    let (keys, asked): (Vec<_>, Vec<_>) = asked.unzip();
    for (key, reply) in keys.into_iter().zip(join_all(asked).await) {
        let expected = if key == "C1" { json!({"name": "plain"}) } else { Json::Null };
        assert_eq!(reply.body, json!({"data": {"client": expected}}), "{key}");
    }
    let many = done(&replica, r#"{ clients(ids: ["ä", "😀", "C1", "€", "none", "Ω"]) { id } }"#).await;
    assert_eq!(many["clients"], json!([null, null, {"id": "C1"}, null, null, null]));
}

/// Also where the other side is primary and could hold it: it would stand on one side alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_an_encoding_cannot_hold_stands_on_neither_side() {
    let rows =
        "CREATE TABLE cli (clino varchar(20) PRIMARY KEY, nam varchar(40)); INSERT INTO cli VALUES ('C1', 'plain')";
    let met = Met::made(CONTRACT, tables(rows), LATIN).await;
    let (ground, replica) = met.serve().await;
    assert!(!met.stores.legacy.has_letters("10 €") && met.stores.modern.has_letters("10 €"));
    assert!(met.stores.legacy.has_letters("größer"));
    let reply = replica.ask(r#"mutation { setClient(input: {id: "C2", name: "10 €"}) { id } }"#).await;
    assert_eq!(reply.code(), "BAD_CHARACTER", "{}", reply.text);
    done(&replica, r#"mutation { setClient(input: {id: "C3", name: "größer"}) { id } }"#).await;
    ground.settled().await;
    assert_eq!(met.told(Side::Modern, "SELECT id || name FROM client").await, ["C3größer"]);
}

/// Whoever would answer: one side would refuse it, the other might find something.
#[tokio::test(flavor = "multi_thread")]
async fn a_lists_argument_that_an_encoding_cannot_hold_is_refused_on_either_side() {
    let rows = "CREATE TABLE cli (clino varchar(20) PRIMARY KEY, nam varchar(40))";
    let met = Met::made(CONTRACT, tables(rows), LATIN).await;
    let (ground, replica) = met.serve().await;
    done(&replica, r#"mutation { setClient(input: {id: "C1", name: "größer"}) { id } }"#).await;
    ground.settled().await;
    for percent in [0.0, 100.0] {
        ground.set(Stage::Shift, percent, 0.0);
        let found = done(&replica, r#"{ named(name: "größer") { id } }"#).await;
        assert_eq!(found["named"], json!([{"id": "C1"}]), "{percent}");
        for name in ["10 €", "😀"] {
            let reply = replica.ask(format!(r#"{{ named(name: "{name}") {{ id }} }}"#).leak()).await;
            assert_eq!(reply.code(), "BAD_CHARACTER", "{percent} {name}: {}", reply.text);
            let message = reply.body["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains("legacy's database"), "{message}");
        }
    }
}

/// An Oracle would put a question mark in its place, and say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn letters_that_an_oracles_character_set_lacks_are_refused_before_they_are_lost() {
    let rows = "CREATE TABLE cli (clino varchar(20) PRIMARY KEY, nam varchar(40))";
    for (set, lacks, has) in [("US7ASCII", "ä", "plain"), ("WE8ISO8859P1", "10 €", "größer"), ("AL32UTF8", "", "10 €")]
    {
        let met = Met::new(CONTRACT, tables(rows)).await.on_oracle(Side::Legacy);
        met.stores.legacy.bookkeeping(WITHIN).await.unwrap();
        let says = format!(
            "CREATE OR REPLACE VIEW oracle.nls_database_parameters AS SELECT * FROM (VALUES ('NLS_CHARACTERSET', '{set}'), \
             ('NLS_NCHAR_CHARACTERSET', 'AL16UTF16')) v(parameter, value)"
        );
        met.run(Side::Legacy, &says).await;
        // A replica that starts now.
        let met = met.on_oracle(Side::Legacy);
        let (ground, replica) = met.serve().await;
        if !lacks.is_empty() {
            let set = format!(r#"mutation {{ setClient(input: {{id: "C2", name: "{lacks}"}}) {{ id }} }}"#);
            let reply = replica.ask(set.leak()).await;
            assert_eq!(reply.code(), "BAD_CHARACTER", "{}", reply.text);
            let reply = replica.ask(format!(r#"{{ named(name: "{lacks}") {{ id }} }}"#).leak()).await;
            assert_eq!(reply.code(), "BAD_CHARACTER", "{}", reply.text);
        }
        let set = format!(r#"mutation {{ setClient(input: {{id: "C3", name: "{has}"}}) {{ name }} }}"#);
        assert_eq!(done(&replica, set.leak()).await["setClient"]["name"], has);
        ground.settled().await;
        assert_eq!(met.told(Side::Modern, "SELECT id || name FROM client").await, [format!("C3{has}")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_bytes_that_are_no_text_fails_at_its_field() {
    let rows = "CREATE TABLE cli (clino varchar(20) PRIMARY KEY, nam varchar(40));
                INSERT INTO cli VALUES ('C1', 'plain'), ('C2', E'stra\\xdfe'), ('C3', 'too')";
    let met = Met::made(CONTRACT, tables(rows), BYTES).await;
    let (_ground, replica) = met.serve().await;
    let reply = replica.ask("{ all { id name } }").await;
    let expected = json!([{"id": "C1", "name": "plain"}, {"id": "C2", "name": null}, {"id": "C3", "name": "too"}]);
    assert_eq!(reply.body["data"]["all"], expected, "{}", reply.text);
    assert_eq!((reply.code(), &reply.body["errors"][0]["path"]), ("UNREPRESENTABLE_VALUE", &json!(["all", 1, "name"])));
    assert_eq!(done(&replica, r#"{ client(id: "C3") { name } }"#).await["client"]["name"], "too");
}
