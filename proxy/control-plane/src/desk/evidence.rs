//! Reports and samples, as `shadow-compare` words them.

use chrono::TimeDelta;
use model::control::{EvidenceFilter, ExcuseScope, Span};
use model::evidence::{Cause, Evidence, InAll, Sample, Verdict};
use model::{Instant, RouteName};
use shadow_compare::Report;

use super::{Desk, DeskError};
use crate::spoken::duration;
use contract::suggest;
use data_plane::evidence::stored;

/// Which differences, as people write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffFilter {
    /// Only this route.
    pub route: Option<String>,
    /// Only this field.
    pub field: Option<String>,
    /// Only this cause.
    pub cause: Option<String>,
    /// Only what was seen since then: `2h`, `7d`, or a time in RFC 3339.
    pub since: Option<String>,
}

impl Desk {
    /// What `filter` means.
    ///
    /// # Errors
    /// One that names what is known.
    pub fn evidence_filter(&self, filter: &DiffFilter) -> Result<EvidenceFilter, DeskError> {
        let contract = &self.contract;
        let unknown = |code, what: &str, name: &str, known: String| {
            DeskError::wrong(code, format!("there is no {what} `{name}`: {known}"))
        };
        let routes = filter.route.as_ref().map(|name| match contract.root(&RouteName::from(name.as_str())) {
            Some(root) => Ok(vec![root.route.clone()]),
            None => {
                let known = suggest::or_all(name, "", contract.roots.keys().map(RouteName::as_str));
                Err(unknown("UNKNOWN_ROUTE", "route", name, known))
            }
        });
        let cause = filter.cause.as_ref().map(|name| {
            let known = || suggest::or_all(name, "", Cause::ALL.iter().map(|cause| cause.as_str()));
            Cause::named(name).ok_or_else(|| unknown("UNKNOWN_CAUSE", "cause", name, known()))
        });
        let fields: Vec<&str> = contract
            .entities
            .values()
            .flat_map(|entity| entity.fields.iter().map(|field| field.name.as_str()))
            .collect();
        let field = filter.field.as_ref().map(|name| {
            let known = || suggest::or_all(name, "", fields.iter().copied());
            let found = fields.contains(&name.as_str()).then(|| name.as_str().into());
            found.ok_or_else(|| unknown("UNKNOWN_FIELD", "field", name, known()))
        });
        Ok(EvidenceFilter {
            routes: routes.transpose()?,
            field: field.transpose()?,
            cause: cause.transpose()?,
            since: filter.since.as_deref().map(|text| self.since(text)).transpose()?,
        })
    }

    pub(super) fn since(&self, text: &str) -> Result<Instant, DeskError> {
        if let Some(instant) = Instant::parse(text) {
            return Ok(instant);
        }
        let ago = duration(text).ok().and_then(|ago| TimeDelta::from_std(ago).ok());
        let ago = ago.ok_or_else(|| {
            DeskError::wrong("BAD_TIME", "`since` takes 2h, 7d, or a time such as 2026-01-31T08:00:00Z")
        })?;
        Ok(Instant::new((self.clock)().to_utc() - ago))
    }

    /// Everything that is known, as far as `filter` wants it.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub async fn report(&self, filter: &EvidenceFilter) -> Result<Report, DeskError> {
        let sums = self.control.evidence(filter).await?;
        let until = (self.clock)();
        // Of all time: from the first comparison on.
        let first = || sums.comparisons.values().map(|seen| seen.first).min();
        let trend = match filter.since.or_else(first) {
            Some(since) => {
                let span = Span::between(since, until);
                Some((span, self.control.trend(filter, span).await?))
            }
            None => None,
        };
        let mut excuses = self.control.excuses().await?;
        excuses.retain(|record| concerns(&record.excuse.scope, filter));
        let evidence = stored(&sums, &self.contract, filter, &self.totals(None).await);
        let in_all = self.in_all(filter).await?;
        Ok(Report::of(&Evidence { trend, excuses, in_all, ..evidence }, until))
    }

    /// What was compared in all, where `filter` asks for a part of it.
    async fn in_all(&self, filter: &EvidenceFilter) -> Result<Option<InAll>, DeskError> {
        if filter.since.is_none() && filter.routes.is_none() {
            return Ok(None);
        }
        let all = self.control.evidence(&EvidenceFilter::default()).await?;
        let said = all.comparisons.iter().filter(|(finding, _)| finding.verdict != Verdict::Inconclusive);
        let (mut answers, mut last) = (0, None);
        for (_, seen) in said {
            answers += seen.count;
            last = last.max(Some(seen.last));
        }
        Ok(Some(InAll { answers, last }))
    }

    /// The sample whose id begins with `id`.
    ///
    /// # Errors
    /// When none or several do, or the control store does not tell.
    pub async fn sample(&self, id: &str) -> Result<Sample, DeskError> {
        let mut samples = self.control.evidence(&EvidenceFilter::default()).await?.samples;
        samples.retain(|sample| !id.is_empty() && sample.id.starts_with(id));
        match samples.len() {
            1 => Ok(samples.remove(0)),
            0 => Err(DeskError::no(
                "UNKNOWN_SAMPLE",
                format!("there is no sample `{id}`: `strangler diffs report` names those that are kept"),
            )),
            several => Err(DeskError::wrong(
                "UNKNOWN_SAMPLE",
                format!("{several} samples begin with `{id}`: give more of its id"),
            )),
        }
    }
}

/// Whether an excuse is about what `filter` wants.
fn concerns(scope: &ExcuseScope, filter: &EvidenceFilter) -> bool {
    filter.routes.as_ref().is_none_or(|routes| routes.contains(&scope.route))
        && (filter.field.is_none() || filter.field == scope.field)
        && filter.cause.is_none_or(|cause| cause == scope.cause)
}
