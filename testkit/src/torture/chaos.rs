//! Does what the plan says, lane by lane, and notes when each disturbance really began and ended.

use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Side;
use parking_lot::Mutex;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::client::Ground;
use super::injected::{Authority, Disturbance};
use super::plan::{Fault, Plan, Planned};
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
    pub orders_refused: Vec<String>,
    /// Starts of a replica that ended by themselves before it was ready.
    pub starts_repeated: usize,
    /// What did not come back.
    pub lost: Vec<String>,
}

impl Default for Done {
    fn default() -> Self {
        Self {
            disturbances: Vec::new(),
            authority: Authority::legacy(),
            orders_refused: Vec::new(),
            starts_repeated: 0,
            lost: Vec::new(),
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
}

impl Chaos<'_> {
    /// Runs all lanes to their end. Afterwards nothing is disturbed.
    pub async fn run(&self, plan: &Plan) {
        let [replicas, databases, rollout] = &plan.lanes;
        tokio::join!(self.lane(replicas), self.lane(databases), self.lane(rollout));
    }

    async fn lane(&self, planned: &[Planned]) {
        for Planned { after, fault, lasts } in planned {
            sleep(*after).await;
            let began = self.ground.epoch.elapsed();
            let until = Instant::now() + *lasts;
            self.begin(*fault).await;
            tokio::time::sleep_until(until).await;
            self.end(*fault).await;
            let ended = self.ground.epoch.elapsed();
            self.done.lock().disturbances.push(Disturbance { fault: *fault, began, ended });
        }
    }

    async fn begin(&self, fault: Fault) {
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
            Fault::Reads(percent) => {
                let percent = percent.to_string();
                self.order(&["set", "inventory", "--reads", &percent]).await;
            }
            Fault::RollBack => {
                self.order(&["rollback", "inventory"]).await;
            }
            Fault::HandOver(side) => self.hand_over(side).await,
        }
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
            Fault::Reads(_) | Fault::RollBack | Fault::HandOver(_) => {}
        }
    }

    async fn hand_over(&self, side: Side) {
        let began = self.ground.epoch.elapsed();
        let done = self.order(&["handover", "inventory", "--to", side.as_str()]).await;
        self.done.lock().authority.handed(side, began, self.ground.epoch.elapsed(), done);
    }

    /// Whether it succeeded.
    async fn order(&self, arguments: &[&str]) -> bool {
        let Err(said) = self.world.order(arguments).await else { return true };
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let at = self.ground.epoch.elapsed();
        self.done.lock().orders_refused.push(format!("{at:.1?} groups {}: {last}", arguments.join(" ")));
        false
    }

    fn told<E: std::error::Error>(&self, fault: Fault, outcome: Result<(), E>) {
        if let Err(error) = outcome {
            self.done.lock().lost.push(format!("{fault} could not be done: {error}"));
        }
    }
}
