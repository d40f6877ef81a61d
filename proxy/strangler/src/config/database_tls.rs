//! What protects connections to a PostgreSQL: the keys with libpq's names, beside the address or in it.

use adapters::postgres::{self, TlsWords};

use super::Origins;
use super::check::Checked;

/// The keys, whole, so that a message can name them.
pub(super) struct TlsKeys {
    pub(super) sslmode: &'static str,
    pub(super) sslrootcert: &'static str,
    pub(super) sslcert: &'static str,
    pub(super) sslkey: &'static str,
    pub(super) channel_binding: &'static str,
}

/// Those of the control database.
pub(super) const CONTROL: TlsKeys = TlsKeys {
    sslmode: "control.sslmode",
    sslrootcert: "control.sslrootcert",
    sslcert: "control.sslcert",
    sslkey: "control.sslkey",
    channel_binding: "control.channel_binding",
};

/// Looks whether address and words can be used; else names the key where the wrong one stands.
pub(super) fn check(
    url: &str,
    words: &TlsWords,
    url_key: &'static str,
    keys: &TlsKeys,
    origins: &Origins<'_>,
) -> Checked<()> {
    postgres::check_address(url, words).map_err(|error| {
        let places = [
            ("sslmode", &words.sslmode, keys.sslmode),
            ("sslrootcert", &words.sslrootcert, keys.sslrootcert),
            ("sslcert", &words.sslcert, keys.sslcert),
            ("sslkey", &words.sslkey, keys.sslkey),
            ("channel_binding", &words.channel_binding, keys.channel_binding),
        ];
        let beside = places.into_iter().find(|(word, given, _)| error.word == Some(*word) && given.is_some());
        match beside {
            Some((_, _, key)) => origins.rule(key, error.rule),
            None => origins.rule(url_key, error.to_string()),
        }
    })
}
