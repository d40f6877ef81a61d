//! A session, made: the client library is found once per process, each session is set up once.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use model::{Side, StoreError};
use oracle::{Connector, InitParams};

use super::error;
use super::lanes::{Crew, Ticket};
use super::letters;
use super::life;
use super::policies;
use super::session::Session;
use super::settings::{Settings, Track};

/// What decides how texts, times and numbers are read and compared. Our own statements rely on it. And what decides how
/// a transaction sees and stays, whatever a logon trigger or the server's parameters say: a fence must be seen by whoever
/// has waited for it, and a commit is answered when it is on disk.
pub(super) const SET_UP: &str = "ALTER SESSION SET TIME_ZONE = '+00:00' NLS_SORT = 'BINARY' NLS_COMP = 'BINARY' \
     NLS_NUMERIC_CHARACTERS = '.,' NLS_DATE_FORMAT = 'YYYY-MM-DD HH24:MI:SS' \
     NLS_TIMESTAMP_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF6' NLS_TIMESTAMP_TZ_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF6 TZH:TZM' \
     ISOLATION_LEVEL = READ COMMITTED COMMIT_WAIT = 'FORCE_WAIT'";

/// A procedure of the ERP that says `COMMIT` would end our transaction before its ledger row is written; and one that is
/// rehearsed would stay. Here it fails (ORA-00034), and what it did is undone.
pub(super) const FORBID_COMMITS: &str = "ALTER SESSION DISABLE COMMIT IN PROCEDURE";

/// Points the process to its client library.
///
/// # Errors
/// `Misfit` when it was pointed to another one before: there is one per process.
pub(super) fn use_client(side: Side, settings: &Settings) -> Result<(), StoreError> {
    static CHOSEN: OnceLock<Option<PathBuf>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| settings.client_lib_dir.clone());
    let misfit = |problem: String, source| StoreError::Misfit { side, problem, source };
    if *chosen != settings.client_lib_dir {
        let shown = |dir: &Option<PathBuf>| dir.as_ref().map_or("the system's".into(), |dir| dir.display().to_string());
        return Err(misfit(
            format!(
                "its client library is {}, but this process uses {} already: give both sides the same client_lib_dir",
                shown(&settings.client_lib_dir),
                shown(chosen)
            ),
            None,
        ));
    }
    let Some(dir) = &settings.client_lib_dir else { return Ok(()) };
    let mut params = InitParams::new();
    params.oracle_client_lib_dir(dir).and_then(|params| params.init()).map(|_first| ()).map_err(|error| {
        let why = error::first_line(&error);
        misfit(format!("Oracle's client library in {} cannot be used: {why}", dir.display()), Some(error.into()))
    })
}

/// The making of a session, on the thread that will use it.
pub(super) struct Connecting;

impl Connecting {
    /// Connects and sets up. Takes as long as the network lets it: the caller does not wait beyond its limit.
    pub(super) fn run(crew: &Arc<Crew>, ticket: &Ticket) -> Result<Session, StoreError> {
        let (side, settings) = (crew.side, &crew.settings);
        let mut connector = Connector::new(&settings.user, &settings.password, &settings.connect);
        connector.stmt_cache_size(settings.statement_cache).driver_name("strangler");
        let connection = connector.connect().map_err(|error| error::connecting(side, error))?;
        let mut session = Session::new(side, Arc::new(connection), Arc::clone(&crew.policies));
        session.begin_call(ticket);
        session.set_up(&settings.module, crew.track.as_str()).map_err(|error| error::unreachable(side, error))?;
        policies::look(&mut session).map_err(|error| error::unreachable(side, error))?;
        letters::look(&mut session, &crew.letters).map_err(|error| error::unreachable(side, error))?;
        life::require_mine(&mut session)?;
        if matches!(crew.track, Track::Write | Track::Admin) {
            life::compare(&mut session, &crew.expected).map_err(|error| error::unreachable(side, error))?;
        }
        Ok(session)
    }
}
