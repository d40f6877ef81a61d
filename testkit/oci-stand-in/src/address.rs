//! Where to connect to: `host:port/database`, as EZConnect has it, or a whole `(DESCRIPTION=…)`.

use crate::code::{OracleError, Outcome};

/// A PostgreSQL database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address {
    /// Host name or address.
    pub host: String,
    /// Port; 1521 where none is given.
    pub port: u16,
    /// The service is the database.
    pub database: String,
}

impl Address {
    /// Reads a connect string.
    ///
    /// # Errors
    /// ORA-12154 when it is none.
    pub fn parse(text: &str) -> Outcome<Self> {
        let text = text.trim();
        let unresolved = || OracleError::plain(12154);
        if text.starts_with('(') {
            let upper = text.to_uppercase();
            let part = |key: &str| {
                let start = upper.find(&format!("({key}="))? + key.len() + 2;
                text[start..].split(')').next().map(|part| part.trim().to_owned())
            };
            let port = part("PORT").map_or(Ok(1521), |port| port.parse()).map_err(|_| unresolved())?;
            return Ok(Self {
                host: part("HOST").ok_or_else(unresolved)?,
                port,
                database: part("SERVICE_NAME").unwrap_or_default(),
            });
        }
        let (place, service) = text.trim_start_matches("//").split_once('/').ok_or_else(unresolved)?;
        let (host, port) = place.split_once(':').unwrap_or((place, "1521"));
        let database = service.split(':').next().unwrap_or_default().to_owned();
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| unresolved())?, database })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_others_are_not() {
        let expected = Address { host: "erp".into(), port: 1522, database: "prod".into() };
        assert_eq!(Address::parse("//erp:1522/prod").unwrap(), expected);
        let whole = "(DESCRIPTION=(ADDRESS=(HOST=erp)(PORT=1522))(CONNECT_DATA=(SERVICE_NAME=prod)))";
        assert_eq!(Address::parse(whole).unwrap(), expected);
        for bad in ["erp", "erp:x/prod", "(PORT=1)"] {
            assert_eq!(Address::parse(bad).unwrap_err().code, 12154, "{bad}");
        }
    }
}
