//! Accounts: a user is a role with a schema of its own. Rights mean nothing here, since whoever runs tests may do all.

use super::lex::Token;

/// What a session that keeps a moment calls itself.
pub const KEEPER: &str = "oci-stand-in, keeps a moment";

/// A statement about accounts for PostgreSQL; `None` when it is about something else.
pub fn translate(tokens: &[Token]) -> Option<String> {
    let name = |token: &Token| token.text().trim_matches('"').to_lowercase().replace('\'', "");
    match tokens {
        [create, user, who, identified, by, password, ..]
            if create.is("CREATE") && user.is("USER") && identified.is("IDENTIFIED") && by.is("BY") =>
        {
            let password = match password {
                Token::Quoted(exact) => exact.replace('\'', "''"),
                other => other.text(),
            };
            let who = name(who);
            Some(format!(
                "CREATE ROLE \"{who}\" LOGIN SUPERUSER PASSWORD '{password}'; CREATE SCHEMA \"{who}\" AUTHORIZATION \"{who}\""
            ))
        }
        [drop, user, who, cascade, ..] if drop.is("DROP") && user.is("USER") && cascade.is("CASCADE") => {
            let who = name(who);
            // What others use as well goes to somebody else first: the domains of `ddl`. Moments that are kept are no
            // logins: they are ended.
            Some(format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE usename = '{who}' AND application_name = '{KEEPER}'; DO $$ BEGIN IF EXISTS (SELECT FROM pg_stat_activity WHERE usename = '{who}' \
                 AND application_name <> '{KEEPER}') THEN \
                 PERFORM oracle.raise(1940, 'cannot drop a user that is currently connected'); END IF; END $$; \
                 DROP SCHEMA \"{who}\" CASCADE; REASSIGN OWNED BY \"{who}\" TO CURRENT_USER; \
                 DROP OWNED BY \"{who}\"; DROP ROLE \"{who}\""
            ))
        }
        [first, ..] if first.is_any(&["GRANT", "REVOKE"]) => Some("SELECT 1".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::lex::lex;
    use super::*;

    #[test]
    fn a_user_is_a_role_with_a_schema_and_a_grant_means_nothing() {
        let made = translate(&lex("CREATE USER Erp_1 IDENTIFIED BY \"Pw'1\"")).unwrap();
        assert!(made.starts_with("CREATE ROLE \"erp_1\" LOGIN SUPERUSER PASSWORD 'Pw''1'"), "{made}");
        let dropped = translate(&lex("DROP USER erp_1 CASCADE")).unwrap();
        assert!(dropped.contains("DROP SCHEMA \"erp_1\" CASCADE"), "{dropped}");
        assert_eq!(translate(&lex("GRANT CREATE SESSION TO erp_1")).unwrap(), "SELECT 1");
        assert!(translate(&lex("CREATE TABLE t (a NUMBER)")).is_none());
    }
}
