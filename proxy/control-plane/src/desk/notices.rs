//! What a person should know of a group now, as this replica sees it: one sentence for each that has something to say.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::GroupName;
use parking_lot::Mutex;

use super::Desk;

/// Sentences by group, and by who says them. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Notices(Arc<Mutex<BTreeMap<(GroupName, &'static str), String>>>);

impl Notices {
    /// Says `notice` of `group`, in the place of what `who` said before; `None`: nothing any more. Whether that is news.
    pub fn set(&self, group: &GroupName, who: &'static str, notice: Option<String>) -> bool {
        let (mut said, key) = (self.0.lock(), (group.clone(), who));
        match notice {
            Some(notice) => said.insert(key, notice.clone()).as_ref() != Some(&notice),
            None => said.remove(&key).is_some(),
        }
    }

    /// What is said of `group` by those who watch it.
    pub fn of(&self, group: &GroupName) -> Vec<String> {
        let said = self.0.lock();
        said.iter().filter(|((about, _), _)| about == group).map(|(_, notice)| notice.clone()).collect()
    }
}

impl Desk {
    /// What a person should know of `group` now, as the replica that is asked sees it: of the group, and of the replica.
    pub fn notices_of(&self, group: &GroupName) -> Vec<String> {
        let mut said = self.notices.of(group);
        if let Some(here) = &self.here {
            said.extend(here.rollout.name_taken().map(|why| format!("This replica: {why}.")));
            let unsaved = here.rollout.unsaved();
            said.extend(unsaved.map(|why| {
                format!("This replica: {why}; a restart without control store would answer all reads from legacy.")
            }));
            if here.rollout.known().is_doubted() {
                said.push(
                    "This replica: a newer rollout may have been lost, so legacy answers all reads until the control store tells."
                        .to_owned(),
                );
            }
        }
        said
    }
}
