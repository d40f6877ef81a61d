//! What an open socket rests on, to be asked again and again: a token that was revoked, has ended or lost its role is gone
//! for what is already open, too.

use std::sync::Arc;
use std::time::Duration;

use super::guard::Guard;
use super::refusal::Refusal;
use super::session::{Session, Source};
use super::{Auth, Identity, Via};

/// Pause between two looks at what an open socket rests on.
const LOOK: Duration = Duration::from_secs(1);

/// How somebody was let in who stays. An extension of every request that has no body, behind [`Auth::protect`].
#[derive(Clone)]
pub(crate) struct Standing {
    /// `None`: nobody is asked who they are.
    guard: Option<Arc<Guard>>,
    rests: Rests,
}

/// What was shown.
#[derive(Clone)]
pub(super) enum Rests {
    /// Nothing, on this machine.
    Loopback(Identity),
    /// A token of the file: the line that it had.
    Line { id: String, mark: String },
    /// A token of the identity provider, as it was shown: its signature and its end are checked again.
    Jwt(String),
    /// A browser's session.
    Session(Session),
}

impl Rests {
    /// What a token rests on that was just found good.
    pub(super) fn of(source: &Source, token: &str) -> Self {
        match source {
            Source::Token { id, mark } => Self::Line { id: id.clone(), mark: mark.clone() },
            Source::Jwt { .. } => Self::Jwt(token.to_owned()),
        }
    }
}

impl Standing {
    pub(super) fn new(auth: &Auth, rests: Rests) -> Self {
        Self { guard: auth.guard.clone(), rests }
    }

    /// Who it is now.
    pub(crate) async fn now(&self) -> Result<Identity, Gone> {
        let Some(guard) = &self.guard else { return self.local() };
        let recognised = match &self.rests {
            Rests::Loopback(_) => return self.local(),
            Rests::Line { id, mark } => guard.of_line(id, mark, Via::Token),
            Rests::Jwt(token) => guard.check(token, None).await.map(|good| good.identity),
            Rests::Session(session) => guard.still(session),
        };
        recognised.map_err(Gone)
    }

    fn local(&self) -> Result<Identity, Gone> {
        match &self.rests {
            Rests::Loopback(identity) => Ok(identity.clone()),
            Rests::Line { .. } | Rests::Jwt(_) | Rests::Session(_) => Err(Gone(Refusal::NoCredential)),
        }
    }

    /// Returns when it has ended, and why. A provider whose keys are not known now is asked again: nothing is done in
    /// its name meanwhile.
    pub(crate) async fn ended(&self) -> Gone {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.now().await {
                Err(gone) if gone.is_final() => return gone,
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// Why somebody who was let in may go on no more.
#[derive(Debug)]
pub(crate) struct Gone(Refusal);

impl Gone {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        self.0.code()
    }

    /// In words.
    pub(crate) fn why(&self) -> String {
        self.0.to_string()
    }

    fn is_final(&self) -> bool {
        match &self.0 {
            Refusal::Unavailable(_) | Refusal::Limited { .. } => false,
            Refusal::NoCredential
            | Refusal::BadCredential
            | Refusal::Expired
            | Refusal::Role { .. }
            | Refusal::Csrf
            | Refusal::CrossSite
            | Refusal::Host
            | Refusal::TooLarge { .. }
            | Refusal::TooSlow => true,
        }
    }
}
