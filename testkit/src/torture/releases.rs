//! Two releases of the contract, and replacing a replica's by the other's.
//!
//! Both are the contract that we ship, with the shop of the saga tests beside it. The new one has a field more: the remark of
//! a stock level, which its `adjustStock` sets to who has booked. The old one knows that the ERP's column is there, and leaves it alone.
//! So a statement of the new release that an old replica brings over without the remark is seen in the books.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Side;
use tokio::time::{Instant, sleep};

use super::chaos::Chaos;
use super::plan::REPLICAS;
use super::world::World;

/// How long a replica may take to end by itself. Longer than a request takes, and not longer than a paused one is waited for.
pub(super) const GRACE_TO_END: Duration = Duration::from_secs(8);
/// How long a fleet may take to be able to go back to the old contract.
const BACK_WITHIN: Duration = Duration::from_secs(90);
const SHOP: &str = include_str!("../../../proxy/strangler/tests/gateway/sagas/shop.graphql");

/// Which contract a replica has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The contract that we ship.
    Old,
    /// With one field more.
    New,
}

impl Release {
    /// Both, the older one first.
    pub const ALL: [Self; 2] = [Self::Old, Self::New];

    fn file(self) -> &'static str {
        match self {
            Self::Old => "old.graphql",
            Self::New => "new.graphql",
        }
    }

    /// Where its contract is in `folder`.
    pub(super) fn contract(self, folder: &Path) -> PathBuf {
        folder.join(self.file())
    }

    /// Its contract, made of the one that we ship.
    fn text(self, shipped: &str) -> String {
        let both = with_shop(shipped);
        let begins = "type StockLevel\n";
        let knows = format!("{begins}  @ignored(column: \"RMK\", reason: \"of the new release\")\n");
        match self {
            Self::Old => replaced(&both, begins, &knows),
            Self::New => [
                ("  reorderPoint: Int\n", "  remark: String\n    @home(legacy: { column: \"RMK\", type: \"varchar(40)\" } modern: { column: \"remark\", type: \"varchar(40)\" })\n  reorderPoint: Int\n"),
                ("QTYOH = QTYOH + :delta,", "QTYOH = QTYOH + :delta, RMK = :bookedBy,"),
                ("on_hand = on_hand + :delta,", "on_hand = on_hand + :delta, remark = :bookedBy,"),
            ]
            .iter()
            .fold(both, |text, (from, to)| replaced(&text, from, to)),
        }
    }

    /// Writes both contracts into `folder`.
    pub(super) fn write(shipped: &Path, folder: &Path) {
        let shipped = std::fs::read_to_string(shipped).unwrap();
        for release in Self::ALL {
            std::fs::write(release.contract(folder), release.text(&shipped)).unwrap();
        }
    }
}

/// Once, or the contract is another than this was written for.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

/// The shop's types, queries and mutations among those of the contract that we ship.
fn with_shop(shipped: &str) -> String {
    let (types, rest) = SHOP.split_once("type Query {\n").unwrap();
    let (queries, mutations) = rest.split_once("}\n\ntype Mutation {\n").unwrap();
    let text = replaced(shipped, "type Query {\n", &format!("{types}type Query {{\n{queries}"));
    replaced(&text, "type Mutation {\n", &format!("type Mutation {{\n{}", mutations.trim_end().trim_end_matches('}')))
}

impl Chaos<'_> {
    /// Replaces a replica by one of `release`; whether it is there.
    pub(super) async fn deploy(&self, replica: usize, release: Release) -> bool {
        let newer = |it: &usize| self.world.release_of(*it) == Release::New;
        let last = release == Release::Old && (0..REPLICAS).filter(newer).count() == 1 && newer(&replica);
        if last {
            return self.go_back(replica).await;
        }
        // Orders to the fleet are given by somebody who knows everything that is registered.
        if release == Release::New {
            self.world.order_as(Release::New);
        }
        self.replace(replica, release).await
    }

    async fn replace(&self, replica: usize, release: Release) -> bool {
        self.ground.lives[replica].fetch_add(1, Ordering::SeqCst);
        let started = self.world.replace(replica, release).await;
        self.ground.lives[replica].fetch_add(1, Ordering::SeqCst);
        match started {
            Some(repeated) => self.done.lock().starts_repeated += repeated,
            None => self.done.lock().lost.push(format!("replica {replica} did not come back as {release:?}")),
        }
        started.is_some()
    }

    /// The last replica of the new contract ends when nothing of the new contract waits; then the old one is accepted. If
    /// something came between, the replica comes back and settles it first, as the documentation says. Clients wait meanwhile: one replica alone has
    /// to look up again what all others write, and how much that may be depends on the machine.
    async fn go_back(&self, replica: usize) -> bool {
        let began = Instant::now();
        let _load = self.ground.load.write().await;
        loop {
            while self.world.waits_for_new().await != Some(0) && began.elapsed() < BACK_WITHIN {
                sleep(Duration::from_millis(100)).await;
            }
            self.ground.lives[replica].fetch_add(1, Ordering::SeqCst);
            self.world.end_replica(replica).await;
            let accepted = self.world.accept(Release::Old).await;
            if accepted.is_ok() {
                self.world.order_as(Release::Old);
                return self.replace(replica, Release::Old).await;
            }
            if !self.replace(replica, Release::New).await {
                return false;
            }
            if began.elapsed() > BACK_WITHIN {
                let said = accepted.unwrap_err();
                self.done.lock().lost.push(format!("the old contract is not accepted: {said}"));
                return false;
            }
        }
    }
}

impl World {
    /// Changes that only a replica of the new contract can read, and that are not on both sides yet.
    async fn waits_for_new(&self) -> Option<i64> {
        let mut waits = 0;
        for side in Side::BOTH {
            let client = self.unhurried(side).await.ok()?;
            let asked =
                "SELECT count(*) FROM strangler_ledger WHERE state = 'unsettled' AND image::text LIKE '%remark%'";
            waits += client.query_one(asked, &[]).await.ok()?.get::<_, i64>(0);
        }
        Some(waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_contracts_are_what_we_ship_and_the_shop() {
        let shipped = include_str!("../../../schema.graphql");
        let [old, new] = Release::ALL.map(|release| release.text(shipped));
        for text in [&old, &new] {
            for part in ["  placeOrder(", "  order(id", "  adjustStock(", "type Parcel"] {
                assert_eq!(text.matches(part).count(), 1, "{part}");
            }
            assert_eq!(text.matches('{').count(), text.matches('}').count());
        }
        assert!(new.contains("remark: String") && !old.contains("remark"));
    }
}
