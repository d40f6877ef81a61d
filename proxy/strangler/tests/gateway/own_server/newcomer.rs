//! A newcomer adds a field and a type by editing the contract alone.

use serde_json::{Value as Json, json};

use super::fleet::{Fleet, storefront};
use crate::erp::{connect, contract_file};

/// `schema.graphql` with a field, a type, a query and a mutation more. Text edits only.
fn edited() -> String {
    let text = std::fs::read_to_string(contract_file()).unwrap();
    let field = "  \"Whether it can be ordered.\"\n  active: Boolean!";
    let colour = "  \"Its colour.\"\n  colour: String\n    @home(legacy: { column: \"CLRTXT\", type: \"varchar(20)\" }, \
                  modern: { column: \"colour\", type: \"varchar(20)\" })\n";
    let edits = [
        (field.to_owned(), format!("{colour}{field}")),
        ("type Query {\n".to_owned(), format!("{SUPPLIER}type Query {{\n  supplier(id: ID!): Supplier @byKey\n")),
        (
            "type Mutation {\n".to_owned(),
            "type Mutation {\n  setSupplier(id: ID!, name: String!, rating: Int): Supplier! @set\n".to_owned(),
        ),
        (
            "  weight: Decimal\n  active: Boolean\n".to_owned(),
            "  weight: Decimal\n  colour: String\n  active: Boolean\n".to_owned(),
        ),
    ];
    edits.iter().fold(text, |text, (from, to)| {
        assert_eq!(text.matches(from.as_str()).count(), 1, "{from}");
        text.replace(from.as_str(), to)
    })
}

const SUPPLIER: &str = "
\"Somebody who delivers.\"
type Supplier @entity(group: \"purchasing\", key: [\"id\"]) @table(legacy: \"SUPMST\", modern: \"supplier\") {
  id: ID! @home(legacy: { column: \"SUPNO\", type: \"char(8)\" }, modern: { column: \"id\", type: \"varchar(8)\" })
  name: String! @home(legacy: { column: \"SUPNM\", type: \"varchar(40)\" }, modern: { column: \"name\", type: \"varchar(40)\" })
  rating: Int @home(legacy: { column: \"RATNG\", type: \"numeric\" }, modern: { column: \"rating\", type: \"integer\" })
}

";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_adds_a_field_and_a_type_by_editing_the_contract_alone() {
    // GIVEN a fleet, and an edited contract
    let mut fleet = Fleet::new().await;
    let contract = fleet.site.folder().join("edited.graphql");
    std::fs::write(&contract, edited()).unwrap();
    fleet.site.contract = contract;
    // WHEN the databases lack what it names, the doctor says what
    let (told, ok) = fleet.site.run(&["check"]).await;
    assert!(!ok, "{told}");
    for missing in ["CLRTXT", "SUPMST", "colour", "supplier"] {
        assert!(told.to_uppercase().contains(&missing.to_uppercase()), "{missing} is not named in\n{told}");
    }
    // and when they have it, it is content
    let (legacy, modern) = (&fleet.erp.databases.legacy, &fleet.erp.databases.modern);
    connect(legacy)
        .await
        .batch_execute(
            "ALTER TABLE ITMHDR ADD CLRTXT varchar(20);
             CREATE TABLE SUPMST (SUPNO char(8) PRIMARY KEY, SUPNM varchar(40) NOT NULL, RATNG numeric)",
        )
        .await
        .unwrap();
    let modern = connect(modern).await;
    modern
        .batch_execute(
            "ALTER TABLE product ADD colour varchar(20);
             CREATE TABLE supplier (id varchar(8) PRIMARY KEY, name varchar(40) NOT NULL, rating integer)",
        )
        .await
        .unwrap();
    fleet.site.must_run(&["init"]).await;
    fleet.site.must_run(&["check"]).await;
    let purchasing = ["groups", "set", "purchasing", "--stage", "dual-write", "--reason", "new", "--who", "me"];
    fleet.site.must_run(&purchasing).await;
    // THEN clients see the field and the type, and both sides keep them
    let replica = fleet.site.start("one").await;
    let storefront = storefront(&replica);
    let ask = async |query: &str| -> Json {
        let reply = storefront.ask(query, &json!({})).await.unwrap();
        assert!(reply.errors.is_empty(), "{:?}", reply.errors);
        reply.data
    };
    ask("mutation { setSupplier(id: \"S1\", name: \"Bolts & Sons\", rating: 5) { id } }").await;
    ask("mutation { upsertProduct(input: { sku: \"ITM-001\", name: \"Bolt\", unitPrice: \"1\", colour: \"blue\" }) { sku } }").await;
    let seen = ask("{ supplier(id: \"S1\") { name rating } product(sku: \"ITM-001\") { name colour unit } }").await;
    let expected = json!({ "supplier": { "name": "Bolts & Sons", "rating": 5 }, "product": { "name": "Bolt", "colour": "blue", "unit": "KILOGRAM" } });
    assert_eq!(seen, expected);
    crate::rig::until("modern has them", async || {
        let sql = "SELECT (SELECT colour FROM product WHERE sku = 'ITM-001') || (SELECT name FROM supplier)";
        modern.query_one(sql, &[]).await.unwrap().get::<_, Option<String>>(0).as_deref() == Some("blueBolts & Sons")
    })
    .await;
}
