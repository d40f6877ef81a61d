//! A PostgreSQL database as a system of record, for either side.
//!
//! Read `line` and `session` for connections and time limits, `pipeline` for what a transaction is, `execute` for the
//! primary's, `apply` for the secondary's, `bookkeeping` for the tables we add, `value` for how columns become
//! canonical values.
//!
//! Promise: `model::Store`, as its documentation says it.
//! Not here: which side is asked (`proxy::route`), what to do when it fails (`proxy::write`).

mod address;
mod apply;
mod apply_batch;
mod apply_seen;
mod apply_steps;
mod apply_text;
mod bind;
mod bookkeeping;
mod carry;
mod checksum;
mod connections;
pub mod control;
mod dial;
mod encoding;
mod error;
mod execute;
mod fence;
mod history;
mod inspect;
mod ledger;
mod left_out;
mod life;
mod line;
mod migrate;
mod numeric;
mod own_keys;
mod pipeline;
mod read;
mod retention;
mod room;
mod sagas;
mod server;
mod session;
mod settings;
mod shapes;
mod snapshot;
mod statements;
mod store;
mod table;
mod tls;
mod tls_trouble;
mod trial;
mod waiting;
mod wire;
mod write_text;

pub use address::{InvalidAddress, TlsWords, check as check_address};
pub use bookkeeping::fence_lock;
pub use server::ServerLook;
pub use settings::Settings;
pub use store::PostgresStore;
pub use tls::Mode;
