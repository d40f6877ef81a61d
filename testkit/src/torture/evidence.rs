//! Everything that is known after a run, held to the promises.
//!
//! Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{PerSide, Side};

use super::books::{self, Books};
use super::chaos::Done;
use super::injected::{calm, not_injected};
use super::journal::{self, Operation, Outcome};
use super::promises::{ACCOUNTS, EQUAL, INJECTED, LINEARIZABLE, ONCE, SAGAS, SAID, SETTLES};
use super::report::{Check, Report};
use super::world::INITIAL;
use super::{SETTLED_WITHIN, accounts, inspect, sagas, verdict};

/// What ended so long before an error is told with it.
const NEAR: Duration = Duration::from_secs(10);

/// Everything that is known after a run.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// What clients did.
    pub operations: Vec<Operation>,
    /// What stands.
    pub books: Books,
    /// Orders that were placed, which are sagas.
    pub orders: Vec<sagas::Order>,
    /// What stands of them.
    pub shop: PerSide<sagas::Stands>,
    /// Sagas that did not end.
    pub stuck: Vec<String>,
    /// What was done to the fleet.
    pub done: Done,
    /// What did not settle.
    pub unsettled: Vec<String>,
    /// When the books were read.
    pub ended: Duration,
    /// When the load ended.
    pub length: Duration,
}

impl Evidence {
    /// Checks every promise. Pure.
    pub fn judge(&self, seed: u64) -> Report {
        let histories = verdict::search(&self.operations, &self.books, INITIAL, self.ended);
        let mut disturbances = BTreeMap::new();
        for disturbance in &self.done.disturbances {
            *disturbances.entry(disturbance.fault.kind()).or_default() += 1;
        }
        let (mut operations, mut errors) = (BTreeMap::new(), BTreeMap::new());
        for operation in &self.operations {
            *operations.entry((operation.action.name(), operation.outcome.name())).or_default() += 1;
            for failure in &operation.failures {
                *errors.entry(failure.trouble.to_string()).or_default() += 1;
            }
        }
        Report {
            seed,
            length: self.length,
            disturbances,
            skipped: Vec::new(),
            orders_refused: self.done.orders_refused.iter().map(|order| order.said.clone()).collect(),
            restores: self.done.raises.clone(),
            starts_repeated: self.done.starts_repeated,
            operations,
            errors,
            acknowledged: self.acknowledged(),
            calm: calm(&self.done.disturbances, &self.done.authority, self.length),
            histories: (histories.shelves, histories.calls, histories.longest),
            settled_after: self.ended.saturating_sub(self.length),
            checks: vec![
                self.settled(),
                self.once(),
                self.accounts(),
                self.sagas(),
                self.equal(),
                linearizable(histories),
                self.said(),
                self.injected(),
            ],
        }
    }

    fn acknowledged(&self) -> usize {
        let acknowledged = |it: &&Operation| matches!(it.outcome, Outcome::Acknowledged { .. });
        self.operations.iter().filter(acknowledged).count()
    }

    fn settled(&self) -> Check {
        let broken_by = self.done.lost.iter().chain(&self.unsettled).cloned().collect();
        Check { promise: SETTLES, of: format!("within {SETTLED_WITHIN:?}"), broken_by }
    }

    fn once(&self) -> Check {
        let findings = books::audit(&self.operations, &self.books, &self.done.restored);
        let by_mark: BTreeMap<_, _> = self.operations.iter().map(|it| (it.mark.as_str(), it)).collect();
        let told = |finding: books::Finding| {
            let operation = by_mark.get(finding.mark.as_str());
            let told = operation.map_or_else(|| finding.mark.clone(), |it| it.to_string());
            format!("{:?} on {}: {told}", finding.wrong, finding.side)
        };
        let nothing = (self.acknowledged() == 0).then(|| "nothing was acknowledged: nothing is shown".to_owned());
        Check {
            promise: ONCE,
            of: format!("{} writes", self.operations.iter().filter(|it| it.action.writes()).count()),
            broken_by: findings.into_iter().map(told).chain(nothing).collect(),
        }
    }

    fn accounts(&self) -> Check {
        let differ = Side::BOTH.into_iter().flat_map(|side| accounts::differences(&self.operations, &self.books, side));
        let lines = self.books.legacy.accounts.len();
        Check { promise: ACCOUNTS, of: format!("{lines} lines of accounts"), broken_by: differ.collect() }
    }

    fn sagas(&self) -> Check {
        let wrong = Side::BOTH.into_iter().flat_map(|side| sagas::audit(side, &self.orders, self.shop.get(side)));
        let told = |told: sagas::Told| self.orders.iter().filter(|order| order.told == told).count();
        let (placed, undone) = (told(sagas::Told::Placed), told(sagas::Told::Undone));
        let none = (placed == 0 || undone == 0).then(|| "not both were there: orders placed and undone".to_owned());
        Check {
            promise: SAGAS,
            of: format!("{} orders, {placed} placed, {undone} undone", self.orders.len()),
            broken_by: wrong.chain(self.stuck.iter().cloned()).chain(none).collect(),
        }
    }

    fn said(&self) -> Check {
        let said = &self.done.said;
        // Without any, nothing is shown. Orders may all have been refused.
        let never = inspect::ASKED[..4].iter().filter(|asked| !said.judged.contains_key(*asked));
        let never = never.map(|asked| format!("{asked}: nothing that it said could be judged"));
        let judged: Vec<_> = said.judged.iter().map(|(asked, count)| format!("{count} {asked}")).collect();
        Check { promise: SAID, of: judged.join(", "), broken_by: said.wrong.iter().cloned().chain(never).collect() }
    }

    fn equal(&self) -> Check {
        Check {
            promise: EQUAL,
            of: format!("{} rows", self.books.legacy.rows.len()),
            broken_by: books::differing_rows(&self.books),
        }
    }

    /// The disturbances of about that time.
    fn near(&self, began: Duration, ended: Duration) -> String {
        let near = self.done.disturbances.iter().filter(|it| it.began <= ended && began <= it.ended + NEAR);
        let near = near.map(|it| format!("{} {:.3?} to {:.3?}", it.fault, it.began, it.ended));
        near.collect::<Vec<_>>().join(", ")
    }

    fn injected(&self) -> Check {
        let ours = not_injected(&self.operations, &self.done.disturbances, &self.done.authority);
        let told = |(operation, failure): (&Operation, &journal::Failure)| {
            let journal::Failure { replica, began, ended, trouble } = failure;
            let (mark, asked) = (&operation.mark, operation.action.name());
            let near = self.near(*began, *ended);
            format!(
                "{trouble} from replica {replica} between {began:.3?} and {ended:.3?}: {mark} {asked}; near: {near}"
            )
        };
        let failures: usize = self.operations.iter().map(|operation| operation.failures.len()).sum();
        Check {
            promise: INJECTED,
            of: format!("{failures} errors in {} operations", self.operations.len()),
            broken_by: ours.into_iter().map(told).collect(),
        }
    }
}

fn linearizable(histories: verdict::Histories) -> Check {
    Check {
        promise: LINEARIZABLE,
        of: format!("{} keys, {} calls", histories.shelves, histories.calls),
        broken_by: histories.told,
    }
}
