use proptest::prelude::*;

use super::super::block;
use super::*;

#[test]
fn what_differs_is_said_in_postgresql() {
    let cases = [
        ("SELECT a || '' FROM DUAL", "SELECT a OPERATOR(oracle.|||) NULL FROM DUAL"),
        ("SELECT id FROM t WHERE ROWNUM <= :n", "SELECT id FROM t  LIMIT ($1::numeric::bigint)"),
        ("SELECT NVL(a, 1) FROM t MINUS SELECT 2 FROM dual", "SELECT coalesce(a, 1) FROM t EXCEPT SELECT 2 FROM dual"),
        ("SELECT s.NEXTVAL FROM DUAL", "SELECT nextval('s') FROM DUAL"),
        ("SELECT a FROM t FOR UPDATE WAIT 3", "SELECT a FROM t FOR UPDATE"),
        ("SELECT a FROM t FOR UPDATE SKIP LOCKED", "SELECT a FROM t FOR UPDATE SKIP LOCKED"),
    ];
    for (oracle, expected) in cases {
        assert_eq!(translate(oracle).text, expected, "{oracle}");
    }
}

#[test]
fn variables_are_counted_by_mention_and_results_apart() {
    let sql = translate("UPDATE t SET a = :x WHERE b = :y AND c = :x RETURNING d, e INTO :d, :e");
    assert_eq!(sql.text, "UPDATE t SET a = $1 WHERE b = $2 AND c = $3 RETURNING d, e");
    assert_eq!((sql.binds.len(), sql.ins, sql.outs), (5, vec![0, 1, 2], vec![3, 4]));
}

#[test]
fn a_moment_is_not_sent() {
    let sql = translate("SELECT a FROM t AS OF SCN :scn WHERE b = :b");
    assert_eq!(sql.text, "SELECT a FROM t WHERE b = $1");
    assert_eq!((sql.as_of, sql.ins), (Some(Snapshot::Bound(0)), vec![1]));
}

/// A heap of the words and signs that the translation looks for, whole statements or not.
fn heap() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "(",
        "(",
        ")",
        ")",
        ",",
        ";",
        ".",
        "'",
        "''",
        "\"",
        ":a",
        ":b",
        "1",
        "*",
        "||",
        ":=",
        "t",
        "AS",
        "OF",
        "SCN",
        "SELECT",
        "BEGIN",
        "END",
        "CREATE TABLE",
        "CREATE USER",
        "ALTER SESSION",
        "GRANT",
        "INSERT INTO",
        "UPDATE",
        "DELETE",
        "FROM",
        "WHERE",
        "AND",
        "ROWNUM",
        "<=",
        "FOR",
        "WAIT",
        "FETCH",
        "FIRST",
        "NEXT",
        "ROWS",
        "ONLY",
        "RETURNING",
        "INTO",
        "CAST",
        "NVL",
        "VARCHAR2",
        "NVARCHAR2",
        "CHAR",
        "NUMBER",
        "DATE",
        "RAW",
        "TIMESTAMP",
        "DBMS_LOCK",
        "DBMS_FLASHBACK",
        "CURRENT_SCN",
        "NEXTVAL",
        "SYSDATE",
        "IDENTIFIED",
        "BY",
        "MINUS",
    ]);
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(SELECT|BEGIN|CREATE TABLE|INSERT) .{0,60}") {
        translate(&text);
    }

    #[test]
    fn no_heap_of_keywords_makes_it_panic(text in heap()) {
        translate(&text);
        translate_part(&lex(&text), &[]);
        let _ = block::read(&text, &[]);
    }
}
