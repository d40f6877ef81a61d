//! Who comes to the admin port, and what they may.

use std::fmt;
use std::str::FromStr;

use model::control::Author;
use serde::{Deserialize, Serialize};

/// What somebody may do. Each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Move traffic: stages, percentages, rollbacks, promotions.
    Operator,
    /// Also approve what needs a second person, and what cannot be undone.
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
    /// nothing to hold against what the order says.
    pub fn sign(&self, author: Author) -> Author {
        match self.via {
            Via::Loopback => author,
            Via::Token | Via::Session | Via::Jwt => Author { who: self.who.clone(), ..author },
        }
    }
}

/// What forms and scripts of a page send along, as the form field `csrf` or the header `x-csrf-token`. An extension
/// of requests; empty where it is not needed, since no cookie was used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CsrfToken(pub String);
