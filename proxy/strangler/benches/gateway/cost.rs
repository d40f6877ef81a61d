//! CPU time from /proc: of the replica, of both PostgreSQL servers, of this process. Zero where there is no /proc.

use std::fs;
use std::path::Path;

use adapters::local_server::LocalServer;

use crate::site::Bench;

/// /proc counts in hundredths of a second on every Linux.
const TICKS: f64 = 100.0;

/// CPU seconds used until now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) replica: f64,
    pub(crate) legacy: f64,
    pub(crate) modern: f64,
    pub(crate) client: f64,
}

impl Cpu {
    /// Reads the clocks.
    pub(crate) fn now(bench: &Bench) -> Self {
        Self {
            replica: of(&bench.replica.id().to_string()).map_or(0.0, |process| process.own),
            legacy: server(&bench.legacy),
            modern: server(&bench.modern),
            client: of("self").map_or(0.0, |process| process.own),
        }
    }

    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            replica: self.replica - before.replica,
            legacy: self.legacy - before.legacy,
            modern: self.modern - before.modern,
            client: self.client - before.client,
        }
    }

    /// The sum of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            replica: self.replica + other.replica,
            legacy: self.legacy + other.legacy,
            modern: self.modern + other.modern,
            client: self.client + other.client,
        }
    }
}

struct Process {
    parent: String,
    own: f64,
    /// Of children that have ended.
    reaped: f64,
}

fn of(id: &str) -> Option<Process> {
    let stat = fs::read_to_string(Path::new("/proc").join(id).join("stat")).ok()?;
    // The name in brackets may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |place: usize| fields.get(place)?.parse::<f64>().ok().map(|ticks| ticks / TICKS);
    let parent = (*fields.get(1)?).to_owned();
    Some(Process { parent, own: seconds(11)? + seconds(12)?, reaped: seconds(13)? + seconds(14)? })
}

/// A server's own, its children's, and that of children that are gone.
fn server(server: &LocalServer) -> f64 {
    let pid = fs::read_to_string(server.folder().join("data/postmaster.pid")).unwrap_or_default();
    let pid = pid.lines().next().unwrap_or_default();
    let Some(postmaster) = of(pid) else { return 0.0 };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = all.filter_map(|entry| of(entry.file_name().to_str()?));
    let children: f64 = all.filter(|process| process.parent == pid).map(|process| process.own).sum();
    postmaster.own + postmaster.reaped + children
}
