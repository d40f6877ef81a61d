//! Document → plan: fragments are inlined, fields are merged, everything is looked up once.
//!
//! Works on documents that apollo-compiler found valid, and counts what they stand for before it builds anything.

use std::sync::Arc;

use apollo_compiler::ast::{OperationType, Value as Literal};
use apollo_compiler::executable::{Field as Selected, Operation};
use apollo_compiler::schema::FieldDefinition;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Node, Schema};
use model::contract::WriteAnswer;
use model::{Contract, EntityType, Root, RootKind, RouteName};
use serde_json::Map;

use super::answer::{GraphqlError, Location};
use super::coerce::{Coercer, Place, missing};
use super::collect::{Collector, Group, Groups, Part, count};
use super::leaf::{Leaf, quote};
use super::plan::{
    Argument, ArgumentValue, Call, Condition, Field, Introspection, OperationKind, Plan, Selection, Source, Variable,
};
use super::settings::Limits;

/// Compiles operations of one schema.
pub(crate) struct Compiler<'a> {
    schema: &'a Valid<Schema>,
    contract: &'a Contract,
    limits: &'a Limits,
    document: &'a Valid<ExecutableDocument>,
    collector: Collector<'a>,
    calls: usize,
}

type Compiled<T> = Result<T, GraphqlError>;

/// Compiles `operation` of `document`.
pub(crate) fn compile(
    schema: &Valid<Schema>,
    contract: &Contract,
    limits: &Limits,
    document: &Valid<ExecutableDocument>,
    operation: &Operation,
) -> Compiled<Plan> {
    let kind = match operation.operation_type {
        OperationType::Query => OperationKind::Query,
        OperationType::Mutation => OperationKind::Mutation,
        OperationType::Subscription => {
            return Err(GraphqlError::new("SUBSCRIPTIONS_UNSUPPORTED", "there are no subscriptions here"));
        }
    };
    count(schema, limits, document, operation)?;
    let collector = Collector::new(schema, document, limits);
    let mut compiler = Compiler { schema, contract, limits, document, collector, calls: 0 };
    let variables = compiler.variables(operation)?;
    let selection = compiler.root(operation)?;
    let asks_schema = |field: &Field| matches!(field.source, Source::Introspection);
    let introspection = selection.fields.iter().any(asks_schema).then(|| Introspection {
        document: document.clone(),
        operation_name: operation.name.as_ref().map(ToString::to_string),
    });
    Ok(Plan { operation: kind, variables, selection, calls: compiler.calls, introspection })
}

impl<'a> Compiler<'a> {
    fn coercer(&self) -> Coercer<'a> {
        Coercer { schema: self.schema, list: self.limits.list }
    }

    fn variables(&self, operation: &Operation) -> Compiled<Vec<Variable>> {
        let variable = |definition: &Node<apollo_compiler::ast::VariableDefinition>| {
            let location = Location::of(definition.location(), &self.document.sources);
            let place = Place::Variable(&definition.name);
            let default = definition
                .default_value
                .as_ref()
                .map(|default| self.coercer().literal(&definition.ty, default, &Map::new(), place));
            let default = default.transpose().map_err(|error| GraphqlError::from(error).at(location))?;
            Ok(Variable {
                name: definition.name.to_string(),
                ty: (*definition.ty).clone(),
                default: default.flatten(),
                location,
            })
        };
        operation.variables.iter().map(variable).collect()
    }

    fn root(&mut self, operation: &'a Operation) -> Compiled<Selection> {
        let whole = Part::whole(&operation.selection_set);
        let groups = self.collector.collect(operation.object_type(), vec![whole])?;
        self.selection(operation.object_type(), None, groups)
    }

    fn selection(&mut self, object: &str, entity: Option<&EntityType>, groups: Groups<'a>) -> Compiled<Selection> {
        let mut selection = Selection::default();
        for (name, group) in groups {
            let field = self.field(object, entity, name, group)?;
            selection.needs = selection.needs.union(field.needs());
            selection.conditional |= field.condition != Condition::Always;
            selection.has_calls |= matches!(field.source, Source::Call(_));
            selection.fields.push(field);
        }
        Ok(selection)
    }

    fn field(&mut self, object: &str, entity: Option<&EntityType>, name: &str, group: Group<'a>) -> Compiled<Field> {
        let location = Location::of(group.first.location(), &self.document.sources);
        let coordinate = format!("{object}.{}", group.first.name);
        // An interface may allow null where the object does not.
        let definition = self.schema.type_field(object, &group.first.name);
        let ty = definition.map_or(&group.first.definition.ty, |definition| &definition.ty);
        let nullable = !ty.is_non_null();
        let mut label = Vec::with_capacity(name.len() + 3);
        quote(&mut label, name);
        label.push(b':');
        let condition = group.condition.clone();
        let source = self
            .source(object, entity, &coordinate, group)
            .map_err(|error| if error.locations.is_empty() { error.at(location) } else { error })?;
        Ok(Field {
            name: Arc::from(name),
            label: label.into(),
            condition,
            location,
            coordinate: coordinate.into(),
            nullable,
            source,
        })
    }

    fn source(
        &mut self,
        object: &str,
        entity: Option<&EntityType>,
        coordinate: &str,
        group: Group<'a>,
    ) -> Compiled<Source> {
        let selected = group.first;
        match selected.name.as_str() {
            "__typename" => {
                let mut name = Vec::new();
                quote(&mut name, object);
                return Ok(Source::TypeName(name.into()));
            }
            "__schema" | "__type" => return Ok(Source::Introspection),
            _ => {}
        }
        if let Some(root) = self.contract.root(&RouteName::new(coordinate)) {
            let root = Arc::clone(root);
            return self.call(root, group);
        }
        let entity = entity.and_then(|entity| Some((entity, entity.index(&selected.name)?)));
        let Some((entity, index)) = entity else {
            tracing::error!(field = coordinate, "the schema has {coordinate}, the contract has no home for it");
            return Err(GraphqlError::new("INTERNAL", "internal error"));
        };
        let type_name = selected.definition.ty.inner_named_type();
        Ok(Source::Stored(index, Leaf::of(self.schema, type_name, entity.field(index))))
    }

    fn call(&mut self, root: Arc<Root>, group: Group<'a>) -> Compiled<Source> {
        let id = self.calls;
        self.calls += 1;
        let selected = group.first;
        let arguments = self.arguments(&selected.definition, selected)?;
        let selection = if answers_nothing(&root) {
            Selection::default()
        } else {
            let entity = Arc::clone(&root.entity);
            let groups = self.collector.collect(entity.name.as_str(), group.parts)?;
            self.selection(entity.name.as_str(), Some(&entity), groups)?
        };
        let ty = &selected.definition.ty;
        Ok(Source::Call(Box::new(Call {
            id,
            root,
            arguments,
            selection,
            item_nullable: !ty.is_list() || !ty.item_type().is_non_null(),
        })))
    }

    fn arguments(&self, definition: &FieldDefinition, selected: &Selected) -> Compiled<Vec<Argument>> {
        let mut arguments = Vec::with_capacity(definition.arguments.len());
        for input in &definition.arguments {
            let place = Place::Argument(&input.name);
            let given = selected.arguments.iter().find(|given| given.name == input.name);
            let default = self.coercer().default_of(input)?;
            let value = match given {
                Some(given) if holds_variables(&given.value) => {
                    ArgumentValue::Expression { literal: given.value.clone(), ty: (*input.ty).clone(), default }
                }
                Some(given) => {
                    let location = Location::of(given.location(), &self.document.sources);
                    let json = self.coercer().literal(&input.ty, &given.value, &Map::new(), place);
                    let json = json.map_err(|error| GraphqlError::from(error).at(location))?;
                    ArgumentValue::Constant(json.unwrap_or_default())
                }
                None => match default {
                    Some(default) => ArgumentValue::Constant(default),
                    None if input.ty.is_non_null() => return Err(missing(place).into()),
                    None => continue,
                },
            };
            arguments.push(Argument { name: input.name.to_string(), value });
        }
        Ok(arguments)
    }
}

fn answers_nothing(root: &Root) -> bool {
    match &root.kind {
        RootKind::Write(action) => action.answer == WriteAnswer::Done,
        RootKind::ByKey { .. } | RootKind::ByKeys { .. } | RootKind::List { .. } => false,
    }
}

fn holds_variables(literal: &Literal) -> bool {
    match literal {
        Literal::Variable(_) => true,
        Literal::List(items) => items.iter().any(|item| holds_variables(item)),
        Literal::Object(fields) => fields.iter().any(|(_, value)| holds_variables(value)),
        Literal::Null
        | Literal::Enum(_)
        | Literal::String(_)
        | Literal::Float(_)
        | Literal::Int(_)
        | Literal::Boolean(_) => false,
    }
}

/// The error for a request that goes beyond a limit.
pub(crate) fn limit(code: &'static str, what: &str, most: impl std::fmt::Display) -> GraphqlError {
    GraphqlError::new(code, format!("more than {most} {what}; ask for less at once"))
}
