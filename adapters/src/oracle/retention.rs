//! How long the ledger remembers: what stands under an idempotency key, and what is forgotten.

use model::saga::{KEYS_OF_SAGAS, OpenSagas};
use model::store::{Forget, Keyed};
use model::write::IdempotencyKey;
use model::{Fingerprint, Side, StoreError};

use super::bind::Bind;
use super::bookkeeping::NOW;
use super::ledger::{seconds, write_id};
use super::session::Session;
use super::table::{MAX_LIST, bucket, misfit, places};
use super::wire;

/// See `Store::keyed`.
pub(super) fn keyed(session: &mut Session, side: Side, key: &IdempotencyKey) -> Result<Option<Keyed>, StoreError> {
    let text = "SELECT l.write_id, l.fingerprint FROM strangler_ledger l WHERE l.idempotency_key = :1";
    let rows = session.query(text, &[Bind::text(key.as_str())], 1)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (write, print) = write_id(row)
        .zip(wire::text(row, 1))
        .ok_or_else(|| misfit(side, "the ledger has a key without fingerprint"))?;
    Ok(Some(Keyed { write, fingerprint: Fingerprint(print) }))
}

/// The row of a write whose key is one of so many sagas'; of any saga's for 0. The name is the key's second word.
fn of_saga(sagas: usize) -> String {
    let named = match sagas {
        0 => String::new(),
        count => {
            let name = "SUBSTR(k.idempotency_key, 6, INSTR(SUBSTR(k.idempotency_key, 6, 100), ' ') - 1)";
            format!(" AND {name} IN ({})", places(2, bucket(count)))
        }
    };
    format!(
        "SELECT 1 FROM strangler_ledger k WHERE k.write_id = l.write_id AND k.ordinal = 0 \
         AND k.idempotency_key LIKE '{KEYS_OF_SAGAS}'{named}"
    )
}

/// See `Store::forget`. Abandoned rows go too, a day later: a first attempt that is under way must still meet them.
pub(super) fn forget(session: &mut Session, old: &Forget) -> Result<u64, StoreError> {
    // Binds come in the order in which the statement names them.
    let mut binds = vec![seconds(old.retention)];
    let spared = match &old.sagas {
        OpenSagas::These(sagas) if sagas.is_empty() => String::new(),
        OpenSagas::These(sagas) if sagas.len() <= MAX_LIST => {
            binds.extend(sagas.iter().map(|saga| Bind::text(saga.as_str())));
            let last = binds[binds.len() - 1].clone();
            binds.resize(1 + bucket(sagas.len()), last);
            format!("AND NOT EXISTS ({})", of_saga(sagas.len()))
        }
        // More than a list holds: then no saga's rows are forgotten this time.
        OpenSagas::These(_) | OpenSagas::Unknown => format!("AND NOT EXISTS ({})", of_saga(0)),
    };
    binds.push(Bind::number(old.limit));
    let text = format!(
        "DELETE FROM strangler_ledger WHERE ROWID IN (SELECT l.ROWID FROM strangler_ledger l \
         WHERE l.state <> 'unsettled' AND l.created_at < {NOW} - NUMTODSINTERVAL(:1, 'SECOND') \
         AND (l.state <> 'abandoned' OR l.created_at < {NOW} - NUMTODSINTERVAL(86400, 'SECOND')) {spared} \
         FETCH FIRST :{} ROWS ONLY)",
        binds.len()
    );
    let gone = session.run(&text, &binds)?;
    session.commit()?;
    Ok(gone)
}
