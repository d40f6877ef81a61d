//! Which disturbance comes when: drawn from the seed alone, before the run begins.
//!
//! There are three lanes, each with one disturbance at a time: what happens to *replicas*, to *databases* and the
//! wires to them, and to the *rollout*. Disturbances of different lanes overlap. A lane draws from a bag that
//! holds each of its disturbances once, and fills it again when it is empty: so a short run has all kinds.

use std::fmt;
use std::time::Duration;

use model::Side;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// Replicas in a run.
pub const REPLICAS: usize = 3;

/// One disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to a replica; started again at the end.
    Kill(usize),
    /// SIGSTOP to a replica, SIGCONT at the end.
    Pause(usize),
    /// A replica's wall clock jumps by so many seconds, and back at the end.
    Clock(usize, i64),
    /// What a replica and a side say to each other takes longer.
    Slow(usize, Side),
    /// A replica's connections to a side break, and new ones too.
    Cut(usize, Side),
    /// Nothing goes through between a replica and a side; connections stay open.
    Hang(usize, Side),
    /// What a side answers to a replica is lost, and the connection with it: COMMIT too.
    LoseAnswers(usize, Side),
    /// A database server crashes; started again at the end.
    Crash(Side),
    /// A database server is stopped, and goes on at the end.
    Freeze(Side),
    /// A database's wall clock jumps by so many seconds, and back at the end.
    StoreClock(Side, i64),
    /// A side's ledger takes no row: its disk is full.
    DiskFull(Side),
    /// `groups set --reads`, in hundredths of the keys.
    Reads(u8),
    /// `groups rollback`.
    RollBack,
    /// `groups handover --to`.
    HandOver(Side),
}

impl Fault {
    /// Its name in reports.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill replica",
            Self::Pause(_) => "pause replica",
            Self::Clock(..) => "clock jump of replica",
            Self::Slow(..) => "slow wire",
            Self::Cut(..) => "drop connections",
            Self::Hang(..) => "wire hangs",
            Self::LoseAnswers(..) => "drop answers",
            Self::Crash(_) => "crash database",
            Self::Freeze(_) => "pause database",
            Self::StoreClock(..) => "clock jump of database",
            Self::DiskFull(_) => "disk full on ledger",
            Self::Reads(_) => "change percentage",
            Self::RollBack => "roll back",
            Self::HandOver(_) => "hand over",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Kill(replica) | Self::Pause(replica) => write!(formatter, "{kind} {replica}"),
            Self::Clock(replica, seconds) => write!(formatter, "{kind} {replica} by {seconds} s"),
            Self::StoreClock(side, seconds) => write!(formatter, "{kind} {side} by {seconds} s"),
            Self::Slow(replica, side)
            | Self::Cut(replica, side)
            | Self::Hang(replica, side)
            | Self::LoseAnswers(replica, side) => write!(formatter, "{kind} between replica {replica} and {side}"),
            Self::Crash(side) | Self::Freeze(side) | Self::DiskFull(side) => write!(formatter, "{kind} of {side}"),
            Self::Reads(percent) => write!(formatter, "{kind} to {percent}"),
            Self::RollBack => formatter.write_str(kind),
            Self::HandOver(side) => write!(formatter, "{kind} to {side}"),
        }
    }
}

/// A disturbance with its place in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// After the end of the one before.
    pub after: Duration,
    /// What happens.
    pub fault: Fault,
    /// How long.
    pub lasts: Duration,
}

/// Disturbances that are not possible everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Possible {
    /// Clocks can be moved.
    pub clocks: bool,
    /// The authority can be handed over.
    pub handover: bool,
}

/// Everything that is going to happen, lane by lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Replicas, databases, rollout.
    pub lanes: [Vec<Planned>; 3],
}

impl Plan {
    /// The plan of `seed` for `length`, without what is not `possible`.
    pub fn draw(seed: u64, length: Duration, possible: Possible) -> Self {
        let lane = |number: u64, bag: &dyn Fn(&mut StdRng) -> Vec<Fault>| {
            let mut random = StdRng::seed_from_u64(seed ^ (number << 56));
            let mut planned = Vec::new();
            let mut used = Duration::ZERO;
            loop {
                let mut faults = bag(&mut random);
                faults.shuffle(&mut random);
                for fault in faults {
                    let after = Duration::from_millis(random.random_range(500..2_000));
                    let lasts = Duration::from_millis(random.random_range(500..2_500));
                    used += after + lasts;
                    if used > length {
                        return planned;
                    }
                    planned.push(Planned { after, fault, lasts });
                }
            }
        };
        Self {
            lanes: [
                lane(1, &|random| replicas(random, possible.clocks)),
                lane(2, &|random| databases(random, possible.clocks)),
                lane(3, &|random| rollout(random, possible.handover)),
            ],
        }
    }
}

fn one_of(random: &mut StdRng) -> usize {
    random.random_range(0..REPLICAS)
}

fn replicas(random: &mut StdRng, clocks: bool) -> Vec<Fault> {
    let mut faults = vec![Fault::Kill(one_of(random)), Fault::Kill(one_of(random)), Fault::Pause(one_of(random))];
    if clocks {
        faults.push(Fault::Clock(one_of(random), jump(random)));
    }
    faults
}

/// In seconds: beyond every lease and time-out, and below the retention of idempotency keys.
fn jump(random: &mut StdRng) -> i64 {
    let hours = random.random_range(1..72);
    3_600 * if random.random_bool(0.5) { hours } else { -hours }
}

fn databases(random: &mut StdRng, clocks: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for side in Side::BOTH {
        let wires = [Fault::Slow, Fault::Cut, Fault::Hang, Fault::LoseAnswers];
        faults.extend(wires.map(|wire| wire(one_of(random), side)));
        faults.extend([Fault::Crash(side), Fault::Freeze(side), Fault::DiskFull(side)]);
        if clocks {
            faults.push(Fault::StoreClock(side, jump(random)));
        }
    }
    faults
}

fn rollout(random: &mut StdRng, handover: bool) -> Vec<Fault> {
    let percent = |random: &mut StdRng| Fault::Reads(random.random_range(1..100));
    let mut faults = vec![percent(random), Fault::RollBack, Fault::Reads(100), percent(random)];
    if handover {
        faults.extend(Side::BOTH.map(Fault::HandOver));
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    const ALL: Possible = Possible { clocks: true, handover: true };

    fn kinds(plan: &Plan) -> BTreeSet<&'static str> {
        plan.lanes.iter().flatten().map(|planned| planned.fault.kind()).collect()
    }

    #[test]
    fn the_seed_alone_decides() {
        assert_eq!(Plan::draw(7, MINUTE, ALL), Plan::draw(7, MINUTE, ALL));
        assert_ne!(Plan::draw(7, MINUTE, ALL), Plan::draw(8, MINUTE, ALL));
    }

    #[test]
    fn a_minute_has_every_kind_of_disturbance_and_ends_in_time() {
        for seed in 0..50 {
            let plan = Plan::draw(seed, MINUTE, ALL);
            assert_eq!(kinds(&plan).len(), 14, "{plan:?}");
            for lane in &plan.lanes {
                assert!(lane.iter().map(|planned| planned.after + planned.lasts).sum::<Duration>() <= MINUTE);
            }
            let less = |clocks, handover| kinds(&Plan::draw(seed, MINUTE, Possible { clocks, handover })).len();
            assert_eq!(less(false, true), 12, "all but clocks");
            assert_eq!(less(true, false), 13, "all but handovers");
        }
    }
}
