//! Whether rows are kept under the keys that were named. What that means is the same on every engine: see
//! `Command::refuse_unnamed` and `Command::refuse_unkept`.

use std::collections::HashMap;

use model::contract::Refusal;
use model::write::not_kept;
use model::{EntityKey, Record, Side, StoreError};
use tokio_postgres::Row;

use super::Plan;
use crate::postgres::pipeline::Step;
use crate::postgres::read::misfit;
use crate::postgres::table::Table;
use crate::postgres::wire::{self, Stored};

/// How many rows of some tables this session has changed, and how many of them deleted, by whatever means: a function
/// says nothing of it. Asked before the work and after it, since a little of the transactions before is counted too. How
/// many were deleted is not known of views and foreign tables, nor where the server does not count.
const CHANGED: &str = "SELECT coalesce(sum(pg_stat_get_xact_tuples_inserted(part) \
     + pg_stat_get_xact_tuples_updated(part) + pg_stat_get_xact_tuples_deleted(part)), 0)::int8, \
     CASE WHEN every(counts) THEN sum(pg_stat_get_xact_tuples_deleted(part))::int8 END \
     FROM unnest($1::text[]) AS u(n) CROSS JOIN LATERAL (SELECT c.oid, c.relkind IN ('r', 'p') \
     AND current_setting('track_counts')::bool AS counts FROM pg_class AS c WHERE c.oid = to_regclass(n)) AS t \
     CROSS JOIN LATERAL (SELECT t.oid UNION SELECT p.relid::oid FROM pg_partition_tree(t.oid::regclass) AS p) AS parts(part)";

/// What the work has changed so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    changed: u64,
    deleted: Option<i64>,
}

impl Counted {
    /// Whether rows were changed since `before`.
    pub(super) fn changed_since(self, before: Self) -> bool {
        self.changed != before.changed
    }

    /// Refuses where more of the named rows have gone than were deleted or have come under another named key: the others
    /// stand under keys that nobody named.
    pub(super) fn refuse_moved(
        self,
        before: Self,
        touches: &[EntityKey],
        existed: &HashMap<EntityKey, Record>,
        after: &HashMap<EntityKey, Record>,
    ) -> Result<(), Refusal> {
        let gone = || touches.iter().filter(|key| existed.contains_key(key) && !after.contains_key(key));
        let come = touches.iter().filter(|key| !existed.contains_key(key) && after.contains_key(key)).count();
        let Some((deleted, earlier)) = self.deleted.zip(before.deleted) else { return Ok(()) };
        let accounted = usize::try_from(deleted - earlier).unwrap_or(0) + come;
        match gone().nth(accounted) {
            Some(key) => Err(not_kept(key)),
            None => Ok(()),
        }
    }
}

pub(super) fn count(tables: &[(Table<'_>, Vec<Stored>)]) -> Step {
    let names = tables.iter().map(|(table, _)| Stored::Text(table.name().to_owned())).collect();
    Step { text: CHANGED.into(), values: vec![Stored::List(names)] }
}

/// What [`count`] answers.
pub(super) fn counted(side: Side, rows: &[Row]) -> Result<Counted, StoreError> {
    let row = rows.first().ok_or_else(|| misfit(side, "a count was answered by no row".into()))?;
    Ok(Counted { changed: wire::number(side, row, 0)?, deleted: wire::get(side, row, 1)? })
}

/// Refuses a deletion that took a row of another key: the collation of the key takes two texts for one.
pub(super) fn deleted(plan: &Plan<'_>, rows: &[Row]) -> Result<(), StoreError> {
    let table = plan.tables[0].0;
    for row in rows {
        let (key, _) = table.keyed(table.entity.key_fields(), row)?;
        plan.command.refuse_unnamed([&key]).map_err(|refusal| plan.refused(refusal))?;
    }
    Ok(())
}
