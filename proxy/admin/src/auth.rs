//! Who comes to the admin port, and what they may.
//!
//! With a file of token hashes or an identity provider in the configuration, everything but health, metrics and
//! the login page asks for a token, or for the session that a browser got for one. Without either the port is on
//! loopback only, and who reaches it is an admin.
//!
//! Promises: a token that left its file is refused within two seconds, and so are the sessions it gave; guesses
//! are few, slow and logged; no page of another site acts in an operator's name; a token from the file needs
//! nothing but this process, so that a rollback works whatever is down.
//! Not here: which field of the API needs which role (`admin/schema`), TLS (`tls`).

mod attempts;
mod gate;
mod guard;
mod jwt;
mod login;
mod origin;
mod refusal;
mod session;
mod standing;
pub mod token;
mod tokens;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use model::Instant;
use model::control::Author;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::settings::AuthSettings;
use guard::Guard;
pub(crate) use standing::Standing;

/// What somebody may do. Each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Move traffic: stages, percentages, rollbacks, promotions.
    Operator,
    /// Also approve what needs a second person.
    Admin,
}

impl Role {
    /// As it is written in files and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Viewer, Self::Operator, Self::Admin];
        known.into_iter().find(|role| role.as_str() == text).ok_or_else(|| "is viewer, operator or admin".to_owned())
    }
}

/// How somebody was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// By being on this machine, where no way to sign in is configured.
    Loopback,
    /// By a token of the file.
    Token,
    /// By a browser's session.
    Session,
    /// By a token of the identity provider.
    Jwt,
}

/// Who makes a request. An extension of every request behind [`Auth::protect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The token's name, or the person's by the identity provider.
    pub who: String,
    /// What they may do.
    pub role: Role,
    /// How they were recognised.
    pub via: Via,
}

impl Identity {
    /// The author of an order that names `author`. Whoever signed in acts in no other name; on loopback there is
    /// nothing to hold against what the order says. A replica that passes an order on names its token and the person.
    pub fn sign(&self, author: Author, passed_on: bool) -> Author {
        match self.via {
            Via::Loopback => author,
            Via::Token | Via::Session | Via::Jwt if passed_on => {
                Author { who: format!("{} for {}", self.who, author.who), ..author }
            }
            Via::Token | Via::Session | Via::Jwt => Author { who: self.who.clone(), ..author },
        }
    }
}

/// What forms and scripts of a page send along, as the form field `csrf` or the header `x-csrf-token`. An extension
/// of every request behind [`Auth::protect`]; empty where it is not needed, since no cookie was used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CsrfToken(pub String);

/// What signing in rests on cannot be used.
#[derive(Debug, Error)]
#[error("`{key}`: {reason}")]
pub struct AuthError {
    key: &'static str,
    reason: String,
}

/// Lets requests in, or not. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    /// `None`: on loopback, without a way to sign in.
    guard: Option<Arc<Guard>>,
}

impl Auth {
    /// For a port on loopback without a way to sign in.
    pub fn loopback() -> Self {
        Self { guard: None }
    }

    /// Reads the files that `settings` name.
    ///
    /// # Errors
    /// [`AuthError`], naming the key.
    pub fn open(settings: Option<&AuthSettings>, clock: fn() -> Instant) -> Result<Self, AuthError> {
        let guard = settings.map(|settings| Guard::open(settings, clock)).transpose()?;
        Ok(Self { guard: guard.map(Arc::new) })
    }

    /// Puts itself in front of `router`, and adds the login page.
    pub fn protect(&self, router: Router) -> Router {
        gate::protect(self, router)
    }

    /// Follows the files and the identity provider's keys until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        match &self.guard {
            Some(guard) => guard.follow(stop).await,
            None => tracing::warn!("the admin port asks nobody who they are, and so is on loopback only"),
        }
    }
}

#[cfg(test)]
mod tests;
