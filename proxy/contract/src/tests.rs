//! The contract of this repository, and what is refused.

mod mistakes;
mod own_keys;

use model::contract::{DualWrite, ParamSource, WriteAnswer, WriteWork};
use model::{EntityName, RootKind, RouteName, Side, Value};

use super::*;

const INVENTORY: &str = include_str!("../../../schema.graphql");

fn inventory() -> Loaded {
    load(INVENTORY, "schema.graphql").unwrap_or_else(|errors| panic!("{errors}"))
}

fn write_of(loaded: &Loaded, route: &str) -> model::contract::WriteAction {
    let root = loaded.contract.root(&RouteName::from(route)).unwrap();
    match &root.kind {
        RootKind::Write(action) => action.clone(),
        RootKind::ByKey { .. } | RootKind::ByKeys { .. } | RootKind::List { .. } => {
            panic!("{route} does not write")
        }
    }
}

#[test]
fn the_inventory_contract_has_every_route_in_the_order_of_the_file() {
    let loaded = inventory();
    let routes: Vec<_> = loaded.contract.roots.keys().map(|r| r.as_str()).collect();
    insta::assert_snapshot!(routes.join("\n"));
    assert_eq!(loaded.contract.groups().len(), 1);
}

#[test]
fn clients_see_the_contract_without_our_directives() {
    let loaded = inventory();
    insta::assert_snapshot!(loaded.client_sdl);
    assert!(!loaded.client_sdl.contains("Strangler"));
    assert_eq!(loaded.client_sdl, inventory().client_sdl);
}

#[test]
fn the_habits_of_the_erp_are_read_from_the_file() {
    let loaded = inventory();
    let product = loaded.contract.entity(&EntityName::from("Product")).unwrap();
    let field = |name| product.field(product.index(name).unwrap());
    insta::assert_debug_snapshot!(["sku", "description", "active", "soldUntil", "unitPrice", "updatedAt"].map(field));
    let movement = loaded.contract.entity(&EntityName::from("StockMovement")).unwrap();
    assert!(movement.field(movement.index("bookedBy").unwrap()).sensitive);
}

#[test]
fn a_mutation_replays_where_the_contract_says_so_and_nowhere_else() {
    let text = INVENTORY
        .replacen("@write(", "@write(dualWrite: replay, ", 1)
        .replace("@set(", "@set(dualWrite: replay, ")
        .replace("@delete(", "@delete(dualWrite: state, ");
    let loaded = load(&text, "schema.graphql").unwrap_or_else(|errors| panic!("{errors}"));
    let of = |name: &str| write_of(&loaded, &format!("Mutation.{name}")).dual_write;
    assert_eq!((of("adjustStock"), of("upsertProduct")), (DualWrite::Replay, DualWrite::Replay));
    assert_eq!((of("setStock"), of("discontinueProduct")), (DualWrite::State, DualWrite::State));
    assert_eq!(loaded.client_sdl, inventory().client_sdl);
}

#[test]
fn a_transfer_touches_two_levels_and_adds_two_movements() {
    let action = write_of(&inventory(), "Mutation.transferStock");
    let keys: Vec<_> = action.touches.iter().map(|t| (t.entity.name.as_str(), &t.key)).collect();
    insta::assert_debug_snapshot!(keys);
    assert_eq!(action.answer, WriteAnswer::Many(vec![0, 1]));
    let WriteWork::Statements { sql, params } = action.work else {
        panic!("a transfer runs SQL");
    };
    // The ERP books the two movements in statements of their own: its SQL knows no INSERT of several rows.
    assert_eq!((sql.get(Side::Legacy).len(), sql.get(Side::Modern).len()), (8, 7));
    let out = params.iter().find(|param| param.name == "write_id.out").unwrap();
    assert_eq!(out.source, ParamSource::WriteId { suffix: "-out".to_owned() });
}

#[test]
fn a_set_takes_each_value_from_the_input_field_of_the_same_name() {
    let loaded = inventory();
    let product = loaded.contract.entity(&EntityName::from("Product")).unwrap();
    let WriteWork::Set { fields } = write_of(&loaded, "Mutation.upsertProduct").work else {
        panic!("upsertProduct sets");
    };
    let paths: Vec<_> = fields.iter().map(|(index, source)| (product.field(*index).name.as_str(), source)).collect();
    insta::assert_debug_snapshot!(paths);
}

#[test]
fn links_take_their_key_from_the_parent() {
    let loaded = inventory();
    let level = loaded.contract.entity(&EntityName::from("StockLevel")).unwrap();
    let root = loaded.contract.root(&RouteName::from("StockLevel.product")).unwrap();
    let RootKind::ByKey { key } = &root.kind else {
        panic!("a link by key");
    };
    assert_eq!(*key, [ParamSource::Parent(level.index("sku").unwrap())]);
    assert_eq!(root.entity.name.as_str(), "Product");
}

#[test]
fn a_newcomer_adds_a_field_and_a_type_by_editing_the_file_alone() {
    let color = r#"  color: String
    @home(legacy: { column: "COLTXT", type: "char(12)" }, modern: { column: "color", type: "varchar(12)" })
  "Net price per unit in euros.""#;
    let supplier = r#"
"Who sells to us."
type Supplier @entity(group: "purchasing", key: ["id"]) @table(legacy: "SUPHDR", modern: "supplier") {
  id: ID! @home(legacy: { column: "SUPNO", type: "char(10)" }, modern: { column: "id", type: "varchar(10)" })
  name: String! @home(legacy: { column: "SUPNAM", type: "varchar(60)" }, modern: { column: "name", type: "varchar(60)" })
}
extend type Query {
  supplier(id: ID!): Supplier @byKey
}
"#;
    let text = INVENTORY.replace("  \"Net price per unit in euros.\"", color) + supplier;
    let loaded = load(&text, "schema.graphql").unwrap_or_else(|errors| panic!("{errors}"));
    let product = loaded.contract.entity(&EntityName::from("Product")).unwrap();
    assert!(product.index("color").is_some());
    let root = loaded.contract.root(&RouteName::from("Query.supplier")).unwrap();
    assert_eq!(root.group.as_str(), "purchasing");
    assert_eq!(loaded.contract.groups().len(), 2);
    assert!(loaded.client_sdl.contains("color: String"));
    assert!(loaded.client_sdl.contains("supplier(id: ID!): Supplier"));
}

#[test]
fn a_flag_is_mapped_one_to_one() {
    let loaded = inventory();
    let product = loaded.contract.entity(&EntityName::from("Product")).unwrap();
    let active = product.field(product.index("active").unwrap());
    let map = [(Value::Bool(true), "Y".to_owned()), (Value::Bool(false), "N".to_owned())];
    assert_eq!(active.home.legacy.map, map);
}

#[test]
fn a_column_is_ignored_with_a_reason_or_not_at_all() {
    let with = |directive: &str| {
        let text = INVENTORY.replacen("@table(", &format!("{directive} @table("), 1);
        load(&text, "schema.graphql").map_err(|errors| errors.to_string())
    };
    let two =
        r#"@ignored(column: "OLDREF", reason: "of the ERP before this one") @ignored(column: "X", reason: "empty")"#;
    let loaded = with(two).unwrap_or_else(|errors| panic!("{errors}"));
    let product = loaded.contract.entity(&EntityName::from("Product")).unwrap();
    let columns: Vec<_> = product.ignored.iter().map(|ignored| ignored.column.as_str()).collect();
    assert_eq!(columns, ["OLDREF", "X"]);
    assert_eq!(loaded.client_sdl, inventory().client_sdl);
    assert!(model::LeftOut::is_left_out(product, Side::Legacy, "oldtxt"));
    assert!(!model::LeftOut::is_left_out(product, Side::Legacy, "oldref"));
    assert!(!model::LeftOut::is_left_out(product, Side::Legacy, "itmno"));
    assert!(with(r#"@ignored(column: "OLDREF", reason: " ")"#).unwrap_err().contains("without a reason"));
    assert!(with(r#"@ignored(column: "itmno", reason: "a key")"#).unwrap_err().contains("carried by `sku`"));
}

#[test]
fn clients_see_no_directive_of_ours_wherever_it_stands() {
    let more = r#"
extend type Product @ignored(column: "OLDREF", reason: "of the ERP before this one") {
  grade: String @home(legacy: { column: "GRD", type: "char(2)" }, modern: { column: "grade", type: "varchar(2)" }) @sensitive
}
extend type Query { again(sku: ID!): Product @byKey }
extend schema { mutation: Mutation }
"#;
    let text = format!("schema {{ query: Query }}\n{INVENTORY}{more}");
    let loaded = load(&text, "schema.graphql").unwrap_or_else(|errors| panic!("{errors}"));
    let names = super::DIRECTIVES.lines().filter_map(|line| line.strip_prefix("directive @")?.split(['(', ' ']).next());
    for name in names {
        assert!(!loaded.client_sdl.contains(&format!("@{name}")), "@{name} in\n{}", loaded.client_sdl);
    }
    assert!(loaded.client_sdl.contains("grade: String") && !loaded.client_sdl.contains("Strangler"));
}
