//! How one animal's run went.

use std::collections::BTreeSet;
use std::fmt;

use super::judge::Violation;
use super::seat::Seat;

/// How one animal's run went.
#[derive(Debug, Clone)]
pub struct Course {
    /// Where the hostile database stood.
    pub seat: Seat,
    /// How writes ended: `held`, `refused CODE`, `unknown`, `unsettled`.
    pub writes: BTreeSet<String>,
    /// What the first reconcile said.
    pub reconcile: String,
    /// How far the authority came.
    pub handover: String,
    /// What `check` printed.
    pub check: String,
    /// What strangler said and SQL does not confirm.
    pub violations: Vec<Violation>,
    /// Everything that happened, in order.
    pub log: Vec<String>,
}

impl Course {
    pub(super) fn new(seat: Seat) -> Self {
        Self {
            seat,
            writes: BTreeSet::new(),
            reconcile: "not asked".to_owned(),
            handover: "not asked".to_owned(),
            check: String::new(),
            violations: Vec::new(),
            log: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.log.push(what.into());
    }

    pub(super) fn broken(&mut self, kind: &'static str, what: impl Into<String>) {
        self.charge(Violation::new(kind, what));
    }

    pub(super) fn charge(&mut self, violation: Violation) {
        self.log.push(format!("VIOLATION {}", violation.what));
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    /// The kinds of what is wrong, each once.
    pub fn kinds(&self) -> String {
        let kinds: BTreeSet<_> = self.violations.iter().map(|violation| violation.kind).collect();
        kinds.into_iter().collect::<Vec<_>>().join("; ")
    }

    /// As an animal's file declares it.
    pub fn in_short(&self) -> String {
        let writes: Vec<_> = self.writes.iter().map(String::as_str).collect();
        format!("writes={}; reconcile={}; handover={}", writes.join(" + "), self.reconcile, self.handover)
    }
}

impl fmt::Display for Course {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
        writeln!(out, "  {}", self.in_short())?;
        self.violations.iter().try_for_each(|violation| writeln!(out, "  VIOLATION {}", violation.what))
    }
}
