//! `__schema` and `__type`, executed by apollo-compiler over what clients see.

use apollo_compiler::collections::HashMap;
use apollo_compiler::response::{GraphQLError, JsonMap, JsonValue};
use apollo_compiler::schema::Implementers;
use apollo_compiler::validation::Valid;
use apollo_compiler::{Name, Schema};
use serde_json::Value as Json;

use super::answer::{GraphqlError, Location};
use super::prepare::Prepared;

/// Answers questions about the schema.
pub(crate) struct Introspector {
    implementers: HashMap<Name, Implementers>,
}

/// The fields of the schema that an operation asked for.
#[derive(Default)]
pub(crate) struct Introspected {
    data: JsonMap,
    /// What went wrong.
    pub(crate) errors: Vec<GraphqlError>,
}

impl Introspector {
    /// Looks through `schema` once.
    pub(crate) fn new(schema: &Schema) -> Self {
        Self { implementers: schema.implementers_map() }
    }

    /// Executes the fields of the schema in a prepared operation.
    pub(crate) fn run(&self, schema: &Valid<Schema>, prepared: &Prepared) -> Introspected {
        let Some(introspection) = &prepared.plan.introspection else {
            return Introspected::default();
        };
        let document = &introspection.document;
        let variables = match JsonValue::from(Json::Object(prepared.variables.clone())) {
            JsonValue::Object(variables) => variables,
            _ => JsonMap::new(),
        };
        let variables = Valid::assume_valid(variables);
        let name = introspection.operation_name.as_deref();
        let executed = document.operations.get(name).and_then(|operation| {
            apollo_compiler::introspection::partial_execute(schema, &self.implementers, document, operation, &variables)
        });
        match executed {
            Ok(response) => Introspected {
                data: response.data.unwrap_or_default(),
                errors: response.errors.into_iter().map(error).collect(),
            },
            Err(refused) => {
                Introspected { data: JsonMap::new(), errors: vec![error(refused.to_graphql_error(&document.sources))] }
            }
        }
    }
}

impl Introspected {
    /// The JSON of the field with this response name.
    pub(crate) fn field(&self, name: &str) -> Option<Vec<u8>> {
        let value = self.data.get(name)?;
        serde_json::to_vec(value).ok()
    }
}

fn error(error: GraphQLError) -> GraphqlError {
    let place = error.locations.first().map(|start| Location { line: start.line, column: start.column });
    GraphqlError::new("BAD_USER_INPUT", error.message).at(place)
}
