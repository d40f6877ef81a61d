//! `@ownKey`: types whose key the ERP makes itself. See `model::own_key`.
//!
//! What is not carried yet is refused here, with its place: such a key as part of a larger one, and links that lead
//! to such a type from a stored field, whose value would differ between the sides.

use apollo_compiler::ast::FieldDefinition;
use apollo_compiler::schema::ObjectType;
use model::contract::{ColumnType, ParamSource, Precision, Touch};
use model::{EntityType, Field, FieldIndex, Home, Kind, OwnKey, OwnNumber, Side};

use super::directive::Args;
use super::entity::place;
use super::reader::{Reader, directive};
use super::source::Scope;
use super::storage;

/// The longest canonical key: what the ID map has room for.
const LONGEST_KEY: u32 = 200;

impl Reader<'_> {
    /// Reads `@ownKey` of a type with these fields and key; `None` without one, or when it cannot be used.
    pub(super) fn own_key(&self, object: &ObjectType, fields: &[Field], key: &[&str]) -> Option<OwnKey> {
        let args = Args::of(object.directives.get("ownKey")?);
        let named = |name: &str| fields.iter().position(|field| field.name.as_str() == name);
        let one_text = matches!(key, [one] if named(one).is_none_or(|at| fields[at].kind == Kind::Text));
        if !one_text {
            self.findings.add(
                args.at,
                format!("type `{}` has @ownKey and a key that is not one text", object.name),
                "make its key one field of type ID; an own key as part of a larger one is not supported",
            );
            return None;
        }
        let (number, sequence) = (args.text("number")?, args.text("sequence")?);
        let parts: Vec<_> = sequence.text.split('.').collect();
        if parts.len() > 2 || !parts.iter().all(|part| storage::is_identifier(part)) {
            self.findings.add(
                sequence.at,
                format!("`{}` is no name of a sequence", sequence.text),
                "write `SEQUENCE` or `schema.SEQUENCE`, with letters, digits and underscores",
            );
        }
        let Some(at) = named(number.text) else {
            let what = format!("@ownKey names `{}`, which is no stored field of `{}`", number.text, object.name);
            self.findings.add(number.at, what, "name the field that shows the ERP's number");
            return None;
        };
        let field = &fields[at];
        let plain = field.kind == Kind::Text && field.nullable && !field.compare.ignore && !field.sensitive;
        let kept = digits(&field.home.legacy).zip(digits(&field.home.modern));
        let kept = kept.is_some_and(|(legacy, modern)| legacy <= OwnNumber::MAX_DIGITS && legacy <= modern);
        if key.contains(&number.text) || !plain || !kept {
            let digits = OwnNumber::MAX_DIGITS;
            self.findings.add(
                number.at,
                format!("`{}` cannot show the ERP's number", number.text),
                format!(
                    "make it a plain field of type ID that may be null and is no key, kept as numeric({digits}) or \
                     fewer digits, and on modern with as many or more"
                ),
            );
            return None;
        }
        Some(OwnKey { number: FieldIndex::new(at), sequence: sequence.text.to_owned() })
    }

    /// Whether legacy keeps a number in place of this field.
    pub(super) fn is_own(&self, object: &ObjectType, field: &str) -> bool {
        let key = object.directives.get("entity").and_then(|entity| Args::of(entity).texts("key"));
        object.directives.has("ownKey") && key.is_some_and(|key| key.iter().any(|name| name.text == field))
    }

    /// Whether this field shows the number that the ERP makes.
    pub(super) fn is_number(&self, object: &ObjectType, field: &str) -> bool {
        let own = object.directives.get("ownKey");
        own.and_then(|own| Args::of(own).text("number")).is_some_and(|number| number.text == field)
    }

    /// The home on legacy of a key that is its own there: the column of the number, read as text.
    pub(super) fn home_of_own_key(&self, object: &ObjectType, field: &FieldDefinition) -> Option<Home> {
        let args = Args::of(object.directives.get("ownKey")?);
        let number = object.fields.get(args.text("number")?.text)?;
        let column = directive(number, "home")?.object("legacy")?.text("column")?.text;
        self.is_own(object, &field.name).then(|| Home::new(column, ColumnType::Varchar(Some(LONGEST_KEY))))
    }

    pub(super) fn refuse_home_of_own_key(&self, object: &ObjectType, field: &FieldDefinition) {
        if self.is_own(object, &field.name) {
            self.findings.add(
                place(field, "home"),
                format!("`{}.{}` has a home on legacy and is an own key", object.name, field.name),
                "take `legacy` out: the number takes its place there",
            );
        }
    }

    /// The names that `touches` gives to numbers, one slot per touch.
    pub(super) fn number_names(&self, scope: Scope<'_>, args: &Args<'_>, touches: &[Touch]) -> Vec<Option<String>> {
        let mut names: Vec<Option<String>> = Vec::new();
        for (listed, touch) in args.objects("touches").iter().zip(touches) {
            let own = touch.entity.own_key(Side::Legacy).is_some();
            let added = touch.key.iter().any(|source| matches!(source, ParamSource::WriteId { .. }));
            let name = listed.text("number");
            match name {
                None if own && added => self.findings.add(
                    listed.at,
                    format!("a `{}` is added, and nothing says what its number is called", touch.entity.name),
                    "add number: \"…\" and use it as :… in the statements of legacy that insert the row",
                ),
                Some(name) if !own => self.findings.add(
                    name.at,
                    format!("`{}` has no numbers", touch.entity.name),
                    "take `number` out, or give the type an @ownKey",
                ),
                Some(name) => {
                    let taken = scope.field.argument_by_name(name.text).is_some()
                        || names.iter().flatten().any(|known| known == name.text);
                    if !storage::is_identifier(name.text) || taken || matches!(name.text, "write_id" | "parent") {
                        self.findings.add(
                            name.at,
                            format!("`{}` is no free name for a number", name.text),
                            "use letters, digits and underscores, and no name that an argument has",
                        );
                    }
                }
                None => {}
            }
            names.push(name.map(|name| name.text.to_owned()));
        }
        names
    }

    /// Whether every number that is named is used on legacy: a row without it would have another key.
    pub(super) fn check_numbers_used(&self, args: &Args<'_>, names: &[Option<String>], used: &[&str]) {
        for (listed, name) in args.objects("touches").iter().zip(names) {
            if let Some(name) = name
                && !used.contains(&name.as_str())
            {
                self.findings.add(
                    listed.place("number"),
                    format!("no statement of legacy uses the number `:{name}`"),
                    "write it into the key's column where the row is inserted, or look the row up by it",
                );
            }
        }
    }

    /// A link from a stored field would need the other side's key in that field, too.
    pub(super) fn refuse_link_by_own_key(
        &self,
        scope: Scope<'_>,
        args: &Args<'_>,
        to: &EntityType,
        key: &[ParamSource],
    ) {
        let from_itself = scope.parent.is_some_and(|parent| parent.name == to.name);
        let by_field = key.iter().any(|source| matches!(source, ParamSource::Parent(_)));
        if to.number_field().is_some() && by_field && !from_itself {
            self.findings.add(
                args.at,
                format!("`{}` leads to `{}`, whose key differs between the sides", scope.field.name, to.name),
                "a stored field that names such a type is not supported yet: link with @list and SQL of each side",
            );
        }
    }

    /// A rehearsal is undone, and the sequence is not: it would use up numbers, and rows of modern have none at first.
    pub(super) fn refuse_replay_of_own_keys(&self, args: &Args<'_>, touches: &[Touch]) {
        if let Some(touch) = touches.iter().find(|touch| touch.entity.number_field().is_some()) {
            self.findings.add(
                args.place("dualWrite"),
                format!("a write of `{}`, whose key the ERP makes, cannot be rehearsed", touch.entity.name),
                "take `dualWrite: replay` out",
            );
        }
    }

    /// Nobody but the ERP makes numbers.
    pub(super) fn refuse_set_number(&self, args: &Args<'_>, entity: &EntityType, index: FieldIndex) {
        if entity.number_field() == Some(index) {
            let field = &entity.field(index).name;
            self.findings.add(
                args.place("values"),
                format!("`{field}` is the ERP's number, and cannot be set"),
                format!("take `{field}` out of what is set"),
            );
        }
    }
}

/// How many digits the column has room for; `None` when it does not hold whole numbers alone.
fn digits(home: &Home) -> Option<u32> {
    let digits = match home.column_type {
        ColumnType::Numeric(Some(Precision { digits, scale: 0 })) => Some(digits),
        ColumnType::Numeric(None) => Some(u32::MAX),
        // The first digit of the largest is not free, and on both sides in the same way.
        ColumnType::Integer => Some(10),
        ColumnType::BigInt => Some(19),
        ColumnType::Numeric(Some(_))
        | ColumnType::Char(_)
        | ColumnType::Varchar(_)
        | ColumnType::Boolean
        | ColumnType::Timestamp
        | ColumnType::TimestampSeconds
        | ColumnType::TimestampTz
        | ColumnType::Date => None,
    };
    digits.filter(|_| home.map.is_empty())
}
