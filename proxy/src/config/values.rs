//! Values with a form of their own: durations, addresses, secrets.

use std::fmt;
use std::time::Duration;

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The address of a database. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionUrl(String);

impl ConnectionUrl {
    /// Takes an address as it is written.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The address with its password, for the driver.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectionUrl {
    /// `postgres://user:***@host:5432/erp`; anything in another form is not shown at all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return f.write_str("***");
        };
        // Parameters may hold a password as well.
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        // The last one: a password may hold an at sign.
        match rest.rsplit_once('@') {
            None => write!(f, "{scheme}://{rest}"),
            Some((login, place)) => match login.split_once(':') {
                None => write!(f, "{scheme}://{login}@{place}"),
                Some((user, _)) => write!(f, "{scheme}://{user}:***@{place}"),
            },
        }
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads `250ms`, `5s`, `10m`, `6h`, `7d`; `None` for anything else.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match text[digits..].trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("50ms"), Some(Duration::from_millis(50)));
        assert_eq!(duration("2 s"), Some(Duration::from_secs(2)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(7 * 86_400)));
        for text in ["", "5", "s", "-1s", "1.5s", "5 weeks", "99999999999999999999s", "999999999999999999d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = |url: &str| format!("{0} {0:?}", ConnectionUrl::new(url));
        assert!(
            shown("postgres://erp:s3cr@t:x@db:5432/erp?password=s3cr").starts_with("postgres://erp:***@db:5432/erp ")
        );
        assert!(shown("postgres://db/erp").starts_with("postgres://db/erp "));
        for url in ["postgres://erp:s3cr@db/erp", "host=db password=s3cr", "postgres://db/erp?password=s3cr"] {
            assert!(!shown(url).contains("s3cr"), "{url}");
        }
        assert_eq!(format!("{:?}", Secret::new("s3cr".into())), "***");
    }
}
