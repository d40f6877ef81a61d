//! The schema that clients see: the contract without our directives and their input types.

use apollo_compiler::Schema;
use apollo_compiler::ast;
use apollo_compiler::schema::{DirectiveList, ExtendedType};
use apollo_compiler::validation::{Valid, WithErrors};

/// Our input types; a contract has no use for them outside our directives.
pub(super) const PREFIX: &str = "Strangler";

/// Strips `schema` and validates what is left.
pub(super) fn schema(mut schema: Schema) -> Result<Valid<Schema>, WithErrors<Schema>> {
    let ours: Vec<String> = own_directives();
    let ours = |name: &str| ours.iter().any(|own| own == name);
    schema.directive_definitions.retain(|name, _| !ours(name.as_str()));
    schema.types.retain(|name, definition| !(definition.is_input_object() && name.starts_with(PREFIX)));
    strip(&mut schema.schema_definition.make_mut().directives, &ours);
    for definition in schema.types.values_mut() {
        match definition {
            ExtendedType::Object(object) => {
                let object = object.make_mut();
                strip(&mut object.directives, &ours);
                for field in object.fields.values_mut() {
                    strip_field(&mut field.make_mut().directives, &ours);
                }
            }
            // Our directives stand on objects and their fields only.
            ExtendedType::Scalar(_)
            | ExtendedType::Interface(_)
            | ExtendedType::Union(_)
            | ExtendedType::Enum(_)
            | ExtendedType::InputObject(_) => {}
        }
    }
    schema.validate()
}

fn strip(list: &mut DirectiveList, ours: &impl Fn(&str) -> bool) {
    list.retain(|directive| !ours(directive.name.as_str()));
}

fn strip_field(list: &mut ast::DirectiveList, ours: &impl Fn(&str) -> bool) {
    list.retain(|directive| !ours(directive.name.as_str()));
}

fn own_directives() -> Vec<String> {
    let names = super::DIRECTIVES.lines().filter_map(|line| {
        let name = line.strip_prefix("directive @")?;
        Some(name.split(['(', ' ']).next()?.to_owned())
    });
    names.collect()
}
