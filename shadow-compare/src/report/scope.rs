//! What a report is about. "Never" and "yet" are said of everything only: of a part, what part it is.

use model::Instant;
use model::control::EvidenceFilter;
use model::evidence::{Coverage, Evidence, InAll};
use serde::Serialize;

use crate::words::{answers, moment, stretch};

/// What was asked for of the evidence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    filter: &'a EvidenceFilter,
    in_all: Option<InAll>,
    /// Whether any key was ever compared: keys are kept for ever, counts are not.
    ever: bool,
    until: Instant,
}

/// What was asked for, as scripts read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AskedFor {
    /// What part of the evidence; all null: everything.
    #[serde(flatten)]
    pub filter: EvidenceFilter,
    /// The time in words, such as `in the last 2 h`; null: all time.
    pub time: Option<String>,
    /// What there is in all; null where everything was asked for.
    pub in_all: Option<InAll>,
}

impl<'a> Scope<'a> {
    pub(super) fn of(evidence: &'a Evidence, until: Instant) -> Self {
        let ever = evidence.coverage.iter().any(|route| route.keys_compared > 0);
        Self { filter: &evidence.filter, in_all: evidence.in_all, ever, until }
    }

    /// The same, of one route.
    pub(super) fn of_route(self, coverage: Option<&Coverage>) -> Self {
        Self { ever: coverage.is_some_and(|coverage| coverage.keys_compared > 0), ..self }
    }

    pub(super) fn asked(&self) -> AskedFor {
        AskedFor { filter: self.filter.clone(), time: self.time(), in_all: self.in_all }
    }

    /// `in the last 2 h`; `None`: of all time.
    fn time(&self) -> Option<String> {
        self.filter.since.map(|since| stretch(since, self.until))
    }

    /// `field onHand, cause rounding`; `None`: every kind.
    pub(super) fn kind(&self) -> Option<String> {
        let field = self.filter.field.as_ref().map(|field| format!("field {field}"));
        let cause = self.filter.cause.map(|cause| format!("cause {cause}"));
        let parts: Vec<_> = field.into_iter().chain(cause).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// A sentence that begins in small letters, said of the time that it is about.
    pub(super) fn within(&self, sentence: &str) -> String {
        match self.time() {
            Some(time) => capital(&format!("{time}, {sentence}")),
            None => capital(sentence),
        }
    }

    /// That there is not one comparison in what was asked for.
    pub(super) fn nothing(&self) -> String {
        match (self.time(), self.ever) {
            (Some(time), _) => format!("Nothing was compared {time}, so nothing is known of it."),
            (None, true) => {
                "What was compared is not on record any more, so nothing is known: counts are not kept for ever."
                    .to_owned()
            }
            (None, false) if self.filter.routes.is_some() => {
                "Nothing of this route has been compared yet, so nothing is known.".to_owned()
            }
            (None, false) => "Nothing has been compared yet, so nothing is known.".to_owned(),
        }
    }

    /// What there is in all, as a sentence; `None` where everything was asked for.
    pub(super) fn in_all(&self) -> Option<String> {
        let in_all = self.in_all?;
        Some(match in_all.last {
            Some(last) => format!("In all: {}, the last at {}.", answers(in_all.answers), moment(last)),
            None => "Nothing else has been compared either.".to_owned(),
        })
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
