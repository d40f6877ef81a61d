//! What an Oracle side remembers of one key.

use model::history::{KeyHistory, PastState};
use model::{Contract, EntityKey, Epoch, Incarnation, Instant, Position, Side, StoreError, Version};

use super::bind::Bind;
use super::ledger::{ROW, change};
use super::session::Session;
use super::table::misfit;
use super::wire;

/// Where `created_at` stands behind [`ROW`].
const CREATED_AT: usize = 13;

/// See `Store::history`.
pub(super) fn of_key(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    key: &EntityKey,
    limit: usize,
) -> Result<KeyHistory, StoreError> {
    let name = || vec![Bind::text(key.entity().as_str()), Bind::text(key.as_text())];
    let text = format!(
        "SELECT {ROW}, l.created_at FROM strangler_ledger l WHERE l.entity = :1 AND l.key = :2 \
         ORDER BY l.epoch DESC, l.incarnation DESC, l.position DESC FETCH FIRST :3 ROWS ONLY"
    );
    let mut binds = name();
    binds.push(Bind::number(limit));
    let unreadable = || misfit(side, "a row of the bookkeeping cannot be read");
    let mut states = Vec::new();
    for row in &session.query(&text, &binds, 50)? {
        if let Some(change) = change(contract, side, row)? {
            let at = Instant::new(wire::moment(row, CREATED_AT).ok_or_else(unreadable)?.and_utc());
            states.push(PastState { version: change.version, write: change.write, at, state: change.state });
        }
    }
    let text = "SELECT epoch, incarnation, position FROM strangler_version WHERE entity = :1 AND key = :2";
    let rows = session.query(text, &name(), 1)?;
    let recorded = rows.first().map(|row| {
        Some(Version {
            epoch: Epoch(wire::number(row, 0)?),
            incarnation: Incarnation(wire::number(row, 1)?),
            position: Position(wire::number(row, 2)?),
        })
    });
    let recorded = recorded.map(|version| version.ok_or_else(unreadable)).transpose()?;
    Ok(KeyHistory { states, recorded })
}
