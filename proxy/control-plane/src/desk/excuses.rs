//! Known differences that do not count until a day: accepted and taken back here, counted by every replica.

use chrono::NaiveDate;
use model::control::{AcceptedExcuse, Action, Author, Deed, EvidenceFilter, ExcuseId, ExcuseRecord, ExcuseScope};
use model::{GroupName, Rule};
use serde_json::json;
use uuid::Uuid;

use super::{Desk, DeskError, DiffFilter};

/// What is to be excused, as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExcuseWish {
    /// On this route.
    pub route: String,
    /// Of this field; not for whole records and the order.
    pub field: Option<String>,
    /// With this cause.
    pub cause: String,
    /// Only what this rule explains.
    pub rule: Option<Rule>,
    /// Who answers for the difference.
    pub owner: String,
    /// The last day on which it is excused, in UTC.
    pub until: NaiveDate,
}

impl Desk {
    /// Accepts a known difference until a day.
    ///
    /// # Errors
    /// [`DeskError`] when it cannot be excused like that, or the control store does not do it.
    pub async fn excuse(&self, wish: &ExcuseWish, author: &Author) -> Result<AcceptedExcuse, DeskError> {
        let (excuse, _, group) = self.checked_excuse(wish, author)?;
        self.control.excuse(&excuse).await?;
        let detail = json!({
            "excuse": excuse.id.to_string(), "what": excuse.scope.to_string(), "scope": excuse.scope, "owner": excuse.owner,
            "until": excuse.until,
        });
        let deed = Deed { action: Action::Excused, group, author: author.clone(), rollout: None, detail };
        self.control.note(&deed).await?;
        Ok(excuse)
    }

    /// What a wish comes to: the excuse, the evidence that it is about, and its group.
    pub(super) fn checked_excuse(
        &self,
        wish: &ExcuseWish,
        author: &Author,
    ) -> Result<(AcceptedExcuse, EvidenceFilter, Option<GroupName>), DeskError> {
        let filter = self.evidence_filter(&DiffFilter {
            route: Some(wish.route.clone()),
            field: wish.field.clone(),
            cause: Some(wish.cause.clone()),
            since: None,
        })?;
        let route = filter.routes.iter().flatten().next().cloned();
        let (Some(route), Some(cause)) = (route, filter.cause) else {
            return Err(DeskError::wrong("BAD_EXCUSE", "an excuse needs a route and a cause"));
        };
        let root = self.contract.root(&route);
        if let (Some(field), Some(entity)) = (&filter.field, root.map(|root| &root.entity))
            && entity.index(field.as_str()).is_none()
        {
            let message = format!("{route} answers with {}, which has no field `{field}`", entity.name);
            return Err(DeskError::wrong("UNKNOWN_FIELD", message));
        }
        let group = root.map(|root| root.group.clone());
        let scope = ExcuseScope { route, field: filter.field.clone(), cause, rule: wish.rule };
        let today = (self.clock)().to_utc().date_naive();
        let id = ExcuseId(Uuid::new_v4());
        let excuse = AcceptedExcuse::new(id, scope, &wish.owner, wish.until, author.clone(), today)
            .map_err(|error| DeskError::wrong("BAD_EXCUSE", error.to_string()))?;
        Ok((excuse, filter, group))
    }

    /// Every excuse that was ever accepted here.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub async fn excuses(&self) -> Result<Vec<ExcuseRecord>, DeskError> {
        Ok(self.control.excuses().await?)
    }

    /// Takes an excuse back: it counts again. The first letters of its id are enough.
    ///
    /// # Errors
    /// [`DeskError`] when there is none, it was taken back before, or the control store does not do it.
    pub async fn unexcuse(&self, id: &str, author: &Author) -> Result<ExcuseRecord, DeskError> {
        let mut found = self.excuses().await?;
        found.retain(|record| !id.is_empty() && record.excuse.id.to_string().starts_with(id));
        let record = match found.len() {
            1 => found.remove(0),
            0 => {
                let message = format!("there is no excuse `{id}`: see `strangler diffs excuses`");
                return Err(DeskError::no("UNKNOWN_EXCUSE", message));
            }
            several => {
                let message = format!("{several} excuses begin with `{id}`: give more of its id");
                return Err(DeskError::wrong("UNKNOWN_EXCUSE", message));
            }
        };
        if let Some(withdrawal) = &record.withdrawn {
            let message = format!("{} took it back already, at {}", withdrawal.author.who, withdrawal.at);
            return Err(DeskError::no("OVERTAKEN", message));
        }
        let id = record.excuse.id;
        self.control.withdraw_excuse(id, author).await?;
        let group = self.contract.root(&record.excuse.scope.route).map(|root| root.group.clone());
        let excuse = &record.excuse;
        let detail = json!({
            "excuse": id.to_string(), "what": excuse.scope.to_string(), "scope": excuse.scope, "owner": excuse.owner,
            "until": excuse.until, "excusedBy": excuse.author.who,
        });
        let deed = Deed { action: Action::Unexcused, group, author: author.clone(), rollout: None, detail };
        self.control.note(&deed).await?;
        Ok(record)
    }
}
