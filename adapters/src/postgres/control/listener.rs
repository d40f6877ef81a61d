//! One connection that hears of new rollouts. While there is none, callers poll. Where the server has too few it is the
//! first that goes: polling needs none.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_postgres::{AsyncMessage, Client};

use crate::postgres::dial::{Dialer, Opened};
use crate::postgres::room::Server;

/// The channel of `NOTIFY`.
pub(super) const CHANNEL: &str = "strangler_rollout";
/// How often somebody who waits looks even when nothing was heard.
const POLL: Duration = Duration::from_millis(250);
/// How often a lost connection is made again.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Listener {
    dialer: Dialer,
    server: Arc<Server>,
    limit: Duration,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// Keeps the connection alive; ends it when dropped.
    client: Option<Client>,
    heard: Option<watch::Receiver<u64>>,
    tried: Option<Instant>,
}

/// Hears what was told after it was made.
pub(super) struct Ear(Option<watch::Receiver<u64>>);

impl Listener {
    pub(super) fn new(dialer: Dialer, server: Arc<Server>, limit: Duration) -> Self {
        Self { dialer, server, limit, line: Mutex::default() }
    }

    /// Gives its connection up, for calls that have none.
    pub(super) fn let_go(&self) {
        // Who holds the lock is making one, and may well fail.
        if let Ok(mut line) = self.line.try_lock() {
            line.client = None;
            line.heard = None;
        }
    }

    /// An ear on the line, which is made anew when it broke.
    pub(super) async fn ear(&self) -> Ear {
        let mut line = self.line.lock().await;
        if line.client.as_ref().is_none_or(Client::is_closed) {
            line.client = None;
            line.heard = None;
            let due = line.tried.is_none_or(|tried| tried.elapsed() >= RETRY);
            if due && !self.server.is_short() {
                line.tried = Some(Instant::now());
                // Without a line we poll; the outage itself is seen and reported by whoever asks for the rollout.
                if let Ok(Some((client, heard))) = tokio::time::timeout(self.limit, listen(&self.dialer)).await {
                    line.client = Some(client);
                    line.heard = Some(heard);
                }
            }
        }
        let mut heard = line.heard.clone();
        if let Some(heard) = &mut heard {
            heard.mark_unchanged();
        }
        Ear(heard)
    }
}

impl Ear {
    /// Waits for news, at most `within`, and not longer than the time between two polls.
    pub(super) async fn listen(&mut self, within: Duration) {
        let pause = within.min(POLL);
        match &mut self.0 {
            Some(heard) => {
                // An error means that the line broke: then we have waited less and poll once more.
                if let Ok(Err(_)) = tokio::time::timeout(pause, heard.changed()).await {
                    self.0 = None;
                }
            }
            None => tokio::time::sleep(pause).await,
        }
    }
}

async fn listen(dialer: &Dialer) -> Option<(Client, watch::Receiver<u64>)> {
    let Opened { client, mut wire, .. } = dialer.open().await.ok()?;
    let (tell, heard) = watch::channel(0);
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| wire.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message {
                tell.send_modify(|count| *count += 1);
            }
        }
    });
    client.batch_execute(&format!("LISTEN {CHANNEL}")).await.ok()?;
    Some((client, heard))
}
