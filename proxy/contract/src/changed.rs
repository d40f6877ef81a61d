//! Which tables a statement changes, as far as its text shows: what follows `INSERT INTO`, `UPDATE`, `DELETE FROM` and
//! `MERGE INTO`, outside quotes and comments.
//!
//! Not here: what triggers, cascades, procedures and SQL that is put together at run time change; `check` reads the
//! catalogue for some of that.

use model::sql::{NamedSql, Piece};

/// The tables, as they are written. None of them twice.
pub(super) fn changed_tables(sql: &NamedSql) -> Vec<String> {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Param(_) | Piece::Columns => " ? ".to_owned(),
    };
    let words = words(&sql.pieces().iter().map(text).collect::<String>());
    let mut tables: Vec<String> = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let at = |offset: usize| words.get(place + offset).map(|word| word.to_uppercase());
        let before = place.checked_sub(1).and_then(|before| words.get(before)).map(|word| word.to_uppercase());
        let follows = match word.to_uppercase().as_str() {
            // `FOR UPDATE` locks, and `DO UPDATE` changes the table that is named already.
            "UPDATE" if !matches!(before.as_deref(), Some("FOR" | "DO" | "KEY")) => 1,
            "INSERT" | "MERGE" if at(1).as_deref() == Some("INTO") => 2,
            "DELETE" if at(1).as_deref() == Some("FROM") => 2,
            _ => continue,
        };
        let follows = if at(follows).as_deref() == Some("ONLY") { follows + 1 } else { follows };
        // The `UPDATE SET` of a MERGE changes the table that is named already.
        let table = words.get(place + follows).filter(|table| !table.eq_ignore_ascii_case("SET"));
        if let Some(table) = table.filter(|table| !tables.contains(table)) {
            tables.push(table.clone());
        }
    }
    tables
}

fn folded(name: &str) -> String {
    name.trim_matches('"').to_lowercase()
}

/// Whether two spellings name one table; a schema counts where both say one.
pub(super) fn same_table(one: &str, other: &str) -> bool {
    let split = |name: &str| match name.rsplit_once('.') {
        Some((schema, table)) => (Some(folded(schema)), folded(table)),
        None => (None, folded(name)),
    };
    let ((schema, table), (other_schema, other_table)) = (split(one), split(other));
    table == other_table && (schema.is_none() || other_schema.is_none() || schema == other_schema)
}

/// Names and keywords in order, with their points and quotes; other signs part them.
fn words(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut rest = sql.chars().peekable();
    while let Some(sign) = rest.next() {
        match sign {
            '\'' => while rest.next().is_some_and(|sign| sign != '\'') {},
            '-' if rest.peek() == Some(&'-') => while rest.next().is_some_and(|sign| sign != '\n') {},
            '/' if rest.peek() == Some(&'*') => {
                let mut last = ' ';
                for sign in rest.by_ref().skip(1) {
                    if (last, sign) == ('*', '/') {
                        break;
                    }
                    last = sign;
                }
            }
            '"' => {
                word.push(sign);
                for sign in rest.by_ref() {
                    word.push(sign);
                    if sign == '"' {
                        break;
                    }
                }
                continue;
            }
            sign if sign.is_alphanumeric() || matches!(sign, '_' | '$' | '#' | '.') => {
                word.push(sign);
                continue;
            }
            _ => {}
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(sql: &str) -> Vec<String> {
        changed_tables(&NamedSql::parse(sql).unwrap())
    }

    #[test]
    fn what_a_statement_changes_is_found_wherever_it_stands() {
        assert_eq!(changed("UPDATE STK SET QTY = QTY - :n WHERE ITMNO = :sku"), ["STK"]);
        assert_eq!(changed("insert into erp.mov (id) select id from stk for update of stk"), ["erp.mov"]);
        assert_eq!(changed("INSERT INTO a VALUES (1) ON CONFLICT DO UPDATE SET x = 1"), ["a"]);
        assert_eq!(changed("WITH gone AS (DELETE FROM a RETURNING id) INSERT INTO b SELECT id FROM gone"), ["a", "b"]);
        assert_eq!(changed("MERGE INTO t USING DUAL ON (1 = 1) WHEN MATCHED THEN UPDATE SET x = 1"), ["t"]);
        assert_eq!(
            changed("UPDATE ONLY \"My Table\" SET x = 'DELETE FROM b' -- UPDATE c\n/* INSERT INTO d */"),
            ["\"My Table\""]
        );
        assert_eq!(changed("BEGIN erp.book(:sku); UPDATE a SET x = 1; END;"), ["a"]);
        assert!(changed("SELECT 1 FROM a FOR NO KEY UPDATE").is_empty());
    }

    #[test]
    fn a_table_is_the_same_in_any_spelling_and_in_its_own_schema() {
        assert!(same_table("STK", "stk") && same_table("erp.STK", "stk") && same_table("\"stk\"", "STK"));
        assert!(!same_table("erp.STK", "old.STK") && !same_table("STK", "STK2"));
    }
}
