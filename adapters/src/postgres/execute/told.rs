//! The answers of one round trip, in the order in which its statements were sent.

use model::StoreError;

use crate::postgres::pipeline::{Answer, Answers};
use crate::postgres::session::Session;

/// The answers of one round trip, taken one after the other.
pub(super) struct Told<'a> {
    session: &'a Session,
    answers: std::vec::IntoIter<Result<Answer, tokio_postgres::Error>>,
}

impl<'a> Told<'a> {
    pub(super) fn new(session: &'a Session, answers: Answers) -> Self {
        Self { session, answers: answers.into_iter() }
    }

    pub(super) fn next(&mut self) -> Result<Answer, StoreError> {
        let answer = self.answers.next().unwrap_or_else(|| Ok(Answer::default()));
        answer.map_err(|error| self.session.error(error))
    }
}
