//! A field's column on one side: its declared type, and the habits of the side that keeps it.

use std::collections::BTreeSet;

use model::contract::ColumnType;
use model::{Home, Instant, Kind, Value};

use super::directive::{Args, Text};
use super::reader::Reader;
use super::storage::{
    in_quotes, is_identifier, is_reserved, misfit, parse_instant, parse_type, takes_map, unstorable, word,
};
use super::suggest;

/// What a column must hold.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) nullable: bool,
    /// The values of the field's enum, when it has one.
    pub(super) values: Option<Vec<String>>,
    /// It shows the ERP's number: a text that is kept as a number. `own_key` says which columns will do.
    pub(super) number: bool,
}

const TYPES: [&str; 11] = [
    "char(n)",
    "varchar(n)",
    "text",
    "numeric",
    "numeric(p,s)",
    "integer",
    "bigint",
    "boolean",
    "timestamp",
    "timestamptz",
    "date",
];

impl Reader<'_> {
    /// Reads one side of `@home`; `None` when it cannot be used.
    pub(super) fn column(&self, args: &Args<'_>, shape: &Shape) -> Option<Home> {
        let column = args.text("column")?;
        if !is_identifier(column.text) {
            self.findings.add(
                column.at,
                format!("`{}` is no name of a column", column.text),
                "write it as in SQL: letters, digits and underscores, or in quotes",
            );
        }
        if is_reserved(column.text) {
            let what = format!("`{}` is a reserved word, and may mean something else than a column", column.text);
            self.findings.add(column.at, what, in_quotes(column.text));
        }
        let type_text = args.text("type")?;
        let Some((column_type, length_in)) = parse_type(type_text.text) else {
            self.unknown_type(type_text);
            return None;
        };
        let mut home = Home { length_in, ..Home::new(column.text, column_type) };
        self.zone(args, &mut home);
        home.map = self.map(args, shape, &home);
        home.empty_is_null = self.empty_is_null(args, shape, &home);
        home.null_instants = self.null_instants(args, shape, &home);
        self.check_storable(args, type_text, shape, &home);
        Some(home)
    }

    fn unknown_type(&self, text: Text<'_>) {
        let name = text.text.split('(').next().unwrap_or_default();
        let names = TYPES.iter().map(|known| known.split('(').next().unwrap_or(known));
        let remedy = match suggest::nearest(name, names) {
            Some(near) if near != name => format!("did you mean `{near}`?"),
            _ => format!("there are {}", TYPES.join(", ")),
        };
        let what = format!("`{}` is no column type that strangler knows", text.text);
        self.findings.add(text.at, what, remedy);
    }

    fn zone(&self, args: &Args<'_>, home: &mut Home) {
        let local = matches!(home.column_type, ColumnType::Timestamp | ColumnType::TimestampSeconds | ColumnType::Date);
        match args.text("zone") {
            Some(zone) if local => {
                home.zone = model::Zone::named(zone.text);
                if home.zone.is_none() {
                    self.findings.add(
                        zone.at,
                        format!("`{}` is no time zone", zone.text),
                        "name it as the IANA database does, such as Europe/Berlin or UTC",
                    );
                }
            }
            Some(zone) => {
                self.findings.add(zone.at, "a zone on a column that does not keep local time", "take `zone` out")
            }
            None if local => self.findings.add(
                args.at,
                format!("column `{}` keeps local time, and nothing says where", home.column),
                "add zone: \"…\", such as Europe/Berlin",
            ),
            None => {}
        }
    }

    fn map(&self, args: &Args<'_>, shape: &Shape, home: &Home) -> Vec<(Value, String)> {
        if !args.has("map") {
            return Vec::new();
        }
        let at = args.place("map");
        let Some(wanted) = closed_set(shape) else {
            self.findings.add(
                at,
                "a map on a field that is neither Boolean nor an enum",
                "take `map` out, or make the field an enum",
            );
            return Vec::new();
        };
        let (mut values, mut stored) = (BTreeSet::new(), BTreeSet::new());
        let mut map = Vec::new();
        for pair in args.objects("map") {
            let (Some(value), Some(text)) = (pair.text("value"), pair.text("stored")) else {
                continue;
            };
            if !wanted.iter().any(|known| known == value.text) {
                let known = wanted.iter().map(String::as_str);
                let what = format!("`{}` is no value of this field", value.text);
                self.findings.add(value.at, what, suggest::or_all(value.text, "", known));
            } else if !values.insert(value.text) {
                let what = format!("`{}` is mapped twice", value.text);
                self.findings.add(value.at, what, "take one out: the map must be one to one");
            }
            if !stored.insert(text.text) {
                let what = format!("`{}` is stored for two values", text.text);
                let remedy = "store each value differently: the map must be one to one";
                self.findings.add(text.at, what, remedy);
            }
            if let Some(problem) = misfit(text.text, home) {
                let what = format!("`{}` cannot be stored: {problem}", text.text);
                self.findings.add(text.at, what, "store something that fits, or change the type");
            }
            map.push((canonical(value.text, shape.kind), text.text.to_owned()));
        }
        let missing: Vec<_> =
            wanted.iter().filter(|value| !values.contains(value.as_str())).map(|value| format!("`{value}`")).collect();
        if !missing.is_empty() {
            let what = format!("the map lacks {}", missing.join(", "));
            self.findings.add(at, what, "say what is stored for each value");
        }
        map
    }

    fn empty_is_null(&self, args: &Args<'_>, shape: &Shape, home: &Home) -> bool {
        let asked = args.flag("emptyIsNull");
        let text = matches!(home.column_type, ColumnType::Char(_) | ColumnType::Varchar(_));
        if asked && !(text && shape.nullable) {
            self.findings.add(
                args.place("emptyIsNull"),
                "`emptyIsNull` on a field that is not text or never null",
                "take it out, or take the `!` off the field's type",
            );
        }
        asked
    }

    fn null_instants(&self, args: &Args<'_>, shape: &Shape, home: &Home) -> Vec<Instant> {
        let texts = args.texts("nullInstants").unwrap_or_default();
        if !texts.is_empty() && (shape.kind != Kind::Instant || !shape.nullable) {
            self.findings.add(
                args.place("nullInstants"),
                "`nullInstants` on a field that is no DateTime or never null",
                "take it out, or take the `!` off the field's type",
            );
            return Vec::new();
        }
        let parsed = texts.into_iter().filter_map(|text| {
            let instant = parse_instant(text.text, home);
            if instant.is_none() {
                self.findings.add(
                    text.at,
                    format!("`{}` is no time in this column", text.text),
                    "write it as stored, 9999-12-31 or 9999-12-31T00:00:00, or with an offset",
                );
            }
            instant
        });
        parsed.collect()
    }

    fn check_storable(&self, args: &Args<'_>, type_text: Text<'_>, shape: &Shape, home: &Home) {
        if args.has("map") {
            if !takes_map(home.column_type) {
                self.findings.add(
                    type_text.at,
                    format!("a map needs text or whole numbers, not `{}`", type_text.text),
                    "take `map` out, or mend the type",
                );
            }
            return;
        }
        if shape.number {
            return;
        }
        if let Some(remedy) = unstorable(shape.kind, home.column_type) {
            self.findings.add(
                type_text.at,
                format!("{} cannot be kept in `{}`", word(shape.kind), type_text.text),
                remedy,
            );
            return;
        }
        for value in shape.values.iter().flatten() {
            if let Some(problem) = misfit(value, home) {
                let what = format!("`{value}` cannot be stored in `{}`: {problem}", type_text.text);
                let remedy = "widen the column, or say with `map` what is stored";
                self.findings.add(type_text.at, what, remedy);
            }
        }
    }
}

/// Every value of a field that has a closed set of them.
fn closed_set(shape: &Shape) -> Option<Vec<String>> {
    match shape.kind {
        Kind::Bool => Some(vec!["true".to_owned(), "false".to_owned()]),
        Kind::Text => shape.values.clone(),
        Kind::Int | Kind::Decimal | Kind::Instant => None,
    }
}

fn canonical(text: &str, kind: Kind) -> Value {
    match kind {
        Kind::Bool => Value::Bool(text == "true"),
        Kind::Text | Kind::Int | Kind::Decimal | Kind::Instant => Value::text(text),
    }
}
