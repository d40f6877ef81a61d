//! A side is put back to a copy of its data folder that is some seconds old, and raised by order: what an operator does after a restore.
//!
//! **The secondary** is restored under load. Reads are rolled back before, as the documentation asks for; then the relay must bring everything again.
//!
//! **The primary**: what it acknowledged and had not brought over yet goes with the tail, whoever restores it, and what is read before the order is as old
//! as the copy. So clients wait from before the end of the old database until the order is through, and everything is settled when it ends; then nothing
//! that was acknowledged may be lost: `--lost bring-back`. They wait, too, while the copy is taken: an idempotency key whose ledger row goes with
//! the tail is a new key to the restored side, and so is the key of a saga's step.
//!
//! The authority does not move meanwhile. Settings of the server are no data: they stay as they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use model::Side;
use serde_json::Value as Json;
use tokio::time::{Instant, sleep};

use super::chaos::Chaos;
use super::truth::primary;
use super::world::World;

/// How long each wait of a restore may take while other things are disturbed.
const WITHIN: Duration = Duration::from_secs(45);
/// What is lost at least.
const OLDER_BY: Duration = Duration::from_millis(1_500);

/// A restore that was done: what this side's ledger held of the time between is gone with the old database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Which side.
    pub side: Side,
    /// When the copy was taken, at the earliest.
    pub copied: Duration,
    /// When it was put back, at the latest.
    pub back: Duration,
}

/// Until it is so, within the limit.
async fn until(mut holds: impl AsyncFnMut() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < WITHIN {
        if holds().await {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

impl Chaos<'_> {
    /// Restores `side`; whether it came to that.
    pub(super) async fn restore(&self, side: Side) -> bool {
        // Nobody hands over or moves reads meanwhile.
        let _orders = self.orders.lock().await;
        let Some(held) = self.world.truth().await.as_ref().and_then(primary) else { return false };
        // Sagas have their log there, whoever has the authority over the stock.
        let is_primary = held == side || side == Side::Legacy;
        // In stage `reverse` there is no percentage: modern answers as primary.
        let rolls_back = side == Side::Modern && !is_primary;
        // Given again until no replica is left that may still answer from modern: one may be away for a while.
        if rolls_back && !until(async || self.order(&["rollback", "inventory"]).await).await {
            return false;
        }
        let copied = self.ground.epoch.elapsed();
        let load = if is_primary { Some(self.ground.load.write().await) } else { None };
        let Some(copy) = self.copy(side).await else { return false };
        drop(load);
        sleep(OLDER_BY).await;
        // A restore that nobody could notice shows nothing.
        let Some(mark) = self.world.mark(side).await else { return false };
        if !until(async || self.world.remembered(side).await.is_some_and(|remembered| remembered > mark)).await {
            return false;
        }
        let load = if is_primary { Some(self.ground.load.write().await) } else { None };
        if is_primary && !until(async || self.world.waits().await == Some(0)).await {
            return false;
        }
        if !self.put_back(side, &copy).await {
            return false;
        }
        let mut said = Vec::new();
        let raised = until(async || self.world.raise(side, is_primary, &mut said).await).await;
        let back = self.ground.epoch.elapsed();
        drop(load);
        let mut done = self.done.lock();
        if !raised {
            done.lost.push(format!("{side} was restored and is not raised"));
        }
        said.dedup();
        let role = if is_primary { "primary" } else { "secondary" };
        let said = said.join(" | ");
        done.raises.push(format!("{role} {side} was put back from {copied:.1?}, and raised at {back:.1?}: {said}"));
        done.restored.push(Restored { side, copied, back });
        raised
    }

    /// A copy of the side's data, of a moment at which it is down.
    async fn copy(&self, side: Side) -> Option<PathBuf> {
        let server = self.world.server(side);
        let (data, copy) = (server.folder().join("data"), server.folder().join("copy"));
        if server.kill().await.is_err() {
            return None;
        }
        let copied = tokio::task::spawn_blocking({
            let copy = copy.clone();
            move || {
                run(Command::new("rm").arg("-rf").arg(&copy)) && run(Command::new("cp").arg("-a").arg(&data).arg(&copy))
            }
        });
        let copied = copied.await.unwrap_or(false);
        self.come_back(side).await;
        copied.then_some(copy)
    }

    /// The copy takes the place of the data.
    async fn put_back(&self, side: Side, copy: &Path) -> bool {
        let server = self.world.server(side);
        let data = server.folder().join("data");
        if server.kill().await.is_err() {
            return false;
        }
        let (from, to) = (copy.to_owned(), data);
        let put = tokio::task::spawn_blocking(move || {
            const SETTINGS: &str = "postgresql.auto.conf";
            run(Command::new("cp").arg("-a").arg(to.join(SETTINGS)).arg(from.join(SETTINGS)))
                && run(Command::new("rm").arg("-rf").arg(&to))
                && run(Command::new("mv").arg(&from).arg(&to))
        });
        let put = put.await.unwrap_or(false);
        self.come_back(side).await;
        put
    }

    async fn come_back(&self, side: Side) {
        if !until(async || self.world.server(side).restart().await.is_ok()).await {
            self.done.lock().lost.push(format!("the server of {side} does not come back"));
        }
    }
}

fn run(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

impl World {
    /// The newest mark of a side.
    async fn mark(&self, side: Side) -> Option<i64> {
        let client = self.unhurried(side).await.ok()?;
        client.query_one("SELECT max(mark) FROM strangler_mark", &[]).await.ok()?.get(0)
    }

    /// The newest mark of a side that the other side remembers.
    async fn remembered(&self, side: Side) -> Option<i64> {
        let client = self.unhurried(side.other()).await.ok()?;
        let asked = "SELECT max(mark) FROM strangler_memory WHERE side = $1";
        client.query_one(asked, &[&side.as_str()]).await.ok()?.get(0)
    }

    /// Changes that are unsettled on either side.
    async fn waits(&self) -> Option<i64> {
        let mut waits = 0;
        for side in Side::BOTH {
            let client = self.unhurried(side).await.ok()?;
            let asked = "SELECT count(*) FROM strangler_ledger WHERE state = 'unsettled'";
            waits += client.query_one(asked, &[]).await.ok()?.get::<_, i64>(0);
        }
        Some(waits)
    }

    /// Orders that a side takes writes again; whether it does. What was said is added to `said`.
    async fn raise(&self, side: Side, is_primary: bool, said: &mut Vec<String>) -> bool {
        let order = ["sides", "raise", side.as_str(), "--reason", "restored", "--who", "torturer"];
        let mut lost = if is_primary { vec!["--lost", "bring-back"] } else { Vec::new() };
        // Rows that only the torture's own SQL has made are in the way, where the order asks: nobody else changes any that is lost.
        if said.last().is_some_and(|words| words.contains("--over-unproven")) {
            lost.push("--over-unproven");
        }
        // It may come to its end only in part, and is repeated then; refused when nothing is left to be done: then it is well.
        let (words, raised) = self.say(&[&order, lost.as_slice()].concat()).await;
        let done = raised || words.contains("needs no raise");
        said.push(words);
        done
    }

    /// Whether a side is the database that it was.
    pub(super) async fn is_known(&self, side: Side) -> bool {
        let Some((said, _)) = self.ask(&["sides", "show"]).await else { return false };
        let known = |it: &Json| it["side"] == side.as_str() && it["verdict"] == "is the database that we knew";
        said.as_array().is_some_and(|sides| sides.iter().any(known))
    }
}
