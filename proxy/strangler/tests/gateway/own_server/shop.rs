//! Three replicas under load at stage `shift`, 100 %: a group that may be handed over.
//!
//! Every customer remembers what was acknowledged; at the end it must stand on both sides, once.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use model::{Authority, PerSide, Side};
use serde_json::Value as Json;
use strangler::demo::traffic::{Expected, Tally, Traffic};
use testkit::fleet::Replica;

use super::fleet::{Fleet, storefront};
use crate::erp::{connect, patches};
use crate::rig::{WITHIN, until};

/// Customers of each replica.
const CUSTOMERS: usize = 3;
/// Pause of a customer.
const PAUSE: Duration = Duration::from_millis(5);
/// What begins a command that hands over.
const ORDER: [&str; 8] = ["groups", "handover", "inventory", "--reason", "a test", "--who", "tester", "--to"];

/// A fleet that serves.
pub(super) struct Shop {
    pub(super) fleet: Fleet,
    /// Called `one`, `two` and `three`.
    pub(super) replicas: Vec<Replica>,
    traffic: Vec<Traffic>,
}

impl Shop {
    /// Opens one; `more`: lines for the configuration of everybody.
    pub(super) async fn open(more: &str) -> Self {
        let mut shop = Self::closed(more).await;
        shop.replicas = join_all(["one", "two", "three"].map(|name| shop.fleet.site.start(name))).await;
        shop.let_customers_in().await;
        shop
    }

    /// One without replicas.
    pub(super) async fn closed(more: &str) -> Self {
        let mut fleet = Fleet::new().await;
        more.clone_into(&mut fleet.site.more);
        fleet.set(&["--stage", "shift", "--reads", "100"]).await;
        Self { fleet, replicas: Vec::new(), traffic: Vec::new() }
    }

    /// Customers begin to buy at every replica.
    pub(super) async fn let_customers_in(&mut self) {
        let mut patches = patches(CUSTOMERS * self.replicas.len()).into_iter();
        for (replica, seed) in self.replicas.iter().zip(1..) {
            let own = patches.by_ref().take(CUSTOMERS).collect();
            self.traffic.push(Traffic::start(&storefront(replica), own, seed, PAUSE));
        }
        self.writes_go_on(20).await;
    }

    /// What the customers of a replica have seen.
    pub(super) fn tally(&self, place: usize) -> &Arc<Tally> {
        self.traffic[place].tally()
    }

    fn acknowledged(&self) -> Vec<u64> {
        self.traffic.iter().map(|traffic| traffic.tally().acknowledged.load(Ordering::Relaxed)).collect()
    }

    /// At every replica, so many more.
    pub(super) async fn writes_go_on(&self, count: u64) {
        let before = self.acknowledged();
        until("writes go on", async || {
            self.acknowledged().iter().zip(&before).all(|(now, before)| *now >= before + count)
        })
        .await;
    }

    /// Hands over as an operator does; what the command printed.
    pub(super) async fn hand_over(&self, to: Side) -> Json {
        let text = self.fleet.site.must_run(&[&["--json"], &ORDER[..], &[to.as_str()]].concat()).await;
        // A warning may stand behind it.
        let json = serde_json::Deserializer::from_str(&text).into_iter().next();
        json.unwrap().unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The same, for people.
    pub(super) async fn hand_over_in_words(&self, to: Side) -> String {
        self.fleet.site.must_run(&[&ORDER[..], &[to.as_str()]].concat()).await
    }

    /// Somebody begins to hand over, in a process that can be killed.
    pub(super) fn begin_handover(&self, to: Side) -> tokio::process::Child {
        tokio::process::Command::new(&self.fleet.site.binary)
            .arg("--config")
            .arg(self.fleet.site.config("coordinator", 1, 1))
            .args(ORDER)
            .arg(to.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// What the fences say.
    pub(super) async fn authority(&self) -> Authority {
        let (stores, group) = (&self.fleet.erp.stores, "inventory".into());
        let fence = async |side: Side| stores.get(side).fence(&group, WITHIN).await.unwrap().fence;
        Authority::of(&PerSide { legacy: fence(Side::Legacy).await, modern: fence(Side::Modern).await })
    }

    /// One number out of a side's database.
    pub(super) async fn count(&self, side: Side, sql: &str) -> i64 {
        connect(self.fleet.erp.databases.get(side)).await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Stock movements that customers made, as a side has them.
    pub(super) async fn movements(&self, side: Side) -> i64 {
        let sql = match side {
            Side::Legacy => "SELECT count(*) FROM MOVLOG WHERE MOVID NOT LIKE 'M%'",
            Side::Modern => "SELECT count(*) FROM stock_movement WHERE id NOT LIKE 'M%'",
        };
        self.count(side, sql).await
    }

    /// Customers go home. Nobody saw an error; what was acknowledged stands on both sides, and nothing else does.
    pub(super) async fn close(mut self) {
        let mut expected = Expected::default();
        for traffic in std::mem::take(&mut self.traffic) {
            let tally = traffic.stop().await;
            assert_eq!(*tally.complaints.lock(), Vec::<String>::new());
            join(&mut expected, &tally);
        }
        self.audit(&expected).await;
        // Nobody but us has written anywhere, whoever was primary meanwhile.
        let mut told = 0;
        for replica in self.replicas.iter_mut().filter_map(|replica| (!replica.has_ended()).then_some(replica)) {
            let (_, metrics) = replica.get("/metrics").await.unwrap();
            assert!(metrics.contains("strangler_writes_total{"), "{metrics}");
            assert!(!metrics.contains("strangler_foreign_writes_total{"), "{metrics}");
            told += 1;
        }
        assert!(told > 0, "no replica is there to tell");
        for side in Side::BOTH {
            assert_eq!(self.movements(side).await, expected.movements.len() as i64, "lost or doubled on {side}");
        }
    }

    /// Customers of the replica at `broken` had broken connections; otherwise as [`Shop::close`]. What they were not told may
    /// stand or not.
    pub(super) async fn close_but(mut self, broken: usize) {
        let mut expected = Expected::default();
        for (place, traffic) in std::mem::take(&mut self.traffic).into_iter().enumerate() {
            let tally = traffic.stop().await;
            let complaints = tally.complaints.lock().clone();
            let earned = |complaint: &&String| {
                place == broken && (complaint.starts_with("no answer from") || *complaint == "a price was not taken")
            };
            assert_eq!(complaints.iter().find(|complaint| !earned(complaint)), None);
            join(&mut expected, &tally);
        }
        self.audit(&expected).await;
        let [legacy, modern] = [self.movements(Side::Legacy).await, self.movements(Side::Modern).await];
        assert!(legacy == modern && legacy >= expected.movements.len() as i64, "{legacy} {modern}");
    }

    /// Waits until everything is on both sides, which are equal and have what is expected.
    pub(super) async fn audit(&self, expected: &Expected) {
        let (stores, group) = (&self.fleet.erp.stores, "inventory".into());
        until("modern's writes are settled", async || {
            stores.modern.backlog(&group, WITHIN).await.is_ok_and(|backlog| backlog.writes == 0)
        })
        .await;
        self.fleet.erp.audit(expected).await;
    }
}

/// Customers share nothing, so what they expect does not meet.
fn join(expected: &mut Expected, tally: &Tally) {
    let more = tally.expected.lock().clone();
    expected.movements.extend(more.movements);
    expected.levels.extend(more.levels);
    expected.prices.extend(more.prices);
}
