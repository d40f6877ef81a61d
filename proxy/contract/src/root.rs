//! Roots and links that read: `@byKey`, `@byKeys`, `@list`. Those that write are in `write`.

use std::sync::Arc;

use apollo_compiler::ast::{FieldDefinition, OperationType, Type};
use apollo_compiler::schema::ObjectType;
use model::contract::ParamSource;
use model::{EntityType, Root, RootKind, RouteName};

use super::directive::{Args, Text};
use super::reader::{Entities, Purpose, Reader, directive};
use super::source::Scope;

/// Directives that say how an operation runs; each root or link has one of them.
const READS: [&str; 3] = ["byKey", "byKeys", "list"];
const WRITES: [&str; 4] = ["write", "set", "delete", "saga"];
const LINKS: [&str; 2] = ["byKey", "list"];

/// Whether `field` is read by an operation of its own rather than from a column.
pub(super) fn is_root(field: &FieldDefinition) -> bool {
    let mut all = READS.iter().chain(&WRITES);
    all.any(|name| field.directives.has(name))
}

/// Whether `name` is the one directive that says how `field` runs.
pub(super) fn runs_alone(field: &FieldDefinition, name: &str) -> bool {
    let has: Vec<_> = READS.iter().chain(&WRITES).filter(|known| field.directives.has(known)).collect();
    matches!(has.as_slice(), [one] if **one == name)
}

/// A root before it has its name: what it answers with, and what it does.
pub(super) type Operation = (Arc<EntityType>, RootKind);

impl Reader<'_> {
    /// The roots or links of `object`, in order.
    pub(super) fn roots(&self, object: &ObjectType, entities: &Entities) -> Vec<Root> {
        let fields = object.fields.values();
        match self.purpose(object) {
            Purpose::Root(OperationType::Query) => {
                fields.filter_map(|field| self.root("Query", field, None, &READS, entities)).collect()
            }
            Purpose::Root(OperationType::Mutation) => {
                fields.filter_map(|field| self.root("Mutation", field, None, &WRITES, entities)).collect()
            }
            Purpose::Root(OperationType::Subscription) => Vec::new(),
            Purpose::Object => {
                let parent = entities.get(&model::EntityName::from(object.name.as_str()));
                fields
                    .filter(|field| is_root(field))
                    .filter_map(|field| self.root(&object.name, field, parent, &LINKS, entities))
                    .collect()
            }
        }
    }

    fn root(
        &self,
        on: &str,
        field: &FieldDefinition,
        parent: Option<&Arc<EntityType>>,
        allowed: &[&str],
        entities: &Entities,
    ) -> Option<Root> {
        self.refuse_stored_directives(field);
        let name = self.only_directive(on, field, allowed)?;
        let args = directive(field, name)?;
        let scope = Scope { field, parent: parent.map(AsRef::as_ref), mutation: on == "Mutation", numbers: &[] };
        let (entity, kind) = match name {
            "byKey" => self.by_key(scope, &args, entities),
            "byKeys" => self.by_keys(scope, &args, entities),
            "list" => self.list(scope, &args, entities),
            "write" => self.write(scope, &args, entities),
            "set" => self.set(scope, &args, entities),
            // Its steps are mutations too: it is read when they are.
            "saga" => None,
            _ => self.delete(scope, &args, entities),
        }?;
        self.check_arguments_used(field, &kind);
        Some(Root {
            route: RouteName::from(format!("{on}.{}", field.name).as_str()),
            group: entity.group.clone(),
            entity,
            kind,
        })
    }

    /// The one directive that says how `field` runs.
    fn only_directive<'n>(&self, on: &str, field: &FieldDefinition, allowed: &[&'n str]) -> Option<&'n str> {
        let at = field.name.location();
        let choice: Vec<_> = allowed.iter().map(|name| format!("@{name}")).collect();
        let choice = choice.join(", ");
        let has: Vec<&str> = READS.into_iter().chain(WRITES).filter(|name| field.directives.has(name)).collect();
        match has.as_slice() {
            [] => {
                let what = format!("nothing says how `{on}.{}` runs", field.name);
                self.findings.add(at, what, format!("add one of {choice}"));
                None
            }
            [one] => {
                let found = allowed.iter().find(|name| *name == one);
                if found.is_none() {
                    let what = format!("@{one} does not go on `{on}.{}`", field.name);
                    self.findings.add(at, what, format!("use one of {choice}"));
                }
                found.copied()
            }
            several => {
                let several: Vec<_> = several.iter().map(|name| format!("@{name}")).collect();
                let what = format!("`{on}.{}` has {}", field.name, several.join(" and "));
                self.findings.add(at, what, "keep one of them");
                None
            }
        }
    }

    fn by_key(&self, scope: Scope<'_>, args: &Args<'_>, entities: &Entities) -> Option<Operation> {
        let entity = self.answer(scope, entities, |ty| matches!(ty, Type::Named(_)).then_some(()).ok_or("Entity"))?;
        let key = self.key_sources(scope, &entity, args.texts("key"), args.place("key"))?;
        self.refuse_link_by_own_key(scope, args, &entity, &key);
        Some((entity, RootKind::ByKey { key }))
    }

    fn by_keys(&self, scope: Scope<'_>, args: &Args<'_>, entities: &Entities) -> Option<Operation> {
        let entity = self.answer(scope, entities, |ty| {
            let fine = matches!(ty, Type::NonNullList(item) if matches!(**item, Type::Named(_)));
            fine.then_some(()).ok_or("[Entity]!")
        })?;
        let given = args.text("keys");
        let named = given.and_then(|text| text.text.strip_prefix(':'));
        let argument = match (named, scope.field.arguments.as_slice()) {
            (Some(name), _) => scope.field.argument_by_name(name),
            (None, [only]) if given.is_none() => Some(only),
            (None, _) => None,
        };
        let Some(argument) = argument else {
            self.findings.add(
                args.place("keys"),
                format!("`{}` does not say which argument holds the keys", scope.field.name),
                "write keys: \":argument\", with the name of the list argument",
            );
            return None;
        };
        self.check_key_list(&entity, &argument.name, &argument.ty)?;
        let argument = argument.name.to_string();
        Some((entity, RootKind::ByKeys { argument }))
    }

    /// A list of scalars for a key of one field, else of input objects with the key's field names.
    fn check_key_list(&self, entity: &EntityType, name: &str, ty: &Type) -> Option<()> {
        let key: Vec<_> = entity.key().iter().map(|i| entity.field(*i)).collect();
        let wanted = |field: &model::Field| {
            let ty = self.type_of(entity, field.name.as_str());
            ty.map(|ty| ty.inner_named_type().as_str())
        };
        let item = ty.inner_named_type().as_str();
        let list = matches!(ty, Type::NonNullList(item) if matches!(**item, Type::NonNullNamed(_)));
        let fine = match key.as_slice() {
            [one] => wanted(one).is_some_and(|wanted| self.fits(item, wanted)),
            _ => self.schema.get_input_object(item).is_some_and(|input| {
                key.iter().all(|field| {
                    let given = input.fields.get(field.name.as_str());
                    let given = given.filter(|given| given.ty.is_non_null() && given.ty.is_named());
                    let given = given.map(|given| given.ty.inner_named_type().as_str());
                    given.zip(wanted(field)).is_some_and(|(g, w)| self.fits(g, w))
                })
            }),
        };
        if list && fine {
            return Some(());
        }
        let remedy = match key.as_slice() {
            [one] => format!("make it of type [{}!]!", wanted(one).unwrap_or("ID")),
            _ => {
                let fields = key.iter().map(|f| format!("{}: {}!", f.name, wanted(f).unwrap_or("ID")));
                let fields: Vec<_> = fields.collect();
                format!("make it a list [Key!]! of an input type {{ {} }}", fields.join(", "))
            }
        };
        let argument = Text { text: name, at: ty.inner_named_type().location() };
        let what = format!("`{name}` does not list keys of `{}`", entity.name);
        self.findings.add(argument.at, what, remedy);
        None
    }

    fn list(&self, scope: Scope<'_>, args: &Args<'_>, entities: &Entities) -> Option<Operation> {
        let entity = self.answer(scope, entities, |ty| {
            let fine = matches!(ty, Type::NonNullList(item) if matches!(**item, Type::NonNullNamed(_)));
            fine.then_some(()).ok_or("[Entity!]!")
        });
        let queries = self.queries(scope, args);
        let (entity, queries) = (entity?, queries?);
        let kind = RootKind::List { sql: queries.sql, params: queries.params, ordered: args.flag("ordered") };
        Some((entity, kind))
    }

    /// The entity that `scope`'s field answers with. `shape` says what the type should look like.
    pub(super) fn answer(
        &self,
        scope: Scope<'_>,
        entities: &Entities,
        shape: impl Fn(&Type) -> Result<(), &'static str>,
    ) -> Option<Arc<EntityType>> {
        let ty = &scope.field.ty;
        let name = ty.inner_named_type();
        let entity = entities.get(&model::EntityName::from(name.as_str()));
        // A type that exists and is no entity has been reported, unless it is no object at all.
        if entity.is_none() {
            if self.schema.types.get(name).is_some_and(|t| !t.is_object()) {
                self.findings.add(
                    name.location(),
                    format!("`{}` answers with `{name}`, which is no entity type", scope.field.name),
                    "answer with a type that has @entity",
                );
            }
            return None;
        }
        if let Err(wanted) = shape(ty) {
            let wanted = wanted.replace("Entity", name.as_str());
            self.findings.add(
                name.location(),
                format!("`{}` is of type {ty}, which does not match how it runs", scope.field.name),
                format!("make it of type {wanted}"),
            );
            return None;
        }
        entity.cloned()
    }

    fn check_arguments_used(&self, field: &FieldDefinition, kind: &RootKind) {
        let used = arguments_of(kind);
        for argument in &field.arguments {
            if !used.iter().any(|name| *name == argument.name.as_str()) {
                self.findings.add(
                    argument.name.location(),
                    format!("nothing uses the argument `{}` of `{}`", argument.name, field.name),
                    "use it on both sides, or take it out",
                );
            }
        }
    }
}

/// The arguments that an operation reads.
fn arguments_of(kind: &RootKind) -> Vec<&str> {
    use model::contract::WriteWork;
    let sources: Vec<&ParamSource> = match kind {
        RootKind::ByKey { key } => key.iter().collect(),
        RootKind::ByKeys { argument } => return vec![argument],
        RootKind::List { params, .. } => params.iter().map(|param| &param.source).collect(),
        RootKind::Write(action) => {
            let work: Vec<_> = match &action.work {
                WriteWork::Statements { params, .. } => params.iter().map(|p| &p.source).collect(),
                WriteWork::Set { fields } => fields.iter().map(|(_, source)| source).collect(),
                WriteWork::Delete | WriteWork::Saga(_) => Vec::new(),
            };
            let touched = action.touches.iter().flat_map(|touch| &touch.key);
            work.into_iter().chain(touched).collect()
        }
    };
    sources
        .into_iter()
        .filter_map(|source| match source {
            ParamSource::Argument(path) => path.first().map(String::as_str),
            ParamSource::Parent(_) | ParamSource::WriteId { .. } | ParamSource::Number { .. } => None,
        })
        .collect()
}
