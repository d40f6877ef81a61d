//! Names that mean something else, or are unusual.

use serde_json::json;

use super::*;

const CONTRACT: &str = r#"
type Doc @entity(group: "docs", key: ["id"]) @table(legacy: "\"Doc Hdr\"", modern: "\"order\"") {
  id: ID! @home(legacy: {column: "\"Doc No\"", type: "char(10)"}, modern: {column: "\"primary\"", type: "varchar(10)"})
  title: String! @home(legacy: {column: "\"Titel$\"", type: "varchar(40)"}, modern: {column: "\"it's\"", type: "varchar(40)"})
  owner: String @home(legacy: {column: "\"user\"", type: "varchar(20)"}, modern: {column: "\"user\"", type: "varchar(20)"})
}
input DocInput { id: ID! title: String! owner: String }
type Query {
  doc(id: ID!): Doc @byKey
  docs: [Doc!]! @list(ordered: true, legacy: "SELECT {columns} FROM \"Doc Hdr\" ORDER BY 1", modern: "SELECT {columns} FROM \"order\" ORDER BY 1")
}
type Mutation {
  setDoc(input: DocInput!): Doc! @set(values: ":input")
  dropDoc(id: ID!): Boolean! @delete(type: "Doc")
}
"#;

const TABLES: PerSide<&str> = PerSide {
    legacy: r#"CREATE TABLE "Doc Hdr" ("Doc No" char(10) PRIMARY KEY, "Titel$" varchar(40) NOT NULL, "user" varchar(20));
               INSERT INTO "Doc Hdr" VALUES ('D1', 'first', 'alice'), ('D2', 'second', 'bob');"#,
    modern: r#"CREATE TABLE "order" ("primary" varchar(10) PRIMARY KEY, "it's" varchar(40) NOT NULL, "user" varchar(20));
               INSERT INTO "order" VALUES ('D1', 'first', 'alice'), ('D2', 'second', 'bob');"#,
};

#[tokio::test(flavor = "multi_thread")]
async fn names_in_quotes_are_the_columns_names_wherever_they_stand() {
    let met = Met::new(CONTRACT, TABLES).await;
    let (ground, replica) = met.serve().await;
    for store in [&met.stores.legacy, &met.stores.modern] {
        assert_eq!(store.wrong_statements(crate::rig::WITHIN).await.unwrap(), []);
    }
    let both = json!({"docs": [{"id": "D1", "owner": "alice"}, {"id": "D2", "owner": "bob"}]});
    assert_eq!(done(&replica, "{ docs { id owner } }").await, both);
    ground.set(model::Stage::Shift, 100.0, 0.0);
    assert_eq!(done(&replica, "{ docs { id owner } }").await, both);
    done(&replica, r#"mutation { a: setDoc(input: {id: "D3", title: "third", owner: "carol"}) { id } b: setDoc(input: {id: "D1", title: "1st", owner: "dave"}) { id } c: dropDoc(id: "D2") }"#).await;
    ground.settled().await;
    let told = async |side, sql| met.told(side, sql).await;
    assert_eq!(
        told(Side::Legacy, r#"SELECT "Titel$" || "user" FROM "Doc Hdr" ORDER BY 1"#).await,
        ["1stdave", "thirdcarol"]
    );
    assert_eq!(
        told(Side::Modern, r#"SELECT "it's" || "user" FROM "order" ORDER BY 1"#).await,
        ["1stdave", "thirdcarol"]
    );
}

#[test]
fn a_reserved_word_without_quotes_is_a_mistake_of_the_contract() {
    let text = CONTRACT.replace(r#"modern: {column: "\"user\"""#, r#"modern: {column: "user""#);
    let errors = contract::load(&text, "schema.graphql").unwrap_err().to_string();
    assert!(
        errors.contains("`user` is a reserved word") && errors.contains(r#""\"user\"" on a PostgreSQL"#),
        "{errors}"
    );
    let text = CONTRACT.replace(r#"modern: "\"order\"")"#, r#"modern: "order")"#);
    let errors = contract::load(&text, "schema.graphql").unwrap_err().to_string();
    assert!(errors.contains("`order` is a reserved word"), "{errors}");
}
