//! Which fields an object is asked for, once its fragments are inlined and equal names are merged.
//!
//! Fragments that spread fragments can stand for far more than their text. So a document is counted first ([`count`]):
//! what stands for too much is refused before anything is built of it.
//!
//! Not here: what a field is (`compile`), what its lists cost (`prepare`).

use std::collections::HashSet;
use std::sync::Arc;

use apollo_compiler::ast::Value as Literal;
use apollo_compiler::executable::{
    Directive, DirectiveList, Field as Selected, Operation, Selection as Item, SelectionSet,
};
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Node, Schema};
use indexmap::IndexMap;

use super::answer::GraphqlError;
use super::compile::limit;
use super::plan::{Condition, Term};
use super::settings::Limits;

/// Fields of one object that share a response name, before they are merged.
pub(crate) struct Group<'d> {
    pub(crate) first: &'d Node<Selected>,
    pub(crate) condition: Condition,
    pub(crate) parts: Vec<Part<'d>>,
}

/// A selection set and the terms under which it counts.
#[derive(Clone)]
pub(crate) struct Part<'d> {
    set: &'d SelectionSet,
    terms: Vec<Term>,
}

pub(crate) type Groups<'d> = IndexMap<&'d str, Group<'d>>;
type Collected<T> = Result<T, GraphqlError>;

/// Collects fields of one operation, and counts what it stands for.
pub(crate) struct Collector<'a> {
    schema: &'a Valid<Schema>,
    document: &'a Valid<ExecutableDocument>,
    limits: &'a Limits,
    selections: usize,
    aliases: usize,
}

impl<'d> Part<'d> {
    /// A whole set, without conditions.
    pub(crate) fn whole(set: &'d SelectionSet) -> Self {
        Self { set, terms: Vec::new() }
    }
}

/// Counts `operation` without building anything.
///
/// # Errors
/// `COMPLEXITY_LIMIT`, `DEPTH_LIMIT`, `ALIAS_LIMIT` or `ROOT_FIELD_LIMIT`.
pub(crate) fn count(
    schema: &Valid<Schema>,
    limits: &Limits,
    document: &Valid<ExecutableDocument>,
    operation: &Operation,
) -> Collected<()> {
    let mut collector = Collector::new(schema, document, limits);
    let groups = collector.collect(operation.object_type(), vec![Part::whole(&operation.selection_set)])?;
    if groups.len() > limits.root_fields {
        return Err(limit("ROOT_FIELD_LIMIT", "fields at the root", limits.root_fields));
    }
    collector.descend(groups, 1)
}

impl<'a> Collector<'a> {
    /// Nothing counted yet.
    pub(crate) fn new(schema: &'a Valid<Schema>, document: &'a Valid<ExecutableDocument>, limits: &'a Limits) -> Self {
        Self { schema, document, limits, selections: 0, aliases: 0 }
    }

    /// Merges the fields of `parts` by response name, for an object of type `object`.
    ///
    /// # Errors
    /// `COMPLEXITY_LIMIT`.
    pub(crate) fn collect(&mut self, object: &str, parts: Vec<Part<'a>>) -> Collected<Groups<'a>> {
        let mut groups = Groups::new();
        let mut spread = HashSet::new();
        for part in parts {
            self.collect_set(object, part, &mut spread, &mut groups)?;
        }
        Ok(groups)
    }

    /// Counts what lies below `groups`, which are fields of level `depth`.
    fn descend(&mut self, groups: Groups<'a>, depth: usize) -> Collected<()> {
        if depth > self.limits.depth {
            return Err(limit("DEPTH_LIMIT", "levels of fields", self.limits.depth));
        }
        if self.aliases > self.limits.aliases {
            return Err(limit("ALIAS_LIMIT", "aliases", self.limits.aliases));
        }
        for group in groups.into_values() {
            let object = group.first.definition.ty.inner_named_type();
            let below = self.collect(object, group.parts)?;
            // How deep a question about the schema may go is for whoever answers it to say.
            let is_schema = depth == 1 && matches!(group.first.name.as_str(), "__schema" | "__type");
            match is_schema {
                true => self.descend_schema(below)?,
                false if below.is_empty() => {}
                false => self.descend(below, depth + 1)?,
            }
        }
        Ok(())
    }

    fn descend_schema(&mut self, groups: Groups<'a>) -> Collected<()> {
        for group in groups.into_values() {
            let object = group.first.definition.ty.inner_named_type();
            let below = self.collect(object, group.parts)?;
            self.descend_schema(below)?;
        }
        Ok(())
    }

    fn collect_set(
        &mut self,
        object: &str,
        part: Part<'a>,
        spread: &mut HashSet<(&'a str, Vec<Term>)>,
        groups: &mut Groups<'a>,
    ) -> Collected<()> {
        for item in &part.set.selections {
            self.selections += 1;
            if self.selections > self.limits.selections {
                let most = self.limits.selections;
                return Err(limit("COMPLEXITY_LIMIT", "selections with fragments inlined", most));
            }
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
