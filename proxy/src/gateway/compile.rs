//! Document → plan: fragments are inlined, fields are merged, everything is looked up once.
//!
//! Works on documents that apollo-compiler found valid. Bounded by depth and by a budget of
//! selections, since fragments that spread fragments can stand for far more than their text.

use std::collections::HashSet;
use std::sync::Arc;

use apollo_compiler::ast::{OperationType, Value as Literal};
use apollo_compiler::executable::{
    Directive, DirectiveList, Field as Selected, Operation, Selection as Item, SelectionSet,
};
use apollo_compiler::schema::FieldDefinition;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Node, Schema};
use indexmap::IndexMap;
use model::contract::WriteAnswer;
use model::{Contract, EntityType, Root, RootKind, RouteName};
use serde_json::Map;

use super::answer::{GraphqlError, Location};
use super::coerce::{Coercer, Place, missing};
use super::leaf::{Leaf, quote};
use super::plan::{
    Argument, ArgumentValue, Call, Condition, Field, Introspection, OperationKind, Plan, Selection, Source, Term,
    Variable,
};
use super::settings::Limits;

/// Selections that one operation may stand for once its fragments are inlined.
const MAX_SELECTIONS: usize = 20_000;

/// Compiles operations of one schema.
pub(crate) struct Compiler<'a> {
    schema: &'a Valid<Schema>,
    contract: &'a Contract,
    limits: &'a Limits,
    document: &'a Valid<ExecutableDocument>,
    budget: usize,
    aliases: usize,
    calls: usize,
}

/// Fields of one object that share a response name, before they are merged.
struct Group<'d> {
    first: &'d Node<Selected>,
    condition: Condition,
    parts: Vec<Part<'d>>,
}

/// A selection set and the terms under which it counts.
#[derive(Clone)]
struct Part<'d> {
    set: &'d SelectionSet,
    terms: Vec<Term>,
}

type Groups<'d> = IndexMap<&'d str, Group<'d>>;
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
    let mut compiler = Compiler { schema, contract, limits, document, budget: MAX_SELECTIONS, aliases: 0, calls: 0 };
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
        let part = Part { set: &operation.selection_set, terms: Vec::new() };
        let groups = self.collect(operation.object_type(), vec![part])?;
        if groups.len() > self.limits.root_fields {
            return Err(limit("ROOT_FIELD_LIMIT", "fields at the root", self.limits.root_fields));
        }
        self.selection(operation.object_type(), None, groups, 1)
    }

    /// Merges the fields of `parts` by response name, for an object of type `object`.
    fn collect(&mut self, object: &str, parts: Vec<Part<'a>>) -> Compiled<Groups<'a>> {
        let mut groups = Groups::new();
        let mut spread = HashSet::new();
        for part in parts {
            self.collect_set(object, part, &mut spread, &mut groups)?;
        }
        Ok(groups)
    }

    fn collect_set(
        &mut self,
        object: &str,
        part: Part<'a>,
        spread: &mut HashSet<(&'a str, Vec<Term>)>,
        groups: &mut Groups<'a>,
    ) -> Compiled<()> {
        for item in &part.set.selections {
            self.budget = self
                .budget
                .checked_sub(1)
                .ok_or_else(|| limit("COMPLEXITY_LIMIT", "selections with fragments inlined", MAX_SELECTIONS))?;
            let Some(terms) = conjoin(&part.terms, item.directives()) else {
                continue;
            };
            match item {
                Item::Field(field) => self.collect_field(field, terms, groups),
                Item::InlineFragment(fragment) => {
                    let applies = fragment.type_condition.as_ref();
                    if applies.is_none_or(|condition| self.applies(condition, object)) {
                        let set = &fragment.selection_set;
                        self.collect_set(object, Part { set, terms }, spread, groups)?;
                    }
                }
                Item::FragmentSpread(fragment) => {
                    let document: &'a ExecutableDocument = self.document;
                    let Some(definition) = document.fragments.get(&fragment.fragment_name) else {
                        continue;
                    };
                    // A fragment counts once per object, as in the specification.
                    let fresh = spread.insert((definition.name.as_str(), terms.clone()));
                    if fresh && self.applies(definition.type_condition(), object) {
                        let set = &definition.selection_set;
                        self.collect_set(object, Part { set, terms }, spread, groups)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn collect_field(&mut self, field: &'a Node<Selected>, terms: Vec<Term>, groups: &mut Groups<'a>) {
        let part = Part { set: &field.selection_set, terms: terms.clone() };
        match groups.entry(field.response_key().as_str()) {
            indexmap::map::Entry::Occupied(mut group) => {
                group.get_mut().condition.or(terms);
                group.get_mut().parts.push(part);
            }
            indexmap::map::Entry::Vacant(place) => {
                self.aliases += usize::from(field.alias.is_some());
                place.insert(Group { first: field, condition: terms.into(), parts: vec![part] });
            }
        }
    }

    fn applies(&self, condition: &str, object: &str) -> bool {
        condition == object || self.schema.is_subtype(condition, object)
    }

    fn selection(
        &mut self,
        object: &str,
        entity: Option<&EntityType>,
        groups: Groups<'a>,
        depth: usize,
    ) -> Compiled<Selection> {
        if depth > self.limits.depth {
            return Err(limit("DEPTH_LIMIT", "levels of fields", self.limits.depth));
        }
        if self.aliases > self.limits.aliases {
            return Err(limit("ALIAS_LIMIT", "aliases", self.limits.aliases));
        }
        let mut selection = Selection::default();
        for (name, group) in groups {
            let field = self.field(object, entity, name, group, depth)?;
            selection.needs = selection.needs.union(field.needs());
            selection.conditional |= field.condition != Condition::Always;
            selection.has_calls |= matches!(field.source, Source::Call(_));
            selection.fields.push(field);
        }
        Ok(selection)
    }

    fn field(
        &mut self,
        object: &str,
        entity: Option<&EntityType>,
        name: &str,
        group: Group<'a>,
        depth: usize,
    ) -> Compiled<Field> {
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
            .source(object, entity, &coordinate, group, depth)
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
        depth: usize,
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
            return self.call(root, group, depth);
        }
        let entity = entity.and_then(|entity| Some((entity, entity.index(&selected.name)?)));
        let Some((entity, index)) = entity else {
            tracing::error!(field = coordinate, "the schema has {coordinate}, the contract has no home for it");
            return Err(GraphqlError::new("INTERNAL", "internal error"));
        };
        let type_name = selected.definition.ty.inner_named_type();
        Ok(Source::Stored(index, Leaf::of(self.schema, type_name, entity.field(index))))
    }

    fn call(&mut self, root: Arc<Root>, group: Group<'a>, depth: usize) -> Compiled<Source> {
        let id = self.calls;
        self.calls += 1;
        let selected = group.first;
        let arguments = self.arguments(&selected.definition, selected)?;
        let selection = if answers_nothing(&root) {
            Selection::default()
        } else {
            let entity = Arc::clone(&root.entity);
            let groups = self.collect(entity.name.as_str(), group.parts)?;
            self.selection(entity.name.as_str(), Some(&entity), groups, depth + 1)?
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

/// `terms` and what the directives add to them; `None` when they can never hold.
fn conjoin(terms: &[Term], directives: &DirectiveList) -> Option<Vec<Term>> {
    let mut terms = terms.to_vec();
    for (name, holds_when) in [("skip", false), ("include", true)] {
        let Some(directive) = directives.get(name) else {
            continue;
        };
        match condition_of(directive) {
            Some(Literal::Boolean(value)) if *value == holds_when => {}
            Some(Literal::Variable(variable)) => {
                terms.push(Term { variable: Arc::from(variable.as_str()), holds_when })
            }
            _ => return None,
        }
    }
    // In one order, so that equal conditions are found equal.
    terms.sort();
    terms.dedup();
    Some(terms)
}

fn condition_of(directive: &Node<Directive>) -> Option<&Literal> {
    directive.specified_argument_by_name("if").map(|value| &**value)
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
