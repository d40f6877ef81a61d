//! What came of an order, on the page that it leads back to. A done order leaves only a code in the page's address, so
//! that nobody can put other words into a page by a link.

use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;

use super::Problem;
use super::layout::{alert, done};

/// What came of the last order.
#[derive(Debug, Clone)]
pub(super) enum Told {
    Nothing,
    Done(&'static str),
    Problem(Problem),
}

/// The part of a page's address that says which order was just done.
#[derive(Deserialize)]
pub(super) struct Just {
    done: Option<String>,
    /// How long it took to reach the replicas.
    pub(super) millis: Option<u64>,
}

impl Just {
    /// `in_words` knows the codes of the page.
    pub(super) fn told(&self, in_words: fn(&str) -> Option<&'static str>) -> Told {
        self.done.as_deref().and_then(in_words).map_or(Told::Nothing, Told::Done)
    }
}

impl Told {
    /// The status of a page that says so and shows what was `found`.
    pub(super) fn status<T>(&self, found: &Result<T, Problem>) -> StatusCode {
        match (self, found) {
            (Self::Problem(problem), _) | (_, Err(problem)) => problem.status,
            (Self::Nothing | Self::Done(_), Ok(_)) => StatusCode::OK,
        }
    }

    pub(super) fn notice(&self) -> Markup {
        match self {
            Self::Nothing => html! {},
            Self::Done(words) => done(words),
            Self::Problem(problem) => alert(&problem.message),
        }
    }
}
