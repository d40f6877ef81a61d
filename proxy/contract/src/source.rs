//! Sources, `:sku` or `:input.sku`: where a value comes from when an operation runs.

use apollo_compiler::ast::{FieldDefinition, Type};
use apollo_compiler::parser::SourceSpan;
use model::contract::ParamSource;
use model::{EntityType, Kind};

use super::directive::Text;
use super::reader::Reader;
use super::storage::word;
use super::suggest;

/// What an operation can draw values from.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) field: &'a FieldDefinition,
    /// The entity on which a link stands.
    pub(super) parent: Option<&'a EntityType>,
    pub(super) mutation: bool,
    /// The names of the numbers of touched entities, one slot per touch; for statements of legacy only.
    pub(super) numbers: &'a [Option<String>],
}

/// A source that exists.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) source: ParamSource,
    pub(super) kind: Kind,
    pub(super) list: bool,
    /// Never null and never left out.
    pub(super) required: bool,
    /// The GraphQL type of the value, or of the list's items.
    pub(super) type_name: String,
}

impl Reader<'_> {
    /// Finds the source `text`, written with its colon.
    pub(super) fn source(&self, scope: Scope<'_>, text: Text<'_>) -> Option<Found> {
        let Some(path) = text.text.strip_prefix(':') else {
            self.findings.add(
                text.at,
                format!("`{}` is no source of a value", text.text),
                format!("put a colon in front: `:{}`", text.text),
            );
            return None;
        };
        self.source_at(scope, path, text.at)
    }

    /// Finds the source `path`, written without its colon.
    pub(super) fn source_at(&self, scope: Scope<'_>, path: &str, at: Option<SourceSpan>) -> Option<Found> {
        let mut parts = path.split('.');
        let first = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let found = match (first, rest.as_slice()) {
            ("write_id", [] | [_]) => self.write_id(scope, &rest, at)?,
            ("parent", [field]) if scope.parent.is_some() => self.parent(scope, field, at)?,
            ("parent", _) => {
                self.findings.add(
                    at,
                    format!("`:{path}` names no field of a parent"),
                    "`:parent.field` works on links between types only",
                );
                return None;
            }
            (name, []) if let Some(touch) = scope.numbers.iter().position(|known| known.as_deref() == Some(name)) => {
                Found {
                    source: ParamSource::Number { touch },
                    kind: Kind::Int,
                    list: false,
                    required: true,
                    type_name: "Int".to_owned(),
                }
            }
            _ => self.argument(scope, first, &rest, at)?,
        };
        Some(found)
    }

    fn write_id(&self, scope: Scope<'_>, rest: &[&str], at: Option<SourceSpan>) -> Option<Found> {
        if !scope.mutation {
            let remedy = "take it out: only a mutation writes";
            self.findings.add(at, "`:write_id` outside a mutation", remedy);
            return None;
        }
        let suffix = rest.first().map_or_else(String::new, |part| format!("-{part}"));
        Some(Found {
            source: ParamSource::WriteId { suffix },
            kind: Kind::Text,
            list: false,
            required: true,
            type_name: "ID".to_owned(),
        })
    }

    fn parent(&self, scope: Scope<'_>, field: &str, at: Option<SourceSpan>) -> Option<Found> {
        let parent = scope.parent?;
        let Some(index) = parent.index(field) else {
            let known = parent.fields.iter().map(|field| field.name.as_str());
            self.findings.add(
                at,
                format!("`{}` has no stored field `{field}`", parent.name),
                suggest::or_all(field, ":parent.", known),
            );
            return None;
        };
        Some(Found {
            source: ParamSource::Parent(index),
            kind: parent.field(index).kind,
            list: false,
            required: !parent.field(index).nullable,
            type_name: self.type_of(parent, field)?.inner_named_type().to_string(),
        })
    }

    fn argument(&self, scope: Scope<'_>, first: &str, rest: &[&str], at: Option<SourceSpan>) -> Option<Found> {
        let Some(argument) = scope.field.argument_by_name(first) else {
            let known = scope.field.arguments.iter().map(|a| a.name.as_str());
            self.findings.add(
                at,
                format!("`{}` has no argument `{first}`", scope.field.name),
                suggest::or_all(first, ":", known),
            );
            return None;
        };
        let mut value: &Type = &argument.ty;
        let mut required = value.is_non_null();
        let mut path = vec![first.to_owned()];
        for part in rest {
            value = self.input_field(value, part, &path, at)?;
            required &= value.is_non_null();
            path.push((*part).to_owned());
        }
        let type_name = value.inner_named_type().as_str();
        if self.schema.get_input_object(type_name).is_some() {
            self.findings.add(
                at,
                format!("`:{}` is a whole input object", path.join(".")),
                format!("name one of its fields: `:{}.…`", path.join(".")),
            );
            return None;
        }
        Some(Found {
            kind: self.kind(type_name)?,
            list: value.is_list(),
            required,
            type_name: type_name.to_owned(),
            source: ParamSource::Argument(path),
        })
    }

    fn input_field(&self, value: &Type, part: &str, path: &[String], at: Option<SourceSpan>) -> Option<&Type> {
        let input = self.schema.get_input_object(value.inner_named_type());
        let Some(input) = input.filter(|_| value.is_named()) else {
            self.findings.add(
                at,
                format!("`:{}` is no input object and has no field `{part}`", path.join(".")),
                format!("use `:{}`", path.join(".")),
            );
            return None;
        };
        let Some(field) = input.fields.get(part) else {
            let known = input.fields.keys().map(|name| name.as_str());
            self.findings.add(
                at,
                format!("`{}` has no field `{part}`", input.name),
                suggest::or_all(part, &format!(":{}.", path.join(".")), known),
            );
            return None;
        };
        Some(&field.ty)
    }

    /// One source per key field of `entity`. `given` are the sources as written; `None`: the
    /// arguments, or on a link the parent's fields, with the names of the key fields.
    pub(super) fn key_sources(
        &self,
        scope: Scope<'_>,
        entity: &EntityType,
        given: Option<Vec<Text<'_>>>,
        at: Option<SourceSpan>,
    ) -> Option<Vec<ParamSource>> {
        let names: Vec<&str> = entity.key().iter().map(|index| entity.field(*index).name.as_str()).collect();
        let prefix = if scope.parent.is_some() { "parent." } else { "" };
        let Some(given) = given else {
            let sources = names.iter().map(|name| self.key_source(scope, entity, name, &format!("{prefix}{name}"), at));
            return sources.collect();
        };
        if given.len() != names.len() {
            let wanted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            self.findings.add(
                at,
                format!("{} of {} key fields of `{}` have a source", given.len(), names.len(), entity.name),
                format!("give one source for each of {}, in this order", wanted.join(", ")),
            );
            return None;
        }
        let pairs: Vec<_> = names.iter().zip(given).collect();
        let sources = pairs.into_iter().map(|(name, text)| {
            let Some(path) = text.text.strip_prefix(':') else {
                return self.source(scope, text).map(|found| found.source);
            };
            self.key_source(scope, entity, name, path, text.at)
        });
        // Collected first: every wrong part is reported, not only the first.
        let sources: Vec<Option<ParamSource>> = sources.collect();
        sources.into_iter().collect()
    }

    fn key_source(
        &self,
        scope: Scope<'_>,
        entity: &EntityType,
        name: &str,
        path: &str,
        at: Option<SourceSpan>,
    ) -> Option<ParamSource> {
        let found = self.source_at(scope, path, at)?;
        let wanted = self.type_of(entity, name)?.inner_named_type().as_str();
        self.check_value(&found, (path, at), wanted, &format!("key field `{name}`"))?;
        if !found.required && scope.parent.is_none() {
            self.findings.add(
                at,
                format!("`:{path}` may be null, and key field `{name}` may not"),
                format!("put a `!` behind the type of `{path}`"),
            );
            return None;
        }
        Some(found.source)
    }

    /// Notes a mistake unless `found` can be put where `wanted` is kept.
    pub(super) fn check_value(
        &self,
        found: &Found,
        (path, at): (&str, Option<SourceSpan>),
        wanted: &str,
        what_for: &str,
    ) -> Option<()> {
        let given = &found.type_name;
        // A field of an impossible type has been reported where it stands.
        let fits = self.fits(given, wanted) || self.kind(wanted).is_none();
        if !found.list && fits {
            return Some(());
        }
        let list = if found.list { "a list of " } else { "" };
        let of = |name: &str| match self.schema.get_enum(name) {
            Some(_) => format!("a {name}"),
            None => self.kind(name).map_or_else(|| name.to_owned(), |kind| word(kind).to_owned()),
        };
        self.findings.add(
            at,
            format!("`:{path}` is {list}{}, and {what_for} is {}", of(given), of(wanted)),
            format!("make it of type {wanted}"),
        );
        None
    }
}
