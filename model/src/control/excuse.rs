//! Excuses that engineers accept in the running fleet: known differences with an owner and an end date.
//!
//! They stand beside those of the contract (`@excused`) and count like them: until the end of their last day,
//! by the date in UTC. An excuse is appended and may be withdrawn; it is never edited, and neither is ever
//! deleted, so it can always be told who excused what, when and why.
//!
//! An excuse is exactly as wide as it says: one route, one field (or whole records, or the order), one cause,
//! and perhaps one rule. So nothing but an excuse for `missing-row` ever excuses a missing row.
//! Not here: applying them (`shadow_compare::excuses`), telling replicas (`proxy::excuses`).

use std::fmt;

use async_trait::async_trait;
use chrono::{Months, NaiveDate};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::{Author, ControlError};
use crate::evidence::Cause;
use crate::name::{FieldName, RouteName};
use crate::rule::Rule;
use crate::value::Instant;

/// Names an excuse for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExcuseId(pub Uuid);

impl fmt::Display for ExcuseId {
    /// 32 hexadecimal digits; commands take the first few.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// Which differences are excused: those to which all of it applies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExcuseScope {
    /// On this route.
    pub route: RouteName,
    /// Of this field; `None`: whole records, or the order of a list.
    pub field: Option<FieldName>,
    /// With this cause.
    pub cause: Cause,
    /// And explained by this rule; `None`: however the values differ.
    pub rule: Option<Rule>,
}

impl fmt::Display for ExcuseScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        if let Some(field) = &self.field {
            write!(f, " in {field}")?;
        }
        write!(f, " of {}", self.route)?;
        self.rule.map_or(Ok(()), |rule| write!(f, " ({rule})"))
    }
}

/// An accepted excuse. Checked when it was made: see [`AcceptedExcuse::new`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedExcuse {
    /// Its name.
    pub id: ExcuseId,
    /// What it excuses.
    pub scope: ExcuseScope,
    /// Who answers for the difference.
    pub owner: String,
    /// The last day on which it is excused, in UTC.
    pub until: NaiveDate,
    /// Who accepted it, from where and why.
    pub author: Author,
}

/// What cannot be excused like that; says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidExcuse {
    /// A field where there is none, or none where there must be one.
    #[error("{cause} is about {}", if *.of_field { "a field: name it" } else { "whole records: name no field and no rule" })]
    Field {
        /// The cause.
        cause: Cause,
        /// Whether it is one of fields.
        of_field: bool,
    },
    /// Nobody answers for it, or there is no reason.
    #[error("an excuse needs {0}")]
    Missing(&'static str),
    /// The last day is over.
    #[error("{until} is over: an excuse lasts at least to the end of today, {today}")]
    Past {
        /// The last day.
        until: NaiveDate,
        /// The day it was asked for.
        today: NaiveDate,
    },
    /// The last day is too far away.
    #[error("{until} is more than a year away: the last day allowed is {last}; excuse it anew by then")]
    TooLong {
        /// The last day that was asked for.
        until: NaiveDate,
        /// The last day allowed.
        last: NaiveDate,
    },
}

impl AcceptedExcuse {
    /// Checks an excuse that somebody wants to accept on the day `today`.
    ///
    /// # Errors
    /// [`InvalidExcuse`].
    pub fn new(
        id: ExcuseId,
        scope: ExcuseScope,
        owner: &str,
        until: NaiveDate,
        author: Author,
        today: NaiveDate,
    ) -> Result<Self, InvalidExcuse> {
        let of_field = match scope.cause {
            Cause::MissingRow | Cause::ExtraRow | Cause::Order => Some(false),
            // A whole record may be stale too: it is there on one side only, and was not always.
            Cause::Stale | Cause::ForeignWrite => None,
            // Or one side's operation refuses, or leaves no record.
            Cause::Logic => None,
            Cause::Rounding
            | Cause::TimeZone
            | Cause::NullEmpty
            | Cause::Padding
            | Cause::Case
            | Cause::Truncation
            | Cause::Different => Some(true),
        };
        let fits = of_field.is_none_or(|of_field| scope.field.is_some() == of_field);
        if !fits || (scope.rule.is_some() && scope.field.is_none()) {
            return Err(InvalidExcuse::Field { cause: scope.cause, of_field: of_field == Some(true) });
        }
        let owner = owner.trim();
        if owner.is_empty() {
            return Err(InvalidExcuse::Missing("an owner: who answers for the difference?"));
        }
        if author.reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) {
            return Err(InvalidExcuse::Missing("a reason: why may the sides differ?"));
        }
        if until < today {
            return Err(InvalidExcuse::Past { until, today });
        }
        let last = today.checked_add_months(Months::new(12)).unwrap_or(NaiveDate::MAX);
        if until > last {
            return Err(InvalidExcuse::TooLong { until, last });
        }
        Ok(Self { id, scope, owner: owner.to_owned(), until, author })
    }
}

/// An excuse as it stands in the control store for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExcuseRecord {
    /// What was accepted.
    pub excuse: AcceptedExcuse,
    /// When, by the control store's clock.
    pub at: Instant,
    /// Who took it back, when that was done.
    pub withdrawn: Option<Withdrawal>,
}

/// The end of an excuse before its last day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Who, from where and why.
    pub author: Author,
    /// When, by the control store's clock.
    pub at: Instant,
}

/// How an excuse stands on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExcuseState {
    /// It counts.
    InForce,
    /// Its last day is over: what it excused is a mismatch again.
    Expired,
    /// It was taken back.
    Withdrawn,
}

impl ExcuseState {
    /// The word of reports: `in force`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl ExcuseRecord {
    /// How it stands on the day `today`.
    pub fn state(&self, today: NaiveDate) -> ExcuseState {
        if self.withdrawn.is_some() {
            ExcuseState::Withdrawn
        } else if self.excuse.until < today {
            ExcuseState::Expired
        } else {
            ExcuseState::InForce
        }
    }
}

/// Where accepted excuses are kept. Limits and errors as for the rest of the control store.
#[async_trait]
pub trait ExcuseStore: Send + Sync {
    /// Appends an excuse. One with this id that is there already stays as it is.
    ///
    /// # Errors
    /// `Unreachable`, `Misfit`: nothing was added. `NoAnswer`: it may stand; repeat it.
    async fn excuse(&self, excuse: &AcceptedExcuse) -> Result<(), ControlError>;

    /// Takes an excuse back; false when there is no such excuse. The first withdrawal stands.
    ///
    /// # Errors
    /// As [`ExcuseStore::excuse`].
    async fn withdraw_excuse(&self, id: ExcuseId, author: &Author) -> Result<bool, ControlError>;

    /// Every excuse that there ever was, oldest first.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn excuses(&self) -> Result<Vec<ExcuseRecord>, ControlError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn author(reason: &str) -> Author {
        Author { who: "ada".into(), origin: "desk".into(), reason: Some(reason.into()) }
    }

    fn excuse(field: Option<&str>, cause: Cause, owner: &str, until: &str) -> Result<AcceptedExcuse, InvalidExcuse> {
        let scope = ExcuseScope { route: "Query.product".into(), field: field.map(Into::into), cause, rule: None };
        AcceptedExcuse::new(ExcuseId(Uuid::nil()), scope, owner, day(until), author("why"), day("2026-01-31"))
    }

    #[test]
    fn an_excuse_lasts_from_today_to_a_year_and_has_an_owner_and_a_subject() {
        for until in ["2026-01-31", "2027-01-31"] {
            assert!(excuse(Some("price"), Cause::Rounding, "ann", until).is_ok(), "{until}");
        }
        assert!(excuse(None, Cause::MissingRow, "ann", "2026-12-31").is_ok());
        assert!(excuse(None, Cause::Stale, "ann", "2026-12-31").is_ok());
        for (field, cause, owner, until, said) in [
            (Some("price"), Cause::Rounding, "ann", "2026-01-30", "is over"),
            (Some("price"), Cause::Rounding, "ann", "2027-02-01", "2027-01-31"),
            (Some("price"), Cause::Rounding, " ", "2026-12-31", "an owner"),
            (None, Cause::Rounding, "ann", "2026-12-31", "name it"),
            (Some("price"), Cause::MissingRow, "ann", "2026-12-31", "name no field"),
        ] {
            let error = excuse(field, cause, owner, until).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn an_excuse_expires_by_itself_and_a_withdrawn_one_is_withdrawn() {
        let excuse = excuse(Some("price"), Cause::Rounding, "ann", "2026-12-31").unwrap();
        let at = Instant::parse("2026-01-31T08:00:00Z").unwrap();
        let mut record = ExcuseRecord { excuse, at, withdrawn: None };
        assert_eq!(record.state(day("2026-12-31")), ExcuseState::InForce);
        assert_eq!(record.state(day("2027-01-01")), ExcuseState::Expired);
        record.withdrawn = Some(Withdrawal { author: author("mended"), at });
        assert_eq!(record.state(day("2026-12-31")), ExcuseState::Withdrawn);
    }
}
