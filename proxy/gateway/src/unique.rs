//! No object in a document may name a field twice: which of the two values counts is nothing that a client should have to
//! guess. apollo-compiler does not look (GraphQL's rule: input object field uniqueness).

use apollo_compiler::Node;
use apollo_compiler::ast::{Argument, Definition, DirectiveList, Document, Selection, Value as Literal};

use super::answer::{GraphqlError, Location};

/// Looks at every value of `document`.
///
/// # Errors
/// `GRAPHQL_VALIDATION_FAILED`, with the place of the second one.
pub(crate) fn check(document: &Document) -> Result<(), GraphqlError> {
    document.definitions.iter().try_for_each(|definition| of_definition(document, definition))
}

fn of_definition(document: &Document, definition: &Definition) -> Result<(), GraphqlError> {
    match definition {
        Definition::OperationDefinition(operation) => {
            for variable in &operation.variables {
                variable.default_value.iter().try_for_each(|default| of_value(document, default))?;
                of_directives(document, &variable.directives)?;
            }
            of_directives(document, &operation.directives)?;
            of_set(document, &operation.selection_set)
        }
        Definition::FragmentDefinition(fragment) => {
            of_directives(document, &fragment.directives)?;
            of_set(document, &fragment.selection_set)
        }
        // Definitions of types are no part of a request, and refused as such.
        _ => Ok(()),
    }
}

fn of_set(document: &Document, set: &[Selection]) -> Result<(), GraphqlError> {
    set.iter().try_for_each(|selection| match selection {
        Selection::Field(field) => {
            of_arguments(document, &field.arguments)?;
            of_directives(document, &field.directives)?;
            of_set(document, &field.selection_set)
        }
        Selection::FragmentSpread(fragment) => of_directives(document, &fragment.directives),
        Selection::InlineFragment(fragment) => {
            of_directives(document, &fragment.directives)?;
            of_set(document, &fragment.selection_set)
        }
    })
}

fn of_directives(document: &Document, directives: &DirectiveList) -> Result<(), GraphqlError> {
    directives.iter().try_for_each(|directive| of_arguments(document, &directive.arguments))
}

fn of_arguments(document: &Document, arguments: &[Node<Argument>]) -> Result<(), GraphqlError> {
    arguments.iter().try_for_each(|argument| of_value(document, &argument.value))
}

fn of_value(document: &Document, value: &Literal) -> Result<(), GraphqlError> {
    match value {
        Literal::List(items) => items.iter().try_for_each(|item| of_value(document, item)),
        Literal::Object(fields) => {
            let mut names = std::collections::HashSet::with_capacity(fields.len());
            for (name, value) in fields {
                if !names.insert(name) {
                    let message = format!("the input field `{name}` is given twice; give it once");
                    let place = Location::of(name.location(), &document.sources);
                    return Err(GraphqlError::new("GRAPHQL_VALIDATION_FAILED", message).at(place));
                }
                of_value(document, value)?;
            }
            Ok(())
        }
        Literal::Null
        | Literal::Enum(_)
        | Literal::Variable(_)
        | Literal::String(_)
        | Literal::Float(_)
        | Literal::Int(_)
        | Literal::Boolean(_) => Ok(()),
    }
}
