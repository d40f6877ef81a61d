//! Looks at the flags, and asks for what they say.
//!
//! Every replica looks, so that each knows what a flag said when its group was rolled back; the first live one by
//! name acts. When two act at once, the rollout's compare-and-swap lets one of them.

use std::collections::BTreeMap;
use std::time::Duration;

use model::control::{Author, Decision, LIVE_WITHIN, Progress};
use model::{GroupName, Percentage, ReplicaId, Rollout, RolloutVersion};
use open_feature::{Client, EvaluationErrorCode, OpenFeature};
use tokio_util::sync::CancellationToken;

use super::decide::{Known, Verdict, decide, lowered};
use super::provider::Provider;
use super::{FLAGD, Flags};
use crate::desk::{Desk, DeskError, SetOutcome};
use crate::rollout::SetPolicy;
use crate::telemetry;

/// Changes of a group that are looked through for the last lowering.
const HISTORY: usize = 50;
/// Proposals that are looked through for one of ours.
const PROPOSALS: usize = 500;

/// Lets flags govern percentages.
pub struct Governor {
    desk: Desk,
    replica: ReplicaId,
    who: String,
    flags: Client,
    interval: Duration,
    /// What a group's flag said when the rollout that lowered it was first seen.
    spent: BTreeMap<GroupName, (RolloutVersion, Percentage)>,
    /// By which rollout a group was lowered last, as of which rollout: history is read again only when there is news.
    looked: BTreeMap<GroupName, (RolloutVersion, Option<RolloutVersion>)>,
    /// What was wrong with a group's flag; said once.
    complaints: BTreeMap<GroupName, String>,
}

impl Governor {
    /// A governor on `replica`.
    pub async fn new(flags: &Flags, desk: Desk, replica: ReplicaId) -> Self {
        // The SDK's registry is the process's: a name of our own leaves other users of it alone.
        let name = format!("strangler-{replica}");
        let mut api = OpenFeature::singleton_mut().await;
        api.set_named_provider(&name, Provider::new(&flags.source)).await;
        let client = api.create_named_client(&name);
        Self {
            desk,
            replica,
            who: format!("openfeature:{FLAGD}"),
            flags: client,
            interval: flags.interval,
            spent: BTreeMap::new(),
            looked: BTreeMap::new(),
            complaints: BTreeMap::new(),
        }
    }

    /// Looks until `stop`. Run it as a task.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.interval) => {}
            }
            if let Err(error) = self.round().await {
                // Without the control store no group moves; the follower has said that it is down.
                tracing::debug!(%error, "flags wait: {error}");
            }
        }
    }

    /// One look at every group's flag.
    ///
    /// # Errors
    /// When the control store does not tell, or does not do it.
    pub async fn round(&mut self) -> Result<(), DeskError> {
        let rollout = self.desk.newest().await?.rollout;
        let mut first = None;
        for group in self.desk.contract.groups() {
            if let Some(wanted) = self.flag(&group).await
                && let Err(error) = self.listen(&group, &rollout, wanted).await
            {
                // The others' flags are heard all the same.
                tracing::warn!(%group, %error, "the flag of group {group} waits: {error}");
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// What the group's flag says; nothing when it is absent or makes no sense.
    async fn flag(&mut self, group: &GroupName) -> Option<Percentage> {
        let key = format!("strangler.{group}.reads");
        let value = match self.flags.get_float_value(&key, None, None).await {
            Ok(value) => Percentage::try_from(value).map_err(|error| error.to_string()),
            // Groups without a flag are for people: nothing is wrong.
            Err(error) if error.code == EvaluationErrorCode::FlagNotFound => {
                telemetry::flag_evaluated("absent");
                self.complaints.remove(group);
                return None;
            }
            Err(error) => Err(format!("{}: {}", error.code, error.message.unwrap_or_default())),
        };
        match value {
            Ok(wanted) => {
                telemetry::flag_evaluated("ok");
                self.complaints.remove(group);
                Some(wanted)
            }
            Err(wrong) => {
                telemetry::flag_evaluated("unusable");
                if self.complaints.insert(group.clone(), wrong.clone()).as_ref() != Some(&wrong) {
                    tracing::warn!(%group, "flag {key} changes nothing: {wrong}");
                }
                None
            }
        }
    }

    async fn listen(&mut self, group: &GroupName, rollout: &Rollout, wanted: Percentage) -> Result<(), DeskError> {
        let policy = rollout.policy(group);
        let spent = self.lowered(group, rollout.version).await?.map(|version| {
            let seen = self.spent.entry(group.clone()).or_insert((version, wanted));
            if seen.0 != version {
                *seen = (version, wanted);
            }
            seen.1
        });
        let promotion = self.desk.last_promotion(group).await?;
        let promoting = promotion.is_some_and(|promotion| promotion.progress == Progress::Running);
        match decide(&Known { policy, promoting, spent }, wanted) {
            Verdict::Set => {}
            Verdict::AlreadySo | Verdict::OtherStage | Verdict::UnderPromotion | Verdict::Spent => return Ok(()),
        }
        if !self.acts().await? || self.has_asked(group, wanted).await? {
            return Ok(());
        }
        let reason = format!("flag strangler.{group}.reads says {wanted}");
        let author = Author { who: self.who.clone(), origin: self.replica.to_string(), reason: Some(reason.clone()) };
        let wish = SetPolicy { reads: Some(wanted), ..SetPolicy::default() };
        let outcome = match self.desk.set_after(rollout, group, &wish, &author).await {
            // Somebody changed something since we looked: look again.
            Err(overtaken) if overtaken.code() == "OVERTAKEN" => return Ok(()),
            outcome => outcome?,
        };
        match outcome {
            SetOutcome::Published { .. } | SetOutcome::HandedOver { .. } => {
                tracing::info!(%group, "group {group}: {reason}")
            }
            SetOutcome::Proposed(_) => tracing::info!(%group, "group {group}: {reason}; a second person must approve"),
            SetOutcome::AlreadySo { .. } => {}
        }
        Ok(())
    }

    /// The rollout by which somebody else lowered the group last, as of rollout `now`.
    async fn lowered(&mut self, group: &GroupName, now: RolloutVersion) -> Result<Option<RolloutVersion>, DeskError> {
        if let Some((seen, by)) = self.looked.get(group)
            && *seen == now
        {
            return Ok(*by);
        }
        let history = self.desk.control.history(Some(group), HISTORY).await?;
        let by = lowered(&history, group, &self.who);
        self.looked.insert(group.clone(), (now, by));
        Ok(by)
    }

    /// Whether this is the replica that acts: the first of those that live.
    async fn acts(&self) -> Result<bool, DeskError> {
        let live = self.desk.control.replicas(LIVE_WITHIN).await?;
        Ok(live.first().is_some_and(|first| first.id == self.replica))
    }

    /// Whether the last thing that we asked a second person for is this, and waits or was turned down.
    async fn has_asked(&self, group: &GroupName, wanted: Percentage) -> Result<bool, DeskError> {
        let now = (self.desk.clock)();
        let proposals = self.desk.control.proposals(PROPOSALS).await?;
        let last = proposals.into_iter().find(|last| last.group == *group && last.author.who == self.who);
        Ok(last.is_some_and(|last| {
            let stands = match last.decision {
                None => last.expires > now,
                Some(Decision::Withdrawn { .. }) => true,
                Some(Decision::Approved { .. }) => false,
            };
            stands && last.to.reads() == wanted
        }))
    }
}
