//! Writes whose states only name their keys: written by a replica of a narrower contract, or overtaken on the secondary
//! by such a state. Their keys are looked up again on the primary, and what is found there is whole; beneath that, the
//! write itself is over, and its ledger rows are carried along.
//!
//! Many writes of one key are one look. What cannot be looked up stays unsettled, and is tried again with its lease.
//! Not here: who finds them (`relay`), the rule (`model::shape`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use model::{Applied, Change, Contract, EntityKey, Rollout, Store, WriteId};

use super::touch::touch;
use crate::write::apply::Door;

/// Writes looked up at once: each holds row locks on the primary for a moment.
const AT_ONCE: usize = 4;

/// The way to look again.
pub(super) struct Again<'a> {
    pub(super) contract: &'a Contract,
    pub(super) rollout: &'a Rollout,
    pub(super) primary: &'a Arc<dyn Store>,
    pub(super) door: &'a Arc<Door>,
    pub(super) within: Duration,
}

impl Again<'_> {
    /// Looks up the keys of `writes`; the writes that are over now, the looks among them.
    pub(super) async fn look(&self, writes: Vec<Vec<Change>>) -> Vec<WriteId> {
        let mut named: HashSet<EntityKey> = HashSet::new();
        let mut looks = Vec::new();
        for changes in &writes {
            if changes.iter().any(|change| !named.contains(&change.key)) {
                named.extend(changes.iter().map(|change| change.key.clone()));
                looks.push(changes.iter().map(|change| change.key.clone()).collect::<Vec<_>>());
            }
        }
        let looked = futures::stream::iter(looks).map(|keys| self.look_up(keys)).buffer_unordered(AT_ONCE);
        let mut over: Vec<WriteId> = looked.filter_map(async |look| look).collect().await;
        // Also beneath looks of other replicas: the secondary says so or not.
        let left = writes.into_iter().map(|changes| async move { self.is_over(changes).await });
        over.extend(futures::future::join_all(left).await.into_iter().flatten());
        over
    }

    /// One look, brought over.
    async fn look_up(&self, keys: Vec<EntityKey>) -> Option<WriteId> {
        let group = &self.contract.entity(keys.first()?.entity())?.group;
        let policy = self.rollout.policy(group);
        let side = self.primary.side();
        if policy.primary() != side {
            return None;
        }
        let changes = match touch(&**self.primary, &policy, group, &keys, self.within).await {
            Ok(changes) => changes,
            Err(error) => {
                telemetry::side_error(side, &error);
                tracing::debug!(%group, %side, %error, "a key of group {group} could not be looked up again on {side}");
                return None;
            }
        };
        let write = changes.first()?.write;
        self.is_over(changes).await.map(|_| write)
    }

    /// The write of `changes`, when the other side has all of it now, or something newer and whole.
    async fn is_over(&self, changes: Vec<Change>) -> Option<WriteId> {
        let (write, count) = (changes.first()?.write, changes.len());
        let applied = self.door.apply(changes).await.ok()?;
        Applied::settle(&applied, count).then_some(write)
    }
}
