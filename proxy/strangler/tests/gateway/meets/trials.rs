//! Every statement is tried on its side before anybody needs it.

use super::*;
use crate::rig::WITHIN;

const CONTRACT: &str = r#"
type Part @entity(group: "parts", key: ["id"]) @table(legacy: "PRT", modern: "part") {
  id: ID! @home(legacy: {column: "PRTNO", type: "char(10)"}, modern: {column: "id", type: "varchar(10)"})
  qty: Int! @home(legacy: {column: "QTY", type: "integer"}, modern: {column: "qty", type: "integer"})
}
type Note @entity(group: "notes", key: ["id"]) @table(legacy: "NTE", modern: "note") {
  id: ID! @home(legacy: {column: "NTENO", type: "char(10)"}, modern: {column: "id", type: "varchar(10)"})
  txt: String @home(legacy: {column: "TXT", type: "varchar(40)"}, modern: {column: "text", type: "varchar(40)"})
}
type Query {
  part(id: ID!): Part @byKey
  parts: [Part!]! @list(legacy: "SELECT {columns} FROM PRT", modern: "SELECT {columns} FROM parts")
  after(after: ID): [Part!]! @list(
    legacy: "SELECT {columns} FROM PRT WHERE :after IS NULL OR PRTNO > :after"
    modern: "SELECT {columns} FROM part WHERE :after IS NULL OR id > :after")
}
type Mutation {
  take(id: ID!, by: Int!): Part! @write(
    touches: [{type: "Part", key: [":id"]}]
    legacy: [{sql: "UPDATE PRT SET QTY = QTY - :by WHERE PRTNO = :id"}]
    modern: [
      {sql: "UPDATE part SET qty = qty - :by WHERE id = :id"}
      {sql: """
        UPDATE part
        SET quantity = 1 WHERE id = :id AND :by > 0
      """}
    ])
  book(id: ID!, at: ID!): Part! @write(
    touches: [{type: "Part", key: [":id"]}]
    legacy: [{sql: "SELECT book(:id, :at)"}]
    modern: [{sql: "UPDATE part SET qty = 0 WHERE id = :id AND CURRENT_DATE > :at"}])
  log(id: ID!): Part! @write(
    touches: [{type: "Part", key: [":id"]}]
    legacy: [{sql: "UPDATE PRT SET QTY = 0 WHERE PRTNO = :id"}]
    modern: [{sql: "INSERT INTO secret (id) VALUES (:id)"}, {sql: "SELECT guarded(:id)"}])
}
"#;

const TABLES: PerSide<&str> = PerSide {
    legacy: "CREATE TABLE prt (prtno char(10) PRIMARY KEY, qty integer NOT NULL);
             CREATE TABLE nte (nteno char(10) PRIMARY KEY, txt varchar(40));
             INSERT INTO prt VALUES ('P1', 7);",
    modern: "CREATE TABLE part (id varchar(10) PRIMARY KEY, qty integer NOT NULL);
             CREATE TABLE note (id varchar(10) PRIMARY KEY, txt varchar(40));
             CREATE TABLE secret (id text);
             CREATE FUNCTION guarded(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
             REVOKE ALL ON FUNCTION guarded FROM public;
             INSERT INTO part VALUES ('P1', 7);",
};

/// What a side would not run, each in one line.
async fn wrong(store: &Arc<dyn Store>) -> Vec<String> {
    store.wrong_statements(WITHIN).await.unwrap().iter().map(ToString::to_string).collect()
}

fn says(wrong: &[String], what: &str, words: &[&str]) {
    let said = |one: &&String| one.starts_with(what) && words.iter().all(|word| one.contains(word));
    assert!(wrong.iter().any(|one| said(&one)), "nothing of {what} with {words:?} in {wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_statement_is_named_with_its_route_its_line_and_the_servers_words() {
    let mut met = Met::new(CONTRACT, TABLES).await;
    // Not a superuser: the right to one table and one function is missing.
    let role = format!("app_{}", uuid::Uuid::new_v4().simple());
    met.run(Side::Modern, &format!("CREATE ROLE {role} LOGIN; GRANT ALL ON part, note TO {role}")).await;
    let url = met.databases.modern.url().replacen("postgres@", &format!("{role}@"), 1);
    let store = PostgresStore::connect(Side::Modern, Arc::clone(&met.loaded.contract), &Settings::new(url)).unwrap();
    met.stores.modern = Arc::new(store);
    let found = wrong(&met.stores.modern).await;
    says(&found, "Query.parts (line 12 of the contract)", &["relation \"parts\" does not exist", "at `parts`"]);
    says(&found, "Query.after (line 15 of the contract)", &["parameter $1"]);
    says(&found, "Mutation.take, statement 2 (line 23", &["\"quantity\"", "in its line 2"]);
    says(&found, "Mutation.book, statement 1", &[":at is text, but the statement wants date"]);
    says(&found, "Mutation.log, statement 1", &["permission denied for table secret"]);
    says(&found, "Mutation.log, statement 2", &["permission denied for function guarded"]);
    says(&found, "type Note", &["\"text\""]);
    assert!(!found.iter().any(|one| one.starts_with("Mutation.take, statement 1")), "{found:#?}");
    let found = wrong(&met.stores.legacy).await;
    says(&found, "Mutation.book, statement 1", &["function book("]);
    says(&found, "Query.after", &["parameter $1"]);
    assert_eq!(found.len(), 2, "{found:#?}");
    // Nothing was run.
    assert_eq!(met.told(Side::Modern, "SELECT qty::text FROM part").await, ["7"]);
    met.run(Side::Modern, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oracle_tries_them_too() {
    let met = Met::new(CONTRACT, TABLES).await.on_oracle(Side::Legacy);
    let found = wrong(&met.stores.legacy).await;
    says(&found, "Mutation.book, statement 1", &["ORA-00904"]);
    assert_eq!(found.len(), 1, "{found:#?}");
    met.run(Side::Legacy, "ALTER TABLE prt RENAME COLUMN qty TO quantity").await;
    let found = wrong(&met.stores.legacy).await;
    says(&found, "type Part", &["ORA-00904"]);
    says(&found, "Mutation.take, statement 1", &["ORA-00904"]);
    assert_eq!(met.told(Side::Legacy, "SELECT quantity::text FROM prt").await, ["7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_ship_would_run_on_either_engine() {
    let erp = crate::erp::Erp::new().await;
    assert_eq!(wrong(&erp.stores.legacy).await, [""; 0]);
    assert_eq!(wrong(&erp.stores.modern).await, [""; 0]);
    let erp = crate::erp::Erp::on_oracle().await;
    // Through the stand-in once, which makes what it needs there.
    erp.ground().await;
    assert_eq!(wrong(&erp.stores.legacy).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_tried_wrong_statements_works_on() {
    let met = Met::new(CONTRACT, TABLES).await;
    for _ in 0..3 {
        assert!(!wrong(&met.stores.modern).await.is_empty());
    }
    let (_ground, replica) = met.serve().await;
    assert_eq!(done(&replica, r#"{ part(id: "P1") { qty } }"#).await["part"]["qty"], 7);
}
