//! `groups set`: publish a change, and wait until every live replica works under it.

use std::time::Duration;

use model::RolloutVersion;
use model::control::{ControlError, ControlStore, LIVE_WITHIN, Replica};
use serde_json::json;
use tokio::time::Instant;

use super::args::SetArgs;
use super::desk::Desk;
use super::groups::policy_json;
use super::{Stop, tell};
use crate::rollout::publish::{Change, publish_change};
use crate::rollout::{SetPolicy, describe};

/// How often the replicas' heartbeats are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Which replicas work under a version.
pub(super) struct Acknowledged {
    /// Those that do.
    pub(super) by: Vec<Replica>,
    /// Live ones that do not.
    pub(super) laggards: Vec<Replica>,
}

/// Waits until every live replica works under `version`, at most until `deadline`.
pub(super) async fn acknowledged(
    control: &dyn ControlStore,
    version: RolloutVersion,
    deadline: Instant,
) -> Result<Acknowledged, ControlError> {
    loop {
        let live = control.replicas(LIVE_WITHIN).await?;
        let (by, laggards): (Vec<_>, Vec<_>) = live.into_iter().partition(|replica| replica.rollout >= version);
        if laggards.is_empty() || Instant::now() >= deadline {
            return Ok(Acknowledged { by, laggards });
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub(super) async fn run(desk: &Desk, args: &SetArgs) -> Result<(), Stop> {
    let group = desk.group(&args.group)?;
    if args.reason.trim().is_empty() {
        return Err(Stop::BadUse("--reason is empty: say why, for the record".to_owned()));
    }
    let author = desk.author(&args.who, Some(args.reason.trim().to_owned()));
    let author = author.ok_or_else(|| Stop::BadUse("say who you are with --who, for the record".to_owned()))?;
    let set = SetPolicy { stage: args.stage, reads: args.reads, shadow: args.shadow };
    let (out, control) = (desk.out, desk.control());

    let begun = Instant::now();
    let change = publish_change(&desk.backends.witness(), &group, &set, &author, None).await?;
    let (record, before) = match change {
        Change::AlreadySo { policy, version } => {
            out.line(format!("Group {group} is so already; nothing was changed."));
            let mut shown = policy_json(&group, &policy);
            shown["changed"] = json!(false);
            shown["rollout"] = json!(version);
            out.json(&shown);
            return Ok(());
        }
        Change::Published { record, before } => (record, before),
    };
    let version = record.rollout.version;
    let after = record.rollout.policy(&group);
    let seen = acknowledged(control, version, begun + args.who.timeout).await?;
    let took = begun.elapsed().as_millis();
    desk.remember_replicas().await;

    out.line(format!("Group {group}: {}. Rollout {version}.", describe(&before, &after)));
    match (seen.by.len(), seen.laggards.len()) {
        (0, 0) => out.line("No replica is live; those that start will begin with it."),
        (all, 0) => out.line(format!("In force on {} after {took} ms.", tell::replicas(all))),
        (some, _) => {
            out.line(format!(
                "In force on {some} of {} after {took} ms. Not on:",
                tell::replicas(some + seen.laggards.len())
            ));
            for laggard in &seen.laggards {
                out.line(format!("  {} at {} (rollout {})", laggard.id, laggard.admin_address, laggard.rollout));
            }
            out.line("The change stands; they take it as soon as they reach the control database.");
        }
    }
    let mut shown = policy_json(&group, &after);
    shown["changed"] = json!(true);
    shown["rollout"] = json!(version);
    shown["millis"] = json!(took);
    shown["acknowledged"] = json!(seen.by);
    shown["laggards"] = json!(seen.laggards);
    out.json(&shown);
    if seen.laggards.is_empty() { Ok(()) } else { Err(Stop::Told) }
}
