//! What a PostgreSQL side remembers of one key.

use model::history::{KeyHistory, PastState};
use model::{Contract, EntityKey, Epoch, Incarnation, Instant, Position, Side, StoreError, Version};

use super::ledger::{ROW, ask, change, count};
use super::session::Session;
use super::wire::{Stored, get, number};

/// See `Store::history`.
pub(super) async fn of_key(
    session: &Session,
    contract: &Contract,
    side: Side,
    key: &EntityKey,
    limit: usize,
) -> Result<KeyHistory, StoreError> {
    let name = || [Stored::Text(key.entity().to_string()), Stored::Text(key.as_text().to_owned())];
    let text = format!(
        "SELECT {ROW}, l.created_at FROM strangler_ledger l WHERE l.entity = $1::text AND l.key = $2::text \
         ORDER BY l.epoch DESC, l.incarnation DESC, l.position DESC LIMIT $3::int8"
    );
    let [entity, text_key] = name();
    let mut states = Vec::new();
    for row in &ask(session, &text, &[entity, text_key, count(limit)]).await? {
        if let Some(change) = change(contract, side, row)? {
            let at = Instant::new(get(side, row, "created_at")?);
            states.push(PastState { version: change.version, write: change.write, at, state: change.state });
        }
    }
    let text = "SELECT epoch, incarnation, position FROM strangler_version WHERE entity = $1::text AND key = $2::text";
    let rows = ask(session, text, &name()).await?;
    let recorded = rows.first().map(|row| {
        Ok::<_, StoreError>(Version {
            epoch: Epoch(number(side, row, 0)?),
            incarnation: Incarnation(number(side, row, 1)?),
            position: Position(number(side, row, 2)?),
        })
    });
    Ok(KeyHistory { states, recorded: recorded.transpose()? })
}
