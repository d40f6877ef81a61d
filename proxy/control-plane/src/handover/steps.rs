//! The steps of a handover, by the names that reports and metrics have for them.

/// What is done to hand a group over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepName {
    /// The old primary stops taking writes; those in flight are waited for.
    Freeze,
    /// What only it has is brought to the other side.
    Drain,
    /// The new primary takes writes.
    Open,
    /// Replicas are told by a rollout.
    Publish,
    /// The handover is given up: the side that was to be opened is barred.
    GiveUp,
    /// The old primary takes writes again.
    Reopen,
    /// Everything was brought over, and legacy is barred: nobody can open it any more.
    Bar,
    /// Modern takes writes alone.
    Alone,
}

impl StepName {
    /// Every step.
    pub const ALL: [Self; 8] =
        [Self::Freeze, Self::Drain, Self::Open, Self::Publish, Self::GiveUp, Self::Reopen, Self::Bar, Self::Alone];

    /// The word in reports and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Drain => "drain",
            Self::Open => "open",
            Self::Publish => "publish",
            Self::GiveUp => "give-up",
            Self::Reopen => "reopen",
            Self::Bar => "bar",
            Self::Alone => "alone",
        }
    }
}
