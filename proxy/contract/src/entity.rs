//! Entity types: group, key, tables, and the stored fields with their rules.

use std::collections::BTreeMap;

use apollo_compiler::Node;
use apollo_compiler::ast::FieldDefinition;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::{Component, ObjectType};
use model::contract::{ColumnType, Compare, Ignored};
use model::{EntityName, EntityType, Field, FieldName, FieldSet, GroupName, Home, Kind, PerSide, Side};

use super::column::Shape;
use super::directive::{Args, Text};
use super::reader::{Reader, directive};
use super::{root, storage, suggest};

/// Directives that describe a stored field.
const STORED: [&str; 5] = ["home", "compare", "excused", "sensitive", "stamped"];

impl Reader<'_> {
    /// Reads an entity type; `None` when too little of it is right to go on.
    pub(super) fn entity(&self, object: &ObjectType) -> Option<EntityType> {
        let at = object.name.location();
        let Some(entity) = object.directives.get("entity") else {
            self.findings.add(
                at,
                format!("type `{}` has no home", object.name),
                "add @entity(group: …, key: […]) and @table(legacy: …, modern: …)",
            );
            return None;
        };
        let entity = Args::of(entity);
        let group = entity.text("group").filter(|group| self.is_group(*group));
        let table = self.table(object);
        let fields = self.fields(object);
        self.check_columns(object, &fields);
        let keys = self.key(object, &entity, &fields);
        let keys = keys.unwrap_or_default();
        let own_key = self.own_key(object, &fields, &keys);
        let ignored = self.ignored(object, &fields);
        // Placeholders let the roots be checked as well; the mistake is noted already.
        let mut entity = EntityType::new(
            EntityName::from(object.name.as_str()),
            GroupName::from(group.map_or("?", |group| group.text)),
            table.unwrap_or_default(),
            fields,
            &keys,
        )?;
        entity.ignored = ignored;
        Some(match own_key {
            Some(own_key) => entity.with_own_key(own_key),
            None => entity,
        })
    }

    fn is_group(&self, group: Text<'_>) -> bool {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fine = group.text.starts_with(|c: char| c.is_ascii_lowercase()) && group.text.chars().all(inside);
        if !fine {
            self.findings.add(
                group.at,
                format!("`{}` is no name for a group", group.text),
                "use small letters, digits and dashes, a letter first, such as `inventory`",
            );
        }
        fine
    }

    fn table(&self, object: &ObjectType) -> Option<PerSide<String>> {
        let Some(table) = object.directives.get("table") else {
            self.findings.add(
                object.name.location(),
                format!("type `{}` has no tables", object.name),
                "add @table(legacy: …, modern: …)",
            );
            return None;
        };
        let table = Args::of(table);
        let of = |side: Side| {
            let name = table.text(side.as_str())?;
            let parts: Vec<_> = name.text.split('.').collect();
            if parts.len() > 2 || !parts.iter().all(|part| storage::is_identifier(part)) {
                self.findings.add(
                    name.at,
                    format!("`{}` is no name of a table", name.text),
                    "write `TABLE` or `schema.TABLE`, with letters, digits and underscores",
                );
            }
            if let Some(word) = parts.iter().find(|part| storage::is_reserved(part)) {
                let what = format!("`{word}` is a reserved word, and may mean something else than a table");
                self.findings.add(name.at, what, storage::in_quotes(word));
            }
            Some(name.text.to_owned())
        };
        Some(PerSide { legacy: of(Side::Legacy)?, modern: of(Side::Modern)? })
    }

    fn fields(&self, object: &ObjectType) -> Vec<Field> {
        let stored = object.fields.values();
        let stored = stored.filter(|field| !root::is_root(field));
        let fields: Vec<Field> = stored.filter_map(|field| self.field(object, field)).collect();
        if fields.len() > FieldSet::MAX_FIELDS {
            self.findings.add(
                object.name.location(),
                format!("type `{}` has {} stored fields", object.name, fields.len()),
                format!("split it: {} are the most", FieldSet::MAX_FIELDS),
            );
            return Vec::new();
        }
        fields
    }

    fn field(&self, object: &ObjectType, field: &Component<FieldDefinition>) -> Option<Field> {
        let at = field.name.location();
        let type_name = field.ty.inner_named_type().as_str();
        if self.schema.get_object(type_name).is_some() {
            self.findings.add(
                at,
                format!("`{}.{}` leads to another type and nothing says how", object.name, field.name),
                "add @byKey(key: [\":parent.…\"]) or @list(…)",
            );
            return None;
        }
        // Of a wrong type the rest is read as if it were text, so that nothing else goes missing.
        let Some(kind) = self.stored_kind(field) else {
            return Some(unknown(field));
        };
        let enumeration = self.schema.get_enum(type_name);
        let values = enumeration.map(|e| e.values.keys().map(ToString::to_string).collect());
        let shape =
            Shape { kind, nullable: !field.ty.is_non_null(), values, number: self.is_number(object, &field.name) };
        let home = self.home(object, field, &shape);
        let compare = self.compare(field, kind, home.as_ref());
        if field.directives.has("stamped") && kind != Kind::Instant {
            self.findings.add(
                place(field, "stamped"),
                format!("`{}` is stamped and no DateTime", field.name),
                "take @stamped out, or make it a DateTime",
            );
        }
        Some(Field {
            kind,
            nullable: shape.nullable,
            home: home.unwrap_or_else(|| unknown(field).home),
            compare,
            sensitive: field.directives.has("sensitive"),
            stamped: field.directives.has("stamped"),
            ..unknown(field)
        })
    }

    fn stored_kind(&self, field: &Component<FieldDefinition>) -> Option<Kind> {
        let at = field.name.location();
        if field.ty.is_list() {
            self.findings.add(
                at,
                format!("`{}` is a list, which no column can hold", field.name),
                "make it a type of its own and link to it with @list",
            );
            return None;
        }
        for argument in &field.arguments {
            self.findings.add(
                argument.name.location(),
                format!("`{}` is a stored field and takes no arguments", field.name),
                format!("take `{}` out", argument.name),
            );
        }
        let name = field.ty.inner_named_type().as_str();
        let kind = self.kind(name);
        if name == "Float" {
            self.findings.add(
                at,
                format!("`{}` is a Float, which cannot hold prices exactly", field.name),
                "make it a Decimal",
            );
        }
        kind
    }

    fn home(&self, object: &ObjectType, field: &FieldDefinition, shape: &Shape) -> Option<PerSide<Home>> {
        let Some(home) = directive(field, "home") else {
            self.findings.add(
                field.name.location(),
                format!("field `{}.{}` has no home", object.name, field.name),
                "add @home(legacy: {column: …, type: …}, modern: {column: …, type: …})",
            );
            return None;
        };
        let legacy = match home.object("legacy") {
            Some(args) => {
                self.refuse_home_of_own_key(object, field);
                Some(self.column(&args, shape))
            }
            None => self.home_of_own_key(object, field).map(Some),
        };
        if legacy.is_none() && !self.is_own(object, &field.name) {
            self.findings.add(
                home.at,
                format!("field `{}.{}` has no home on legacy", object.name, field.name),
                "add legacy: {column: …, type: …}; only a key with @ownKey has none",
            );
        }
        let modern = home.object("modern").map(|args| self.column(&args, shape));
        Some(PerSide { legacy: legacy??, modern: modern?? })
    }

    fn check_columns(&self, object: &ObjectType, fields: &[Field]) {
        for side in Side::BOTH {
            let mut taken: BTreeMap<String, &FieldName> = BTreeMap::new();
            // A key of legacy's own is the column of its number.
            let own = |field: &&Field| side == Side::Legacy && self.is_own(object, field.name.as_str());
            for field in fields.iter().filter(|field| !own(field)) {
                let column = &field.home.get(side).column;
                let Some(first) = taken.insert(folded(column), &field.name) else {
                    continue;
                };
                let definition = object.fields.get(field.name.as_str());
                self.findings.add(
                    definition.and_then(|definition| place(definition, "home")),
                    format!("`{first}` and `{}` share the {side} column `{column}`", field.name),
                    "give each field a column of its own",
                );
            }
        }
    }

    fn ignored(&self, object: &ObjectType, fields: &[Field]) -> Vec<Ignored> {
        let read = object.directives.get_all("ignored").filter_map(|directive| {
            let args = Args::of(directive);
            let (column, reason) = (args.text("column")?, args.text("reason")?);
            if reason.text.trim().is_empty() {
                let what = format!("column `{}` is ignored without a reason", column.text);
                self.findings.add(reason.at, what, "say in one sentence why leaving it out loses nothing");
            }
            let carries = |field: &&Field| folded(&field.home.legacy.column) == folded(column.text);
            if let Some(field) = fields.iter().find(carries) {
                let what = format!("column `{}` is ignored and carried by `{}`", column.text, field.name);
                self.findings.add(column.at, what, "take @ignored out, or the field");
            }
            Some(Ignored { column: column.text.to_owned(), reason: reason.text.to_owned() })
        });
        read.collect()
    }

    fn key<'k>(&self, object: &ObjectType, entity: &Args<'k>, fields: &[Field]) -> Option<Vec<&'k str>> {
        let names = entity.texts("key")?;
        if names.is_empty() {
            self.findings.add(
                entity.place("key"),
                format!("type `{}` has an empty key", object.name),
                "name the fields that tell one from another",
            );
        }
        for (place, name) in names.iter().enumerate() {
            if names[..place].iter().any(|before| before.text == name.text) {
                let what = format!("`{}` stands twice in the key", name.text);
                self.findings.add(name.at, what, "take one out");
            }
            match fields.iter().find(|field| field.name.as_str() == name.text) {
                Some(field) => self.check_key_field(field, name.at),
                // A field that could not be read is no news.
                None if object.fields.contains_key(name.text)
                    && !object.fields.get(name.text).is_some_and(|f| root::is_root(f)) => {}
                None => self.findings.add(
                    name.at,
                    format!("the key names `{}`, which is no stored field of `{}`", name.text, object.name),
                    suggest::or_all(name.text, "", fields.iter().map(|f| f.name.as_str())),
                ),
            }
        }
        Some(names.into_iter().map(|name| name.text).collect())
    }

    fn check_key_field(&self, field: &Field, at: Option<SourceSpan>) {
        let name = &field.name;
        if field.nullable {
            let what = format!("key field `{name}` may be null");
            self.findings.add(at, what, format!("put a `!` behind the type of `{name}`"));
        }
        if !matches!(field.kind, Kind::Text | Kind::Int) {
            self.findings.add(
                at,
                format!("key field `{name}` has several forms for one value"),
                "use fields of type ID, String, Int or an enum as key",
            );
        }
        if field.stamped || field.compare.ignore || field.compare.ignore_case {
            self.findings.add(
                at,
                format!("key field `{name}` is stamped, ignored or compared loosely"),
                "take @stamped or @compare out: a key is the same on both sides",
            );
        }
    }

    /// Stored-field directives have no place on a root or link.
    pub(super) fn refuse_stored_directives(&self, field: &FieldDefinition) {
        for name in STORED.iter().filter(|name| field.directives.has(name)) {
            self.findings.add(
                place(field, name),
                format!("`{}` is read by an operation and cannot have @{name}", field.name),
                format!("take @{name} out; it belongs to stored fields"),
            );
        }
    }
}

/// Stands for a field that could not be read: its mistake is noted, and what uses it has none.
fn unknown(field: &FieldDefinition) -> Field {
    let name = field.name.as_str();
    let home = Home::new(name, ColumnType::Varchar(None));
    Field {
        name: FieldName::from(name),
        kind: Kind::Text,
        nullable: !field.ty.is_non_null(),
        home: PerSide { legacy: home.clone(), modern: home },
        compare: Compare::default(),
        sensitive: false,
        stamped: false,
    }
}

/// SQL folds names that are not quoted.
fn folded(column: &str) -> String {
    if column.starts_with('"') { column.to_owned() } else { column.to_uppercase() }
}

/// Where `directive` stands on `field`, or else the field itself.
pub(super) fn place(field: &FieldDefinition, directive: &str) -> Option<SourceSpan> {
    let found = field.directives.get(directive);
    found.map_or(field.name.location(), Node::location)
}
