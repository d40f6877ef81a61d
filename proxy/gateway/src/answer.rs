//! What a client is sent: data, errors, and how both are written down.
//!
//! `data` is already JSON text when it gets here: it was written once, in the order of the query.

use std::borrow::Cow;
use std::sync::Arc;

use apollo_compiler::parser::{SourceMap, SourceSpan};
use axum::http::StatusCode;
use serde::{Serialize, Serializer};

use request::error::{ClientError, Fault, InternalError};

/// The answer to one GraphQL request.
#[derive(Debug)]
pub struct Answer {
    /// The `data` entry.
    pub data: Data,
    /// What went wrong, in the order of the query.
    pub errors: Vec<GraphqlError>,
    /// The status, where HTTP rather than GraphQL decides it: 405, 413, 504.
    pub status: Option<StatusCode>,
}

/// The `data` entry of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// There is no entry: the request was refused before anything ran.
    Absent,
    /// `null`: an error reached the root.
    Null,
    /// The object, as JSON text.
    Json(Vec<u8>),
}

/// One entry of `errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphqlError {
    /// One sentence. Never holds stored values.
    pub message: String,
    /// Where in the document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Location>,
    /// Where in the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Step>,
    /// Stable code, and the request id for errors of ours.
    pub extensions: Extensions,
}

/// The `extensions` of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Extensions {
    /// Stable, upper case.
    pub code: Cow<'static, str>,
    /// What to name when asking us about an error of ours.
    #[serde(rename = "requestId", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Arc<str>>,
}

/// A place in the document, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Location {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// A step of the way from the root of an answer to one of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into an object, by response name.
    Key(Arc<str>),
    /// Into a list.
    Index(usize),
}

impl Location {
    /// Where `span` begins.
    pub(crate) fn of(span: Option<SourceSpan>, sources: &SourceMap) -> Option<Self> {
        let start = span?.line_column(sources)?;
        Some(Self { line: start.line, column: start.column })
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Key(name) => serializer.serialize_str(name),
            Self::Index(index) => serializer.serialize_u64(*index as u64),
        }
    }
}

impl GraphqlError {
    /// An error without a place.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            locations: Vec::new(),
            path: Vec::new(),
            extensions: Extensions { code: code.into(), request_id: None },
        }
    }

    /// The same error with its place in the document.
    #[must_use]
    pub fn at(mut self, location: Option<Location>) -> Self {
        self.locations.extend(location);
        self
    }

    /// The same error with its place in the answer.
    #[must_use]
    pub fn on(mut self, path: Vec<Step>) -> Self {
        self.path = path;
        self
    }

    /// What the client is told about `fault`; the details stay with us.
    pub(crate) fn of_fault(fault: &Fault, request_id: &Arc<str>) -> Self {
        match fault {
            Fault::Client(error) => error.clone().into(),
            Fault::Internal(error) => Self::of_internal(error, request_id),
        }
    }

    /// What the client is told about an error of ours.
    pub(crate) fn of_internal(error: &InternalError, request_id: &Arc<str>) -> Self {
        let mut shown = Self::new(error.code(), error.shown());
        shown.extensions.request_id = Some(Arc::clone(request_id));
        shown
    }
}

impl From<ClientError> for GraphqlError {
    fn from(error: ClientError) -> Self {
        Self::new(error.code, error.message)
    }
}

impl Answer {
    /// The answer to a request that was refused before anything ran.
    pub fn refused(errors: Vec<GraphqlError>) -> Self {
        Self { data: Data::Absent, errors, status: None }
    }

    /// As [`Answer::refused`], with the status that HTTP asks for.
    pub fn refused_with(status: StatusCode, error: GraphqlError) -> Self {
        Self { data: Data::Absent, errors: vec![error], status: Some(status) }
    }

    /// The closed label for metrics: `ok`, `partial`, `refused` or `failed`.
    pub fn outcome(&self) -> &'static str {
        let ours = |error: &GraphqlError| error.extensions.request_id.is_some();
        if self.errors.is_empty() {
            "ok"
        } else if self.errors.iter().any(ours) {
            "failed"
        } else if self.data == Data::Absent {
            "refused"
        } else {
            "partial"
        }
    }

    /// Writes the answer as JSON behind what `out` holds.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if !self.errors.is_empty() {
            out.extend_from_slice(b"\"errors\":");
            serde_json::to_writer(&mut *out, &self.errors).expect("errors are plain JSON");
        }
        match &self.data {
            Data::Absent => {}
            Data::Null => self.entry(out, b"null"),
            Data::Json(json) => self.entry(out, json),
        }
        out.push(b'}');
    }

    fn entry(&self, out: &mut Vec<u8>, json: &[u8]) {
        if !self.errors.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(b"\"data\":");
        out.extend_from_slice(json);
    }
}
