//! What of the ledger waits for the other side, and for whom: counted, and listed where nobody brings it over.
//!
//! Whose a row is, its type says and not the group's name in it: a group may have been renamed since.

use std::time::Duration;

use model::store::{Backlog, Strays, Unsettled};
use model::{Contract, GroupName, Side, StoreError, WriteId};
use tokio_postgres::Row;

use super::ledger::{ROW, ask, count, writes};
use super::read::misfit;
use super::session::Session;
use super::wire::{Stored, get, number};

/// Rows `l` of a group: `$1` is its name, `$2` its types. A write without change has no type.
pub(super) const OF_GROUP: &str = "(l.entity = ANY($2::text[]) OR l.entity = '' AND l.grp = $1::text)";

/// The values of [`OF_GROUP`].
pub(super) fn of_group(contract: &Contract, group: &GroupName) -> [Stored; 2] {
    let types = contract.entities.values().filter(|entity| entity.group == *group);
    let types = types.map(|entity| Stored::Text(entity.name.to_string())).collect();
    [Stored::Text(group.to_string()), Stored::List(types)]
}

/// Whether an unsettled row of this name is brought to the other side: made since this side last took the authority over,
/// or settled once, and lost over there ([`super::life::unsettle`]). Else it was left behind.
pub(super) fn is_brought(row: &str, since: &str) -> String {
    format!("(CASE WHEN {row}.settled_at IS NULL THEN {row}.epoch ELSE 9999999999 END >= {since})")
}

/// See `Store::backlog`.
pub(super) async fn backlog(
    session: &Session,
    contract: &Contract,
    side: Side,
    group: &GroupName,
) -> Result<Backlog, StoreError> {
    let text = format!(
        "SELECT count(*) FILTER (WHERE l.ordinal = 0 AND l.brought), \
         count(*) FILTER (WHERE l.ordinal = 0 AND NOT l.brought), \
         (extract(epoch FROM clock_timestamp() - min(l.created_at) FILTER (WHERE l.brought)) * 1000000)::int8 \
         FROM (SELECT l.*, {} AS brought FROM strangler_ledger l WHERE l.state = 'unsettled' AND {OF_GROUP}) l",
        is_brought("l", "coalesce((SELECT f.since FROM strangler_fence f WHERE f.grp = $1::text), 0)")
    );
    let rows = ask(session, &text, &of_group(contract, group)).await?;
    let none = || misfit(side, "the ledger tells no count of what waits".to_owned());
    let row = rows.first().ok_or_else(none)?;
    // Below zero the clock was put back: the age is not known, which is not the same as young.
    let age = get::<Option<i64>>(side, row, 2)?.and_then(|age| u64::try_from(age).ok());
    let (writes, left_behind) = (number(side, row, 0)?, number(side, row, 1)?);
    Ok(Backlog { writes, oldest: age.map(Duration::from_micros), left_behind })
}

/// See `Store::left_behind`.
pub(super) async fn left_behind(
    session: &Session,
    contract: &Contract,
    side: Side,
    group: &GroupName,
    after: Option<WriteId>,
    limit: usize,
) -> Result<Vec<Unsettled>, StoreError> {
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l JOIN (SELECT l.write_id FROM strangler_ledger l \
           WHERE l.state = 'unsettled' AND l.ordinal = 0 AND {OF_GROUP} \
           AND (NOT {} \
             OR NOT EXISTS (SELECT FROM strangler_fence f WHERE f.grp = $1::text AND f.state IN ('open', 'alone'))) \
           AND ($3::uuid IS NULL OR l.write_id > $3::uuid) \
           ORDER BY l.write_id LIMIT $4::int8) AS page USING (write_id) \
         ORDER BY l.write_id, l.ordinal",
        is_brought("l", "(SELECT coalesce(f.since, 0) FROM strangler_fence f WHERE f.grp = $1::text)")
    );
    let [name, types] = of_group(contract, group);
    let after = after.map_or(Stored::Null, |write| Stored::Uuid(write.0));
    let rows = ask(session, &text, &[name, types, after, count(limit)]).await?;
    writes(contract, side, group, &rows)
}

/// See `Store::strays`.
pub(super) async fn strays(session: &Session, contract: &Contract, side: Side) -> Result<Vec<Strays>, StoreError> {
    let text = "SELECT grp, entity, count(*) FROM strangler_ledger l WHERE l.state = 'unsettled' \
                AND CASE WHEN l.entity = '' THEN l.grp <> ALL($1::text[]) ELSE l.entity <> ALL($2::text[]) END \
                GROUP BY grp, entity ORDER BY grp, entity";
    let names = |names: Vec<String>| Stored::List(names.into_iter().map(Stored::Text).collect());
    let groups = names(contract.groups().iter().map(GroupName::to_string).collect());
    let types = names(contract.entities.keys().map(ToString::to_string).collect());
    let stray = |row: &Row| {
        let (group, entity) = (get::<&str>(side, row, 0)?.into(), get::<&str>(side, row, 1)?.into());
        Ok(Strays { group, entity, changes: number(side, row, 2)? })
    };
    ask(session, text, &[groups, types]).await?.iter().map(stray).collect()
}
