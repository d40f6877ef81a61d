//! Are two answers the same? And if not: since when, how often, and why.
//!
//! The road of one comparison: [`canon`] brings both answers into one form, [`mod@judge`] finds the
//! differences, [`confirm`] looks again until lag and races are ruled out, [`cause`] says why,
//! [`redact`] turns the judgement into evidence that may be stored. [`excuses`] says what does not count, [`spelling`] what
//! is a matter of how it was asked,
//! [`explain`] and [`propose`] which rule would make a difference none. [`coverage`] counts what has
//! ever been compared; [`report`] makes lines, records and pages of the stored evidence. [`mod@reconcile`]
//! compares two stores at rest, by sums of chunks first; [`rehearsal`] two operations that began with one state. [`words`]
//! is how counts are written, everywhere.
//!
//! Promise: nothing here does IO, reads a clock or draws a random number; `judge(x, x)` is a match.
//! Not here: asking the sides, waiting and storing (`proxy`).

pub mod canon;
pub mod cause;
pub mod confirm;
pub mod coverage;
pub mod excuses;
pub mod explain;
pub mod judge;
pub mod propose;
pub mod reconcile;
pub mod redact;
pub mod rehearsal;
pub mod report;
pub mod spelling;
pub mod words;

pub use confirm::{Confirmation, Look, Patience, Step};
pub use coverage::KeysSeen;
pub use excuses::Excuses;
pub use judge::{Answer, Asked, Difference, Judgement, Question, Reason, Subject, judge};
pub use redact::Redactor;
pub use report::Report;
