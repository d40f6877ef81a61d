//! A compiled operation: what remains of a document when everything that does not depend on
//! variables has been decided.
//!
//! Fragments are inlined and fields merged, so each runs once. Every object type has one home, so
//! the type of every object is known here and type conditions are gone. What is left for execution:
//! `@skip` and `@include`, and arguments that hold variables.

use std::sync::Arc;

use apollo_compiler::ast::{Type, Value as Literal};
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Node};
use model::contract::ParamSource;
use model::{FieldIndex, FieldSet, Root, RootKind};
use serde_json::{Map, Value as Json};

use super::answer::Location;
use super::leaf::Leaf;

/// One operation of one document, ready to run with any variables.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Whether it reads or writes.
    pub(crate) operation: OperationKind,
    /// Its variables, in order.
    pub(crate) variables: Vec<Variable>,
    /// The fields of the root.
    pub(crate) selection: Selection,
    /// How many [`Call`]s it has; their ids are below this.
    pub(crate) calls: usize,
    /// The document, kept when it asks for the schema.
    pub(crate) introspection: Option<Introspection>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperationKind {
    /// Reads; root fields run concurrently.
    Query,
    /// Writes; root fields run in order.
    Mutation,
}

/// A variable of an operation.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) default: Option<Json>,
    pub(crate) location: Option<Location>,
}

/// The document of an operation that asks for the schema.
#[derive(Debug)]
pub(crate) struct Introspection {
    pub(crate) document: Valid<ExecutableDocument>,
    pub(crate) operation_name: Option<String>,
}

/// The merged fields of one object.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// In the order in which the document first names them.
    pub(crate) fields: Vec<Field>,
    /// The stored fields that all of them need together.
    pub(crate) needs: FieldSet,
    /// Whether a field has a condition.
    pub(crate) conditional: bool,
    /// Whether a field is a link or a root field.
    pub(crate) has_calls: bool,
}

/// One merged field.
#[derive(Debug)]
pub(crate) struct Field {
    /// The name in the answer.
    pub(crate) name: Arc<str>,
    /// The name in the answer as JSON, with quotes and colon.
    pub(crate) label: Box<[u8]>,
    /// When it is part of the answer.
    pub(crate) condition: Condition,
    /// Where the document first names it.
    pub(crate) location: Option<Location>,
    /// The schema's own name for it: `StockLevel.onHand`.
    pub(crate) coordinate: Box<str>,
    /// Whether its value may be null.
    pub(crate) nullable: bool,
    /// Where its value comes from.
    pub(crate) source: Source,
}

/// Where a field's value comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// `__typename`: known already, as JSON.
    TypeName(Box<[u8]>),
    /// A stored field of the object's record.
    Stored(FieldIndex, Leaf),
    /// A root field or a link.
    Call(Box<Call>),
    /// `__schema` or `__type`.
    Introspection,
}

/// A root field, or a link that stands on an entity.
#[derive(Debug)]
pub(crate) struct Call {
    /// Its place among the calls of the plan.
    pub(crate) id: usize,
    /// What runs.
    pub(crate) root: Arc<Root>,
    /// Its arguments, in the order of the schema.
    pub(crate) arguments: Vec<Argument>,
    /// What is wanted of each entity in the answer.
    pub(crate) selection: Selection,
    /// For lists: whether an item may be null.
    pub(crate) item_nullable: bool,
}

/// An argument that is given, or has a default.
#[derive(Debug)]
pub(crate) struct Argument {
    pub(crate) name: String,
    pub(crate) value: ArgumentValue,
}

/// What an argument is.
#[derive(Debug)]
pub(crate) enum ArgumentValue {
    /// The same in every execution; coerced.
    Constant(Json),
    /// Depends on variables.
    Expression { literal: Node<Literal>, ty: Type, default: Option<Json> },
}

/// When a field is part of the answer: one of the alternatives holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Always.
    Always,
    /// When, in one of these, every term holds. Never empty, and none of them is.
    Any(Vec<Vec<Term>>),
}

/// `@include(if: $variable)`, or `@skip` with `holds_when` false.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Term {
    pub(crate) variable: Arc<str>,
    pub(crate) holds_when: bool,
}

impl Plan {
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self {
            operation: OperationKind::Query,
            variables: Vec::new(),
            selection: Selection::default(),
            calls: 0,
            introspection: None,
        }
    }
}

impl Condition {
    /// Whether the field is part of the answer under these variables.
    pub(crate) fn holds(&self, variables: &Map<String, Json>) -> bool {
        let term = |term: &Term| {
            let value = variables.get(&*term.variable).and_then(Json::as_bool);
            value == Some(term.holds_when)
        };
        match self {
            Self::Always => true,
            Self::Any(alternatives) => alternatives.iter().any(|terms| terms.iter().all(term)),
        }
    }

    /// Adds one more alternative.
    pub(crate) fn or(&mut self, terms: Vec<Term>) {
        match self {
            Self::Always => {}
            Self::Any(_) if terms.is_empty() => *self = Self::Always,
            Self::Any(alternatives) if alternatives.contains(&terms) => {}
            Self::Any(alternatives) => alternatives.push(terms),
        }
    }
}

impl From<Vec<Term>> for Condition {
    fn from(terms: Vec<Term>) -> Self {
        if terms.is_empty() { Self::Always } else { Self::Any(vec![terms]) }
    }
}

impl Selection {
    /// The fields that are part of the answer, with their place among all.
    pub(crate) fn included<'a>(&'a self, variables: &'a Map<String, Json>) -> impl Iterator<Item = (usize, &'a Field)> {
        let all = !self.conditional;
        let fields = self.fields.iter().enumerate();
        fields.filter(move |(_, field)| all || field.condition.holds(variables))
    }

    /// The stored fields that must be read under these variables.
    pub(crate) fn needs(&self, variables: &Map<String, Json>) -> FieldSet {
        if !self.conditional {
            return self.needs;
        }
        self.included(variables).map(|(_, field)| field.needs()).fold(FieldSet::default(), FieldSet::union)
    }
}

impl Field {
    /// The stored fields of its object that it needs.
    pub(crate) fn needs(&self) -> FieldSet {
        match &self.source {
            Source::Stored(index, _) => FieldSet::default().with(*index),
            Source::Call(call) => call.needs_of_parent(),
            Source::TypeName(_) | Source::Introspection => FieldSet::default(),
        }
    }
}

impl Call {
    /// The stored fields of the parent from which its key or parameters are drawn.
    fn needs_of_parent(&self) -> FieldSet {
        let parent = |source: &ParamSource| match source {
            ParamSource::Parent(index) => Some(*index),
            ParamSource::Argument(_) | ParamSource::WriteId { .. } | ParamSource::Number { .. } => None,
        };
        match &self.root.kind {
            RootKind::ByKey { key } => key.iter().filter_map(parent).collect(),
            RootKind::List { params, .. } => {
                let sources = params.iter().map(|param| &param.source);
                sources.filter_map(parent).collect()
            }
            RootKind::ByKeys { .. } | RootKind::Write(_) => FieldSet::default(),
        }
    }
}
