//! How a replica of the rig is set up.

use std::num::NonZeroU64;
use std::time::Duration;

use data_plane::breaker::BreakerSettings;
use data_plane::catchup::relay::RelaySettings;
use data_plane::excuses::AcceptedExcuses;
use data_plane::read::shadow::ShadowSettings;
use data_plane::saga::SagaSettings;
use data_plane::write::rehearse::RehearsalSettings;

/// How a replica is set up.
#[derive(Clone)]
pub(crate) struct Pace {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it relays.
    pub(crate) relay: Option<RelaySettings>,
    /// How long an answer waits for the secondary.
    pub(crate) answer_budget: Duration,
    /// Limit of one apply.
    pub(crate) apply_within: Duration,
    /// How long clients wait.
    pub(crate) deadline: Duration,
    pub(crate) breaker: BreakerSettings,
    pub(crate) shadow: ShadowSettings,
    pub(crate) rehearsals: RehearsalSettings,
    /// What engineers have excused.
    pub(crate) excuses: AcceptedExcuses,
    /// Whether what somebody else has changed on the secondary is overwritten.
    pub(crate) primary_wins: bool,
    /// Limits of sagas.
    pub(crate) sagas: SagaSettings,
    /// Whether it takes up sagas that nobody works on.
    pub(crate) resumes: bool,
    /// Whether there is anything to compare the sides with.
    pub(crate) remembers: bool,
    /// Numbers of the ERP that a client may use up by refusals.
    pub(crate) refused_numbers: u32,
    /// How many writes of a group may wait.
    pub(crate) most_unsettled: Option<NonZeroU64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            name: "a",
            relay: Some(RelaySettings::default()),
            answer_budget: Duration::from_millis(50),
            apply_within: Duration::from_secs(2),
            deadline: Duration::from_secs(2),
            breaker: BreakerSettings::default(),
            shadow: ShadowSettings::default(),
            rehearsals: RehearsalSettings::default(),
            excuses: AcceptedExcuses::default(),
            primary_wins: false,
            sagas: SagaSettings::default(),
            resumes: true,
            remembers: true,
            refused_numbers: 100,
            most_unsettled: None,
        }
    }
}
