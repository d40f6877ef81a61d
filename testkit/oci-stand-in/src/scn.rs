//! System change numbers: a sequence of the database counts them, and some keep what they saw.
//!
//! A number that is asked for outside of a changing transaction keeps a session whose snapshot was taken at that
//! moment; a read as of it runs there. The oldest go first: ORA-01555.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::address::Address;
use crate::code::{OracleError, Outcome};
use crate::session::Session;

/// Moments that are kept, for each database.
const KEPT: usize = 16;

type Kept = BTreeMap<u64, Arc<Mutex<Session>>>;

static MOMENTS: Mutex<Vec<(Address, Kept)>> = Mutex::new(Vec::new());

/// Keeps `session`, whose snapshot was taken at `scn`.
pub(crate) fn keep(address: &Address, scn: u64, session: Session) {
    let mut moments = MOMENTS.lock();
    let place = moments.iter().position(|(of, _)| of == address).unwrap_or_else(|| {
        moments.push((address.clone(), Kept::new()));
        moments.len() - 1
    });
    let kept = &mut moments[place].1;
    kept.insert(scn, Arc::new(Mutex::new(session)));
    while kept.len() > KEPT {
        kept.pop_first();
    }
}

/// The session that sees the database as it was at `scn`.
///
/// # Errors
/// ORA-01555 when it is not kept any more, ORA-08181 when no such number was ever given.
pub(crate) fn at(address: &Address, scn: u64, newest: u64) -> Outcome<Arc<Mutex<Session>>> {
    let moments = MOMENTS.lock();
    let kept = moments.iter().find(|(of, _)| of == address).and_then(|(_, kept)| kept.get(&scn));
    match kept {
        Some(session) => Ok(Arc::clone(session)),
        None if scn <= newest => Err(OracleError::plain(1555)),
        None => Err(OracleError::plain(8181)),
    }
}

/// Forgets a database that is about to go.
pub fn forget(address: &Address) {
    MOMENTS.lock().retain(|(of, _)| of != address);
}
