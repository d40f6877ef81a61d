//! Walks over the types of a contract: entity types first, then roots and links.

use std::sync::Arc;

use apollo_compiler::Schema;
use apollo_compiler::ast::{FieldDefinition, OperationType, Type};
use apollo_compiler::schema::{ExtendedType, ObjectType};
use indexmap::IndexMap;
use model::{Contract, EntityName, EntityType, Kind};

use super::directive::Args;
use super::errors::Findings;
use super::suggest;

/// The schema at hand and what was found wrong with it.
pub(super) struct Reader<'a> {
    pub(super) schema: &'a Schema,
    pub(super) findings: &'a Findings,
}

/// Entity types that were read so far, by name.
pub(super) type Entities = IndexMap<EntityName, Arc<EntityType>>;

/// What a type of the file is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A root operation type.
    Root(OperationType),
    /// Anything else; should be an entity.
    Object,
}

impl<'a> Reader<'a> {
    pub(super) fn new(schema: &'a Schema, findings: &'a Findings) -> Self {
        Self { schema, findings }
    }

    /// Reads everything. What is returned is worth something only when nothing was found wrong.
    pub(super) fn contract(&self) -> Contract {
        let mut contract = Contract::default();
        for (name, definition) in &self.schema.types {
            if definition.is_built_in() {
                continue;
            }
            match definition {
                ExtendedType::Object(object) => self.object(object, &mut contract.entities),
                ExtendedType::Interface(_) | ExtendedType::Union(_) => self.findings.add(
                    definition.name().location(),
                    format!("`{name}` is an interface or union, which a contract cannot hold yet"),
                    "write the fields out in each type, and take it out",
                ),
                ExtendedType::Scalar(_) => self.scalar(name),
                ExtendedType::Enum(_) | ExtendedType::InputObject(_) => {}
            }
        }
        for definition in self.schema.types.values() {
            let Some(object) = definition.as_object().filter(|_| !definition.is_built_in()) else {
                continue;
            };
            for root in self.roots(object, &contract.entities) {
                contract.roots.insert(root.route.clone(), Arc::new(root));
            }
        }
        for saga in self.sagas(&contract.roots) {
            contract.roots.insert(saga.route.clone(), Arc::new(saga));
        }
        contract
    }

    fn object(&self, object: &ObjectType, entities: &mut Entities) {
        match self.purpose(object) {
            Purpose::Root(OperationType::Query | OperationType::Mutation) => {}
            Purpose::Root(OperationType::Subscription) => self.findings.add(
                object.name.location(),
                "subscriptions are not supported yet",
                "take this type out; clients can ask again instead",
            ),
            Purpose::Object => {
                if let Some(entity) = self.entity(object) {
                    entities.insert(entity.name.clone(), Arc::new(entity));
                }
            }
        }
    }

    fn scalar(&self, name: &str) {
        if !matches!(name, "Decimal" | "DateTime" | "Long") {
            let known = ["Decimal", "DateTime", "Long", "String"].into_iter();
            let at = self.schema.types.get(name);
            self.findings.add(
                at.and_then(|definition| definition.name().location()),
                format!("`{name}` is a scalar that strangler does not know"),
                suggest::or_all(name, "", known),
            );
        }
    }

    pub(super) fn purpose(&self, object: &ObjectType) -> Purpose {
        let operations = [OperationType::Query, OperationType::Mutation, OperationType::Subscription];
        let is_root = |operation: &OperationType| self.schema.root_operation(*operation) == Some(&object.name);
        operations.into_iter().find(is_root).map_or(Purpose::Object, Purpose::Root)
    }

    /// What a value of the GraphQL type `name` is to us; `None` when it is no single value.
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        match name {
            "ID" | "String" => Some(Kind::Text),
            "Int" | "Long" => Some(Kind::Int),
            "Boolean" => Some(Kind::Bool),
            "Decimal" => Some(Kind::Decimal),
            "DateTime" => Some(Kind::Instant),
            _ => self.schema.get_enum(name).map(|_| Kind::Text),
        }
    }

    /// The GraphQL type of a stored field.
    pub(super) fn type_of(&self, entity: &EntityType, field: &str) -> Option<&'a Type> {
        let object = self.schema.get_object(entity.name.as_str())?;
        object.fields.get(field).map(|definition| &definition.ty)
    }

    /// Whether a value of type `given` can be put where `wanted` is kept: the same kind, and the
    /// same enum if either is one.
    pub(super) fn fits(&self, given: &str, wanted: &str) -> bool {
        let is_enum = |name| self.schema.get_enum(name).is_some();
        let same_enum = given == wanted || !(is_enum(given) || is_enum(wanted));
        same_enum && self.kind(given).is_some() && self.kind(given) == self.kind(wanted)
    }

    /// The entity type called `name`, or a mistake.
    pub(super) fn known_entity(
        &self,
        entities: &Entities,
        name: super::directive::Text<'_>,
    ) -> Option<Arc<EntityType>> {
        let found = entities.get(&EntityName::from(name.text));
        if found.is_none() && self.schema.get_object(name.text).is_none() {
            let known = entities.keys().map(EntityName::as_str);
            self.findings.add(
                name.at,
                format!("there is no entity type `{}`", name.text),
                suggest::or_all(name.text, "", known),
            );
        }
        found.cloned()
    }
}

/// The arguments of the directive `name` on `field`.
pub(super) fn directive<'f>(field: &'f FieldDefinition, name: &str) -> Option<Args<'f>> {
    field.directives.get(name).map(Args::of)
}
