//! Looks at the flags, and asks for what they say.
//!
//! Every replica looks, so that each knows what a flag said when its group was rolled back; the first live one by
//! name acts. When two act at once, the rollout's compare-and-swap lets one of them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use model::control::{Author, Decision, LIVE_WITHIN, Progress, Proposal, RolloutRecord};
use model::{GroupName, Instant as WallTime, Percentage, ReplicaId, Rollout, RolloutVersion};
use open_feature::{Client, EvaluationErrorCode, OpenFeature};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::decide::{Known, Limits, Lowered, Verdict, decide, lowered, raises};
use super::provider::Provider;
use super::{FLAGD, Flags};
use crate::desk::{Desk, DeskError, PAST_GATES, Past, SetOutcome};
use crate::rollout::SetPolicy;

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
    limits: Limits,
    /// What a group's flag said when the rollout that lowered it was first seen.
    spent: BTreeMap<GroupName, (RolloutVersion, Percentage)>,
    /// What a group's flag says, and since when, without a look that found anything else.
    stands: BTreeMap<GroupName, (Percentage, Instant)>,
    /// A group's changes as of a rollout: they are read again only when there is news.
    looked: BTreeMap<GroupName, (RolloutVersion, Vec<RolloutRecord>)>,
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
            limits: flags.limits,
            spent: BTreeMap::new(),
            stands: BTreeMap::new(),
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
            let Some(wanted) = self.flag(&group).await else {
                // What nobody can see does not stand.
                self.stands.remove(&group);
                self.tell(&group, None);
                continue;
            };
            if let Err(error) = self.listen(&group, &rollout, wanted).await {
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
        let known = self.known(group, rollout, wanted).await?;
        let verdict = decide(&known, wanted, &self.limits);
        let acts = self.acts().await?;
        let notice = verdict.notice(wanted, &self.limits).filter(|_| acts);
        match verdict {
            // What is told of it comes with its outcome.
            Verdict::Set => {}
            Verdict::AlreadySo
            | Verdict::OtherStage
            | Verdict::UnderPromotion
            | Verdict::Spent
            | Verdict::Unsettled
            | Verdict::TooOften => {
                self.tell(group, notice);
                return Ok(());
            }
        }
        if !acts || self.has_asked(group, wanted).await? {
            self.tell(group, None);
            return Ok(());
        }
        let reason = format!("flag strangler.{group}.reads says {wanted}");
        let author = Author { who: self.who.clone(), origin: self.replica.to_string(), reason: Some(reason.clone()) };
        let wish = SetPolicy { reads: Some(wanted), ..SetPolicy::default() };
        let past = if self.limits.past_gates { Past::Everything } else { Past::Nothing };
        let outcome = match self.desk.set_after(rollout, group, &wish, past, &author).await {
            // Somebody changed something since we looked: look again.
            Err(overtaken) if overtaken.code() == "OVERTAKEN" => return Ok(()),
            Err(closed) if closed.code() == PAST_GATES => {
                // Without their figures, which change with each look.
                self.tell(group, Some(format!("The flag says {wanted} and is not listened to: gates of the group do not hold. Wait until they do, set the percentage by hand, or let flags go past them with openfeature.past_gates.")));
                return Ok(());
            }
            outcome => outcome?,
        };
        self.tell(group, None);
        match outcome {
            SetOutcome::Published { .. } | SetOutcome::HandedOver { .. } => {
                tracing::info!(%group, "group {group}: {reason}")
            }
            SetOutcome::Proposed(_) => tracing::info!(%group, "group {group}: {reason}; a second person must approve"),
            SetOutcome::AlreadySo { .. } => {}
        }
        Ok(())
    }

    async fn known(&mut self, group: &GroupName, rollout: &Rollout, wanted: Percentage) -> Result<Known, DeskError> {
        let stands = self.stands.entry(group.clone()).or_insert_with(|| (wanted, Instant::now()));
        if stands.0 != wanted {
            *stands = (wanted, Instant::now());
        }
        let stood = stands.1.elapsed();
        let history = self.history(group, rollout.version).await?;
        let hour_ago = WallTime::new((self.desk.clock)().to_utc() - TimeDelta::hours(1));
        let raised = raises(&history, group, &self.who, hour_ago);
        let lowered = lowered(&history, group, &self.who).map(|version| {
            let seen = self.spent.entry(group.clone()).or_insert((version, wanted));
            if seen.0 != version {
                *seen = (version, wanted);
            }
            Lowered { spent: seen.1, stood }
        });
        let promotion = self.desk.last_promotion(group).await?;
        let promoting = promotion.is_some_and(|promotion| promotion.progress == Progress::Running);
        let raised_lately = raised + self.asked_since(group, hour_ago).await?;
        Ok(Known { policy: rollout.policy(group), promoting, lowered, raised_lately })
    }

    /// Tells people what they should know of a group's flag: in the log once, and to whoever looks at the group.
    fn tell(&self, group: &GroupName, notice: Option<String>) {
        if self.desk.notices.set(group, "flag", notice.clone())
            && let Some(notice) = notice
        {
            tracing::warn!(%group, "group {group}: {notice}");
        }
    }

    /// The changes of a group, newest first, as of rollout `now`.
    async fn history(&mut self, group: &GroupName, now: RolloutVersion) -> Result<Vec<RolloutRecord>, DeskError> {
        if let Some((_, history)) = self.looked.get(group).filter(|(seen, _)| *seen == now) {
            return Ok(history.clone());
        }
        let history = self.desk.control.history(Some(group), HISTORY).await?;
        self.looked.insert(group.clone(), (now, history.clone()));
        Ok(history)
    }

    /// How often we have asked a second person to raise the group since `since`: what was published of that apart.
    async fn asked_since(&self, group: &GroupName, since: WallTime) -> Result<usize, DeskError> {
        let ours = |asked: &Proposal| asked.group == *group && asked.author.who == self.who && asked.at >= since;
        let waits = |asked: &Proposal| !matches!(asked.decision, Some(Decision::Approved { .. }));
        let proposals = self.desk.control.proposals(PROPOSALS).await?;
        Ok(proposals.iter().filter(|asked| ours(asked) && waits(asked)).count())
    }

    /// Whether this is the replica that acts: the first of those that live.
    async fn acts(&self) -> Result<bool, DeskError> {
        let live = self.desk.control.replicas(LIVE_WITHIN).await?;
        Ok(live.first().is_some_and(|first| self.desk.is_here(&first.id, &self.replica)))
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
