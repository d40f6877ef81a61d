//! Which differences are asked for, and which are excused, as the admin API takes and shows them.

use async_graphql::{InputObject, SimpleObject};
use chrono::NaiveDate;
use model::Rule;
use model::control::ExcuseRecord;

use control_plane::desk::{DeskError, DiffFilter, ExcuseWish};

/// Which differences.
#[derive(InputObject, Default)]
pub(super) struct DiffFilterInput {
    /// Such as Query.stockLevel.
    pub(super) route: Option<String>,
    pub(super) field: Option<String>,
    /// Such as rounding or missing-row.
    pub(super) cause: Option<String>,
    /// 2h, 7d, or a time in RFC 3339.
    pub(super) since: Option<String>,
}

impl From<DiffFilterInput> for DiffFilter {
    fn from(input: DiffFilterInput) -> Self {
        Self { route: input.route, field: input.field, cause: input.cause, since: input.since }
    }
}

/// A known difference that was accepted.
#[derive(SimpleObject)]
#[graphql(name = "Excuse")]
pub(super) struct ExcuseShape {
    pub(super) id: String,
    /// Route, field, cause and rule, in words.
    pub(super) what: String,
    pub(super) route: String,
    pub(super) owner: String,
    /// The last day on which it counts, in UTC.
    pub(super) until: String,
    /// in force, expired or withdrawn.
    pub(super) state: String,
    pub(super) who: String,
    pub(super) reason: Option<String>,
}

impl ExcuseShape {
    pub(super) fn of(record: &ExcuseRecord, today: NaiveDate) -> Self {
        let excuse = &record.excuse;
        Self {
            state: record.state(today).as_str().to_owned(),
            id: excuse.id.to_string(),
            what: excuse.scope.to_string(),
            route: excuse.scope.route.to_string(),
            owner: excuse.owner.clone(),
            until: excuse.until.to_string(),
            who: excuse.author.who.clone(),
            reason: excuse.author.reason.clone(),
        }
    }
}

/// What is to be excused.
#[derive(InputObject)]
pub(super) struct ExcuseInput {
    /// Such as Query.product.
    pub(super) route: String,
    /// Not for missing-row, extra-row and order.
    pub(super) field: Option<String>,
    /// Such as rounding.
    pub(super) cause: String,
    /// Only what this rule explains, such as `scale: 2`, as reports propose it.
    pub(super) rule: Option<String>,
    /// Who answers for the difference.
    pub(super) owner: String,
    /// The last day on which it is excused, in UTC: 2026-12-31.
    pub(super) until: String,
}

impl ExcuseInput {
    pub(super) fn wish(self) -> Result<ExcuseWish, DeskError> {
        let rule = self.rule.map(|rule| rule.parse::<Rule>()).transpose();
        let until =
            self.until.parse().map_err(|_| DeskError::wrong("BAD_EXCUSE", "until: give a day such as 2026-12-31"));
        Ok(ExcuseWish {
            route: self.route,
            field: self.field,
            cause: self.cause,
            rule: rule.map_err(|error| DeskError::wrong("BAD_EXCUSE", error.to_string()))?,
            owner: self.owner,
            until: until?,
        })
    }
}
