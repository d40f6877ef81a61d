//! Values that are none of their field's type stay at their field.

use model::{EntityKey, Record};
use serde_json::json;

use super::*;
use crate::rig::{WITHIN, until};

const CONTRACT: &str = r#"
scalar Decimal
scalar DateTime
type Ware @entity(group: "wares", key: ["id"]) @table(legacy: "WRE", modern: "ware") {
  id: ID! @home(legacy: {column: "WRENO", type: "char(10)"}, modern: {column: "id", type: "varchar(10)"})
  name: String! @home(legacy: {column: "NAM", type: "varchar(40)"}, modern: {column: "name", type: "varchar(40)"})
  price: Decimal @home(legacy: {column: "PRC", type: "numeric"}, modern: {column: "price", type: "numeric"})
  count: Int @home(legacy: {column: "CNT", type: "numeric"}, modern: {column: "count", type: "numeric"})
  until: DateTime @home(legacy: {column: "VLD", type: "timestamp", zone: "UTC"}, modern: {column: "valid_until", type: "timestamptz"})
  gone: Boolean @home(legacy: {column: "DEL", type: "char(1)", map: [{value: "true", stored: "Y"}, {value: "false", stored: "N"}]}, modern: {column: "gone", type: "boolean"})
}
input WareInput { id: ID! name: String! price: Decimal count: Int until: DateTime gone: Boolean }
type Query {
  ware(id: ID!): Ware @byKey
  wares(ids: [ID!]!): [Ware]! @byKeys(keys: ":ids")
  all: [Ware!]! @list(ordered: true, legacy: "SELECT {columns} FROM WRE ORDER BY WRENO", modern: "SELECT {columns} FROM ware ORDER BY id")
}
type Mutation {
  setWare(input: WareInput!): Ware! @set(values: ":input")
  rename(id: ID!, name: String!): Ware! @set
}
"#;

const TABLES: PerSide<&str> = PerSide {
    legacy: "CREATE TABLE wre (wreno char(10) PRIMARY KEY, nam varchar(40) NOT NULL, prc numeric, cnt numeric, vld timestamp, del char(1));
             INSERT INTO wre VALUES ('GOOD', 'good', 1, 2, '2030-01-01', 'N'), ('NAN', 'no number', 'NaN', 2, '2030-01-01', 'N'),
               ('HALF', 'no whole', 1, 12.5, '2030-01-01', 'N'), ('LARGE', 'too large', 1, 1e20, '2030-01-01', 'N'),
               ('EVER', 'never ends', 1, 2, 'infinity', 'N'), ('OLD', 'before us', 1, 2, '0044-03-15 BC', 'N'),
               ('ODD', 'a flag', 1, 2, '2030-01-01', '?');",
    modern: "CREATE TABLE ware (id varchar(10) PRIMARY KEY, name varchar(40) NOT NULL, price numeric, count numeric, valid_until timestamptz, gone boolean);
             INSERT INTO ware SELECT id, name, 1, 2, '2030-01-01 00:00Z', false FROM (VALUES ('GOOD', 'good'), ('NAN', 'no number'),
               ('HALF', 'no whole'), ('LARGE', 'too large'), ('EVER', 'never ends'), ('OLD', 'before us'), ('ODD', 'a flag')) AS r(id, name);",
};

const ALL: &str = "{ all { id name price count until gone } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_read_is_null_with_an_error_at_its_field_and_nothing_else_is() {
    let met = Met::new(CONTRACT, TABLES).await;
    let (_ground, replica) = met.serve().await;
    let reply = replica.ask(ALL).await;
    let rows = reply.body["data"]["all"].as_array().unwrap_or_else(|| panic!("{}", reply.text));
    assert_eq!(rows.len(), 7, "{}", reply.text);
    let (mut at, mut expected) = (Vec::new(), Vec::new());
    for error in reply.body["errors"].as_array().unwrap() {
        assert_eq!(error["extensions"]["code"], "UNREPRESENTABLE_VALUE", "{error}");
        let place = usize::try_from(error["path"][1].as_u64().unwrap()).unwrap();
        at.push(format!("{} {}", rows[place]["id"].as_str().unwrap(), error["path"][2].as_str().unwrap()));
    }
    for (id, field) in
        [("EVER", "until"), ("HALF", "count"), ("LARGE", "count"), ("NAN", "price"), ("ODD", "gone"), ("OLD", "until")]
    {
        expected.push(format!("{id} {field}"));
        let row = rows.iter().find(|row| row["id"] == id).unwrap();
        assert!(row[field].is_null(), "{row}");
        assert!(row["name"].is_string(), "{row}");
    }
    assert_eq!(at, expected);
    // Look-ups by key, alone and together.
    let query = r#"{ ware(id: "NAN") { name price } wares(ids: ["GOOD", "NAN", "NONE", "EVER"]) { id price } }"#;
    let reply = replica.ask(query).await;
    let wares = json!([{"id": "GOOD", "price": "1"}, {"id": "NAN", "price": null}, null, {"id": "EVER", "price": "1"}]);
    assert_eq!(
        reply.body["data"],
        json!({"ware": {"name": "no number", "price": null}, "wares": wares}),
        "{}",
        reply.text
    );
    let paths: Vec<_> = reply.body["errors"].as_array().unwrap().iter().map(|error| error["path"].clone()).collect();
    assert_eq!(paths, [json!(["ware", "price"]), json!(["wares", 1, "price"])]);
    // Who does not ask for the field hears nothing of it.
    assert_eq!(done(&replica, r#"{ ware(id: "NAN") { name } }"#).await["ware"]["name"], "no number");
}

/// The other side keeps what it has: what cannot be read is written nowhere, and nothing is called settled.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_another_field_stands_and_waits_until_the_row_is_mended() {
    let met = Met::new(CONTRACT, TABLES).await;
    let (ground, replica) = met.serve().await;
    let reply = replica.ask(r#"mutation { rename(id: "NAN", name: "renamed") { id name price } }"#).await;
    let expected = json!({"rename": {"id": "NAN", "name": "renamed", "price": null}});
    assert_eq!((&reply.body["data"], reply.code()), (&expected, "UNREPRESENTABLE_VALUE"), "{}", reply.text);
    assert_eq!(met.told(Side::Legacy, "SELECT nam || prc FROM wre WHERE wreno = 'NAN'").await, ["renamedNaN"]);
    done(&replica, r#"mutation { rename(id: "GOOD", name: "other") { id } }"#).await;
    until("the others are settled", async || ground.backlog().await == 1).await;
    // The relay has looked again, and has not added to what waits.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(ground.backlog().await, 1);
    assert_eq!(met.told(Side::Modern, "SELECT name || price FROM ware WHERE id = 'NAN'").await, ["no number1"]);
    // WHEN somebody mends the row, through us
    done(&replica, r#"mutation { setWare(input: {id: "NAN", name: "mended", price: "5", count: 2, until: "2030-01-01T00:00:00Z", gone: false}) { id } }"#)
        .await;
    // THEN all of it arrives
    ground.settled().await;
    assert_eq!(met.told(Side::Modern, "SELECT name || price FROM ware WHERE id = 'NAN'").await, ["mended5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_cannot_be_read_is_nobodys_equal() {
    let met = Met::new(CONTRACT, TABLES).await;
    met.run(Side::Modern, "UPDATE ware SET price = 'NaN' WHERE id = 'NAN'").await;
    met.serve().await;
    let entity = met.loaded.contract.entity(&"Ware".into()).unwrap();
    let read = async |side: Side| -> Record {
        let key = EntityKey::new("Ware".into(), vec!["NAN".into()]);
        let found = met.stores.get(side).fetch(entity, &[key], entity.all_fields(), WITHIN).await.unwrap();
        found.into_iter().next().flatten().unwrap()
    };
    let (legacy, modern) = (read(Side::Legacy).await, read(Side::Modern).await);
    assert_eq!(legacy.unreadable().iter().count(), 1);
    assert!(!legacy.is_whole(entity) && legacy.to_json(entity).get("price").is_none());
    let asked = shadow_compare::Asked::Keys(vec![legacy.key(entity).unwrap()]);
    let question = shadow_compare::Question { entity: Arc::clone(entity), fields: entity.all_fields(), asked };
    let answers = PerSide { legacy: vec![Some(legacy)].into(), modern: vec![Some(modern)].into() };
    let today = chrono::Utc::now().date_naive();
    let judgement = shadow_compare::judge(&question, &answers, &shadow_compare::Excuses::of_contract(today));
    assert_eq!(judgement.verdict, model::evidence::Verdict::Inconclusive);
    assert_eq!(judgement.differing_keys().len(), 1);
    // The handover is told of rows that it cannot bring over.
    let group = met.loaded.contract.groups().remove(0);
    let safety = control_plane::handover::safety::look(&met.loaded.contract, &met.stores, &group, Side::Legacy, WITHIN)
        .await
        .unwrap();
    assert_eq!(safety.unfit.get("UNREPRESENTABLE_VALUE"), Some(&6), "{safety:?}");
    assert!(!safety.is_safe());
}
