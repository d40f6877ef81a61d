//! Was a client's error injected? The rule by which an error of a run is ours or the product's.
//!
//! An error is injected when a disturbance that may cause *this code* on *this replica* was there while the
//! request was under way, or had ended no more than [`GRACE`] before it began. What may cause what is what the product promises:
//! a secondary that fails is never a client's trouble, whatever happens to it; nor is a clock that jumps, a percentage that
//! changes, or a rollback; a slow wire makes answers late, not wrong; a full disk is no trouble of reads.
//!
//! Pure.

use std::time::Duration;

use model::Side;

use super::journal::{Failure, Operation};
use super::plan::Fault;

/// How long after a disturbance the fleet may take to be itself again: a breaker's pause, a new connection,
/// a client's request that waited in a queue meanwhile.
pub const GRACE: Duration = Duration::from_secs(2);

/// A disturbance as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disturbance {
    /// What it was.
    pub fault: Fault,
    /// When it began, at the earliest.
    pub began: Duration,
    /// When it was over, at the latest.
    pub ended: Duration,
}

/// Which side had the authority for writes, and when: spans that overlap while it is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority(Vec<(Side, Duration, Duration)>);

impl Authority {
    /// Legacy has it, from the beginning.
    pub fn legacy() -> Self {
        Self(vec![(Side::Legacy, Duration::ZERO, Duration::MAX)])
    }

    /// It was handed to `side` at some moment between `began` and `ended`; `done` says that it is there for sure.
    pub fn handed(&mut self, side: Side, began: Duration, ended: Duration, done: bool) {
        let held = |(holder, _, until): &(Side, Duration, Duration)| *holder == side && *until == Duration::MAX;
        if !self.0.iter().any(held) {
            self.0.push((side, began, Duration::MAX));
        }
        for (holder, _, until) in &mut self.0 {
            if done && *holder != side && *until == Duration::MAX {
                *until = ended;
            }
        }
    }

    fn had(&self, side: Side, from: Duration, to: Duration) -> bool {
        self.0.iter().any(|(holder, since, until)| *holder == side && *since <= to && from <= *until)
    }
}

/// An order to the fleet that it refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedOrder {
    /// When it was given.
    pub began: Duration,
    /// When it was refused.
    pub ended: Duration,
    /// What was ordered, and what the fleet said.
    pub said: String,
}

/// Orders that nothing excuses: no disturbance was there but other orders, and modern, whose percentage is fixed, did not
/// have the authority.
pub fn orders_not_injected<'a>(
    orders: &'a [RefusedOrder],
    disturbances: &[Disturbance],
    authority: &Authority,
) -> Vec<&'a RefusedOrder> {
    let troubles = |fault: Fault| match fault {
        Fault::Widen(_) | Fault::Inspect(_) | Fault::Reads(_) | Fault::RollBack | Fault::HandOver(_) => false,
        Fault::Restore(_) | Fault::Stall(_) | Fault::FailOver(_) | Fault::Deploy(..) => true,
        Fault::Kill(_)
        | Fault::Pause(_)
        | Fault::Clock(..)
        | Fault::StoreClock(..)
        | Fault::Slow(..)
        | Fault::Cut(..)
        | Fault::Hang(..)
        | Fault::LoseAnswers(..)
        | Fault::Crash(_)
        | Fault::Freeze(_)
        | Fault::DiskFull(_)
        | Fault::Cancel(_)
        | Fault::Hurry(_)
        | Fault::Lock(..) => true,
    };
    let excused = |order: &&RefusedOrder| {
        let together = |it: &Disturbance| it.began <= order.ended && order.began <= it.ended + GRACE;
        authority.had(Side::Modern, order.began, order.ended)
            || disturbances.iter().any(|it| troubles(it.fault) && together(it))
    };
    orders.iter().filter(|order| !excused(order)).collect()
}

/// Failures that nothing excuses.
pub fn not_injected<'a>(
    operations: &'a [Operation],
    disturbances: &[Disturbance],
    authority: &Authority,
) -> Vec<(&'a Operation, &'a Failure)> {
    let failures = operations.iter().flat_map(|operation| operation.failures.iter().map(move |it| (operation, it)));
    let excused = |(operation, failure): &(&Operation, &Failure)| {
        disturbances.iter().any(|it| excuses(it, operation.action.writes(), failure, authority))
    };
    failures.filter(|failed| !excused(failed)).collect()
}

/// How much of a run of `length` was calm: an error then would have been the product's, whatever its code.
pub fn calm(disturbances: &[Disturbance], authority: &Authority, length: Duration) -> Duration {
    let mut spans: Vec<_> = disturbances
        .iter()
        .filter(|it| may_trouble(it, it.ended, authority))
        .map(|it| (it.began.min(length), (it.ended + GRACE).min(length)))
        .collect();
    spans.sort_unstable();
    let mut calm = Duration::ZERO;
    let mut seen = Duration::ZERO;
    for (began, ended) in spans {
        calm += began.saturating_sub(seen);
        seen = seen.max(ended);
    }
    calm + length.saturating_sub(seen)
}

fn excuses(disturbance: &Disturbance, writes: bool, failure: &Failure, authority: &Authority) -> bool {
    let together = disturbance.began <= failure.ended && failure.began <= disturbance.ended + GRACE;
    together && may_trouble(disturbance, failure.ended, authority) && may_cause(disturbance.fault, writes, failure)
}

/// Whether clients may notice it at all, up to `until`.
fn may_trouble(disturbance: &Disturbance, until: Duration, authority: &Authority) -> bool {
    match disturbance.fault {
        Fault::Kill(_) | Fault::Pause(_) | Fault::Deploy(..) => true,
        Fault::Cut(_, side)
        | Fault::Hang(_, side)
        | Fault::LoseAnswers(_, side)
        | Fault::Crash(side)
        | Fault::Freeze(side)
        | Fault::DiskFull(side)
        | Fault::Cancel(side)
        | Fault::Hurry(side)
        | Fault::Restore(side)
        | Fault::Stall(side)
        | Fault::FailOver(side)
        | Fault::Lock(side, _) => authority.had(side, disturbance.began, until),
        Fault::Clock(..)
        | Fault::StoreClock(..)
        | Fault::Slow(..)
        | Fault::Widen(_)
        | Fault::Inspect(_)
        | Fault::Reads(_)
        | Fault::RollBack
        | Fault::HandOver(_) => false,
    }
}

/// Whether it may cause this code on this replica, of a write or a read, if clients may notice it.
fn may_cause(fault: Fault, writes: bool, failure: &Failure) -> bool {
    let here = |replica: usize| replica == failure.replica;
    let trouble = failure.trouble.to_string();
    let is = |codes: &[&str]| codes.contains(&trouble.as_str());
    const PASSING: [&str; 3] = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN"];
    // A replica or wire that stands still may hold locks of a write, for which the others wait in vain.
    const WAITED: [&str; 2] = ["DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN"];
    match fault {
        Fault::Kill(replica) | Fault::Deploy(replica, _) => here(replica) && is(&["no answer"]),
        Fault::Pause(replica) => is(&WAITED) || here(replica) && (is(&["no answer"]) || is(&PASSING)),
        Fault::Hang(replica, _) => is(&WAITED) || here(replica) && is(&PASSING),
        Fault::Cut(replica, _) | Fault::LoseAnswers(replica, _) => here(replica) && is(&PASSING),
        // Time-outs of one table's writes open the side's breaker: then its reads fail, too.
        Fault::Crash(_)
        | Fault::Freeze(_)
        | Fault::Restore(_)
        | Fault::Stall(_)
        | Fault::FailOver(_)
        | Fault::Cancel(_)
        | Fault::Hurry(_)
        | Fault::Lock(..) => is(&PASSING),
        Fault::DiskFull(_) => writes && is(&PASSING),
        Fault::Clock(..)
        | Fault::StoreClock(..)
        | Fault::Slow(..)
        | Fault::Widen(_)
        | Fault::Inspect(_)
        | Fault::Reads(_)
        | Fault::RollBack
        | Fault::HandOver(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::{Action, Outcome, Promise, Shelf, Trouble};
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn shelf() -> Shelf {
        Shelf { sku: "A".into(), location: "B".into() }
    }

    /// Whether an error of a read of replica 1 in the second from 10 to 11 is nobody's.
    fn is_ours(trouble: &str, disturbances: &[(Fault, u64, u64)]) -> bool {
        is_ours_of(Action::Look { shelf: shelf(), promise: Promise::Existed }, trouble, disturbances)
    }

    fn is_ours_of(action: Action, trouble: &str, disturbances: &[(Fault, u64, u64)]) -> bool {
        let trouble = if trouble == "no answer" { Trouble::NoAnswer } else { Trouble::Code(trouble.into()) };
        let operation = Operation {
            mark: "m".into(),
            action,
            replica: 1,
            began: seconds(10),
            ended: seconds(11),
            failures: vec![Failure { replica: 1, began: seconds(10), ended: seconds(11), trouble }],
            outcome: Outcome::Failed,
        };
        let disturbances: Vec<_> = disturbances
            .iter()
            .map(|(fault, began, ended)| Disturbance { fault: *fault, began: seconds(*began), ended: seconds(*ended) })
            .collect();
        !not_injected(&[operation], &disturbances, &Authority::legacy()).is_empty()
    }

    #[test]
    fn an_error_while_nothing_is_disturbed_is_the_products() {
        assert!(is_ours("UNAVAILABLE", &[]));
        assert!(is_ours("UNAVAILABLE", &[(Fault::Crash(Side::Legacy), 3, 6)]), "long over");
        assert!(is_ours("UNAVAILABLE", &[(Fault::Crash(Side::Legacy), 12, 14)]), "later");
        assert!(!is_ours("UNAVAILABLE", &[(Fault::Crash(Side::Legacy), 5, 9)]), "just over");
    }

    #[test]
    fn a_failing_secondary_excuses_nothing() {
        for fault in [Fault::Crash, Fault::Freeze] {
            assert!(is_ours("UNAVAILABLE", &[(fault(Side::Modern), 9, 12)]));
            assert!(!is_ours("UNAVAILABLE", &[(fault(Side::Legacy), 9, 12)]));
        }
        for (side, is_ours) in [(Side::Modern, true), (Side::Legacy, false)] {
            let write = Action::Adjust { shelf: shelf(), delta: 1 };
            assert_eq!(is_ours_of(write, "UNAVAILABLE", &[(Fault::DiskFull(side), 9, 12)]), is_ours);
        }
        for fault in [Fault::Cut, Fault::Hang, Fault::LoseAnswers] {
            assert!(is_ours("DEADLINE_EXCEEDED", &[(fault(1, Side::Modern), 9, 12)]));
            assert!(!is_ours("DEADLINE_EXCEEDED", &[(fault(1, Side::Legacy), 9, 12)]));
        }
    }

    #[test]
    fn a_full_disk_excuses_no_read() {
        assert!(is_ours("UNAVAILABLE", &[(Fault::DiskFull(Side::Legacy), 9, 12)]));
    }

    #[test]
    fn another_replicas_trouble_or_another_code_excuses_nothing() {
        assert!(is_ours("no answer", &[(Fault::Kill(2), 9, 12)]));
        assert!(!is_ours("no answer", &[(Fault::Kill(1), 9, 12)]));
        assert!(is_ours("UNAVAILABLE", &[(Fault::Kill(1), 9, 12)]));
        assert!(is_ours("UNAVAILABLE", &[(Fault::Cut(2, Side::Legacy), 9, 12)]));
        assert!(is_ours("INTERNAL", &[(Fault::Crash(Side::Legacy), 9, 12)]), "never");
        let clocks = [Fault::Clock(1, 5), Fault::StoreClock(Side::Legacy, 5)];
        for fault in [&clocks[..], &[Fault::Slow(1, Side::Legacy), Fault::Reads(5), Fault::RollBack]].concat() {
            assert!(is_ours("DEADLINE_EXCEEDED", &[(fault, 9, 12)]));
        }
    }

    #[test]
    fn a_side_excuses_errors_while_it_may_have_the_authority() {
        let mut authority = Authority::legacy();
        authority.handed(Side::Modern, seconds(10), seconds(12), true);
        let had =
            |authority: &Authority, from, to| Side::BOTH.map(|side| authority.had(side, seconds(from), seconds(to)));
        assert_eq!(had(&authority, 5, 9), [true, false]);
        assert_eq!(had(&authority, 11, 11), [true, true]);
        assert_eq!(had(&authority, 13, 20), [false, true]);
        // A handover of which nobody knows how it ended.
        authority.handed(Side::Legacy, seconds(30), seconds(31), false);
        assert_eq!(had(&authority, 40, 41), [true, true]);
        authority.handed(Side::Legacy, seconds(50), seconds(51), true);
        assert_eq!(had(&authority, 60, 61), [true, false]);
    }

    #[test]
    fn an_order_is_refused_only_in_trouble() {
        let order = |at| RefusedOrder { began: seconds(at), ended: seconds(at + 1), said: "no".into() };
        let at = |fault, began, ended| Disturbance { fault, began: seconds(began), ended: seconds(ended) };
        let trouble = [at(Fault::Kill(1), 10, 12), at(Fault::RollBack, 0, 60)];
        let orders = [order(5), order(11), order(20), order(40)];
        let mut authority = Authority::legacy();
        assert_eq!(orders_not_injected(&orders, &trouble, &authority), [&orders[0], &orders[2], &orders[3]]);
        authority.handed(Side::Modern, seconds(30), seconds(31), true);
        assert_eq!(orders_not_injected(&orders, &trouble, &authority), [&orders[0], &orders[2]]);
    }

    #[test]
    fn calm_is_what_no_disturbance_covers() {
        let crash = |side, began, ended| Disturbance {
            fault: Fault::Crash(side),
            began: seconds(began),
            ended: seconds(ended),
        };
        let legacy = [crash(Side::Legacy, 10, 12), crash(Side::Legacy, 11, 20)];
        assert_eq!(calm(&legacy, &Authority::legacy(), seconds(60)), seconds(60 - (20 - 10)) - GRACE);
        let modern = [crash(Side::Modern, 10, 12)];
        assert_eq!(calm(&modern, &Authority::legacy(), seconds(60)), seconds(60));
    }
}
