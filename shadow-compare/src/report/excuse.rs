//! Excuses in reports: what is not counted, until when, and what counts again.

use chrono::NaiveDate;
use model::control::{ExcuseRecord, ExcuseState};
use model::evidence::{Cause, DeclaredExcuse};
use model::{FieldName, Rule};
use serde::Serialize;

/// One excuse, of the contract or accepted in the running fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExcuseReport {
    /// Names it on the command line; null for one of the contract.
    pub id: Option<String>,
    /// The field; null for whole records or their order.
    pub field: Option<FieldName>,
    /// The cause; null for any, as in the contract.
    pub cause: Option<Cause>,
    /// The rule that narrows it.
    pub rule: Option<Rule>,
    /// Who answers for it.
    pub owner: String,
    /// The last day.
    pub until: NaiveDate,
    /// `in-force`, `expired` or `withdrawn`.
    pub state: ExcuseState,
    /// Who accepted it; null for one of the contract.
    pub who: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl ExcuseReport {
    /// How an accepted excuse stands on the day `today`.
    pub fn accepted(record: &ExcuseRecord, today: NaiveDate) -> Self {
        let excuse = &record.excuse;
        Self {
            id: Some(excuse.id.to_string()),
            field: excuse.scope.field.clone(),
            cause: Some(excuse.scope.cause),
            rule: excuse.scope.rule,
            owner: excuse.owner.clone(),
            until: excuse.until,
            state: record.state(today),
            who: Some(excuse.author.who.clone()),
            reason: excuse.author.reason.clone(),
        }
    }

    /// How an excuse of the contract stands on the day `today`.
    pub fn declared(declared: &DeclaredExcuse, today: NaiveDate) -> Self {
        let excuse = &declared.excuse;
        Self {
            id: None,
            field: Some(declared.field.clone()),
            cause: None,
            rule: None,
            owner: excuse.owner.clone(),
            until: excuse.until,
            state: if excuse.until < today { ExcuseState::Expired } else { ExcuseState::InForce },
            who: None,
            reason: Some(excuse.reason.clone()),
        }
    }

    /// `Excuse 01234567: rounding in unitPrice (scale: 2), owner pricing, until 2026-12-31: in force.`
    pub fn text(&self) -> String {
        let name = self.id.as_deref().map_or("of the contract", |id| id.get(..8).unwrap_or(id));
        let cause = self.cause.map_or("anything", Cause::as_str);
        let field = self.field.as_ref().map(|field| format!(" in {field}")).unwrap_or_default();
        let rule = self.rule.map(|rule| format!(" ({rule})")).unwrap_or_default();
        let state = match self.state {
            ExcuseState::InForce => "in force",
            ExcuseState::Expired => "expired, so it counts again",
            ExcuseState::Withdrawn => "withdrawn, so it counts again",
        };
        format!("Excuse {name}: {cause}{field}{rule}, owner {}, until {}: {state}.", self.owner, self.until)
    }
}
