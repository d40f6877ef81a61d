//! A state that is legal on modern arrives there, whatever the order of the changes that lead to it.

use super::*;
use crate::rig::WITHIN;

const CONTRACT: &str = r#"
type Patron @entity(group: "crm", key: ["id"]) @table(legacy: "PAT", modern: "patron") {
  id: ID! @home(legacy: {column: "PATNO", type: "char(10)"}, modern: {column: "id", type: "varchar(10)"})
  mail: String @home(legacy: {column: "MAIL", type: "varchar(60)"}, modern: {column: "mail", type: "varchar(60)"})
  seat: String! @home(legacy: {column: "SEAT", type: "varchar(8)"}, modern: {column: "seat", type: "varchar(8)"})
}
type Address @entity(group: "crm", key: ["id"]) @table(legacy: "ADR", modern: "address") {
  id: ID! @home(legacy: {column: "ADRNO", type: "char(10)"}, modern: {column: "id", type: "varchar(10)"})
  patron: ID! @home(legacy: {column: "PATNO", type: "char(10)"}, modern: {column: "patron_id", type: "varchar(10)"})
  first: Int! @home(legacy: {column: "FIRST", type: "integer"}, modern: {column: "is_first", type: "integer"})
}
type Query { patron(id: ID!): Patron @byKey address(id: ID!): Address @byKey }
type Mutation {
  signUp(id: ID!, mail: String, seat: String!, adr: ID!): Patron! @write(
    touches: [{type: "Address", key: [":adr"]}, {type: "Patron", key: [":id"]}]
    legacy: [{sql: "INSERT INTO PAT (PATNO, MAIL, SEAT) VALUES (:id, :mail, :seat)"}, {sql: "INSERT INTO ADR (ADRNO, PATNO, FIRST) VALUES (:adr, :id, 1)"}]
    modern: [{sql: "INSERT INTO patron VALUES (:id, :mail, :seat)"}, {sql: "INSERT INTO address VALUES (:adr, :id, 1)"}])
  addAddress(id: ID!, adr: ID!): Address! @write(
    touches: [{type: "Address", key: [":adr"]}]
    legacy: [{sql: "INSERT INTO ADR (ADRNO, PATNO, FIRST) VALUES (:adr, :id, 0)"}]
    modern: [{sql: "INSERT INTO address VALUES (:adr, :id, 0)"}])
  moveFirst(from: ID!, to: ID!): [Address!]! @write(
    touches: [{type: "Address", key: [":to"]}, {type: "Address", key: [":from"]}]
    legacy: [{sql: "UPDATE ADR SET FIRST = 0 WHERE ADRNO = :from"}, {sql: "UPDATE ADR SET FIRST = 1 WHERE ADRNO = :to"}]
    modern: [{sql: "UPDATE address SET is_first = 0 WHERE id = :from"}, {sql: "UPDATE address SET is_first = 1 WHERE id = :to"}])
  swap(a: ID!, b: ID!, mailA: String, mailB: String, seatA: String!, seatB: String!): [Patron!]! @write(
    touches: [{type: "Patron", key: [":a"]}, {type: "Patron", key: [":b"]}]
    legacy: [{sql: "UPDATE PAT SET MAIL = :mailA, SEAT = :seatA WHERE PATNO = :a"}, {sql: "UPDATE PAT SET MAIL = :mailB, SEAT = :seatB WHERE PATNO = :b"}]
    modern: [{sql: "SELECT 1 WHERE :mailA IS NULL OR :mailB IS NULL OR :seatA = :seatB OR :a = :b"}])
  renumber(old: ID!, new: ID!, adr: ID!): Patron! @write(
    touches: [{type: "Patron", key: [":new"]}, {type: "Patron", key: [":old"]}, {type: "Address", key: [":adr"]}]
    legacy: [{sql: "UPDATE PAT SET PATNO = :new WHERE PATNO = :old"}, {sql: "UPDATE ADR SET PATNO = :new WHERE ADRNO = :adr"}]
    modern: [{sql: "SELECT 1 WHERE :new = :old OR :adr = :old"}])
  leave(id: ID!, adr: ID!): Boolean! @write(
    touches: [{type: "Patron", key: [":id"]}, {type: "Address", key: [":adr"]}]
    legacy: [{sql: "DELETE FROM ADR WHERE ADRNO = :adr"}, {sql: "DELETE FROM PAT WHERE PATNO = :id"}]
    modern: [{sql: "DELETE FROM address WHERE id = :adr"}, {sql: "DELETE FROM patron WHERE id = :id"}])
}
"#;

const LEGACY: &str = "CREATE TABLE pat (patno char(10) PRIMARY KEY, mail varchar(60), seat varchar(8) NOT NULL);
    CREATE TABLE adr (adrno char(10) PRIMARY KEY, patno char(10) NOT NULL, first integer NOT NULL);";

/// Rules between rows that are checked at once. `left` is a column that the contract leaves out.
const STRICT: &str = "CREATE TABLE patron (id varchar(10) PRIMARY KEY, mail varchar(60) UNIQUE, seat varchar(8) NOT NULL UNIQUE,
        left_out text DEFAULT 'kept');
    CREATE TABLE address (id varchar(10) PRIMARY KEY, patron_id varchar(10) NOT NULL REFERENCES patron, is_first integer NOT NULL);
    CREATE UNIQUE INDEX one_first ON address (patron_id) WHERE is_first = 1;";

/// The same rules, checked at the end where that is asked for.
const DEFERRABLE: &str = "CREATE TABLE patron (id varchar(10) PRIMARY KEY, mail varchar(60) UNIQUE DEFERRABLE,
        seat varchar(8) NOT NULL UNIQUE DEFERRABLE, left_out text DEFAULT 'kept');
    CREATE TABLE address (id varchar(10) PRIMARY KEY, patron_id varchar(10) NOT NULL REFERENCES patron DEFERRABLE, is_first integer NOT NULL);
    CREATE UNIQUE INDEX one_first ON address (patron_id) WHERE is_first = 1;";

async fn same(met: &Met, ground: &Ground, what: &str) {
    ground.settled().await;
    let both = async |legacy: &str, modern: &str| {
        let told = [met.told(Side::Legacy, legacy).await, met.told(Side::Modern, modern).await];
        assert_eq!(told[0], told[1], "{what}");
    };
    both(
        "SELECT concat_ws('|', trim(patno), mail, seat) FROM pat ORDER BY 1",
        "SELECT concat_ws('|', id, mail, seat) FROM patron ORDER BY 1",
    )
    .await;
    both(
        "SELECT concat_ws('|', trim(adrno), trim(patno), first) FROM adr ORDER BY 1",
        "SELECT concat_ws('|', id, patron_id, is_first) FROM address ORDER BY 1",
    )
    .await;
    assert!(met.told(Side::Modern, "SELECT left_out FROM patron").await.iter().all(|left| left == "kept"), "{what}");
}

async fn each_state_arrives(met: &Met) {
    let (ground, replica) = met.serve().await;
    for (what, mutation) in [
        ("a parent with its child", r#"mutation { signUp(id: "P1", mail: "a@x", seat: "A1", adr: "A1") { id } }"#),
        ("another", r#"mutation { signUp(id: "P2", mail: "b@x", seat: "B1", adr: "A2") { id } }"#),
        ("a child alone", r#"mutation { addAddress(id: "P1", adr: "A3") { id } }"#),
        ("one first of each parent", r#"mutation { moveFirst(from: "A1", to: "A3") { id } }"#),
        ("and back", r#"mutation { moveFirst(from: "A3", to: "A1") { id } }"#),
        (
            "swapped mails",
            r#"mutation { swap(a: "P1", b: "P2", mailA: "b@x", mailB: "a@x", seatA: "A1", seatB: "B1") { id } }"#,
        ),
        ("another key, with its child", r#"mutation { renumber(old: "P2", new: "P9", adr: "A2") { id } }"#),
        (
            "a value given on",
            r#"mutation { swap(a: "P9", b: "P1", mailA: null, mailB: "c@x", seatA: "B2", seatB: "B1") { id } }"#,
        ),
        ("a parent and its child gone", r#"mutation { leave(id: "P9", adr: "A2") }"#),
        ("and made again", r#"mutation { signUp(id: "P2", mail: "b@x", seat: "B9", adr: "A2") { id } }"#),
    ] {
        done(&replica, mutation).await;
        same(met, &ground, what).await;
    }
    let mutation =
        r#"mutation { swap(a: "P1", b: "P2", mailA: "b@x", mailB: "c@x", seatA: "B9", seatB: "B1") { id } }"#;
    done(&replica, mutation).await;
    same(met, &ground, "swapped values that may not be null").await;
    assert_eq!(met.told(Side::Modern, "SELECT count(*)::text FROM patron").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_postgresql_whose_rules_are_checked_at_once() {
    let met = Met::new(CONTRACT, PerSide { legacy: LEGACY, modern: STRICT }).await;
    each_state_arrives(&met).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_postgresql_whose_rules_can_wait() {
    let met = Met::new(CONTRACT, PerSide { legacy: LEGACY, modern: DEFERRABLE }).await;
    each_state_arrives(&met).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_oracle() {
    let met = Met::new(CONTRACT, PerSide { legacy: LEGACY, modern: STRICT }).await.on_oracle(Side::Modern);
    each_state_arrives(&met).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_oracle_whose_rules_can_wait() {
    let met = Met::new(CONTRACT, PerSide { legacy: LEGACY, modern: DEFERRABLE }).await.on_oracle(Side::Modern);
    each_state_arrives(&met).await;
}

/// Many writes that the relay brings together.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_waited_arrives_together() {
    let met = Met::new(CONTRACT, PerSide { legacy: LEGACY, modern: STRICT }).await;
    let (ground, replica) = met.serve().await;
    // While modern refuses everything, legacy goes on.
    met.run(Side::Modern, "ALTER TABLE patron ADD CONSTRAINT nothing CHECK (id = 'none')").await;
    for (id, mail) in [("P1", "a@x"), ("P2", "b@x"), ("P3", "c@x")] {
        done(
            &replica,
            format!(r#"mutation {{ signUp(id: "{id}", mail: "{mail}", seat: "{id}", adr: "{id}") {{ id }} }}"#).leak(),
        )
        .await;
    }
    done(
        &replica,
        r#"mutation { swap(a: "P1", b: "P3", mailA: "c@x", mailB: "a@x", seatA: "P3", seatB: "P1") { id } }"#,
    )
    .await;
    done(&replica, r#"mutation { leave(id: "P2", adr: "P2") }"#).await;
    assert!(ground.backlog().await > 0);
    met.run(Side::Modern, "ALTER TABLE patron DROP CONSTRAINT nothing").await;
    same(&met, &ground, "all of it").await;
}

/// A state that a rule forbids at the end waits, and says so; nothing of it is left behind by the steps.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_modern_forbids_leaves_no_trace_there() {
    let met = Met::new(CONTRACT, PerSide { legacy: LEGACY, modern: STRICT }).await;
    let (ground, replica) = met.serve().await;
    for id in ["P1", "P2"] {
        done(
            &replica,
            format!(r#"mutation {{ signUp(id: "{id}", mail: "{id}@x", seat: "{id}", adr: "{id}") {{ id }} }}"#).leak(),
        )
        .await;
    }
    ground.settled().await;
    // Both the same seat: modern takes that of one only.
    done(
        &replica,
        r#"mutation { swap(a: "P1", b: "P2", mailA: "P2@x", mailB: "P1@x", seatA: "S", seatB: "S") { id } }"#,
    )
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(ground.backlog().await, 1);
    assert_eq!(met.told(Side::Modern, "SELECT mail || seat FROM patron ORDER BY 1").await, ["P1@xP1", "P2@xP2"]);
    let key = model::EntityKey::new("Patron".into(), vec!["P1".into()]);
    let recorded = met.stores.modern.recorded(&[key], WITHIN).await.unwrap();
    assert!(recorded[0].is_some());
    done(
        &replica,
        r#"mutation { swap(a: "P1", b: "P2", mailA: "P2@x", mailB: "P1@x", seatA: "P2", seatB: "P1") { id } }"#,
    )
    .await;
    same(&met, &ground, "mended").await;
}
