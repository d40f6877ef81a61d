//! Reading the arguments of our directives, each with its place in the file.
//!
//! A value of the wrong shape reads as absent: the GraphQL compiler has reported it already.

use apollo_compiler::Node;
use apollo_compiler::ast::{Directive, Value};
use apollo_compiler::parser::SourceSpan;

/// Text with its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) at: Option<SourceSpan>,
}

/// Named values: the arguments of a directive, or the fields of an input object in one.
#[derive(Debug, Clone)]
pub(super) struct Args<'a> {
    pub(super) at: Option<SourceSpan>,
    values: Vec<(&'a str, &'a Node<Value>)>,
}

impl<'a> Args<'a> {
    pub(super) fn of(directive: &'a Node<Directive>) -> Self {
        let arguments = directive.arguments.iter();
        Self {
            at: directive.location(),
            values: arguments.map(|argument| (argument.name.as_str(), &argument.value)).collect(),
        }
    }

    fn of_object(value: &'a Node<Value>) -> Option<Self> {
        let fields = value.as_object()?.iter();
        Some(Self { at: value.location(), values: fields.map(|(name, value)| (name.as_str(), value)).collect() })
    }

    fn get(&self, name: &str) -> Option<&'a Node<Value>> {
        let found = self.values.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !value.is_null())
    }

    /// Where the argument stands, or else the whole.
    pub(super) fn place(&self, name: &str) -> Option<SourceSpan> {
        self.get(name).map_or(self.at, |value| value.location())
    }

    pub(super) fn text(&self, name: &str) -> Option<Text<'a>> {
        text(self.get(name)?)
    }

    pub(super) fn texts(&self, name: &str) -> Option<Vec<Text<'a>>> {
        items(self.get(name)?).into_iter().map(text).collect()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(|v| v.to_bool()).unwrap_or(false)
    }

    /// The name of an enum's value.
    pub(super) fn word(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_enum().map(|word| word.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Option<i32> {
        self.get(name)?.to_i32()
    }

    pub(super) fn object(&self, name: &str) -> Option<Self> {
        Self::of_object(self.get(name)?)
    }

    /// The objects of a list; empty when there is none.
    pub(super) fn objects(&self, name: &str) -> Vec<Self> {
        let list = self.get(name).map(items).unwrap_or_default();
        list.into_iter().filter_map(Self::of_object).collect()
    }
}

fn text(value: &Node<Value>) -> Option<Text<'_>> {
    Some(Text { text: value.as_str()?, at: value.location() })
}

/// GraphQL reads a single value where a list is expected as a list of one.
fn items(value: &Node<Value>) -> Vec<&Node<Value>> {
    match value.as_list() {
        Some(list) => list.iter().collect(),
        None => vec![value],
    }
}
