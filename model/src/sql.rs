//! SQL with named parameters, as written in the contract: `WHERE sku = :sku`.
//!
//! Parsed once into pieces, so that each adapter writes its own placeholders (`$1`, `:1`) and a
//! value can never become text of a statement.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use thiserror::Error;

use crate::value::Value;

/// One SQL text, cut at its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamedSql {
    pieces: Vec<Piece>,
    line: Line,
}

/// The line of the contract on which a text begins, if it stands in one. The same text is the same statement wherever it
/// stands.
#[derive(Debug, Clone, Copy, Default)]
struct Line(Option<usize>);

impl PartialEq for Line {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Line {}

impl Hash for Line {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A part of a [`NamedSql`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Piece {
    /// SQL as it stands.
    Text(String),
    /// A parameter, `:name` or `:input.name`, without the colon.
    Param(String),
    /// `{columns}`: where a list query names the columns that were asked for.
    Columns,
}

/// The SQL text cannot be cut into pieces.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSql {
    /// A quote or comment is opened and never closed.
    #[error("the {0} is never closed")]
    Unclosed(&'static str),
    /// There is no statement.
    #[error("the statement is empty")]
    Empty,
    /// More than one statement in one text.
    #[error("one statement only: take out the semicolon, and list further statements on their own")]
    Semicolon,
    /// It would end the transaction that it is part of, or begin another.
    #[error(
        "`{0}` is not for a statement of the contract: the transaction is strangler's, with its locks and its ledger"
    )]
    Transaction(String),
}

/// What would begin or end a transaction, or change what it is.
const OF_TRANSACTIONS: [&str; 8] =
    ["commit", "rollback", "abort", "end", "savepoint", "release", "start transaction", "set transaction"];

impl NamedSql {
    /// Cuts `text` at `:name` and `{columns}`; leaves quotes of either engine (`'…'`, `E'…'`, `$$…$$`, `q'[…]'`),
    /// comments and `::` casts alone. A block of PL/SQL (`BEGIN stock.adjust(:sku, :delta); END;`) is
    /// one statement with the semicolons inside.
    ///
    /// # Errors
    /// [`InvalidSql`] when a quote or comment stays open, or the text is not one statement.
    pub fn parse(text: &str) -> Result<Self, InvalidSql> {
        let text = text.trim();
        let block = begins_block(text);
        let text = if block { text } else { text.strip_suffix(';').unwrap_or(text) };
        if text.trim().is_empty() {
            return Err(InvalidSql::Empty);
        }
        let words: Vec<_> = text.split_whitespace().take(2).map(str::to_ascii_lowercase).collect();
        let said = |words: &[String]| OF_TRANSACTIONS.contains(&words.join(" ").as_str());
        if !block && (said(&words[..1]) || said(&words)) {
            return Err(InvalidSql::Transaction(words[0].to_ascii_uppercase()));
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            // What marks a quote before its first sign is none when it ends a word: `LIKE'a'`, `V$SESSION`.
            let in_word = text[..text.len() - rest.len()].ends_with(is_of_word);
            let quote = if in_word { None } else { marked_quote(rest)? };
            let length = match quote {
                None => opaque(rest)?,
                Some(length) => Some(length),
            };
            if let Some(length) = length {
                plain.push_str(&rest[..length]);
                rest = &rest[length..];
            } else if let Some(after) = rest.strip_prefix("{columns}") {
                flush(&mut plain, &mut pieces);
                pieces.push(Piece::Columns);
                rest = after;
            } else if let Some(length) = param(rest) {
                flush(&mut plain, &mut pieces);
                pieces.push(Piece::Param(rest[1..length].to_owned()));
                rest = &rest[length..];
            } else if next == ';' && !block {
                return Err(InvalidSql::Semicolon);
            } else {
                plain.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        flush(&mut plain, &mut pieces);
        Ok(Self { pieces, line: Line::default() })
    }

    /// The same, which stands on `line` of the contract.
    #[must_use]
    pub fn on_line(self, line: Option<usize>) -> Self {
        Self { line: Line(line), ..self }
    }

    /// The line of the contract on which it begins.
    pub fn line(&self) -> Option<usize> {
        self.line.0
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The distinct parameters in order of first use.
    pub fn params(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for piece in &self.pieces {
            if let Piece::Param(name) = piece
                && !names.contains(&name.as_str())
            {
                names.push(name.as_str());
            }
        }
        names
    }

    /// Whether it is a block of PL/SQL, or a call of a procedure.
    pub fn is_block(&self) -> bool {
        matches!(self.pieces.first(), Some(Piece::Text(text)) if begins_block(text))
    }

    /// Whether the text has a `{columns}` mark.
    pub fn names_columns(&self) -> bool {
        self.pieces.contains(&Piece::Columns)
    }
}

/// Values of named parameters. Every parameter of a statement has one.
pub type Params = BTreeMap<String, Value>;

/// Parameters as a JSON object with sorted names: the same text for the same values in every release.
pub fn params_text(params: &Params) -> String {
    let pairs = params.iter().map(|(name, value)| (name.clone(), value.to_json()));
    serde_json::to_string(&pairs.collect::<BTreeMap<_, _>>()).expect("texts and JSON values are JSON")
}

fn begins_block(text: &str) -> bool {
    let first = text.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    ["BEGIN", "DECLARE", "CALL"].iter().any(|word| first.eq_ignore_ascii_case(word))
}

fn flush(plain: &mut String, pieces: &mut Vec<Piece>) {
    if !plain.is_empty() {
        pieces.push(Piece::Text(std::mem::take(plain)));
    }
}

/// Length of a quote, comment or cast at the start of `text`, which hides colons and semicolons.
fn opaque(text: &str) -> Result<Option<usize>, InvalidSql> {
    let closed = |open: usize, close: &str, what| {
        let end = text[open..].find(close).ok_or(InvalidSql::Unclosed(what))?;
        Ok(Some(open + end + close.len()))
    };
    if text.starts_with('\'') {
        return closed(1, "'", "quote");
    }
    if text.starts_with('"') {
        return closed(1, "\"", "quoted name");
    }
    if text.starts_with("/*") {
        return closed(2, "*/", "comment");
    }
    if text.starts_with("--") {
        return Ok(Some(text.find('\n').unwrap_or(text.len())));
    }
    Ok(["::", ":="].iter().find(|mark| text.starts_with(**mark)).map(|mark| mark.len()))
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c == '#'
}

/// Length of a quote at the start of `text` that something stands in front of: PostgreSQL's `E'…'` and `$tag$…$tag$`,
/// Oracle's `q'[…]'`.
fn marked_quote(text: &str) -> Result<Option<usize>, InvalidSql> {
    if let Some(inside) = text.strip_prefix("E'").or_else(|| text.strip_prefix("e'")) {
        return escaped(inside).map(|length| Some(2 + length)).ok_or(InvalidSql::Unclosed("quote"));
    }
    if text.starts_with('$') {
        return Ok(dollars(text));
    }
    let open = ["q'", "Q'", "nq'", "nQ'", "Nq'", "NQ'"].iter().find(|mark| text.starts_with(**mark));
    let Some((open, first)) = open.and_then(|open| Some((open.len(), text[open.len()..].chars().next()?))) else {
        return Ok(None);
    };
    let last = match first {
        '[' => ']',
        '{' => '}',
        '(' => ')',
        '<' => '>',
        same => same,
    };
    let begin = open + first.len_utf8();
    let close = format!("{last}'");
    let end = text[begin..].find(&close).ok_or(InvalidSql::Unclosed("quote"))?;
    Ok(Some(begin + end + close.len()))
}

/// Length of what stands in an `E'…'`, with the quote that closes it.
fn escaped(inside: &str) -> Option<usize> {
    let mut signs = inside.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => drop(signs.next()),
            '\'' if signs.next_if(|(_, next)| *next == '\'').is_none() => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Length of a `$tag$…$tag$`. What is never closed is none: an Oracle has `$$PLSQL_UNIT`.
fn dollars(text: &str) -> Option<usize> {
    let tag = text[1..].find('$').map(|end| &text[..end + 2])?;
    let name = &tag[1..tag.len() - 1];
    let named = !name.starts_with(|c: char| c.is_numeric()) && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let end = text[tag.len()..].find(tag).filter(|_| named)?;
    Some(tag.len() + end + tag.len())
}

/// Length of a `:name` or `:input.name` at the start of `text`.
fn param(text: &str) -> Option<usize> {
    let name = text.strip_prefix(':')?;
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return None;
    }
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let length = name.find(|c| !inside(c)).unwrap_or(name.len());
    // A full stop belongs to the name only when a letter follows it.
    Some(1 + name[..length].trim_end_matches('.').len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_and_casts_quotes_and_comments_left_alone() {
        let sql = NamedSql::parse(
            "SELECT {columns} FROM t WHERE a = :sku AND b = ':no' AND c::text = :input.x -- :nor\n AND \"x:y\" < /* :z */ :sku",
        )
        .unwrap();
        assert_eq!(sql.params(), ["sku", "input.x"]);
        assert!(sql.names_columns());
        assert_eq!(sql.pieces().iter().filter(|p| matches!(p, Piece::Param(_))).count(), 3);
    }

    #[test]
    fn the_quotes_of_both_engines_hide_what_stands_in_them() {
        for (text, params) in [
            (r"SELECT E'it\'s :no; \\' WHERE a = :a", vec!["a"]),
            (r"SELECT e'\':no', E'', E, :a", vec!["a"]),
            // No mark, but the end of a word: the backslash is a sign like any other.
            (r"SELECT a FROM t WHERE a LIKE'\' AND b = :b", vec!["b"]),
            ("SELECT $$it's :no; $ $$, $t_1$ $$ :no $t_1$, :a", vec!["a"]),
            ("SELECT a$b FROM v$session WHERE c$ = :c AND d$d = :d", vec!["c", "d"]),
            ("SELECT $1, :a, $$, :b", vec!["a", "b"]),
            ("BEGIN log($$PLSQL_UNIT, :a); END;", vec!["a"]),
            ("SELECT q'[it's :no]', Nq'!:no; '!', q'(a)b)', :a FROM dual", vec!["a"]),
        ] {
            assert_eq!(
                NamedSql::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).params(),
                params,
                "{text}"
            );
        }
        for text in [r"SELECT E'\'", "SELECT q'[a'"] {
            assert_eq!(NamedSql::parse(text), Err(InvalidSql::Unclosed("quote")), "{text}");
        }
    }

    #[test]
    fn open_quotes_and_second_statements_are_refused() {
        assert_eq!(NamedSql::parse("SELECT 'a"), Err(InvalidSql::Unclosed("quote")));
        assert_eq!(NamedSql::parse("SELECT 1; DROP TABLE t"), Err(InvalidSql::Semicolon));
        assert_eq!(NamedSql::parse(" ; "), Err(InvalidSql::Empty));
        assert!(NamedSql::parse("SELECT 1;").is_ok());
    }

    #[test]
    fn a_statement_that_would_end_its_transaction_is_refused() {
        for text in ["COMMIT", "commit;", "Rollback to s", "END", "SAVEPOINT s", "SET TRANSACTION READ ONLY", "abort"] {
            assert!(matches!(NamedSql::parse(text), Err(InvalidSql::Transaction(_))), "{text}");
        }
        for text in ["SET CONSTRAINTS ALL DEFERRED", "UPDATE commit SET a = :b", "BEGIN commit_it(:a); END;"] {
            assert!(NamedSql::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_block_keeps_its_semicolons() {
        let block = NamedSql::parse("BEGIN stock.adjust(:sku, :delta); log(:sku); END;").unwrap();
        assert!(block.is_block());
        assert_eq!(block.params(), ["sku", "delta"]);
        assert_eq!(block.pieces().last(), Some(&Piece::Text("); END;".to_owned())));
        assert!(!NamedSql::parse("SELECT 1 FROM begin_dates").unwrap().is_block());
    }
}
