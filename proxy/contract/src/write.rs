//! Mutations: `@write` (SQL of each side), `@set` (whole entity), `@delete`.

use std::sync::Arc;

use apollo_compiler::ast::Type;
use model::contract::{DualWrite, ParamSource, Statement, Touch, WriteAction, WriteAnswer, WriteWork};
use model::{EntityType, FieldIndex, RootKind, Side};

use super::changed::{changed_tables, same_table};
use super::directive::Args;
use super::reader::{Entities, Reader};
use super::root::Operation;
use super::source::Scope;
use super::suggest;

impl Reader<'_> {
    pub(super) fn write(&self, scope: Scope<'_>, args: &Args<'_>, entities: &Entities) -> Option<Operation> {
        let touches = self.touches(scope, args, entities);
        let numbers = self.number_names(scope, args, touches.as_deref().unwrap_or_default());
        let statements = self.statements(Scope { numbers: &numbers, ..scope }, args);
        let touches = touches?;
        let (entity, answer) = self.write_answer(scope, &touches, entities)?;
        let statements = statements?;
        for side in Side::BOTH {
            self.check_changed(args, side, statements.sql.get(side), &touches, entities);
        }
        let used = statements.sql.legacy.iter().flat_map(|statement| statement.sql.params());
        self.check_numbers_used(args, &numbers, &used.collect::<Vec<_>>());
        let action = WriteAction {
            work: WriteWork::Statements { sql: statements.sql, params: statements.params },
            dual_write: self.dual_write(args, &touches),
            touches,
            answer,
        };
        Some((entity, RootKind::Write(action)))
    }

    fn touches(&self, scope: Scope<'_>, args: &Args<'_>, entities: &Entities) -> Option<Vec<Touch>> {
        let listed = args.objects("touches");
        if listed.is_empty() {
            self.findings.add(
                args.place("touches"),
                format!("`{}` touches nothing", scope.field.name),
                "name every entity that it may change: {type: …, key: […]}",
            );
            return None;
        }
        let touch = |touch: &Args<'_>| {
            let entity = self.known_entity(entities, touch.text("type")?)?;
            let key = self.key_sources(scope, &entity, touch.texts("key"), touch.place("key"))?;
            Some(Touch { entity, key })
        };
        let touches: Vec<Option<Touch>> = listed.iter().map(touch).collect();
        let touches: Vec<Touch> = touches.into_iter().collect::<Option<_>>()?;
        self.check_one_group(&listed, &touches);
        for (place, touch) in touches.iter().enumerate() {
            let same = |other: &Touch| other.entity.name == touch.entity.name && other.key == touch.key;
            if touches[..place].iter().any(same) {
                self.findings.add(
                    listed[place].at,
                    format!("the same `{}` is touched twice", touch.entity.name),
                    "name it once; use `:write_id.suffix` to tell added rows apart",
                );
            }
        }
        Some(touches)
    }

    /// A statement that names a table of the contract as the one it changes must touch its type: what it leaves there
    /// would reach no ledger, and so not the other side.
    fn check_changed(
        &self,
        args: &Args<'_>,
        side: Side,
        statements: &[Statement],
        touches: &[Touch],
        entities: &Entities,
    ) {
        for table in statements.iter().flat_map(|statement| changed_tables(&statement.sql)) {
            let of_table = |entity: &&Arc<EntityType>| same_table(entity.table.get(side), &table);
            let touched = touches.iter().any(|touch| of_table(&&touch.entity));
            if let Some(entity) = entities.values().find(of_table).filter(|_| !touched) {
                self.findings.add(
                    args.place(side.as_str()),
                    format!("a {side} statement changes {table}, and `{}` is not in `touches`", entity.name),
                    "name every entity that it may change: what is not touched does not reach the other side",
                );
            }
        }
    }

    fn check_one_group(&self, listed: &[Args<'_>], touches: &[Touch]) {
        let Some(first) = touches.first() else {
            return;
        };
        for (touch, args) in touches.iter().zip(listed) {
            if touch.entity.group != first.entity.group {
                self.findings.add(
                    args.at,
                    format!(
                        "`{}` moves with group `{}`, and `{}` with `{}`",
                        touch.entity.name, touch.entity.group, first.entity.name, first.entity.group
                    ),
                    "a transaction runs on one side: put the types into one group, or split the mutation",
                );
            }
        }
    }

    fn write_answer(
        &self,
        scope: Scope<'_>,
        touches: &[Touch],
        entities: &Entities,
    ) -> Option<(Arc<EntityType>, WriteAnswer)> {
        if is_done(&scope.field.ty) {
            return Some((touches.first()?.entity.clone(), WriteAnswer::Done));
        }
        let entity = self.answer(scope, entities, |ty| {
            let many = matches!(ty, Type::NonNullList(i) if matches!(**i, Type::NonNullNamed(_)));
            let one = matches!(ty, Type::NonNullNamed(_));
            (one || many).then_some(()).ok_or("Entity!, [Entity!]! or Boolean!")
        })?;
        let places: Vec<usize> =
            (0..touches.len()).filter(|place| touches[*place].entity.name == entity.name).collect();
        let Some(first) = places.first().copied() else {
            self.findings.add(
                scope.field.ty.inner_named_type().location(),
                format!("`{}` answers with `{}` and touches none", scope.field.name, entity.name),
                "answer with a type that it touches, or add it to `touches`",
            );
            return None;
        };
        if scope.field.ty.is_list() {
            return Some((entity, WriteAnswer::Many(places)));
        }
        Some((entity, WriteAnswer::One(first)))
    }

    pub(super) fn set(&self, scope: Scope<'_>, args: &Args<'_>, entities: &Entities) -> Option<Operation> {
        let entity =
            self.answer(scope, entities, |ty| matches!(ty, Type::NonNullNamed(_)).then_some(()).ok_or("Entity!"))?;
        let fields = self.set_fields(scope, args, &entity)?;
        let key: Vec<Option<ParamSource>> = entity
            .key()
            .iter()
            .map(|index| {
                let found = fields.iter().find(|(field, _)| field == index);
                if found.is_none() {
                    self.findings.add(
                        args.at,
                        format!("key field `{}` is not given", entity.field(*index).name),
                        "add it to the values; its type needs a `!`",
                    );
                }
                found.map(|(_, source)| source.clone())
            })
            .collect();
        let touches = vec![Touch { entity: entity.clone(), key: key.into_iter().collect::<Option<_>>()? }];
        let action = WriteAction {
            dual_write: self.dual_write(args, &touches),
            touches,
            work: WriteWork::Set { fields },
            answer: WriteAnswer::One(0),
        };
        Some((entity, RootKind::Write(action)))
    }

    /// Every value is put into the field of the same name.
    fn set_fields(
        &self,
        scope: Scope<'_>,
        args: &Args<'_>,
        entity: &EntityType,
    ) -> Option<Vec<(FieldIndex, ParamSource)>> {
        let paths: Vec<(String, String)> = match args.text("values") {
            None => {
                let names = scope.field.arguments.iter().map(|a| a.name.to_string());
                names.map(|name| (name.clone(), name)).collect()
            }
            Some(values) => {
                let argument = values.text.strip_prefix(':').unwrap_or(values.text);
                let definition = scope.field.argument_by_name(argument);
                let input = definition
                    .filter(|definition| definition.ty.is_named() && definition.ty.is_non_null())
                    .and_then(|definition| self.schema.get_input_object(definition.ty.inner_named_type()));
                let Some(input) = input.filter(|_| values.text.starts_with(':')) else {
                    self.findings.add(
                        values.at,
                        format!("`{}` is no argument with a required input object", values.text),
                        "write values: \":argument\", with an argument of type SomeInput!",
                    );
                    return None;
                };
                let names = input.fields.keys();
                names.map(|name| (name.to_string(), format!("{argument}.{name}"))).collect()
            }
        };
        let place = args.place("values");
        let mut fields = Vec::new();
        for (name, path) in paths {
            let Some(index) = entity.index(&name) else {
                let known = entity.fields.iter().map(|field| field.name.as_str());
                self.findings.add(
                    place,
                    format!("`:{path}` sets `{name}`, which is no stored field of `{}`", entity.name),
                    suggest::or_all(&name, "", known),
                );
                continue;
            };
            self.refuse_set_number(args, entity, index);
            if let Some(source) = self.set_source(scope, entity, index, (&path, place)) {
                fields.push((index, source));
            }
        }
        Some(fields)
    }

    fn set_source(
        &self,
        scope: Scope<'_>,
        entity: &EntityType,
        index: FieldIndex,
        (path, at): (&str, Option<apollo_compiler::parser::SourceSpan>),
    ) -> Option<ParamSource> {
        let name = &entity.field(index).name;
        let found = self.source_at(scope, path, at)?;
        let wanted = self.type_of(entity, name.as_str())?.inner_named_type();
        self.check_value(&found, (path, at), wanted, &format!("field `{name}`"))?;
        if entity.key().contains(&index) && !found.required {
            self.findings.add(
                at,
                format!("`:{path}` may be null, and key field `{name}` may not"),
                "put a `!` behind its type",
            );
        }
        Some(found.source)
    }

    pub(super) fn delete(&self, scope: Scope<'_>, args: &Args<'_>, entities: &Entities) -> Option<Operation> {
        if !is_done(&scope.field.ty) {
            self.findings.add(
                scope.field.ty.inner_named_type().location(),
                format!("`{}` deletes, so there is nothing to answer with", scope.field.name),
                "make it of type Boolean!",
            );
        }
        let entity = self.known_entity(entities, args.text("type")?)?;
        let key = self.key_sources(scope, &entity, args.texts("key"), args.place("key"))?;
        let touches = vec![Touch { entity: entity.clone(), key }];
        let action = WriteAction {
            work: WriteWork::Delete,
            dual_write: self.dual_write(args, &touches),
            touches,
            answer: WriteAnswer::Done,
        };
        Some((entity, RootKind::Write(action)))
    }

    fn dual_write(&self, args: &Args<'_>, touches: &[Touch]) -> DualWrite {
        match args.word("dualWrite") {
            Some("replay") => {
                self.refuse_replay_of_own_keys(args, touches);
                DualWrite::Replay
            }
            // Another word the compiler has reported.
            Some(_) | None => DualWrite::State,
        }
    }
}

fn is_done(ty: &Type) -> bool {
    matches!(ty, Type::NonNullNamed(name) if name == "Boolean")
}
