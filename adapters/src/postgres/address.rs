//! The address of a server, in libpq's words, and what it says of how connections are protected.
//!
//! The driver knows only some of libpq's words on TLS, so these are taken out of the address and understood here. Each
//! may stand in the address or beside it, as a key of the configuration; not in both.
//!
//! Not here: files of certificates, and what is made of them (`tls`).

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslMode, SslNegotiation};

use super::tls::{Identity, Mode, Plan, Roots};

/// The words that are taken out of an address.
const WORDS: [&str; 5] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "channel_binding"];

/// Words of libpq that ask for what we do not do: ignored, they would promise protection that is not there.
const NOT_TAKEN: [(&str, &str); 9] = [
    ("sslcrl", "lists of revoked certificates are not read; take it out"),
    ("sslcrldir", "lists of revoked certificates are not read; take it out"),
    ("sslpassword", "keys with a password are not read; take it out, and give a key without one in sslkey"),
    ("sslcertmode", "a client certificate is shown when the server asks and sslcert is given; take it out"),
    ("sslsni", "the host's name is always told; take it out"),
    ("ssl_min_protocol_version", "TLS 1.2 and 1.3 are spoken; take it out"),
    ("ssl_max_protocol_version", "TLS 1.2 and 1.3 are spoken; take it out"),
    ("gssencmode", "GSSAPI is not spoken; take it out"),
    ("require_auth", "what proves the login cannot be chosen but by channel_binding; take it out"),
];

/// What is said of TLS beside the address, in libpq's words: as in an address, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsWords {
    /// `disable`, `prefer`, `require`, `verify-ca` or `verify-full`.
    pub sslmode: Option<String>,
    /// A PEM file of the authorities that are trusted, or `system` for those of the machine.
    pub sslrootcert: Option<String>,
    /// A PEM file of our own certificate, and of those that lead to its authority.
    pub sslcert: Option<String>,
    /// A PEM file of its private key.
    pub sslkey: Option<String>,
    /// `disable`, `prefer` or `require`.
    pub channel_binding: Option<String>,
}

impl TlsWords {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn of(&self, word: &str) -> Option<&String> {
        match word {
            "sslmode" => self.sslmode.as_ref(),
            "sslrootcert" => self.sslrootcert.as_ref(),
            "sslcert" => self.sslcert.as_ref(),
            "sslkey" => self.sslkey.as_ref(),
            _ => self.channel_binding.as_ref(),
        }
    }
}

/// An address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{rule}", .word.map_or_else(String::new, |word| format!("`{word}` ")))]
pub struct InvalidAddress {
    /// The word that is wrong; `None`: the address itself.
    pub word: Option<&'static str>,
    /// What is wrong with it, and what to do.
    pub rule: String,
}

impl InvalidAddress {
    /// As the rest of a sentence that begins with whose it is.
    pub(super) fn of_its_owner(&self) -> String {
        match self.word {
            None => format!("its address {}", self.rule),
            Some(_) => format!("of its address, {self}"),
        }
    }
}

fn wrong(word: &'static str, rule: impl Into<String>) -> InvalidAddress {
    InvalidAddress { word: Some(word), rule: rule.into() }
}

/// Looks whether `url` and `words` can be used, as far as that can be seen without files and servers.
///
/// # Errors
/// [`InvalidAddress`], which quotes nothing of the address: it may hold a password.
pub fn check(url: &str, words: &TlsWords) -> Result<(), InvalidAddress> {
    Address::parse(url, words).map(drop)
}

/// An address that was understood.
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) plan: Plan,
}

impl Address {
    pub(super) fn parse(url: &str, words: &TlsWords) -> Result<Self, InvalidAddress> {
        let (rest, taken) = take_out(url);
        for (word, why) in NOT_TAKEN {
            if says(&rest, word) {
                return Err(wrong(word, format!("is not taken: {why}")));
            }
        }
        let mut config: Config =
            rest.parse().map_err(|_| InvalidAddress { word: None, rule: "is not a PostgreSQL address".to_owned() })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(InvalidAddress {
                word: None,
                rule: "names no host: postgres://user:password@host:port/database".into(),
            });
        }
        let given = |word: &'static str| -> Result<Option<String>, InvalidAddress> {
            // As with libpq, the last one of an address counts, and an empty one says nothing.
            let inside = taken.iter().rev().find(|(name, _)| *name == word).map(|(_, value)| value);
            match (inside.filter(|value| !value.is_empty()), words.of(word).filter(|value| !value.is_empty())) {
                (Some(_), Some(_)) => Err(wrong(word, "is given in the address, too: take one of them out")),
                (Some(value), None) | (None, Some(value)) => Ok(Some(value.clone())),
                (None, None) => Ok(None),
            }
        };
        let roots = given("sslrootcert")?.map(|roots| match roots.as_str() {
            "system" => Roots::System,
            file => Roots::File(PathBuf::from(file)),
        });
        let identity = identity(given("sslcert")?, given("sslkey")?)?;
        let binding = binding(given("channel_binding")?)?;
        let mode = given("sslmode")?;
        let plan = plan(mode.as_deref(), roots, identity, binding)?;
        let direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
        if direct && matches!(plan.mode, Mode::Disable | Mode::Prefer) {
            return Err(wrong("sslmode", "must be require, verify-ca or verify-full with sslnegotiation=direct"));
        }
        let sockets = !config.get_hosts().is_empty() && config.get_hosts().iter().all(is_socket);
        config.ssl_mode(match plan.mode {
            // Servers speak no TLS on a socket of their own machine, and clients of libpq ask for none.
            _ if sockets => SslMode::Disable,
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        config.channel_binding(binding);
        Ok(Self { config, plan: Plan { direct, ..plan } })
    }
}

fn is_socket(host: &Host) -> bool {
    match host {
        Host::Tcp(_) => false,
        Host::Unix(_) => true,
    }
}

fn identity(cert: Option<String>, key: Option<String>) -> Result<Option<Identity>, InvalidAddress> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(Identity { cert: cert.into(), key: key.into() })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong("sslcert", "needs sslkey, too: the file of its private key")),
        (None, Some(_)) => Err(wrong("sslkey", "needs sslcert, too: the file of the certificate")),
    }
}

fn binding(given: Option<String>) -> Result<ChannelBinding, InvalidAddress> {
    match given.as_deref() {
        None | Some("prefer") => Ok(ChannelBinding::Prefer),
        Some("disable") => Ok(ChannelBinding::Disable),
        Some("require") => Ok(ChannelBinding::Require),
        Some(_) => Err(wrong("channel_binding", "must be disable, prefer or require")),
    }
}

/// What the words mean together. What would protect less than it seems to is refused.
fn plan(
    mode: Option<&str>,
    roots: Option<Roots>,
    identity: Option<Identity>,
    binding: ChannelBinding,
) -> Result<Plan, InvalidAddress> {
    let mode = match mode {
        Some("disable") => Mode::Disable,
        Some("prefer") => Mode::Prefer,
        Some("require") => Mode::Require,
        Some("verify-ca") => Mode::VerifyCa,
        Some("verify-full") => Mode::VerifyFull,
        Some("allow") => {
            return Err(wrong("sslmode", "cannot be allow: say prefer, or verify-full, which proves who answers"));
        }
        Some(_) => {
            return Err(wrong("sslmode", "must be disable, prefer, require, verify-ca or verify-full"));
        }
        // Who names authorities wants them asked.
        None if roots.is_some() => Mode::VerifyFull,
        None => Mode::Prefer,
    };
    let (mode, roots) = match (mode, roots) {
        (Mode::Disable, Some(_)) => return Err(wrong("sslrootcert", "means nothing with sslmode=disable")),
        (Mode::Prefer, Some(_)) => {
            return Err(wrong(
                "sslrootcert",
                "proves nothing with sslmode=prefer, which goes on without TLS: say sslmode=verify-full",
            ));
        }
        // Anybody can buy a certificate that such an authority has signed: only its name says whose it is.
        (Mode::Require | Mode::VerifyCa, Some(Roots::System)) => {
            return Err(wrong("sslmode", "must be verify-full with sslrootcert=system"));
        }
        (Mode::VerifyCa, None) => {
            return Err(wrong("sslmode", "needs sslrootcert with verify-ca; or say verify-full, which needs none"));
        }
        // As with libpq: whoever names authorities has them asked.
        (Mode::Require, Some(file)) => (Mode::VerifyCa, Some(file)),
        (Mode::VerifyFull, None) => (Mode::VerifyFull, Some(Roots::System)),
        (mode, roots) => (mode, roots),
    };
    if mode == Mode::Disable && identity.is_some() {
        return Err(wrong("sslcert", "means nothing with sslmode=disable"));
    }
    if mode == Mode::Disable && binding == ChannelBinding::Require {
        return Err(wrong("channel_binding", "cannot be require with sslmode=disable: it binds the login to TLS"));
    }
    Ok(Plan { mode, roots, identity, direct: false })
}

fn word(name: &str) -> Option<&'static str> {
    WORDS.into_iter().find(|word| *word == name)
}

type Taken = Vec<(&'static str, String)>;

/// The address without the words on TLS, and these.
fn take_out(address: &str) -> (String, Taken) {
    match parameters(address) {
        Some((front, parameters)) => {
            let mut taken = Taken::new();
            let kept: Vec<_> = parameters
                .split('&')
                .filter(|parameter| match parameter.split_once('=').map(|(key, value)| (word(&decoded(key)), value)) {
                    Some((Some(word), value)) => {
                        taken.push((word, decoded(value)));
                        false
                    }
                    Some((None, _)) | None => true,
                })
                .collect();
            let mark = if kept.is_empty() { "" } else { "?" };
            (format!("{front}{mark}{}", kept.join("&")), taken)
        }
        None if is_url(address) => (address.to_owned(), Taken::new()),
        None => {
            let (mut kept, mut taken, mut rest) = (String::new(), Taken::new(), address.trim_start());
            while let Some((length, key, value)) = pair(rest) {
                match word(key) {
                    Some(word) => taken.push((word, value)),
                    None => kept.extend([&rest[..length], " "]),
                }
                rest = rest[length..].trim_start();
            }
            // What is no pair is left to the driver, who refuses it.
            (kept + rest, taken)
        }
    }
}

/// Whether an address still has a word that the driver does not know.
fn says(address: &str, word: &str) -> bool {
    if is_url(address) {
        let (_, parameters) = parameters(address).unwrap_or_default();
        return parameters.split('&').any(|one| one.split_once('=').is_some_and(|(key, _)| decoded(key) == word));
    }
    let mut rest = address.trim_start();
    while let Some((length, key, _)) = pair(rest) {
        if key == word {
            return true;
        }
        rest = rest[length..].trim_start();
    }
    false
}

fn is_url(address: &str) -> bool {
    address.starts_with("postgres://") || address.starts_with("postgresql://")
}

/// A URL before its parameters, and these. As the driver reads it: what comes before an `@` is the login.
fn parameters(address: &str) -> Option<(&str, &str)> {
    let login = if is_url(address) { address.find('@').unwrap_or(0) } else { return None };
    let mark = login + address[login..].find('?')?;
    Some((&address[..mark], &address[mark + 1..]))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The first `key=value` of a text, as the driver reads it: its length, key and value.
fn pair(text: &str) -> Option<(usize, &str, String)> {
    let end = text.find(|letter: char| letter.is_whitespace() || letter == '=')?;
    let after = text[end..].trim_start().strip_prefix('=')?.trim_start();
    let begins = text.len() - after.len();
    let quoted = after.starts_with('\'');
    let mut value = String::new();
    let mut letters = after.char_indices().skip(usize::from(quoted));
    while let Some((place, letter)) = letters.next() {
        match letter {
            '\'' if quoted => return Some((begins + place + 1, &text[..end], value)),
            _ if !quoted && letter.is_whitespace() => return Some((begins + place, &text[..end], value)),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (!quoted).then_some((text.len(), &text[..end], value))
}

#[cfg(test)]
mod tests;
