//! An Oracle database as a system of record, for either side.
//!
//! Read `lanes` for threads and limits, `session` for one session, `bind` for how values are sent, `execute` for the
//! primary's transaction, `apply` for the secondary's, `error` for what codes mean. The files are named like those of
//! `postgres`.
//!
//! Promise: `model::Store`, as its documentation says it.
//! Not here: what nobody could try on a real Oracle yet; `docs/oracle.md` keeps the list.

mod acts;
mod apply;
mod bind;
mod bookkeeping;
mod carry;
mod checksum;
mod connect;
mod error;
mod execute;
mod facts;
mod fence;
mod history;
mod inspect;
mod lanes;
mod ledger;
mod left_out;
mod letters;
mod life;
mod lives;
mod own_keys;
mod pace;
mod params;
mod policies;
mod read;
mod retention;
mod rights;
mod row_steps;
mod sagas;
mod session;
mod settings;
mod shapes;
mod snapshot;
mod stands;
mod store;
mod table;
mod trial;
mod waiting;
mod watchdog;
mod wire;
mod write_text;

#[cfg(test)]
mod tests;

pub use bookkeeping::fence_lock;
pub use lanes::TrackFigures;
pub use settings::{Settings, Track};
pub use store::OracleStore;
