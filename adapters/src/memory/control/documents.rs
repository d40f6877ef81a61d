//! Audit, proposals and promotions in memory.

use async_trait::async_trait;
use chrono::Utc;
use model::control::{
    Approval, AuditEntry, AuditStore, ControlError, Decision, Deed, Promotion, PromotionStore, Proposal, ProposalId,
    ProposalStore,
};
use model::{GroupName, Instant, RolloutVersion};

use super::{MemoryControl, State};

impl State {
    pub(super) fn append(&mut self, deed: &Deed, at: Instant) -> AuditEntry {
        let last = self.audit.last().map(|entry| (entry.place, &entry.hash));
        let entry = AuditEntry::following(last, deed, at);
        self.audit.push(entry.clone());
        entry
    }

    /// Notes what became of a proposal; false when that was noted before.
    pub(super) fn decide(&mut self, id: ProposalId, decision: &Decision) -> bool {
        let open = self.proposals.iter_mut().find(|proposal| proposal.id == id && proposal.decision.is_none());
        open.map(|proposal| proposal.decision = Some(decision.clone())).is_some()
    }

    fn save(&mut self, promotion: &Promotion) {
        self.promotions.insert(promotion.group.clone(), promotion.clone());
    }

    /// Whether `promotion` follows the group's last one.
    fn follows(&self, promotion: &Promotion) -> bool {
        promotion.revision == self.promotions.get(&promotion.group).map_or(0, |kept| kept.revision) + 1
    }
}

#[async_trait]
impl AuditStore for MemoryControl {
    async fn note(&self, deed: &Deed) -> Result<AuditEntry, ControlError> {
        self.up()?;
        Ok(self.state.lock().append(deed, Instant::new(Utc::now())))
    }

    async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, ControlError> {
        self.up()?;
        Ok(self.state.lock().audit.iter().filter(|entry| entry.place > after).take(limit).cloned().collect())
    }

    async fn newest_audit(
        &self,
        group: Option<&GroupName>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ControlError> {
        self.up()?;
        let state = self.state.lock();
        let wanted = |entry: &&AuditEntry| {
            group.is_none_or(|group| entry.group.as_ref() == Some(group))
                && before.is_none_or(|before| entry.place < before)
        };
        Ok(state.audit.iter().rev().filter(wanted).take(limit).cloned().collect())
    }
}

#[async_trait]
impl ProposalStore for MemoryControl {
    async fn keep_proposal(&self, proposal: &Proposal) -> Result<(), ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        if state.proposals.iter().all(|known| known.id != proposal.id) {
            state.proposals.push(Proposal { decision: None, ..proposal.clone() });
        }
        Ok(())
    }

    async fn decide_proposal(&self, id: ProposalId, decision: &Decision) -> Result<bool, ControlError> {
        self.up()?;
        Ok(self.state.lock().decide(id, decision))
    }

    async fn proposals(&self, limit: usize) -> Result<Vec<Proposal>, ControlError> {
        self.up()?;
        let mut proposals = self.state.lock().proposals.clone();
        proposals.sort_by_key(|proposal| (std::cmp::Reverse(proposal.at), proposal.id));
        proposals.truncate(limit);
        Ok(proposals)
    }
}

#[async_trait]
impl PromotionStore for MemoryControl {
    async fn promotions(&self) -> Result<Vec<Promotion>, ControlError> {
        self.up()?;
        Ok(self.state.lock().promotions.values().cloned().collect())
    }

    async fn save_promotion(&self, promotion: &Promotion) -> Result<bool, ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        let follows = state.follows(promotion);
        if follows {
            state.save(promotion);
        }
        Ok(follows)
    }

    async fn begin_approved(
        &self,
        promotion: &Promotion,
        approval: &Approval,
        seen: RolloutVersion,
    ) -> Result<bool, ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        if !state.follows(promotion) {
            return Ok(false);
        }
        if !state.decide(approval.proposal, &approval.under(seen)) {
            return Err(ControlError::Decided);
        }
        state.save(promotion);
        Ok(true)
    }
}
