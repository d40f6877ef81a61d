//! Starts the watch over the lives of both sides, and tells it who rests on them.

use std::sync::Arc;
use std::time::Duration;

use adapters::Lane;
use model::{PerSide, Side};

use super::Backends;
use data_plane::breaker::Breaker;
use data_plane::compared::Compared;
use data_plane::figures::Recorder;
use data_plane::lives::memories::Memories;
use data_plane::lives::{Heard, LifeWatch};
use data_plane::state_dir::StateDir;
use data_plane::write::unsettled::UnsettledKeys;
use telemetry::tasks::Tasks;

/// Longest look at a side's life.
const LIVES_WITHIN: Duration = Duration::from_secs(2);

/// Compares both sides with what is remembered of them, and forgets what this replica knew of one that has changed. What
/// writes ask whether there is anything to compare them with.
pub(super) fn keep(
    backends: &Backends,
    state: StateDir,
    breakers: &PerSide<Arc<Breaker>>,
    (unsettled, newest, figures): (&Arc<UnsettledKeys>, &gateway::RolloutSource, &Recorder),
    background: &Tasks,
) -> Arc<Compared> {
    let control = Arc::clone(&backends.control);
    let compared = Arc::new(Compared::default());
    let memories = Memories { stores: backends.lane(Lane::Admin), control, state: Some(state), within: LIVES_WITHIN };
    for side in Side::BOTH {
        if let Some(memory) = memories.own(side) {
            memories.stores.get(side).expect(memory);
            compared.heard(side, true);
        }
    }
    let (unsettled, newest, figures) = (Arc::clone(unsettled), Arc::clone(newest), figures.clone());
    let heard = Arc::new(move |side: Side, heard: Heard| {
        heard.incarnation.into_iter().for_each(|incarnation| figures.lives(side, incarnation));
        for (group, policy) in &newest().policies {
            if heard.has_changed {
                unsettled.unwatch(group);
            }
            if policy.primary() != side {
                unsettled.set_unproven(group, heard.is_unproven);
            }
        }
    });
    let spells = PerSide::default();
    let breakers = breakers.clone();
    let answers = Arc::new(move |side: Side| breakers.get(side).answers(side));
    let watch = Arc::new(LifeWatch { memories, compared: Arc::clone(&compared), answers, heard, spells });
    background.keep("lives", move |stop| Arc::clone(&watch).run(stop));
    compared
}
