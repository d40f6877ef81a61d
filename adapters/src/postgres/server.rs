//! What a server has room for, and how a connection to it is protected.
//!
//! Not here: what all replicas need together, and whether that is enough (`check`).

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::tls::Mode;
use super::tls_trouble;

/// A server, as one connection sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLook {
    /// The same for all databases of one server, whatever their addresses.
    pub server: String,
    /// Whom it takes us for.
    pub role: String,
    /// Which database it is.
    pub database: String,
    /// How many connections it has for roles like ours.
    pub room: u64,
    /// How many this role may have; `None`: as many as there are.
    pub of_role: Option<u64>,
    /// How many this database may have; `None`: as many as there are.
    pub of_database: Option<u64>,
    /// Which TLS the connection speaks; `None`: it is not encrypted.
    pub encrypted: Option<String>,
    /// What was asked for.
    pub mode: Mode,
    /// Whether it is on this machine, and nobody else on the way.
    pub local: bool,
}

impl ServerLook {
    /// How the connection is protected, for people.
    pub fn protection(&self) -> String {
        tls_trouble::shown(self.mode, self.encrypted.as_deref())
    }

    /// What should be known of how it is protected.
    pub fn exposed(&self) -> Option<String> {
        match (self.local, &self.encrypted, self.mode) {
            (true, ..) | (false, _, Mode::VerifyCa | Mode::VerifyFull) => None,
            (false, None, _) => Some(format!(
                "is not encrypted (sslmode={}): whoever is on the way reads and changes what passes; turn on ssl there and say \
                 sslmode=verify-full",
                self.mode.as_str()
            )),
            (false, Some(_), _) => Some(format!(
                "is encrypted, and nobody proves who answers (sslmode={}): say sslmode=verify-full, and name the server's \
                 authority in sslrootcert",
                self.mode.as_str()
            )),
        }
    }
}

// Superusers have the reserved connections as well, and no limits of their own. A limit of -1 is none.
const LOOK: &str = "SELECT extract(epoch FROM pg_postmaster_start_time())::text AS server, r.rolname AS role, \
     d.datname AS database, current_setting('max_connections')::int8 - CASE WHEN r.rolsuper THEN 0 ELSE \
     current_setting('superuser_reserved_connections')::int8 + coalesce(current_setting('reserved_connections', true), '0')::int8 \
     END AS room, CASE WHEN r.rolsuper THEN -1 ELSE r.rolconnlimit END AS of_role, \
     CASE WHEN r.rolsuper THEN -1 ELSE d.datconnlimit END AS of_database, \
     (SELECT s.version FROM pg_stat_ssl AS s WHERE s.pid = pg_backend_pid() AND s.ssl) AS encrypted, \
     inet_server_addr() IS NULL OR inet_client_addr() = inet_server_addr() AS local \
     FROM pg_roles AS r, pg_database AS d WHERE r.rolname = session_user AND d.datname = current_database()";

/// Looks; `None`: the server does not tell.
pub(super) async fn look(client: &Client, mode: Mode) -> Result<Option<ServerLook>, tokio_postgres::Error> {
    let answer = client.simple_query(LOOK).await?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(row.and_then(|row| read(row, mode)))
}

fn read(row: &SimpleQueryRow, mode: Mode) -> Option<ServerLook> {
    let text = |column: &str| row.try_get(column).ok().flatten().map(str::to_owned);
    let limit = |column: &str| text(column)?.parse().ok();
    Some(ServerLook {
        server: text("server")?,
        role: text("role")?,
        database: text("database")?,
        room: limit("room")?,
        of_role: limit("of_role"),
        of_database: limit("of_database"),
        encrypted: text("encrypted"),
        mode,
        local: text("local")? == "t",
    })
}
