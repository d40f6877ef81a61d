//! Which disturbance comes when: drawn from the seed alone, before the run begins.
//!
//! There are six lanes, each with one disturbance at a time: what happens to *replicas*, to *databases* and the
//! wires to them, to *statements* that run in them, to the *rollout*, what *reports* are asked, and which release is *deployed*.
//! Disturbances of different lanes overlap. A lane draws from a bag that
//! holds each of its disturbances once, and fills it again when it is empty: so a short run has all kinds.

use std::fmt;
use std::time::Duration;

use model::Side;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::inspect::Drift;
use super::releases::Release;

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
    /// Somebody cancels what replicas run on a side, one statement after the other.
    Cancel(Side),
    /// Statements of a side may take a few milliseconds.
    Hurry(Side),
    /// Somebody holds tables of a side against all writers.
    Lock(Side, Tables),
    /// Somebody makes columns of a side wider.
    Widen(Side),
    /// A side is put back to a copy that is some seconds old, and raised by order.
    Restore(Side),
    /// The synchronous standby of a side stands still, and goes on at the end.
    Stall(Side),
    /// The server of a side dies, and its standby takes over.
    FailOver(Side),
    /// A row is changed past the fleet, and reports and a repair are held to what both databases say.
    Inspect(Drift),
    /// A replica ends, and comes back with this release's contract.
    Deploy(usize, Release),
    /// `groups set --reads`, in hundredths of the keys.
    Reads(u8),
    /// `groups rollback`.
    RollBack,
    /// `groups handover --to`.
    HandOver(Side),
}

/// Tables that somebody may lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// The stock levels.
    Business,
    /// Our ledger and versions.
    Bookkeeping,
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
            Self::Cancel(_) => "cancel statements",
            Self::Hurry(_) => "tiny statement time-out",
            Self::Lock(_, Tables::Business) => "lock business table",
            Self::Lock(_, Tables::Bookkeeping) => "lock bookkeeping",
            Self::Widen(_) => "widen columns",
            Self::Restore(_) => "restore side",
            Self::Stall(_) => "stall standby",
            Self::FailOver(_) => "fail over",
            Self::Inspect(drift) => drift.name(),
            Self::Deploy(_, Release::Old) => "deploy old contract",
            Self::Deploy(_, Release::New) => "deploy new contract",
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
            Self::Crash(side)
            | Self::Freeze(side)
            | Self::DiskFull(side)
            | Self::Cancel(side)
            | Self::Hurry(side)
            | Self::Widen(side)
            | Self::Restore(side)
            | Self::Stall(side)
            | Self::FailOver(side)
            | Self::Lock(side, _) => write!(formatter, "{kind} of {side}"),
            Self::Inspect(_) => formatter.write_str(kind),
            Self::Deploy(replica, _) => write!(formatter, "{kind} on replica {replica}"),
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
    /// Replicas, databases, rollout, statements, reports, deploys.
    pub lanes: [Vec<Planned>; 6],
    /// The side with a synchronous standby.
    pub standby: Side,
}

impl Plan {
    /// The plan of `seed` for `length`, without what is not `possible`.
    pub fn draw(seed: u64, length: Duration, possible: Possible) -> Self {
        let standby = Side::BOTH[usize::from(!seed.is_multiple_of(2))];
        let lane = |number: u64, bag: &dyn Fn(&mut StdRng) -> Vec<Fault>| {
            let mut random = StdRng::seed_from_u64(seed ^ (number << 56));
            let mut planned = Vec::new();
            let mut used = Duration::ZERO;
            loop {
                let faults = bag(&mut random);
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
        let mut plan = Self {
            standby,
            lanes: [
                lane(1, &|random| shuffled(replicas(random, possible.clocks), random)),
                lane(2, &|random| databases(random, possible.clocks, standby)),
                lane(3, &|random| shuffled(rollout(random, possible.handover), random)),
                lane(4, &|random| shuffled(statements(), random)),
                lane(5, &|random| shuffled(Drift::ALL.map(Fault::Inspect).to_vec(), random)),
                lane(6, &deploys),
            ],
        };
        // Last of all: there is no other standby then.
        let fault = Fault::FailOver(standby);
        plan.lanes[1].push(Planned { after: Duration::ZERO, fault, lasts: Duration::ZERO });
        plan
    }

    /// Without what is not of these kinds; everything, when none is named. To find out which of them breaks a run.
    pub fn only(mut self, kinds: &[String]) -> Self {
        let named = |planned: &Planned| kinds.is_empty() || kinds.iter().any(|kind| kind == planned.fault.kind());
        self.lanes.iter_mut().for_each(|lane| lane.retain(named));
        self
    }
}

fn shuffled(mut faults: Vec<Fault>, random: &mut StdRng) -> Vec<Fault> {
    faults.shuffle(random);
    faults
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

fn databases(random: &mut StdRng, clocks: bool, standby: Side) -> Vec<Fault> {
    let mut faults = Vec::new();
    for side in Side::BOTH {
        let wires = [Fault::Slow, Fault::Cut, Fault::Hang, Fault::LoseAnswers];
        faults.extend(wires.map(|wire| wire(one_of(random), side)));
        faults.extend([Fault::Crash(side), Fault::Freeze(side), Fault::DiskFull(side)]);
        if clocks {
            faults.push(Fault::StoreClock(side, jump(random)));
        }
    }
    faults.shuffle(random);
    // Early, so that a short run has them. A standby cannot follow a server that goes back.
    for fault in [Fault::Restore(standby.other()), Fault::Stall(standby)] {
        faults.insert(random.random_range(0..8), fault);
    }
    faults
}

/// The whole fleet forth to the new release, one replica after the other, and back: in an order of its own.
fn deploys(random: &mut StdRng) -> Vec<Fault> {
    let way = |release, random: &mut StdRng| {
        let mut replicas: Vec<_> = (0..REPLICAS).collect();
        replicas.shuffle(random);
        replicas.into_iter().map(move |replica| Fault::Deploy(replica, release))
    };
    let forth: Vec<_> = way(Release::New, random).collect();
    forth.into_iter().chain(way(Release::Old, random)).collect()
}

fn statements() -> Vec<Fault> {
    let of = |side| {
        let locks = [Tables::Business, Tables::Bookkeeping].map(|tables| Fault::Lock(side, tables));
        let others = [Fault::Cancel(side), Fault::Cancel(side), Fault::Hurry(side), Fault::Widen(side)];
        [others.to_vec(), locks.to_vec()].concat()
    };
    Side::BOTH.into_iter().flat_map(of).collect()
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
    fn kinds_can_be_named() {
        let plan = || Plan::draw(7, MINUTE, ALL);
        assert_eq!(plan().only(&[]), plan());
        let only = plan().only(&["kill replica".to_owned(), "hand over".to_owned()]);
        assert_eq!(kinds(&only), BTreeSet::from(["kill replica", "hand over"]));
    }

    #[test]
    fn a_minute_has_every_kind_of_disturbance_and_ends_in_time() {
        for seed in 0..50 {
            let plan = Plan::draw(seed, MINUTE, ALL);
            assert_eq!(kinds(&plan).len(), 27, "{plan:?}");
            for lane in &plan.lanes {
                assert!(lane.iter().map(|planned| planned.after + planned.lasts).sum::<Duration>() <= MINUTE);
            }
            let less = |clocks, handover| kinds(&Plan::draw(seed, MINUTE, Possible { clocks, handover })).len();
            assert_eq!(less(false, true), 25, "all but clocks");
            assert_eq!(less(true, false), 26, "all but handovers");
        }
    }
}
