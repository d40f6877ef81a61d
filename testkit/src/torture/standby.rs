//! One side has a synchronous standby: it hangs, and in the end it takes over from a server that dies.
//!
//! While it hangs no commit of that side is answered, so nothing may be acknowledged that only the dying server has: after the failover every
//! acknowledged write must be there. The old server never comes back. Every wire of the side leads to the new one, as an address does that is moved.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapters::local_server::LocalServer;
use model::Side;
use tokio::time::{Instant, sleep};

use super::chaos::Chaos;
use super::world::{DATABASE, World};

/// How long it may take until a standby keeps up, or has taken over.
const WITHIN: Duration = Duration::from_secs(60);

/// A standby.
pub(super) struct Standby {
    /// Of which side.
    pub(super) side: Side,
    /// Its server.
    pub(super) server: LocalServer,
    /// Whether it has taken over.
    pub(super) over: AtomicBool,
}

impl Standby {
    /// Makes `server` the synchronous standby of `primary`, which nobody uses yet.
    ///
    /// # Panics
    /// When it does not keep up.
    pub(super) async fn of(side: Side, primary: &LocalServer, server: LocalServer) -> Self {
        primary.kill().await.unwrap();
        server.kill().await.unwrap();
        let (from, to) = (primary.folder().join("data"), server.folder().join("data"));
        run(Command::new("rm").arg("-rf").arg(&to));
        run(Command::new("cp").arg("-a").arg(&from).arg(&to));
        let settings = to.join("postgresql.auto.conf");
        let follows = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user=postgres application_name=standby'\n",
            primary.port()
        );
        std::fs::write(&settings, follows).unwrap();
        let signal = to.join("standby.signal");
        std::fs::write(&signal, "").unwrap();
        // The server runs under another account where tests run as root.
        run(Command::new("chown").arg(reference(&from.join("postgresql.conf"))).args([&settings, &signal]));
        primary.restart().await.unwrap();
        server.restart().await.unwrap();
        for text in ["ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()"] {
            primary.run(DATABASE, text).await.unwrap();
        }
        let began = Instant::now();
        let keeps_up = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        while primary.run(DATABASE, keeps_up).await.unwrap()[0][0].as_deref() != Some("1") {
            assert!(began.elapsed() < WITHIN, "the standby does not keep up");
            sleep(Duration::from_millis(100)).await;
        }
        Self { side, server, over: AtomicBool::new(false) }
    }
}

fn reference(like: &Path) -> String {
    format!("--reference={}", like.display())
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

impl World {
    /// The standby stands still, or goes on. Nothing once it has taken over.
    pub(super) async fn stall_standby(&self, still: bool) {
        if self.standby.over.load(Ordering::SeqCst) {
            return;
        }
        let server = &self.standby.server;
        let done = if still { server.pause().await } else { server.resume().await };
        done.expect("a signal is sent");
    }
}

impl Chaos<'_> {
    /// The server of the side dies and its standby takes over; whether the fleet writes there again.
    pub(super) async fn fail_over(&self) -> bool {
        let _orders = self.orders.lock().await;
        let Standby { side, server, over } = &self.world.standby;
        if over.load(Ordering::SeqCst) || self.world.server(*side).kill().await.is_err() {
            return false;
        }
        let promoted = server.run(DATABASE, "SELECT pg_promote()").await.is_ok();
        over.store(true, Ordering::SeqCst);
        self.world.lead_to(*side, server.port());
        let began = Instant::now();
        while promoted && began.elapsed() < WITHIN {
            if self.world.is_known(*side).await {
                return true;
            }
            sleep(Duration::from_millis(200)).await;
        }
        self.done.lock().lost.push(format!("the standby of {side} has not taken over"));
        false
    }
}
