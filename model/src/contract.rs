//! The contract, read from `schema.graphql`: entity types with a home on each side, and roots.
//!
//! Pure data. The text is parsed and checked in `proxy::contract`; what stands here is already
//! consistent (fields exist, keys are known, SQL has its parameters).

mod fields;
mod ignored;
mod saga;
mod trial;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use indexmap::{IndexMap, IndexSet};

pub use self::fields::{FieldIndex, FieldSet};
pub use self::ignored::{Ignored, names};
pub use self::saga::{SagaCall, SagaPlan, SagaSource, SagaStep};
pub use self::trial::{Trial, TrialOf, Wrong, sample, trials};
pub use crate::home::{ColumnType, Home, LengthUnit, Precision};
use crate::name::{EntityName, FieldName, GroupName, RouteName};
use crate::own_key::OwnKey;
use crate::side::{PerSide, Side};
use crate::sql::NamedSql;
use crate::value::Kind;

/// Everything that `schema.graphql` says about homes, groups and operations.
#[derive(Debug, Clone, Default)]
pub struct Contract {
    /// Entity types by name, in the order of the file.
    pub entities: IndexMap<EntityName, Arc<EntityType>>,
    /// Root fields and links, by route name, in the order of the file.
    pub roots: IndexMap<RouteName, Arc<Root>>,
}

impl Contract {
    /// The entity type `name`.
    pub fn entity(&self, name: &EntityName) -> Option<&Arc<EntityType>> {
        self.entities.get(name)
    }

    /// The root or link behind `route`.
    pub fn root(&self, route: &RouteName) -> Option<&Arc<Root>> {
        self.roots.get(route)
    }

    /// All groups, in the order in which the file first names them.
    pub fn groups(&self) -> Vec<GroupName> {
        let named = self.entities.values().map(|e| &e.group).chain(self.roots.values().map(|r| &r.group));
        named.collect::<IndexSet<_>>().into_iter().cloned().collect()
    }
}

/// A GraphQL object type that is stored on both sides.
#[derive(Debug, Clone)]
pub struct EntityType {
    /// The type's name in GraphQL.
    pub name: EntityName,
    /// The group it moves with.
    pub group: GroupName,
    /// Its table on each side, schema-qualified if needed, written as in SQL.
    pub table: PerSide<String>,
    /// Its stored fields, in the order of the file. Links are roots, not fields.
    pub fields: Vec<Field>,
    /// Columns that no field carries, on purpose.
    pub ignored: Vec<Ignored>,
    key: Vec<FieldIndex>,
    by_name: BTreeMap<FieldName, FieldIndex>,
    own_key: Option<OwnKey>,
}

impl EntityType {
    /// Puts a type together. `key` names the key fields in order.
    ///
    /// Returns `None` when the key is empty or names a field that does not exist.
    pub fn new(
        name: EntityName,
        group: GroupName,
        table: PerSide<String>,
        fields: Vec<Field>,
        key: &[&str],
    ) -> Option<Self> {
        let by_name: BTreeMap<_, _> =
            fields.iter().enumerate().map(|(index, field)| (field.name.clone(), FieldIndex::new(index))).collect();
        let key: Option<Vec<_>> = key.iter().map(|name| by_name.get(&FieldName::from(*name)).copied()).collect();
        let key = key.filter(|key| !key.is_empty())?;
        Some(Self { name, group, table, fields, ignored: Vec::new(), key, by_name, own_key: None })
    }

    /// The same type, with a key that the ERP makes itself. The key is one text field, whose home on legacy names
    /// the column of `own_key.number` as text: what is read from there is the canonical key.
    #[must_use]
    pub fn with_own_key(self, own_key: OwnKey) -> Self {
        Self { own_key: Some(own_key), ..self }
    }

    /// How the key differs on `side`; `None` where the canonical key itself is stored.
    pub fn own_key(&self, side: Side) -> Option<&OwnKey> {
        match side {
            Side::Legacy => self.own_key.as_ref(),
            Side::Modern => None,
        }
    }

    /// The field that shows the number of the ERP, if the key is the ERP's own.
    pub fn number_field(&self) -> Option<FieldIndex> {
        self.own_key.as_ref().map(|own| own.number)
    }

    /// The key fields in order. Never empty.
    pub fn key(&self) -> &[FieldIndex] {
        &self.key
    }

    /// The place of the field called `name`.
    pub fn index(&self, name: &str) -> Option<FieldIndex> {
        self.by_name.get(&FieldName::from(name)).copied()
    }

    /// The field at `index`.
    pub fn field(&self, index: FieldIndex) -> &Field {
        &self.fields[index.get()]
    }

    /// Every field.
    pub fn all_fields(&self) -> FieldSet {
        (0..self.fields.len()).map(FieldIndex::new).collect()
    }

    /// The key fields as a set.
    pub fn key_fields(&self) -> FieldSet {
        self.key.iter().copied().collect()
    }
}

/// A stored field of an entity type.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in GraphQL.
    pub name: FieldName,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// Its column on each side.
    pub home: PerSide<Home>,
    /// How two answers for it are compared, and how many digits clients see.
    pub compare: Compare,
    /// Personal or secret: stored in evidence only as a keyed hash.
    pub sensitive: bool,
    /// Set to the time of the write by whole-entity set.
    pub stamped: bool,
}

/// How two answers for a field are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compare {
    /// Digits after the point: what clients see, and to what both sides are compared.
    pub scale: Option<u32>,
    /// Upper and lower case count as equal.
    pub ignore_case: bool,
    /// Instants are cut to whole seconds before they are compared.
    pub to_seconds: bool,
    /// The field is never compared. It shows as not covered.
    pub ignore: bool,
    /// A known difference that does not count until its end date.
    pub excused: Option<Excuse>,
}

/// A declared known difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excuse {
    /// Why the sides differ.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day on which it is excused.
    pub until: NaiveDate,
}

/// A root field, or a link from one entity type to another.
#[derive(Debug, Clone)]
pub struct Root {
    /// `Query.stockLevel`, `Mutation.adjustStock`, or for a link `StockLevel.product`.
    pub route: RouteName,
    /// The group it moves with.
    pub group: GroupName,
    /// What it returns: the entity type of its answer.
    pub entity: Arc<EntityType>,
    /// What it does.
    pub kind: RootKind,
}

/// What a root does.
#[derive(Debug, Clone)]
pub enum RootKind {
    /// Reads one entity; null when there is none.
    ByKey {
        /// Where each key part comes from, in the order of the key.
        key: Vec<ParamSource>,
    },
    /// Reads several entities; one slot per key, null where there is none.
    ByKeys {
        /// The list argument. Of scalars for a key of one field, else of input objects whose fields
        /// are named like the key's.
        argument: String,
    },
    /// Reads a list with SQL of each side.
    List {
        /// The query on each side. Has a `{columns}` mark.
        sql: PerSide<NamedSql>,
        /// Where each named parameter comes from.
        params: Vec<Param>,
        /// Whether the order of the list is part of the answer. If not, lists compare by key.
        ordered: bool,
    },
    /// Changes entities.
    Write(WriteAction),
}

/// A named parameter of a root's SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name in the SQL text, without colon.
    pub name: String,
    /// Where its value comes from.
    pub source: ParamSource,
    /// What it holds.
    pub kind: Kind,
    /// Whether it is a list of that kind.
    pub list: bool,
}

/// Where a value comes from when a root runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamSource {
    /// An argument, by its path: `["sku"]`, `["input", "sku"]`.
    Argument(Vec<String>),
    /// A field of the object on which the link stands.
    Parent(FieldIndex),
    /// The write id of this write, as text; the key of rows that a write adds.
    WriteId {
        /// Text put behind the id, to tell two rows of one write apart. May be empty.
        suffix: String,
    },
    /// The ERP's number of a touched entity whose key is the ERP's own; null when it has none.
    Number {
        /// Its place in [`WriteAction::touches`].
        touch: usize,
    },
}

/// How a mutation changes entities.
#[derive(Debug, Clone)]
pub struct WriteAction {
    /// What it runs.
    pub work: WriteWork,
    /// Every entity it may change, in order. Never empty.
    pub touches: Vec<Touch>,
    /// What the client is given.
    pub answer: WriteAnswer,
    /// What happens on the secondary besides the state that it is given.
    pub dual_write: DualWrite,
}

/// What a dual-written mutation does on the secondary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DualWrite {
    /// Applies the state that the primary's operation has left.
    #[default]
    State,
    /// The same, and before that rehearses the secondary's own operation: would it have left that state?
    Replay,
}

/// What a mutation runs on the primary.
#[derive(Debug, Clone)]
pub enum WriteWork {
    /// SQL of the side that is primary, in order, in one transaction.
    Statements {
        /// The statements of each side.
        sql: PerSide<Vec<Statement>>,
        /// Where each named parameter comes from.
        params: Vec<Param>,
    },
    /// Sets the given fields of one entity, which is made when it is missing.
    Set {
        /// Field and where its value comes from. A field whose argument is left out keeps its value.
        fields: Vec<(FieldIndex, ParamSource)>,
    },
    /// Deletes one entity; refused as `NOT_FOUND` when it is missing.
    Delete,
    /// Runs other mutations, one after the other. The action's touches and answer are those of the step that
    /// answers, and speak of that step's arguments.
    Saga(Arc<SagaPlan>),
}

/// One SQL statement of a mutation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Statement {
    /// Its text.
    pub sql: NamedSql,
    /// The mutation is refused when the statement touches (or, for a query, returns) no row.
    pub refuse: Option<Refusal>,
}

/// A business refusal that the contract declares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Stable code for clients, such as `INSUFFICIENT_STOCK`.
    pub code: String,
    /// One sentence for people.
    pub message: String,
}

/// An entity that a mutation may change.
#[derive(Debug, Clone)]
pub struct Touch {
    /// Its type.
    pub entity: Arc<EntityType>,
    /// Where each key part comes from.
    pub key: Vec<ParamSource>,
}

/// What a mutation answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteAnswer {
    /// The state of one touched entity, by its place in [`WriteAction::touches`].
    One(usize),
    /// The states of several touched entities, in order.
    Many(Vec<usize>),
    /// `true`.
    Done,
}
