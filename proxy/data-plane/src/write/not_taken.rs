//! Tells of writes that the secondary did not take, although it answered: by metric each time, by log once for each key
//! and reason. Foreign writes have a place of their own (`foreign`).
//!
//! Promise: memory is bounded; no field value is told.

use std::collections::HashMap;

use model::store::Bare;
use model::{Applied, Change, EntityKey, Side};
use parking_lot::Mutex;

/// Keys that are remembered as told; beyond, all are forgotten and told once more.
const MOST_TOLD: usize = 10_000;

/// What was told.
#[derive(Default)]
pub(super) struct NotTaken {
    told: Mutex<HashMap<EntityKey, &'static str>>,
}

impl NotTaken {
    /// Hears what `side` has answered to `changes`, after what could be proven was.
    pub(super) fn heard(&self, side: Side, changes: &[Change], applied: &[Applied]) {
        for (change, applied) in changes.iter().zip(applied) {
            let Some(reason) = reason(change, applied) else {
                if !matches!(applied, Applied::Held | Applied::Foreign(_)) {
                    self.told.lock().remove(&change.key);
                }
                continue;
            };
            telemetry::not_taken(side, reason);
            if self.is_news(&change.key, reason) {
                tell(side, change, applied, reason);
            }
        }
    }

    /// The same of a write that changed nothing. It has no key by which it would be told once: the relay tries it again
    /// whenever its lease is over, and says so as often.
    pub(super) fn heard_of_bare(&self, side: Side, bare: &Bare, applied: &[Applied]) {
        for applied in applied {
            let Some(reason) = why(applied) else { continue };
            telemetry::not_taken(side, reason);
            let (write, group) = (bare.write, &bare.group);
            let told = Applied::reason(std::slice::from_ref(applied)).unwrap_or(reason);
            tracing::error!(write.id = %write, %side, %group, reason, "write {write} of group {group}, which changed nothing, is not known on {side} and stays unsettled: {told}. See docs/runbooks/not-taken.md");
        }
    }

    fn is_news(&self, key: &EntityKey, reason: &'static str) -> bool {
        let mut told = self.told.lock();
        if told.len() >= MOST_TOLD && !told.contains_key(key) {
            told.clear();
        }
        told.insert(key.clone(), reason) != Some(reason)
    }
}

/// The reason, as a label; `None` for what is done, or told elsewhere.
fn reason(change: &Change, applied: &Applied) -> Option<&'static str> {
    match applied {
        Applied::Stale(_) if change.version.is_baseline() => None,
        Applied::NotWhole if is_unread(change) => Some("unreadable"),
        applied => why(applied),
    }
}

/// Whether its row holds something on the primary that cannot be read: what is left of it only names its key.
fn is_unread(change: &Change) -> bool {
    change.state.as_ref().is_some_and(|state| !state.unreadable().is_empty())
}

fn why(applied: &Applied) -> Option<&'static str> {
    match applied {
        Applied::Newer | Applied::Over(_) | Applied::There | Applied::Overtaken(_) => None,
        // What is left to others is told by them (`catchup::shapes`), what is looked up again by nobody.
        Applied::Foreign(_) | Applied::Held | Applied::NotWhole | Applied::NotKnown => None,
        Applied::Unproven => Some("unproven"),
        Applied::Stale(_) => Some("other_history"),
        Applied::Altered(_) => Some("altered"),
        Applied::NotThere => Some("not_there"),
        Applied::KeyTaken(_) => Some("key_taken"),
        Applied::Barred => Some("barred"),
    }
}

fn tell(side: Side, change: &Change, applied: &Applied, reason: &'static str) {
    let (write, name) = (change.write, change.key.entity());
    match applied {
        Applied::Unproven => {
            tracing::warn!(write.id = %write, %side, entity = %name, reason, "write {write} was applied on {side} over a row of {name} of which nobody knows whether somebody else had changed it");
        }
        Applied::Stale(winner) => {
            let (other, version) = (winner.write, winner.version);
            tracing::error!(write.id = %write, %side, entity = %name, reason, "write {write} is not on {side}: there stands write {other} at {version}, which the primary does not know. A side has gone back or begun anew: see docs/runbooks/not-taken.md");
        }
        Applied::NotWhole => {
            let key = change.key.as_text();
            tracing::error!(write.id = %write, %side, entity = %name, key, reason, "write {write} of {name} {key} is not on {side} and stays unsettled: its row holds something on the primary that is no value of its field's type. Correct it there: see docs/runbooks/not-taken.md");
        }
        Applied::Altered(_)
        | Applied::NotThere
        | Applied::KeyTaken(_)
        | Applied::Barred
        | Applied::Newer
        | Applied::Over(_)
        | Applied::There
        | Applied::Overtaken(_)
        | Applied::Foreign(_)
        | Applied::NotKnown
        | Applied::Held => {
            let why = Applied::reason(std::slice::from_ref(applied)).unwrap_or(reason);
            tracing::error!(write.id = %write, %side, entity = %name, reason, "write {write} of {name} is not on {side} and stays unsettled: {why}. See docs/runbooks/not-taken.md");
        }
    }
}
