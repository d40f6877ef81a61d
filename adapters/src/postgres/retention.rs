//! How long the ledger remembers: what stands under an idempotency key, and what is forgotten.

use model::saga::{KEYS_OF_SAGAS, OpenSagas};
use model::store::{Forget, Keyed};
use model::write::IdempotencyKey;
use model::{Fingerprint, Side, StoreError, WriteId};

use super::ledger::{alter, ask, count, micros};
use super::pipeline::End;
use super::read::misfit;
use super::session::Session;
use super::wire::{Stored, number};

/// See `Store::keyed`.
pub(super) async fn keyed(session: &Session, side: Side, key: &IdempotencyKey) -> Result<Option<Keyed>, StoreError> {
    let text = "SELECT write_id, fingerprint FROM strangler_ledger WHERE idempotency_key = $1::text";
    let rows = ask(session, text, &[Stored::Text(key.as_str().to_owned())]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let read = || Some((row.try_get(0).ok()?, row.try_get::<_, Option<String>>(1).ok()??));
    let (write, print) = read().ok_or_else(|| misfit(side, "the ledger has a key without fingerprint".to_owned()))?;
    Ok(Some(Keyed { write: WriteId(write), fingerprint: Fingerprint(print) }))
}

/// See `Store::forget`. Abandoned rows go too, a day later and by more than a clock that may jump: not before every
/// transaction has ended that was under way when the row was last written. One of them may be the first attempt.
pub(super) async fn forget(session: &Session, side: Side, old: &Forget) -> Result<u64, StoreError> {
    let text = format!(
        "WITH gone AS (DELETE FROM strangler_ledger WHERE ctid = ANY(ARRAY( \
         SELECT l.ctid FROM strangler_ledger l WHERE l.state <> 'unsettled' \
         AND l.created_at < clock_timestamp() - $1::int8 * interval '1 microsecond' \
         AND (l.state <> 'abandoned' OR l.created_at < clock_timestamp() - interval '1 day' \
         AND age(l.xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid)) \
         AND NOT EXISTS (SELECT 1 FROM strangler_ledger k WHERE k.write_id = l.write_id AND k.ordinal = 0 \
         AND k.idempotency_key LIKE '{KEYS_OF_SAGAS}' \
         AND ($3::text[] IS NULL OR split_part(k.idempotency_key, ' ', 2) = ANY($3::text[]))) \
         LIMIT $2::int8 FOR UPDATE OF l SKIP LOCKED)) RETURNING 1) SELECT count(*) FROM gone"
    );
    let open = match &old.sagas {
        OpenSagas::These(sagas) => {
            Stored::List(sagas.iter().map(|saga| Stored::Text(saga.as_str().to_owned())).collect())
        }
        OpenSagas::Unknown => Stored::Null,
    };
    let values = [micros(old.retention), count(old.limit), open];
    let rows = alter(session, &text, &values, End::CommitLoosely).await?;
    let row = rows.first().ok_or_else(|| misfit(side, "a count was answered by no row".into()))?;
    number(side, row, 0)
}
