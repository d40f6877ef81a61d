//! Does what the plan says, lane by lane, and notes when each disturbance really began and ended.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::Side;
use parking_lot::Mutex;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::client::Ground;
use super::injected::{Authority, Disturbance, RefusedOrder};
use super::inspect::{Drift, Said};
use super::plan::{Fault, Plan, Planned, Tables};
use super::restore::Restored;
use super::wire::Manner;
use super::world::World;

/// How much later everything comes through a slow wire, each way.
const LATER: Duration = Duration::from_millis(25);
/// Attempts to bring a server back: somebody may have taken its port meanwhile.
const RESTARTS: usize = 5;

/// What was done, and what went wrong in doing it.
#[derive(Debug, Clone)]
pub struct Done {
    /// Disturbances in the order in which they ended.
    pub disturbances: Vec<Disturbance>,
    /// Who had the authority.
    pub authority: Authority,
    /// Orders to the fleet that did not succeed, and what it said; a disturbed fleet may say no.
    pub orders_refused: Vec<RefusedOrder>,
    /// Starts of a replica that ended by themselves before it was ready.
    pub starts_repeated: usize,
    /// What did not come back.
    pub lost: Vec<String>,
    /// Kinds of disturbances that did what they are there for.
    pub came: BTreeSet<&'static str>,
    /// What reports said.
    pub said: Said,
    /// Sides that were put back to a copy.
    pub restored: Vec<Restored>,
    /// The same in words, with what was said to the order that raised them.
    pub raises: Vec<String>,
}

impl Default for Done {
    fn default() -> Self {
        Self {
            disturbances: Vec::new(),
            authority: Authority::legacy(),
            orders_refused: Vec::new(),
            starts_repeated: 0,
            lost: Vec::new(),
            came: BTreeSet::new(),
            said: Said::default(),
            restored: Vec::new(),
            raises: Vec::new(),
        }
    }
}

/// Carries a plan out.
pub struct Chaos<'a> {
    /// On whom.
    pub world: &'a World,
    /// Where lives are counted and time is told.
    pub ground: &'a Ground,
    /// What was done until now.
    pub done: Mutex<Done>,
    /// One order to the fleet at a time.
    pub orders: tokio::sync::Mutex<()>,
    /// Rows that were planted.
    pub planted: AtomicUsize,
    /// After so long only what has not come yet is done.
    pub length: Duration,
}

impl Chaos<'_> {
    /// Runs all lanes to their end. Afterwards nothing is disturbed.
    pub async fn run(&self, plan: &Plan) {
        let [replicas, databases, rollout, statements, reports, deploys] = &plan.lanes;
        tokio::join!(
            self.lane(replicas),
            self.lane(databases),
            self.lane(rollout),
            self.lane(statements),
            self.lane(reports),
            self.lane(deploys)
        );
    }

    async fn lane(&self, planned: &[Planned]) {
        for Planned { after, fault, lasts } in planned {
            // On a slow machine each takes longer than planned.
            if self.ground.epoch.elapsed() > self.length && self.done.lock().came.contains(fault.kind()) {
                continue;
            }
            sleep(*after).await;
            let began = self.ground.epoch.elapsed();
            let until = Instant::now() + *lasts;
            let mut came = self.begin(*fault).await;
            // Ends by being dropped: a connection that held something is gone then.
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.meanwhile(*fault) => {}
            }
            self.end(*fault).await;
            if let Fault::Widen(side) = fault {
                came = self.world.widened.get(*side).load(Ordering::Relaxed) > 0;
            }
            if came {
                self.done.lock().came.insert(fault.kind());
            }
            let ended = self.ground.epoch.elapsed();
            self.done.lock().disturbances.push(Disturbance { fault: *fault, began, ended });
        }
    }

    /// Whether it came to what the disturbance is there for.
    async fn begin(&self, fault: Fault) -> bool {
        match fault {
            Fault::Kill(replica) => {
                // Before and after: whoever was answered in between may have been answered by the one that died.
                self.ground.lives[replica].fetch_add(1, Ordering::SeqCst);
                self.world.kill(replica).await;
                self.ground.lives[replica].fetch_add(1, Ordering::SeqCst);
            }
            Fault::Pause(replica) => self.world.signal(replica, Signal::STOP).await,
            Fault::Clock(replica, seconds) => self.world.clock_of_replica(replica).set(seconds),
            Fault::StoreClock(side, seconds) => self.world.clock_of_side(side).set(seconds),
            Fault::Slow(replica, side) => self.world.wire(replica, side).behave(Manner::Slow(LATER)),
            Fault::Cut(replica, side) => self.world.wire(replica, side).behave(Manner::Cut),
            Fault::Hang(replica, side) => self.world.wire(replica, side).behave(Manner::Hang),
            Fault::LoseAnswers(replica, side) => self.world.wire(replica, side).behave(Manner::LoseAnswers),
            Fault::Crash(side) => self.told(fault, self.world.server(side).kill().await),
            Fault::Freeze(side) => self.told(fault, self.world.server(side).pause().await),
            Fault::DiskFull(side) => self.told(fault, self.world.set_disk(side, true).await),
            Fault::Hurry(side) => self.told(fault, self.world.set_hurry(side, true).await),
            // What they do is done meanwhile.
            Fault::Cancel(_) | Fault::Lock(..) | Fault::Widen(_) => {}
            Fault::Restore(side) => return self.restore(side).await,
            Fault::Stall(_) => self.world.stall_standby(true).await,
            Fault::FailOver(_) => return self.fail_over().await,
            Fault::Inspect(drift) => return self.inspect(drift).await,
            Fault::Deploy(replica, release) => return self.deploy(replica, release).await,
            Fault::Reads(percent) => {
                let (percent, _orders) = (percent.to_string(), self.orders.lock().await);
                self.order(&["set", "inventory", "--reads", &percent, "--past-gates"]).await;
            }
            Fault::RollBack => {
                let _orders = self.orders.lock().await;
                let before = self.up().await;
                if self.order(&["rollback", "inventory"]).await {
                    self.rolled_back(&before).await;
                }
            }
            Fault::HandOver(side) => self.hand_over(side).await,
        }
        true
    }

    async fn inspect(&self, drift: Drift) -> bool {
        let mut said = Said::default();
        let number = self.planted.fetch_add(1, Ordering::Relaxed);
        let came = self.world.inspect(drift, number, &mut said).await;
        self.done.lock().said.join(said);
        came
    }

    async fn end(&self, fault: Fault) {
        match fault {
            Fault::Kill(replica) => match self.world.revive(replica).await {
                Some(repeated) => self.done.lock().starts_repeated += repeated,
                None => self.done.lock().lost.push(format!("replica {replica} did not come back")),
            },
            Fault::Pause(replica) => self.world.signal(replica, Signal::CONT).await,
            Fault::Clock(replica, _) => self.world.clock_of_replica(replica).set(0),
            Fault::StoreClock(side, _) => self.world.clock_of_side(side).set(0),
            Fault::Slow(replica, side)
            | Fault::Cut(replica, side)
            | Fault::Hang(replica, side)
            | Fault::LoseAnswers(replica, side) => self.world.wire(replica, side).behave(Manner::Straight),
            Fault::Crash(side) => {
                let mut restarted = self.world.server(side).restart().await;
                for _ in 1..RESTARTS {
                    if restarted.is_err() {
                        restarted = self.world.server(side).restart().await;
                    }
                }
                self.told(fault, restarted);
            }
            Fault::Freeze(side) => self.told(fault, self.world.server(side).resume().await),
            Fault::DiskFull(side) => self.told(fault, self.world.set_disk(side, false).await),
            Fault::Hurry(side) => self.told(fault, self.world.set_hurry(side, false).await),
            Fault::Stall(_) => self.world.stall_standby(false).await,
            Fault::Cancel(_)
            | Fault::Lock(..)
            | Fault::Widen(_)
            | Fault::Restore(_)
            | Fault::FailOver(_)
            | Fault::Inspect(_)
            | Fault::Deploy(..)
            | Fault::Reads(_)
            | Fault::RollBack
            | Fault::HandOver(_) => {}
        }
    }

    /// What goes on for as long as a disturbance lasts. A side that is down is asked again.
    async fn meanwhile(&self, fault: Fault) {
        loop {
            // An error: its server was stopped by another lane.
            let _ = match fault {
                Fault::Cancel(side) => self.world.cancel_at_random(side).await,
                Fault::Lock(side, tables) => self.world.hold(side, tables == Tables::Business).await,
                Fault::Widen(side) => self.world.widen(side).await,
                Fault::Kill(_)
                | Fault::Pause(_)
                | Fault::Clock(..)
                | Fault::Slow(..)
                | Fault::Cut(..)
                | Fault::Hang(..)
                | Fault::LoseAnswers(..)
                | Fault::Crash(_)
                | Fault::Freeze(_)
                | Fault::StoreClock(..)
                | Fault::DiskFull(_)
                | Fault::Hurry(_)
                | Fault::Restore(_)
                | Fault::Stall(_)
                | Fault::FailOver(_)
                | Fault::Inspect(_)
                | Fault::Deploy(..)
                | Fault::Reads(_)
                | Fault::RollBack
                | Fault::HandOver(_) => std::future::pending().await,
            };
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn hand_over(&self, side: Side) {
        let _orders = self.orders.lock().await;
        let began = self.ground.epoch.elapsed();
        let done = self.order(&["handover", "inventory", "--to", side.as_str()]).await;
        self.done.lock().authority.handed(side, began, self.ground.epoch.elapsed(), done);
        if done {
            self.world.handed_over(side, &self.done).await;
        }
    }

    /// Whether it succeeded.
    pub(super) async fn order(&self, arguments: &[&str]) -> bool {
        let began = self.ground.epoch.elapsed();
        let Err(said) = self.world.order(arguments).await else { return true };
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let ended = self.ground.epoch.elapsed();
        let said = format!("{ended:.1?} groups {}: {last}", arguments.join(" "));
        self.done.lock().orders_refused.push(RefusedOrder { began, ended, said });
        false
    }

    fn told<E: std::error::Error>(&self, fault: Fault, outcome: Result<(), E>) {
        if let Err(error) = outcome {
            self.done.lock().lost.push(format!("{fault} could not be done: {error}"));
        }
    }
}
