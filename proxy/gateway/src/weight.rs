//! How many bytes a plan holds, near enough: what the cache of plans is bounded by.
//!
//! Counted by what was asked for rather than asked of the allocator: each allocation is taken for a little more than it
//! needs, so that the sum is a bound and not a guess from below.

use std::mem::size_of;

use apollo_compiler::ast::Value as Literal;
use serde_json::Value as Json;

use super::plan::{Argument, ArgumentValue, Call, Condition, Field, Plan, Selection, Source, Term, Variable};

/// What an allocation costs besides what it holds.
const ALLOCATION: usize = 32;
/// What a document is taken to hold for each byte of its text, once it is parsed.
const PARSED: usize = 40;

impl Plan {
    /// The bytes that this plan holds, made from a document of `text` bytes.
    pub(crate) fn weight(&self, text: usize) -> usize {
        let variables: usize = self.variables.iter().map(variable).sum();
        let document = self.introspection.as_ref().map_or(0, |_| text.saturating_mul(PARSED));
        size_of::<Self>() + ALLOCATION + text + variables + document + selection(&self.selection)
    }
}

fn selection(selection: &Selection) -> usize {
    ALLOCATION + selection.fields.iter().map(field).sum::<usize>()
}

fn field(field: &Field) -> usize {
    let names = field.name.len() + field.label.len() + field.coordinate.len() + 3 * ALLOCATION;
    let condition = match &field.condition {
        Condition::Always => 0,
        Condition::Any(alternatives) => alternatives.iter().map(|terms| self::terms(terms)).sum(),
    };
    let source = match &field.source {
        Source::TypeName(name) => name.len() + ALLOCATION,
        Source::Stored(..) | Source::Introspection => 0,
        Source::Call(call) => self::call(call),
    };
    // A list that grew may have room for as many again.
    2 * size_of::<Field>() + names + condition + source
}

fn terms(terms: &[Term]) -> usize {
    2 * ALLOCATION + terms.iter().map(|term| size_of::<Term>() + term.variable.len() + ALLOCATION).sum::<usize>()
}

fn call(call: &Call) -> usize {
    let arguments: usize = call.arguments.iter().map(argument).sum();
    size_of::<Call>() + ALLOCATION + arguments + selection(&call.selection)
}

fn argument(argument: &Argument) -> usize {
    let value = match &argument.value {
        ArgumentValue::Constant(constant) => json(constant),
        ArgumentValue::Expression { literal, ty: _, default } => {
            self::literal(literal) + default.as_ref().map_or(0, json)
        }
    };
    size_of::<Argument>() + 2 * ALLOCATION + argument.name.len() + value
}

fn variable(variable: &Variable) -> usize {
    size_of::<Variable>() + 2 * ALLOCATION + variable.name.len() + variable.default.as_ref().map_or(0, json)
}

/// The bytes that a value holds.
pub(crate) fn json(value: &Json) -> usize {
    size_of::<Json>()
        + match value {
            Json::Null | Json::Bool(_) | Json::Number(_) => 0,
            Json::String(text) => text.len() + ALLOCATION,
            Json::Array(items) => ALLOCATION + items.iter().map(json).sum::<usize>(),
            Json::Object(fields) => {
                ALLOCATION + fields.iter().map(|(name, value)| name.len() + 2 * ALLOCATION + json(value)).sum::<usize>()
            }
        }
}

fn literal(value: &Literal) -> usize {
    let inner = match value {
        Literal::Null | Literal::Boolean(_) => 0,
        Literal::Enum(name) | Literal::Variable(name) => name.len(),
        Literal::String(text) => text.len(),
        Literal::Int(number) => number.as_str().len(),
        Literal::Float(number) => number.as_str().len(),
        Literal::List(items) => items.iter().map(|item| literal(item)).sum(),
        Literal::Object(fields) => fields.iter().map(|(name, value)| name.len() + ALLOCATION + literal(value)).sum(),
    };
    size_of::<Literal>() + 2 * ALLOCATION + inner
}
