//! `repair GROUP --left-behind`: lists what handovers left behind by force, and ends it with the present primary's states.

use std::time::Duration;

use adapters::Lane;
use model::control::{Action, Author, Deed};
use model::{GroupName, Policy};
use serde_json::json;

use super::Stop;
use super::desk::Desk;
use super::reconcile::redactor;
use data_plane::catchup::left_behind::{self, Left};
use request::error::with_root;

/// Limit of one call.
const WITHIN: Duration = Duration::from_secs(10);

/// Lists it; and unless `dry_run`, ends it. The order is on record before the first write is touched.
pub(super) async fn run(
    desk: &Desk,
    group: &GroupName,
    policy: &Policy,
    author: Author,
    dry_run: bool,
) -> Result<(), Stop> {
    let (stores, redactor) = (desk.backends.lane(Lane::Admin), redactor(desk)?);
    let left = left_behind::list(&stores, group, WITHIN).await?;
    let keys = |left: &Left| -> Vec<String> {
        let text = |key| match desk.contract().entity(model::EntityKey::entity(key)) {
            Some(entity) => redactor.key_text(entity, key),
            None => model::EntityKey::entity(key).to_string(),
        };
        left.keys.iter().map(text).collect()
    };
    let shown: Vec<_> = left.iter().map(|one| json!({ "on": one.on, "write": one.write, "keys": keys(one) })).collect();
    desk.out.line(format!("{} writes of group {group} were left behind.", left.len()));
    for one in &left {
        let what = match one.keys.is_empty() {
            true => "it changed nothing; a repeat of it is done anew".to_owned(),
            false => keys(one).join(", "),
        };
        desk.out.line(format!("  {} on {}: {what}", one.write, one.on));
    }
    let mut refused = 0;
    if !dry_run && !left.is_empty() {
        let detail = json!({ "leftBehind": shown, "primary": policy.primary() });
        let deed = Deed { action: Action::Repaired, group: Some(group.clone()), author, rollout: None, detail };
        desk.control().note(&deed).await?;
        for one in &left {
            if let Err(error) = left_behind::end(&stores, group, policy, one, WITHIN).await {
                refused += 1;
                desk.out.warn(format!("{} is on the list still: {}", one.write, with_root(&error)));
            }
        }
        desk.out.line(format!(
            "{} of them ended: their keys are as {} has them, and the relay brings that to the other side.",
            left.len() - refused,
            policy.primary()
        ));
    }
    desk.out.json(&json!({ "group": group, "leftBehind": shown, "refused": refused }));
    if refused == 0 { Ok(()) } else { Err(Stop::Told) }
}
