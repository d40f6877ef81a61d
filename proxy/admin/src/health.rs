//! Can this replica serve? Each check says what it looked at, and why not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{PerSide, Side};
use parking_lot::Mutex;
use serde::Serialize;

use control_plane::guard::GuardHandle;
use control_plane::rollout::RolloutHandle;
use data_plane::breaker::Breaker;
use data_plane::catchup::shapes::Shapes;

/// What readiness rests on.
#[derive(Debug)]
pub struct Health {
    breakers: PerSide<Arc<Breaker>>,
    draining: AtomicBool,
    guard: Option<GuardHandle>,
    misfits: Mutex<Vec<String>>,
    statements: Mutex<Vec<String>>,
    shapes: Option<Arc<Shapes>>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// Whether the replica cannot serve without it.
    pub needed: bool,
    /// What was found.
    pub detail: String,
}

impl Health {
    /// Health of a replica whose sides are behind `breakers`.
    pub fn new(breakers: PerSide<Arc<Breaker>>) -> Self {
        Self {
            breakers,
            draining: AtomicBool::new(false),
            guard: None,
            misfits: Mutex::default(),
            statements: Mutex::default(),
            shapes: None,
        }
    }

    /// The same, which tells of the guard too.
    #[must_use]
    pub fn with_guard(self, guard: GuardHandle) -> Self {
        Self { guard: Some(guard), ..self }
    }

    /// The same, which tells what this replica leaves to replicas of another contract.
    #[must_use]
    pub fn with_shapes(self, shapes: Arc<Shapes>) -> Self {
        Self { shapes: Some(shapes), ..self }
    }

    /// From now on the replica is not ready: it finishes what it has begun.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// From now on the replica is not ready: it cannot work with a database as it is, and says why.
    pub fn misfit(&self, problem: String) {
        self.misfits.lock().push(problem);
    }

    /// From now on it is told that these statements of the contract would not run.
    pub fn statements(&self, wrong: impl IntoIterator<Item = String>) {
        self.statements.lock().extend(wrong);
    }

    /// Every check.
    ///
    /// A side that is down does not make a replica unready: taking every replica out would turn
    /// half an outage into a whole one.
    pub fn checks(&self, rollout: &RolloutHandle) -> Vec<Check> {
        let draining = self.draining.load(Ordering::Relaxed);
        let open = |side| self.breakers.get(side).is_open();
        let side = |side: Side, name| Check {
            name,
            ok: !open(side),
            needed: false,
            detail: if open(side) { format!("{side} does not answer") } else { format!("{side} answers") },
        };
        let control = rollout.is_control_up();
        let mut checks = vec![
            Check {
                name: "accepting",
                ok: !draining,
                needed: true,
                detail: if draining { "shutting down".into() } else { "takes requests".into() },
            },
            Check { name: "rollout", ok: true, needed: true, detail: format!("version {}", rollout.version()) },
            Check {
                name: "some_side",
                ok: !(open(Side::Legacy) && open(Side::Modern)),
                needed: true,
                detail: "at least one side must answer".into(),
            },
            side(Side::Legacy, "legacy"),
            side(Side::Modern, "modern"),
            Check {
                name: "control_store",
                ok: control,
                needed: false,
                detail: if control { "answers".into() } else { "does not answer; going on without it".into() },
            },
        ];
        checks.extend(own(rollout));
        let misfits = self.misfits.lock();
        if !misfits.is_empty() {
            checks.push(Check { name: "bookkeeping", ok: false, needed: true, detail: misfits.join("; ") });
        }
        let statements = self.statements.lock();
        if !statements.is_empty() {
            checks.push(Check { name: "statements", ok: false, needed: false, detail: statements.join("; ") });
        }
        checks.extend(self.guard.as_ref().map(|guard| {
            let found = guard.check();
            let ok = found.is_ok();
            let (Ok(detail) | Err(detail)) = found;
            Check { name: "guard", ok, needed: false, detail }
        }));
        checks.extend(self.shapes.as_ref().map(|shapes| {
            let behind = shapes.behind();
            let ok = behind.is_empty();
            let detail = if ok { "knows every registered shape".into() } else { behind.join("; ") };
            Check { name: "contract", ok, needed: false, detail }
        }));
        checks
    }

    /// Whether every needed check is well.
    pub fn is_ready(checks: &[Check]) -> bool {
        checks.iter().all(|check| check.ok || !check.needed)
    }
}

/// What this replica has of its own: its disk, its last rollout, its name.
fn own(rollout: &RolloutHandle) -> Vec<Check> {
    let unsaved = rollout.unsaved();
    let mut checks = vec![Check {
        name: "state_dir",
        ok: unsaved.is_none(),
        needed: false,
        detail: unsaved.map_or_else(
            || "holds the newest rollout".into(),
            |why| format!("{why}: a restart without control store would answer all reads from legacy"),
        ),
    }];
    if rollout.known().is_doubted() {
        let detail = "a newer rollout may have been lost: legacy answers all reads until the control store tells";
        checks.push(Check { name: "last_rollout", ok: false, needed: false, detail: detail.into() });
    }
    if let Some(detail) = rollout.name_taken() {
        checks.push(Check { name: "replica_name", ok: false, needed: false, detail });
    }
    checks
}
