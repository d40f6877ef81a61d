//! Proposals and promotions in PostgreSQL: small documents, changed by compare-and-swap.

use async_trait::async_trait;
use deadpool_postgres::{ClientWrapper, Transaction};
use model::RolloutVersion;
use model::control::{
    Approval, ControlError, Decision, Promotion, PromotionStore, Proposal, ProposalId, ProposalStore,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio_postgres::Row;

use super::connection::Broken;
use super::{PostgresControl, call};

/// Of two who decide at once, the second waits for the first one's transaction and finds it decided.
const DECIDE: &str = "UPDATE strangler_proposal SET decision = $2 WHERE id = $1 AND decision IS NULL";
const SAVE: &str = "INSERT INTO strangler_promotion AS kept (group_name, revision, promotion) \
    SELECT $1::text, $2::bigint, $3::jsonb WHERE $2 = 1 OR EXISTS (SELECT 1 FROM strangler_promotion WHERE group_name = $1) \
    ON CONFLICT (group_name) DO UPDATE SET revision = excluded.revision, promotion = excluded.promotion \
    WHERE kept.revision = excluded.revision - 1";

#[async_trait]
impl ProposalStore for PostgresControl {
    async fn keep_proposal(&self, proposal: &Proposal) -> Result<(), ControlError> {
        call!(self, keep, proposal)
    }

    async fn decide_proposal(&self, id: ProposalId, decision: &Decision) -> Result<bool, ControlError> {
        call!(self, decide, id, decision)
    }

    async fn proposals(&self, limit: usize) -> Result<Vec<Proposal>, ControlError> {
        call!(self, proposals, limit)
    }
}

#[async_trait]
impl PromotionStore for PostgresControl {
    async fn promotions(&self) -> Result<Vec<Promotion>, ControlError> {
        call!(self, promotions)
    }

    async fn save_promotion(&self, promotion: &Promotion) -> Result<bool, ControlError> {
        call!(self, save_alone, promotion)
    }

    async fn begin_approved(
        &self,
        promotion: &Promotion,
        approval: &Approval,
        seen: RolloutVersion,
    ) -> Result<bool, ControlError> {
        call!(self, begin_approved, promotion, approval, seen)
    }
}

async fn keep(client: &ClientWrapper, proposal: &Proposal) -> Result<(), Broken> {
    let bare = Proposal { decision: None, ..proposal.clone() };
    let statement = "INSERT INTO strangler_proposal (id, at, proposal) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
    client.execute(statement, &[&proposal.id.0, &proposal.at.to_utc(), &written(&bare)?]).await?;
    Ok(())
}

async fn decide(client: &ClientWrapper, id: ProposalId, decision: &Decision) -> Result<bool, Broken> {
    Ok(client.execute(DECIDE, &[&id.0, &written(decision)?]).await? == 1)
}

/// Marks a proposal as approved, in the transaction that brings it into force; else says that somebody was faster.
pub(super) async fn approve(
    transaction: &Transaction<'_>,
    approval: &Approval,
    rollout: RolloutVersion,
) -> Result<(), Broken> {
    let decision = written(&approval.under(rollout))?;
    match transaction.execute(DECIDE, &[&approval.proposal.0, &decision]).await? {
        1 => Ok(()),
        _ => Err(Broken::Control(ControlError::Decided)),
    }
}

async fn proposals(client: &ClientWrapper, limit: usize) -> Result<Vec<Proposal>, Broken> {
    let query = "SELECT proposal, decision FROM strangler_proposal ORDER BY at DESC, id LIMIT $1";
    let rows = client.query(query, &[&i64::try_from(limit).unwrap_or(i64::MAX)]).await?;
    let proposal = |row: &Row| {
        let decision = row.get::<_, Option<Json>>(1).map(understood).transpose()?;
        Ok(Proposal { decision, ..understood(row.get(0))? })
    };
    rows.iter().map(proposal).collect()
}

async fn promotions(client: &ClientWrapper) -> Result<Vec<Promotion>, Broken> {
    let query = "SELECT promotion FROM strangler_promotion ORDER BY group_name COLLATE \"C\"";
    client.query(query, &[]).await?.iter().map(|row| understood(row.get(0))).collect()
}

async fn save_alone(client: &ClientWrapper, promotion: &Promotion) -> Result<bool, Broken> {
    let (group, revision, written) = (promotion.group.as_str(), revision(promotion)?, written(promotion)?);
    Ok(client.execute(SAVE, &[&group, &revision, &written]).await? == 1)
}

async fn begin_approved(
    client: &mut ClientWrapper,
    promotion: &Promotion,
    approval: &Approval,
    seen: RolloutVersion,
) -> Result<bool, Broken> {
    let transaction = client.transaction().await?;
    let (group, revision, written) = (promotion.group.as_str(), revision(promotion)?, written(promotion)?);
    if transaction.execute(SAVE, &[&group, &revision, &written]).await? != 1 {
        return Ok(false);
    }
    approve(&transaction, approval, seen).await?;
    transaction.commit().await?;
    Ok(true)
}

fn revision(promotion: &Promotion) -> Result<i64, Broken> {
    i64::try_from(promotion.revision).map_err(|_| Broken::garbled("a revision is beyond all bounds"))
}

fn written(value: &impl Serialize) -> Result<Json, Broken> {
    serde_json::to_value(value).map_err(|_| Broken::garbled("a document could not be written as JSON"))
}

fn understood<T: DeserializeOwned>(json: Json) -> Result<T, Broken> {
    serde_json::from_value(json)
        .map_err(|_| Broken::garbled("a document is not understood; a newer release may have written it"))
}
