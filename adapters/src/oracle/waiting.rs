//! What of the ledger waits for the other side, and for whom: counted, and listed where nobody brings it over.
//!
//! Whose a row is, its type says and not the group's name in it: a group may have been renamed since.

use model::store::{Backlog, Strays, Unsettled};
use model::{Contract, GroupName, Side, StoreError, WriteId};

use super::bind::Bind;
use super::bookkeeping::NOW;
use super::ledger::{of_writes, write_id};
use super::session::Session;
use super::table::{MAX_LIST, bucket, misfit, places};
use super::wire;

/// Rows of a group of so many types, and the number of the next place. A write without change has no type.
pub(super) fn of_group(row: &str, types: usize) -> (String, usize) {
    let next = bucket(types) + 2;
    let group = next - 1;
    let types = places(1, bucket(types));
    (format!("({row}.entity IN ({types}) OR {row}.entity IS NULL AND {row}.grp = :{group})"), next)
}

/// How many types the group has, and the values of [`of_group`].
pub(super) fn types(contract: &Contract, group: &GroupName) -> (usize, Vec<Bind>) {
    let types = contract.entities.values().filter(|entity| entity.group == *group);
    let mut binds: Vec<_> = types.map(|entity| Bind::text(entity.name.as_str())).collect();
    let count = binds.len();
    // Filled up with the last one, or with what is no name.
    let last = binds.last().cloned().unwrap_or_else(|| Bind::text("-"));
    binds.resize(bucket(count), last);
    binds.push(Bind::text(group.as_str()));
    (count, binds)
}

/// Whether an unsettled row of this name is brought to the other side: made since this side last took the authority over,
/// or settled once, and lost over there ([`super::life::unsettle`]). Else it was left behind.
pub(super) fn is_brought(row: &str, since: &str) -> String {
    format!("(CASE WHEN {row}.settled_at IS NULL THEN {row}.epoch ELSE 9999999999 END >= {since})")
}

/// See `Store::backlog`.
pub(super) fn backlog(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    group: &GroupName,
) -> Result<Backlog, StoreError> {
    let (types, mut binds) = types(contract, group);
    let (of_group, next) = of_group("l", types);
    let brought = is_brought("l", "s.since");
    let text = format!(
        "SELECT COUNT(CASE WHEN l.ordinal = 0 AND {brought} THEN 1 END), \
         COUNT(CASE WHEN l.ordinal = 0 AND NOT {brought} THEN 1 END), \
         MIN(CASE WHEN {brought} THEN l.created_at END), {NOW} \
         FROM (SELECT l.* FROM strangler_ledger l WHERE l.state = 'unsettled' AND {of_group}) l, \
         (SELECT NVL(MAX(f.since), 0) AS since FROM strangler_fence f WHERE f.grp = :{next}) s"
    );
    binds.push(Bind::text(group.as_str()));
    let rows = session.query(&text, &binds, 1)?;
    let none = || misfit(side, "the ledger tells no count of what waits");
    let row = rows.first().ok_or_else(none)?;
    let (writes, left_behind) = wire::number(row, 0).zip(wire::number(row, 1)).ok_or_else(none)?;
    // Below zero the clock was put back: the age is not known, which is not the same as young.
    let oldest = wire::moment(row, 3).zip(wire::moment(row, 2)).and_then(|(now, first)| (now - first).to_std().ok());
    Ok(Backlog { writes, oldest, left_behind })
}

/// See `Store::left_behind`.
pub(super) fn left_behind(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    group: &GroupName,
    after: Option<WriteId>,
    limit: usize,
) -> Result<Vec<Unsettled>, StoreError> {
    let (types, mut binds) = types(contract, group);
    let (of_group, next) = of_group("l", types);
    // Binds go by the order in which the text has them.
    let beyond = if after.is_some() { format!("AND l.write_id > :{}", next + 2) } else { String::new() };
    let text = format!(
        "SELECT l.write_id FROM strangler_ledger l WHERE l.state = 'unsettled' AND l.ordinal = 0 AND {of_group} \
         AND (NOT {} \
           OR NOT EXISTS (SELECT 1 FROM strangler_fence f WHERE f.grp = :{} AND f.state IN ('open', 'alone'))) {beyond} \
         ORDER BY l.write_id FETCH FIRST :{} ROWS ONLY",
        is_brought("l", &format!("(SELECT NVL(MAX(f.since), 0) FROM strangler_fence f WHERE f.grp = :{next})")),
        next + 1,
        next + 2 + usize::from(after.is_some())
    );
    binds.extend([Bind::text(group.as_str()), Bind::text(group.as_str())]);
    binds.extend(after.map(Bind::write));
    binds.push(Bind::number(limit.min(MAX_LIST)));
    let rows = session.query(&text, &binds, 200)?;
    let writes: Vec<_> = rows.iter().filter_map(write_id).collect();
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let mut left = of_writes(session, contract, side, group, &writes)?;
    left.sort_by_key(|unsettled| unsettled.write);
    Ok(left)
}

/// See `Store::strays`.
pub(super) fn strays(session: &mut Session, contract: &Contract) -> Result<Vec<Strays>, StoreError> {
    let text = "SELECT grp, entity, COUNT(*) FROM strangler_ledger WHERE state = 'unsettled' \
                GROUP BY grp, entity ORDER BY grp, entity";
    let groups = contract.groups();
    let mut strays = Vec::new();
    for row in &session.query(text, &[], 50)? {
        let (group, entity) = (wire::text(row, 0).unwrap_or_default(), wire::text(row, 1).unwrap_or_default());
        let known = match entity.as_str() {
            "" => groups.iter().any(|known| known.as_str() == group),
            name => contract.entity(&name.into()).is_some(),
        };
        if !known {
            let none = || misfit(session.side, "the ledger tells no count of what waits");
            let changes = wire::number(row, 2).ok_or_else(none)?;
            strays.push(Strays { group: group.as_str().into(), entity: entity.as_str().into(), changes });
        }
    }
    Ok(strays)
}
