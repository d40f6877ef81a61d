//! Blocks of PL/SQL, as far as an application calls procedures: `BEGIN proc(:a); :b := func(:c); END;`.
//!
//! Procedures are functions of PostgreSQL with the same name. Anything else in a block is refused, and says so.

use super::lex::{Token, lex, split};
use super::rewrite::{Sql, translate_part};
use crate::code::{OracleError, Outcome};

/// One statement of a block.
#[derive(Debug)]
pub struct Step {
    /// For PostgreSQL.
    pub sql: Sql,
    /// The variable that takes its result.
    pub out: Option<usize>,
}

/// What a block is.
#[derive(Debug)]
pub enum Block {
    /// Statements, in order.
    Steps(Vec<Step>),
    /// `STAND_IN.FAULTS('…')`: see `fault`.
    Faults(String),
    /// `DBMS_SQL.PARSE(c, :text, …)` in a block of its own: the place of its text among the variables.
    Parse(usize),
}

/// Reads a block whose variables have these names.
///
/// # Errors
/// ORA-06550 when it does more than call.
pub fn read(original: &str, names: &[String]) -> Outcome<Block> {
    let tokens = lex(original);
    if let Some(place) = parsed(&tokens, names) {
        return Ok(Block::Parse(place));
    }
    let beyond = |what: &str| {
        OracleError::new(6550, format!("the stand-in runs `BEGIN proc(args); :out := func(args); END;`, not {what}"))
    };
    let inner = match tokens.as_slice() {
        [first, rest @ ..] if first.is("CALL") => rest,
        [first, inner @ .., end, last] if first.is("BEGIN") && end.is("END") && last.is_sign(";") => inner,
        [first, inner @ .., end] if first.is("BEGIN") && end.is("END") => inner,
        _ => return Err(beyond("this")),
    };
    let mut steps = Vec::new();
    for statement in split(inner, ";").into_iter().filter(|statement| !statement.is_empty()) {
        if let [package, _, name, _, Token::Text(faults), ..] = statement
            && package.is("STAND_IN")
            && name.is("FAULTS")
        {
            return Ok(Block::Faults(faults.clone()));
        }
        if let [package, _, name, _, close] = statement
            && package.is("STAND_IN")
            && name.is("FAULTS")
            && close.is_sign(")")
        {
            return Ok(Block::Faults(String::new()));
        }
        match statement {
            [only] if only.is("NULL") => {}
            [Token::Bind(out), assign, value @ ..] if assign.is_sign(":=") => {
                let place = names.iter().position(|name| name == out);
                steps.push(Step { sql: selected(value, names), out: place });
            }
            [first, ..] if first.is_any(&["INSERT", "UPDATE", "DELETE", "MERGE"]) => {
                steps.push(Step { sql: translate_part(statement, names), out: None });
            }
            [first, ..] if first.is_any(&["IF", "FOR", "LOOP", "WHILE", "SELECT", "RAISE", "EXECUTE"]) => {
                return Err(beyond(&first.text()));
            }
            [first, ..] if first.is_name() => steps.push(Step { sql: selected(statement, names), out: None }),
            _ => return Err(beyond("this")),
        }
    }
    Ok(Block::Steps(steps))
}

/// The variable that `DBMS_SQL.PARSE` is given.
fn parsed(tokens: &[Token], names: &[String]) -> Option<usize> {
    let is_parse = |part: &&[Token]| part[0].is("DBMS_SQL") && part[1].is_sign(".") && part[2].is("PARSE");
    let call = tokens.windows(7).find(is_parse)?;
    let Token::Bind(name) = &call[6] else { return None };
    names.iter().position(|known| known == name)
}

fn selected(call: &[Token], names: &[String]) -> Sql {
    let mut tokens = vec![Token::Word("SELECT".into())];
    tokens.extend(call.iter().cloned());
    // A procedure without arguments may be called without parentheses.
    if call.iter().all(|token| token.is_name() || token.is_sign(".")) {
        tokens.extend([Token::Sign("(".into()), Token::Sign(")".into())]);
    }
    translate_part(&tokens, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str, names: &[&str]) -> Vec<Step> {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        match read(text, &names).unwrap() {
            Block::Steps(steps) => steps,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn calls_become_queries_and_results_find_their_variable() {
        let steps = steps("BEGIN :r := DBMS_LOCK.REQUEST(:l, 4, :w, TRUE); stock.adjust(:w); END;", &["R", "L", "W"]);
        assert_eq!(steps[0].sql.text, "SELECT oracle.dbms_lock_request($1, 4, $2, TRUE)");
        assert_eq!((steps[0].out, &steps[0].sql.ins), (Some(0), &vec![1, 2]));
        assert_eq!(steps[1].sql.text, "SELECT stock.adjust($1)");
        assert_eq!(steps[1].sql.ins, [2]);
    }

    #[test]
    fn more_than_calls_is_refused() {
        for text in ["DECLARE x NUMBER; BEGIN x := 1; END;", "BEGIN IF 1 = 1 THEN NULL; END IF; END;"] {
            assert_eq!(read(text, &[]).unwrap_err().code, 6550, "{text}");
        }
    }
}
