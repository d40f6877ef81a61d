//! The record of everything that anybody changed: found by group, time, person and event; page by page.

use model::control::{AuditEntry, Event};

use super::{Desk, DeskError};
use contract::suggest;

/// Entries that are read at once.
const PAGE: usize = 500;

/// Which entries, as people write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Only changes of this group.
    pub group: Option<String>,
    /// Only what this person or program did.
    pub who: Option<String>,
    /// Only this event, as webhooks know it: `rolled-back`, `excused`, …
    pub event: Option<String>,
    /// Only since then: `2h`, `7d`, or a time in RFC 3339.
    pub since: Option<String>,
    /// Only entries before this place: where the last page ended.
    pub before: Option<u64>,
}

impl Desk {
    /// The entries that `filter` wants, newest first, at most `limit`.
    ///
    /// # Errors
    /// One that names what is known; or when the control store does not tell.
    pub async fn record(&self, filter: &RecordFilter, limit: usize) -> Result<Vec<AuditEntry>, DeskError> {
        let group = filter.group.as_ref().map(|name| self.group(name)).transpose()?;
        let since = filter.since.as_deref().map(|text| self.since(text)).transpose()?;
        let event = filter.event.as_ref().map(|name| {
            let known = || suggest::or_all(name, "", Event::ALL.iter().map(|event| event.as_str()));
            let unknown = || DeskError::wrong("UNKNOWN_EVENT", format!("there is no event `{name}`: {}", known()));
            Event::named(name).ok_or_else(unknown)
        });
        let event = event.transpose()?;
        let wanted = |entry: &AuditEntry| {
            since.is_none_or(|since| entry.at >= since)
                && filter.who.as_ref().is_none_or(|who| entry.author.who == *who)
                && event.is_none_or(|event| Event::of(entry) == event)
        };
        let (mut found, mut before) = (Vec::new(), filter.before);
        // To the end, whatever the times say: a clock that was put back must not hide what came before.
        while found.len() < limit {
            let page = self.control.newest_audit(group.as_ref(), before, PAGE).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.place);
            found.extend(page.into_iter().filter(wanted));
        }
        found.truncate(limit);
        Ok(found)
    }
}
