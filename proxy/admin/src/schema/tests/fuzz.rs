//! The admin API against documents made from its own schema, with values that nobody would send.

use apollo_compiler::Node;
use apollo_compiler::ast::{FieldDefinition, Type};
use apollo_compiler::schema::{ExtendedType, Schema as Parsed};
use model::control::AuditStore;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// How deep selections go: deeper than any useful question, and beyond the limit now and then.
const DEEP: u32 = 14;

/// Takes bytes one after the other, and zeros when there are no more: a small source makes a small document.
struct Source<'a>(std::slice::Iter<'a, u8>);

impl Source<'_> {
    fn below(&mut self, count: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or_default()) % count.max(1)
    }
}

const TEXTS: [&str; 14] = [
    "",
    " ",
    "inventory",
    "shift",
    "Query.product",
    "unitPrice",
    "rounding",
    "2h",
    "2026-12-31",
    "scale: 2",
    "'; DROP TABLE strangler_audit; --",
    "\\u0000\\u202e",
    "<script>alert(1)</script>",
    "9999-99-99T99:99:99Z",
];
const FLOATS: [&str; 8] = ["0", "-1", "12.345", "100", "100.01", "1e308", "-1e308", "0.000000001"];
const INTS: [&str; 6] = ["0", "1", "-1", "2147483647", "4294967295", "99999999999999999999"];

fn value(parsed: &Parsed, kind: &Type, source: &mut Source<'_>) -> String {
    if !kind.is_non_null() && source.below(6) == 0 {
        return "null".into();
    }
    if kind.is_list() {
        return format!("[{}]", value(parsed, kind.item_type(), source));
    }
    let pick = |from: &[&str], source: &mut Source<'_>| from[source.below(from.len())].to_owned();
    match (kind.inner_named_type().as_str(), parsed.types.get(kind.inner_named_type())) {
        (_, Some(ExtendedType::InputObject(input))) => {
            let fields: Vec<String> = input
                .fields
                .values()
                .filter(|field| field.ty.is_non_null() || source.below(2) == 0)
                .map(|field| (field.name.to_string(), field.ty.clone()))
                .collect::<Vec<_>>()
                .into_iter()
                .map(|(name, ty)| format!("{name}: {}", value(parsed, &ty, source)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        ("Int", _) => pick(&INTS, source),
        ("Float", _) => pick(&FLOATS, source),
        ("Boolean", _) => pick(&["true", "false"], source),
        // Now and then a value of another kind: it must be refused, and no more.
        _ if source.below(12) == 0 => pick(&["1", "true", "[]", "{}"], source),
        _ => format!("\"{}\"", pick(&TEXTS, source)),
    }
}

fn field(parsed: &Parsed, definition: &Node<FieldDefinition>, source: &mut Source<'_>, depth: u32) -> String {
    let mut arguments = Vec::new();
    for argument in &definition.arguments {
        let must = argument.ty.is_non_null() && argument.default_value.is_none();
        if must || source.below(2) == 0 {
            arguments.push(format!("{}: {}", argument.name, value(parsed, &argument.ty, source)));
        }
    }
    let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
    let selection = match parsed.get_object(definition.ty.inner_named_type()) {
        Some(object) if depth < DEEP => {
            let fields: Vec<_> = object.fields.values().map(|field| field.node.clone()).collect();
            let mut chosen = vec!["__typename".to_owned()];
            for _ in 0..=source.below(4) {
                let place = source.below(fields.len());
                chosen.push(format!("a{}: {}", chosen.len(), field(parsed, &fields[place], source, depth + 1)));
            }
            format!(" {{ {} }}", chosen.join(" "))
        }
        Some(_) => " { __typename }".to_owned(),
        None => String::new(),
    };
    format!("{}{arguments}{selection}", definition.name)
}

fn document(parsed: &Parsed, bytes: &[u8]) -> String {
    let mut source = Source(bytes.iter());
    let (word, root) = if source.below(2) == 0 {
        ("query", parsed.schema_definition.query.as_ref())
    } else {
        ("mutation", parsed.schema_definition.mutation.as_ref())
    };
    let object = parsed.get_object(root.unwrap()).unwrap();
    let fields: Vec<_> = object.fields.values().map(|field| field.node.clone()).collect();
    let place = source.below(fields.len());
    format!("{word} {{ {} }}", field(parsed, &fields[place], &mut source, 0))
}

#[test]
fn any_document_of_its_own_schema_gets_an_answer_and_no_viewer_changes_anything() {
    let parsed = apollo_compiler::Schema::parse(sdl(), "admin.graphql").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (schema, control) = runtime.block_on(site(&[Stage::Shift], Stage::Shadow));
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let answered = std::cell::Cell::new(0u32);
    runner
        .run(&prop::collection::vec(any::<u8>(), 0..80), |bytes| {
            let text = document(&parsed, &bytes);
            let entries = || runtime.block_on(control.audit(0, 100_000)).unwrap().len();
            let before = entries();
            let viewed = runtime.block_on(ask(&schema, "vic", Role::Viewer, &text, json!({})));
            prop_assert!(viewed.get("data").is_some() || viewed["errors"].is_array(), "{text}");
            prop_assert_eq!(entries(), before, "a viewer changed something: {}", text);
            if text.starts_with("mutation") {
                prop_assert!(viewed["errors"].is_array(), "{text}");
            }
            let acted = runtime.block_on(ask(&schema, "ada", Role::Admin, &text, json!({})));
            prop_assert!(acted.get("data").is_some() || acted["errors"].is_array(), "{text}");
            answered.set(answered.get() + u32::from(acted["errors"].is_null()));
            Ok(())
        })
        .unwrap();
    assert!(answered.get() > 40, "only {} documents were good enough to be answered", answered.get());
    let audit = runtime.block_on(ask(&schema, "vic", Role::Viewer, "{ verified { ok } }", json!({})));
    assert_eq!(audit["data"]["verified"]["ok"], true, "{audit}");
}
