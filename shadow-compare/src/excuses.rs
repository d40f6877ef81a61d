//! The excuses that count for one comparison: those of the contract, and those accepted in the running fleet.
//!
//! Both count up to and including their last day. An accepted excuse is exactly as wide as it says; what its
//! rule does not explain is not excused.
//! Not here: accepting and following them (`proxy::excuses`).

use std::sync::Arc;

use chrono::NaiveDate;
use model::contract::Field;
use model::control::{AcceptedExcuse, ExcuseScope};
use model::evidence::Cause;
use model::{RouteName, Value};

use crate::explain::explains;

/// What is excused on one route, on one day.
#[derive(Debug, Clone)]
pub struct Excuses {
    today: NaiveDate,
    accepted: Arc<[ExcuseScope]>,
}

impl Excuses {
    /// Those of the contract alone.
    pub fn of_contract(today: NaiveDate) -> Self {
        Self { today, accepted: Arc::default() }
    }

    /// Those of the contract, and of `accepted` those for `route` whose last day is not over.
    pub fn of_route(route: &RouteName, accepted: &[AcceptedExcuse], today: NaiveDate) -> Self {
        let counts = |excuse: &&AcceptedExcuse| excuse.scope.route == *route && today <= excuse.until;
        let accepted = accepted.iter().filter(counts).map(|excuse| excuse.scope.clone());
        Self { today, accepted: accepted.collect() }
    }

    /// Whether a difference of `field` counts as excused; the values are canonical.
    pub(crate) fn cover_field(&self, field: &Field, cause: Cause, legacy: &Value, modern: &Value) -> bool {
        let declared = field.compare.excused.as_ref().is_some_and(|excuse| self.today <= excuse.until);
        declared
            || self.accepted.iter().any(|scope| {
                scope.field.as_ref() == Some(&field.name)
                    && scope.cause == cause
                    && scope.rule.is_none_or(|rule| explains(rule, legacy, modern))
            })
    }

    /// Whether a whole record, or the order of a list, counts as excused.
    pub(crate) fn cover_whole(&self, cause: Cause) -> bool {
        self.accepted.iter().any(|scope| scope.field.is_none() && scope.cause == cause)
    }
}

#[cfg(test)]
mod tests;
