//! SQL of an operation: cut at its parameters, each of which must have a source.

use model::contract::{Param, Refusal, Statement};
use model::sql::NamedSql;
use model::{PerSide, Side};

use super::directive::{Args, Text};
use super::reader::Reader;
use super::source::Scope;

impl Reader<'_> {
    /// The two queries of `@list`.
    pub(super) fn queries(&self, scope: Scope<'_>, args: &Args<'_>) -> Option<Queries> {
        let mut params = Vec::new();
        let mut of = |side: Side| {
            let text = args.text(side.as_str())?;
            let sql = self.sql(scope, text, &mut params)?;
            let marks = text.text.matches("{columns}").count();
            if !sql.names_columns() || marks != 1 {
                self.findings.add(
                    text.at,
                    format!("the {side} query has `{{columns}}` {marks} times"),
                    "write SELECT {columns} FROM …: strangler puts the columns there",
                );
            }
            let first = text.text.split_whitespace().next().unwrap_or_default();
            if !["select", "with"].contains(&first.to_ascii_lowercase().as_str()) {
                self.findings.add(
                    text.at,
                    format!("the {side} query does not begin with SELECT"),
                    "a list is read; use @write on a mutation to change anything",
                );
            }
            Some(sql)
        };
        let (legacy, modern) = (of(Side::Legacy), of(Side::Modern));
        let sql = PerSide { legacy: legacy?, modern: modern? };
        Some(Queries { sql, params })
    }

    /// The statements of `@write`, of both sides.
    pub(super) fn statements(&self, scope: Scope<'_>, args: &Args<'_>) -> Option<Statements> {
        let mut params = Vec::new();
        let mut of = |side: Side| {
            // Numbers are the ERP's.
            let scope = match side {
                Side::Legacy => scope,
                Side::Modern => Scope { numbers: &[], ..scope },
            };
            let statements = args.objects(side.as_str());
            if statements.is_empty() {
                self.findings.add(
                    args.place(side.as_str()),
                    format!("{side} has no statements"),
                    "write what it runs when it is primary",
                );
            }
            let statements: Vec<Option<Statement>> =
                statements.iter().map(|statement| self.statement(scope, statement, &mut params)).collect();
            statements.into_iter().collect::<Option<Vec<_>>>()
        };
        let (legacy, modern) = (of(Side::Legacy), of(Side::Modern));
        let sql = PerSide { legacy: legacy?, modern: modern? };
        Some(Statements { sql, params })
    }

    fn statement(&self, scope: Scope<'_>, args: &Args<'_>, params: &mut Vec<Param>) -> Option<Statement> {
        let text = args.text("sql")?;
        let sql = self.sql(scope, text, params);
        if sql.as_ref().is_some_and(NamedSql::names_columns) {
            self.findings.add(
                text.at,
                "`{columns}` in a statement that changes something",
                "take it out: it belongs to @list",
            );
        }
        let refuse = match args.object("refuse") {
            Some(refuse) => Some(self.refusal(&refuse)?),
            None => None,
        };
        Some(Statement { sql: sql?, refuse })
    }

    fn refusal(&self, args: &Args<'_>) -> Option<Refusal> {
        let (code, message) = (args.text("code")?, args.text("message")?);
        let inside = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let fine = code.text.starts_with(|c: char| c.is_ascii_uppercase()) && code.text.chars().all(inside);
        if !fine {
            self.findings.add(
                code.at,
                format!("`{}` is no code of a refusal", code.text),
                "use capitals, digits and underscores, such as INSUFFICIENT_STOCK",
            );
        }
        if message.text.trim().is_empty() {
            let remedy = "say in one sentence what is not allowed";
            self.findings.add(message.at, "a refusal without words", remedy);
        }
        Some(Refusal { code: code.text.to_owned(), message: message.text.to_owned() })
    }

    /// Cuts `text` and adds its parameters to `params`.
    fn sql(&self, scope: Scope<'_>, text: Text<'_>, params: &mut Vec<Param>) -> Option<NamedSql> {
        let sql = match NamedSql::parse(text.text) {
            Ok(sql) => sql.on_line(self.findings.line(text.at)),
            Err(error) => {
                self.findings.add(text.at, error.to_string(), "mend this SQL");
                return None;
            }
        };
        let mut complete = true;
        for name in sql.params() {
            let Some(found) = self.source_at(scope, name, text.at) else {
                complete = false;
                continue;
            };
            if !params.iter().any(|known| known.name == name) {
                params.push(Param { name: name.to_owned(), source: found.source, kind: found.kind, list: found.list });
            }
        }
        complete.then_some(sql)
    }
}

/// A query of each side with its parameters.
pub(super) struct Queries {
    pub(super) sql: PerSide<NamedSql>,
    pub(super) params: Vec<Param>,
}

/// The statements of each side with their parameters.
pub(super) struct Statements {
    pub(super) sql: PerSide<Vec<Statement>>,
    pub(super) params: Vec<Param>,
}
