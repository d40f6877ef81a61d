//! The way back from a change: what to set, so that a group is as it was before.

use std::fmt;

use model::{Percentage, Policy};

use super::{SetPolicy, propose};

/// What leads from `after` to `before` again; `None` where no single change does, as across a handover, or where nothing
/// differs.
pub fn way_back(before: &Policy, after: &Policy) -> Option<SetPolicy> {
    let differs = |was: Percentage, is: Percentage| (was != is).then_some(was);
    let wish = SetPolicy {
        stage: (before.stage() != after.stage()).then(|| before.stage()),
        reads: differs(before.reads(), after.reads()),
        shadow: differs(before.shadow(), after.shadow()),
    };
    (propose(after, &wish).as_ref() == Ok(before)).then_some(wish)
}

impl fmt::Display for SetPolicy {
    /// As flags of `groups set`: ` --stage shift --reads 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stage) = self.stage {
            write!(f, " --stage {stage}")?;
        }
        for (flag, percent) in [("reads", self.reads), ("shadow", self.shadow)] {
            if let Some(percent) = percent {
                write!(f, " --{flag} {}", f64::from(percent))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::{Epoch, Stage};

    use super::*;

    fn policy(stage: Stage, reads: f64, shadow: f64) -> Policy {
        Policy::new(stage, reads.try_into().unwrap(), shadow.try_into().unwrap(), Epoch(1)).unwrap()
    }

    #[test]
    fn whatever_was_set_there_is_one_order_that_leads_back() {
        let all = [
            policy(Stage::Legacy, 0.0, 0.0),
            policy(Stage::DualWrite, 0.0, 0.0),
            policy(Stage::Shadow, 0.0, 25.0),
            policy(Stage::Shadow, 0.0, 100.0),
            policy(Stage::Shift, 0.0, 100.0),
            policy(Stage::Shift, 3.0, 100.0),
            policy(Stage::Shift, 100.0, 10.0),
        ];
        for before in &all {
            for after in all.iter().filter(|after| *after != before) {
                let back = way_back(before, after).unwrap_or_else(|| panic!("{before:?} from {after:?}"));
                assert_eq!(propose(after, &back).as_ref(), Ok(before));
            }
        }
        let flags = way_back(&all[5], &all[1]).unwrap().to_string();
        assert_eq!(flags, " --stage shift --reads 3 --shadow 100");
        assert_eq!(way_back(&all[5], &all[5]), None);
    }

    #[test]
    fn across_a_handover_no_setting_leads_back() {
        let reverse = Policy::new(Stage::Reverse, Percentage::FULL, Percentage::FULL, Epoch(2)).unwrap();
        assert_eq!(way_back(&policy(Stage::Shift, 100.0, 100.0), &reverse), None);
    }
}
