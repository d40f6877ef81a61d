//! Reports for scripts. Field names are stable: a field may be added, none is renamed or removed.
//!
//! - Report: `answer`, `madeAt`, `asked` {`routes`, `field`, `cause`, `since`, `time`, `inAll` {`answers`, `last`}}, `totals` {`comparisons`, `matches`, `excused`, `mismatches`,
//!   `inconclusive`}, `routes` [{`route`, `answer`, `totals`, `inconclusiveReasons` {reason: count},
//!   `coverage` {`keysCompared`, `keysTotal`, `keysRatio`, `fieldsCompared`, `fieldsNever`}, `trend`,
//!   `differences` [{`field`, `cause`, `verdict`, `count`, `rows`, `answers`, `firstSeen`, `lastSeen`, `trend` [{`start`, `count`}],
//!   `proposals` [{`answer`, `rule`, `explained`, `differences`, `contract`, `place`, `excuse`}], `samples`}],
//!   `excuses` [{`id`, `field`, `cause`, `rule`, `owner`, `until`, `state`, `who`, `reason`}]}], `trend`
//! - Trend (null where not asked for): `answer`, `period`, `since`, `until`, `points` [{`start`, `comparisons`,
//!   `mismatches`, `excused`, `inconclusive`, `mismatchRatio`}]
//! - Sample: `id`, `answer`, `route`, `field`, `cause`, `excused`, `key`, `seenAt`, `values` {`legacy`,
//!   `modern`}, `records` {`legacy`, `modern`}, `notAsked` {`legacy`, `modern`}, `diff`
//! - List: `answer`, `differences` [{`route`, `field`, `cause`, `verdict`, `count`, `rows`, `answers`,
//!   `firstSeen`, `lastSeen`}]
//!
//! Times are RFC 3339 in UTC; `field` is null where whole records or their order differ; causes and
//! verdicts are the words of `model::evidence`. `totals` counts answers, and `comparisons` is those of them that were not
//! inconclusive. `count` is the older name of `rows`: a row counts in each answer that holds it, so it may be more than all
//! answers; `answers` is null where a release that counted rows only has counted some. `fieldsNever` is of the time in `asked`.

use model::evidence::{Cause, Verdict};
use model::{FieldName, Instant, RouteName};
use serde::Serialize;

use super::{Report, SampleReport};

#[derive(Serialize)]
struct List<'a> {
    answer: &'a str,
    differences: Vec<ListLine<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListLine<'a> {
    route: &'a RouteName,
    field: Option<&'a FieldName>,
    cause: Cause,
    verdict: Verdict,
    count: u64,
    rows: u64,
    answers: Option<u64>,
    first_seen: Instant,
    last_seen: Instant,
}

impl Report {
    /// [`Report::list_text`] as JSON.
    pub fn list_json(&self) -> String {
        let lines = self.routes.iter().flat_map(|r| r.differences.iter().map(move |line| (r, line)));
        let differences = lines.map(|(route, line)| ListLine {
            route: &route.route,
            field: line.field.as_ref(),
            cause: line.cause,
            verdict: line.verdict,
            count: line.count,
            rows: line.rows,
            answers: line.answers,
            first_seen: line.first_seen,
            last_seen: line.last_seen,
        });
        pretty(&List { answer: &self.answer, differences: differences.collect() })
    }

    /// The whole report as JSON.
    pub fn json(&self) -> String {
        pretty(self)
    }
}

impl SampleReport {
    /// The sample as JSON.
    pub fn json(&self) -> String {
        pretty(self)
    }
}

fn pretty(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value)
        .expect("a report has text keys only and finite numbers, so it is always JSON");
    text.push('\n');
    text
}
