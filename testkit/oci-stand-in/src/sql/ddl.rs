//! `CREATE TABLE` and the like: types by Oracle's names.
//!
//! A length in bytes is a domain that counts them, made when it is first needed: `VARCHAR2(20)` holds 20 bytes, and
//! 20 letters only while they are plain. `types::describe` reads the length from the domain's name.

use super::lex::{Token, group};

/// A data definition for PostgreSQL, with the domains that it needs before it.
pub fn translate(tokens: &[Token]) -> String {
    // Settings of a session are the stand-in's own; storage clauses mean nothing here.
    let mut domains = Vec::new();
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (text, next) = piece(tokens, at, &mut domains);
        out.push(text);
        at = next;
    }
    domains.sort();
    domains.dedup();
    let mut text = String::new();
    for domain in domains {
        text += &domain;
    }
    text + &out.join(" ")
}

fn piece(tokens: &[Token], at: usize, domains: &mut Vec<String>) -> (String, usize) {
    let token = &tokens[at];
    let called = tokens.get(at + 1).is_some_and(|next| next.is_sign("("));
    let (inside, next) = if called {
        let (inside, next) = group(tokens, at + 1);
        (Some(inside), next)
    } else {
        (None, at + 1)
    };
    if token.is_any(&["VARCHAR2", "NVARCHAR2"]) || (token.is("VARCHAR") && inside.is_some()) {
        return (text_type(inside, token.is("NVARCHAR2"), "VARCHAR2", "varchar", domains), next);
    }
    if token.is("CHAR") && inside.is_some() {
        return (text_type(inside, false, "CHAR", "char", domains), next);
    }
    if token.is("NUMBER") {
        let size = inside.map(|inside| inside.iter().map(Token::text).collect::<String>());
        return (size.map_or("numeric".to_owned(), |size| format!("numeric({size})")), next);
    }
    if token.is("DATE") && inside.is_none() {
        return ("timestamp(0)".to_owned(), at + 1);
    }
    if token.is("RAW") && inside.is_some() {
        let length = inside.and_then(<[_]>::first).map(Token::text).unwrap_or_default();
        let room = format!("octet_length(VALUE) <= {length}");
        return (domain(&format!("RAW({length})"), "bytea", &room, domains), next);
    }
    if token.is("CLOB") {
        return ("text".to_owned(), at + 1);
    }
    if token.is("BLOB") {
        return ("bytea".to_owned(), at + 1);
    }
    if token.is("BINARY_FLOAT") {
        return ("real".to_owned(), at + 1);
    }
    if token.is("BINARY_DOUBLE") {
        return ("double precision".to_owned(), at + 1);
    }
    if token.is("SYSDATE") {
        return ("oracle.sysdate()".to_owned(), at + 1);
    }
    if token.is("SYSTIMESTAMP") {
        return ("clock_timestamp()".to_owned(), at + 1);
    }
    match token {
        Token::Text(text) if text.is_empty() => ("NULL".to_owned(), at + 1),
        other => (other.text(), at + 1),
    }
}

fn text_type(inside: Option<&[Token]>, national: bool, name: &str, base: &str, domains: &mut Vec<String>) -> String {
    let Some(inside) = inside else { return base.to_owned() };
    let length = inside.first().map(Token::text).unwrap_or_default();
    let by_characters = national || inside.get(1).is_some_and(|unit| unit.is("CHAR"));
    if by_characters {
        return format!("{base}({length})");
    }
    let room = format!("octet_length(rtrim(VALUE)) <= {length}");
    domain(&format!("{name}({length} BYTE)"), &format!("{base}({length})"), &room, domains)
}

fn domain(name: &str, base: &str, room: &str, domains: &mut Vec<String>) -> String {
    let domain = format!("oracle.\"{name}\"");
    // Two sessions may make it at once; the one that is late finds it.
    domains.push(format!(
        "DO $$ BEGIN CREATE DOMAIN {domain} AS {base} CHECK ({room}); \
         EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$; "
    ));
    domain
}

/// The type of a cast.
pub fn cast_type(tokens: &[Token]) -> String {
    let mut ignored = Vec::new();
    let word = tokens.first();
    if word.is_some_and(|word| word.is_any(&["VARCHAR2", "VARCHAR", "CHAR"])) {
        // A cast cuts off; it does not refuse.
        let base = if word.is_some_and(|word| word.is("CHAR")) { "char" } else { "varchar" };
        let length = tokens.get(2).map(Token::text).unwrap_or_else(|| "1".to_owned());
        return format!("{base}({length})");
    }
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (text, next) = piece(tokens, at, &mut ignored);
        out.push(text);
        at = next;
    }
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::lex::lex;
    use super::*;

    #[test]
    fn types_have_postgresql_names() {
        let text = translate(&lex("CREATE TABLE t (a VARCHAR2(10 CHAR) DEFAULT '', b NUMBER(5,2), c DATE, d CLOB)"));
        assert_eq!(text, "CREATE TABLE t ( a varchar(10) DEFAULT NULL , b numeric(5,2) , c timestamp(0) , d text )");
    }

    #[test]
    fn a_length_in_bytes_is_a_domain() {
        let text = translate(&lex("CREATE TABLE t (a VARCHAR2(10))"));
        assert!(text.contains("CREATE DOMAIN oracle.\"VARCHAR2(10 BYTE)\" AS varchar(10)"), "{text}");
        assert!(text.ends_with("CREATE TABLE t ( a oracle.\"VARCHAR2(10 BYTE)\" )"), "{text}");
    }

    #[test]
    fn a_cast_takes_characters() {
        assert_eq!(cast_type(&lex("char(18)")), "char(18)");
        assert_eq!(cast_type(&lex("TIMESTAMP WITH TIME ZONE")), "TIMESTAMP WITH TIME ZONE");
    }
}
