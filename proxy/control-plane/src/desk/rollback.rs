//! Rolling back: all reads of a group to legacy, whatever is down.
//!
//! Two roads at once: the control store is told (who, when, why, evidence), and every known replica is
//! told directly. A replica that was told directly holds the rollback until the control store has it.
//! Done means: every replica that may be running has confirmed on one of the roads. One that the control store has not
//! heard of lately may be cut off from it and from us, and not from clients: it counts until it is retired, or nobody has
//! heard of it for an hour, or it is taken out of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use model::control::{Author, LIVE_WITHIN, OverrideId, Replica};
use model::{GroupName, Holder, Policy, RolloutVersion, Side, Stage};
use tokio::time::Instant;
use uuid::Uuid;

use super::bar::Barred;
use super::{Desk, DeskError, acknowledged};
use crate::rollout::RollbackOrder;
use crate::rollout::fleet::{Cache, REMEMBERED};
use crate::rollout::publish::{Change, publish_rollback};
use crate::rollout::tell::{Teller, Told};
use crate::rollout::{Override, Refused};

/// How long the control store may take to record it. It is told again by the replicas.
const RECORD_WITHIN: Duration = Duration::from_secs(2);

/// How long the control store is asked who is primary, before the order goes out.
const LOOK_WITHIN: Duration = Duration::from_millis(300);

/// What came of the road through the control store.
struct Recorded {
    /// The rollout that has it; else why there is none.
    version: Result<RolloutVersion, String>,
    /// Admin addresses of replicas that live, by the control store's clock; `None`: it did not tell.
    live: Option<BTreeSet<String>>,
    /// Admin addresses that the control store has heard of within [`REMEMBERED`] and that have not retired; `None`: it did
    /// not tell.
    heard: Option<BTreeSet<String>>,
    /// Those of them that work under that rollout.
    acknowledged: BTreeSet<String>,
    /// Addresses that several replicas claim: telling one of them says nothing of the others.
    shared: BTreeSet<String>,
    /// What was told directly to replicas that only the control store knew.
    told: BTreeMap<String, Result<Told, String>>,
}

/// How a rollback is told to replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollbackOptions<'a> {
    /// The file with the token for the other replicas' admin ports; `None`: as the configuration says.
    pub token_file: Option<&'a Path>,
    /// How long to wait for the replicas.
    pub within: Duration,
}

impl Desk {
    /// The admin addresses that the state folder keeps.
    fn kept_replicas(&self) -> Vec<String> {
        self.state.clone().map(|state| Cache::new(state).addresses()).unwrap_or_default()
    }

    /// Keeps the list of replicas for a rollback while the control store is down. Best effort.
    pub async fn remember_replicas(&self) {
        if let (Ok(replicas), Some(state)) = (self.control.replicas(REMEMBERED).await, self.state.clone()) {
            Cache::new(state).remember(replicas).await;
        }
    }

    /// Rolls `group` back on every replica that may be running. What could not be used on the way is told to `warn`.
    ///
    /// # Errors
    /// `MODERN_IS_PRIMARY`: legacy is the one that is kept equal, so its answers are no safer; nothing was ordered.
    pub async fn roll_back(
        &self,
        group: &GroupName,
        author: Author,
        options: &RollbackOptions<'_>,
        warn: impl Fn(&str),
    ) -> Result<RollbackOutcome, DeskError> {
        let seen = self.seen_policy(group).await.filter(|policy| policy.primary() == Side::Modern);
        let mut prevented = None;
        if let Some(policy) = seen {
            prevented = self.prevented(group, &policy).await;
        }
        if let Some(policy) = seen.filter(|_| prevented.is_none()) {
            return Err(modern_is_primary(group, policy.stage()));
        }
        let order = RollbackOrder { id: OverrideId(Uuid::new_v4()), author, passed_on: self.here.is_some() };
        let deadline = Instant::now() + options.within;
        let mut at_once = BTreeMap::new();
        if let Some(here) = &self.here {
            let (id, author) = (order.id, order.author.clone());
            let told = Override { id, group: group.clone(), author, at: (self.clock)(), idle_under: None };
            let saved = here.rollout.roll_back(told).await.saved;
            at_once.insert(here.address.clone(), Ok(Told { saved }));
        }
        let teller = Teller::new(&self.fleet, options.token_file);
        teller.problems.iter().for_each(|problem| warn(problem));
        let mut known: BTreeSet<String> = self.fleet.replicas.iter().cloned().chain(self.kept_replicas()).collect();
        known.retain(|address| !at_once.contains_key(address));
        let (mut told, recorded) = tokio::join!(
            tell_all(&teller, &known, group, &order),
            record(self, &teller, group, &order, &known, deadline, prevented)
        );
        told.extend(recorded.told.clone());
        // Last: this replica has it, whatever its own admin port says of it.
        told.extend(at_once);
        // What is recorded ends a handover that was begun before it. What is not has the fence alone.
        let overrun = recorded.version.is_err() && self.barred_within(group).await == Barred::Modern;
        let mut outcome = RollbackOutcome::of(told, recorded, &self.fleet.replicas.iter().cloned().collect());
        if overrun {
            let why = "has become primary meanwhile: replicas that have the rollback give the authority back to legacy as soon as the control store answers";
            outcome.open.insert(Side::Modern.as_str().to_owned(), why.to_owned());
        }
        Ok(outcome)
    }

    /// By this replica's rollout, else by the newest one. While the control store is down nobody here knows, and the
    /// order goes out: a replica whose modern is primary makes nothing of it.
    async fn seen_policy(&self, group: &GroupName) -> Option<Policy> {
        match &self.here {
            Some(here) => Some(here.rollout.policy(group)),
            None => match tokio::time::timeout(LOOK_WITHIN, self.control.newest()).await {
                Ok(Ok(newest)) => newest.map(|newest| newest.rollout.policy(group)),
                Ok(Err(_)) | Err(_) => None,
            },
        }
    }
}

/// Why reads cannot be rolled back now.
pub(super) fn modern_is_primary(group: &GroupName, stage: Stage) -> DeskError {
    let message = if stage == Stage::Modern {
        format!("group `{group}`: {}", Refused::NoReturn)
    } else {
        format!(
            "modern is primary of group `{group}`, and legacy only follows: `strangler groups handover {group} --to legacy` gives the authority back, then reads can be rolled back"
        )
    };
    DeskError::no("MODERN_IS_PRIMARY", message)
}

async fn tell_all(
    teller: &Teller,
    addresses: &BTreeSet<String>,
    group: &GroupName,
    order: &RollbackOrder,
) -> BTreeMap<String, Result<Told, String>> {
    let tell = |address: &String| {
        let address = address.clone();
        async move { (address.clone(), teller.roll_back(&address, group, order).await) }
    };
    join_all(addresses.iter().map(tell)).await.into_iter().collect()
}

/// Tells the control store, and the replicas that only it knows; then waits for heartbeats.
async fn record(
    desk: &Desk,
    teller: &Teller,
    group: &GroupName,
    order: &RollbackOrder,
    known: &BTreeSet<String>,
    deadline: Instant,
    heard: Option<Holder>,
) -> Recorded {
    let control = desk.control.as_ref();
    let told = Override {
        id: order.id,
        group: group.clone(),
        author: order.author.clone(),
        at: (desk.clock)(),
        idle_under: None,
    };
    let published = tokio::time::timeout(RECORD_WITHIN, publish_rollback(&desk.witness, &told, heard));
    let others = async {
        let replicas = control.replicas(REMEMBERED).await.ok()?;
        let heard: BTreeSet<String> = replicas.into_iter().map(|replica| replica.admin_address).collect();
        let others = heard.difference(known).cloned().collect();
        let told = tell_all(teller, &others, group, order).await;
        Some((heard, told))
    };
    let (published, others) = tokio::join!(published, others);
    let version = match published {
        Ok(Ok(Change::Published { record, .. })) => Ok(record.rollout.version),
        Ok(Ok(Change::AlreadySo { version, .. })) => Ok(version),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the control store gave no answer within {} s", RECORD_WITHIN.as_secs())),
    };
    let mut recorded = Recorded {
        version,
        live: None,
        heard: None,
        acknowledged: BTreeSet::new(),
        shared: BTreeSet::new(),
        told: BTreeMap::new(),
    };
    if let Some((heard, told)) = others {
        (recorded.heard, recorded.told) = (Some(heard), told);
    }
    if let Ok(version) = recorded.version {
        if let Ok(seen) = acknowledged(control, version, deadline).await {
            let address = |replica: &Replica| replica.admin_address.clone();
            let lagging: Vec<_> = seen.laggards.iter().map(address).collect();
            let live: Vec<_> = seen.by.iter().map(address).chain(lagging.iter().cloned()).collect();
            // Of two replicas under one address, the one that confirmed says nothing of the one that lags.
            recorded.shared = twice(&live).into_iter().filter(|address| lagging.contains(address)).collect();
            recorded.acknowledged = seen.by.iter().map(address).collect();
            recorded.live = Some(live.into_iter().collect());
        }
        desk.remember_replicas().await;
    } else {
        recorded.shared = twice(&desk.kept_replicas());
        if let Ok(live) = control.replicas(LIVE_WITHIN).await {
            recorded.live = Some(live.into_iter().map(|replica| replica.admin_address).collect());
        }
    }
    recorded
}

/// Addresses that stand in the list more than once.
fn twice(addresses: &[String]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    addresses.iter().filter(|address| !seen.insert(*address)).cloned().collect()
}

/// Which replicas are rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackOutcome {
    /// The rollout that has it; else why there is none yet.
    pub version: Result<RolloutVersion, String>,
    /// Confirmed, directly or by heartbeat.
    pub confirmed: BTreeSet<String>,
    /// Confirmed, but a restart would forget it before the control store has it.
    pub unsaved: BTreeSet<String>,
    /// May be running and has not confirmed, and why.
    pub open: BTreeMap<String, String>,
}

impl RollbackOutcome {
    fn of(told: BTreeMap<String, Result<Told, String>>, recorded: Recorded, configured: &BTreeSet<String>) -> Self {
        let mut outcome = Self {
            version: recorded.version,
            confirmed: recorded.acknowledged,
            unsaved: BTreeSet::new(),
            open: BTreeMap::new(),
        };
        let live = recorded.live.as_ref();
        for address in live.into_iter().flatten().filter(|address| !told.contains_key(*address)) {
            outcome.open.insert(address.clone(), "has not taken it yet".to_owned());
        }
        for (address, answer) in told {
            match answer {
                Ok(answer) => {
                    if !answer.saved {
                        outcome.unsaved.insert(address.clone());
                    }
                    outcome.confirmed.insert(address);
                }
                Err(why) if live.is_some_and(|live| live.contains(&address)) => {
                    outcome.open.insert(address, why);
                }
                // The control store tells who has retired; without it, everybody known may run.
                Err(why) if recorded.heard.as_ref().is_none_or(|heard| heard.contains(&address)) => {
                    outcome.open.insert(address, format!("{why}; it may still serve"));
                }
                Err(why) if configured.contains(&address) => {
                    let gone = "it may still serve; if it is gone for good, take it out of `fleet.replicas`";
                    outcome.open.insert(address, format!("{why}; {gone}"));
                }
                // Only kept here from before: it has retired, or nobody has heard of it for an hour.
                Err(_) => {}
            }
        }
        outcome.open.retain(|address, _| !outcome.confirmed.contains(address));
        for address in recorded.shared {
            let why = "is claimed by several replicas, set `fleet.admin_address` on each; one of them may not have it";
            outcome.open.insert(address, why.to_owned());
        }
        outcome
    }

    /// Whether nobody who may run is left.
    pub fn is_done(&self) -> bool {
        self.open.is_empty() && (self.version.is_ok() || !self.confirmed.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(version: Result<u64, &str>, live: Option<&[&str]>, acknowledged: &[&str], shared: &[&str]) -> Recorded {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        Recorded {
            version: version.map(RolloutVersion).map_err(str::to_owned),
            live: live.map(set),
            heard: live.map(|live| set(live).into_iter().chain(["silent".to_owned()]).collect()),
            acknowledged: set(acknowledged),
            shared: set(shared),
            told: BTreeMap::new(),
        }
    }

    fn told(answers: &[(&str, bool)]) -> BTreeMap<String, Result<Told, String>> {
        let answer = |reached| if reached { Ok(Told { saved: true }) } else { Err("could not be reached".to_owned()) };
        answers.iter().map(|(address, reached)| ((*address).to_owned(), answer(*reached))).collect()
    }

    #[test]
    fn a_rollback_is_done_when_nobody_who_may_run_is_left() {
        let done = |told, recorded| RollbackOutcome::of(told, recorded, &BTreeSet::from(["here".to_owned()])).is_done();
        // Without control store, everybody known may run.
        assert!(done(told(&[("a", true), ("b", true)]), recorded(Err("down"), None, &[], &[])));
        assert!(!done(told(&[("a", true), ("b", false)]), recorded(Err("down"), None, &[], &[])));
        assert!(!done(told(&[]), recorded(Err("down"), None, &[], &[])));
        // With it, those that live must confirm, on either road; the retired need not.
        assert!(done(told(&[("a", true), ("retired", false)]), recorded(Ok(7), Some(&["a"]), &[], &[])));
        // One that is silent, or that the configuration names, may be cut off from the control store and from us alone.
        assert!(!done(told(&[("a", true), ("silent", false)]), recorded(Ok(7), Some(&["a"]), &[], &[])));
        assert!(!done(told(&[("a", true), ("here", false)]), recorded(Ok(7), Some(&["a"]), &[], &[])));
        assert!(done(told(&[("a", true), ("silent", true), ("here", true)]), recorded(Ok(7), Some(&["a"]), &[], &[])));
        assert!(done(told(&[("a", false)]), recorded(Ok(7), Some(&["a"]), &["a"], &[])));
        assert!(!done(told(&[("a", false)]), recorded(Ok(7), Some(&["a"]), &[], &[])));
        assert!(!done(told(&[]), recorded(Ok(7), Some(&["a", "b"]), &["a"], &[])));
        assert!(done(told(&[]), recorded(Ok(7), Some(&[]), &[], &[])));
    }

    #[test]
    fn one_replica_does_not_confirm_for_another_under_the_same_address() {
        let outcome =
            RollbackOutcome::of(told(&[("a", true)]), recorded(Ok(7), Some(&["a"]), &["a"], &["a"]), &BTreeSet::new());
        assert!(!outcome.is_done());
        assert!(outcome.open["a"].contains("fleet.admin_address"));
        let two = ["a".to_owned(), "b".to_owned(), "a".to_owned()];
        assert_eq!(twice(&two), BTreeSet::from(["a".to_owned()]));
    }
}
