//! A bearer token: `strangler_ID_SECRET`.
//!
//! The id finds the line of the file, so that one request costs at most one slow hash, and a token that nobody
//! made costs none. The secret has 256 random bits; the file keeps its argon2id hash only.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::NaiveDate;

use super::Role;

/// What every token begins with: scanners for leaked secrets find it, and it is no JWT.
const PREFIX: &str = "strangler_";
/// More than any token has.
const LONGEST: usize = 128;

/// A token as its owner shows it. It is never shown by `Debug`.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
}

impl<'a> Shown<'a> {
    /// `None`: no token of ours.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX).filter(|_| text.len() <= LONGEST)?.split_once('_')?;
        (!id.is_empty() && !secret.is_empty()).then_some(Self { id, secret })
    }

    /// Compares with a hash of the file: slow by design.
    pub(super) fn is(self, hash: &PasswordHash) -> bool {
        Argon2::default().verify_password(self.secret.as_bytes(), hash).is_ok()
    }
}

/// A token that was just made.
pub struct NewToken {
    /// What its owner keeps. There is no other copy.
    pub token: String,
    /// The line for the file.
    pub line: String,
}

/// Makes a token from 8 and 32 random bytes; `name` and `role` for the file, `until` its last day.
///
/// # Errors
/// When the hash cannot be made, which means that memory is short.
pub fn make(
    random: ([u8; 8], [u8; 32]),
    name: &str,
    role: Role,
    until: Option<NaiveDate>,
) -> Result<NewToken, argon2::password_hash::Error> {
    use std::fmt::Write;

    // Hexadecimal: the id is a bare key of TOML and has no underscore.
    let id = random.0.iter().fold(String::new(), |mut id, byte| {
        // Writing to a string does not fail.
        let _ = write!(id, "{byte:02x}");
        id
    });
    let secret = URL_SAFE_NO_PAD.encode(random.1);
    let hash = Argon2::default().hash_password(secret.as_bytes())?.to_string();
    let until = until.map(|day| format!(", until = \"{day}\"")).unwrap_or_default();
    // JSON's quotes and escapes are TOML's too.
    let name = serde_json::Value::from(name).to_string();
    let line = format!("{id} = {{ name = {name}, role = \"{role}\", hash = \"{hash}\"{until} }}");
    Ok(NewToken { token: format!("{PREFIX}{id}_{secret}"), line })
}
