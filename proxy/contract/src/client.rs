//! The schema that clients see: the contract without our directives and the types of their arguments.

use apollo_compiler::Schema;
use apollo_compiler::ast;
use apollo_compiler::schema::{DirectiveList, ExtendedType};
use apollo_compiler::validation::{Valid, WithErrors};

/// Strips `schema` and validates what is left.
pub(super) fn schema(mut schema: Schema) -> Result<Valid<Schema>, Box<WithErrors<Schema>>> {
    let directives = defined("directive @");
    let types = [defined("input "), defined("enum ")].concat();
    let ours = |name: &str| directives.contains(&name);
    schema.directive_definitions.retain(|name, _| !ours(name.as_str()));
    schema.types.retain(|name, _| !types.contains(&name.as_str()));
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
    schema.validate().map_err(Box::new)
}

fn strip(list: &mut DirectiveList, ours: &impl Fn(&str) -> bool) {
    list.retain(|directive| !ours(directive.name.as_str()));
}

fn strip_field(list: &mut ast::DirectiveList, ours: &impl Fn(&str) -> bool) {
    list.retain(|directive| !ours(directive.name.as_str()));
}

/// The names of what our own file defines with `keyword`.
fn defined(keyword: &str) -> Vec<&'static str> {
    let lines = super::DIRECTIVES.lines();
    let names = lines.filter_map(|line| line.strip_prefix(keyword)?.split(['(', ' ']).next());
    names.collect()
}
