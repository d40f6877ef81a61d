//! The evidence at the moment of a change, for its record: verdicts so far, and what is unsettled.
//!
//! Best effort: what cannot be learnt in time is recorded as not known, and never holds up a change.

use std::sync::Arc;
use std::time::Duration;

use model::control::{ControlStore, EvidenceFilter, Sums};
use model::evidence::Verdict;
use model::life::LifeLook;
use model::{Contract, GroupName, PerSide, RouteName, Side, Store};
use serde_json::{Value as Json, json};

/// How long a change waits for its evidence.
const WITHIN: Duration = Duration::from_millis(500);

/// Sees what is known about a group now.
#[derive(Clone)]
pub struct Witness {
    /// Where verdicts are kept.
    pub control: Arc<dyn ControlStore>,
    /// Which routes belong to a group.
    pub contract: Arc<Contract>,
    /// The sides, of which the primary knows what is unsettled; `None` when nobody can be asked.
    pub sides: Option<PerSide<Arc<dyn Store>>>,
}

impl Witness {
    /// The routes of `group`.
    pub fn routes(&self, group: &GroupName) -> Vec<RouteName> {
        let roots = self.contract.roots.values().filter(|root| root.group == *group);
        roots.map(|root| root.route.clone()).collect()
    }

    /// `{"comparisons": {"match": 7, …}, "routes": {"Query.stockLevel": {…}}, "unsettled": {"writes": 0,
    /// "oldestSeconds": 0.0, "leftBehind": 0, "suspended": []}}`; null in the place of what is not known.
    pub async fn testify(&self, group: &GroupName) -> Json {
        let routes = self.routes(group);
        let filter = EvidenceFilter { routes: Some(routes.clone()), ..EvidenceFilter::default() };
        let evidence = tokio::time::timeout(WITHIN, self.control.evidence(&filter));
        let (evidence, unsettled) = tokio::join!(evidence, self.unsettled(group));
        let evidence = evidence.ok().and_then(Result::ok);
        let comparisons = evidence.as_ref().map(|sums| verdicts(sums, None));
        let by_route = evidence.as_ref().map(|sums| {
            let one = |route: &RouteName| (route.to_string(), verdicts(sums, Some(route)));
            routes.iter().map(one).collect::<serde_json::Map<_, _>>()
        });
        json!({ "comparisons": comparisons, "routes": by_route, "unsettled": unsettled })
    }

    async fn unsettled(&self, group: &GroupName) -> Json {
        let (Some(sides), Ok(Ok(newest))) = (&self.sides, tokio::time::timeout(WITHIN, self.control.newest()).await)
        else {
            return Json::Null;
        };
        let primary = newest.map_or(Side::Legacy, |newest| newest.rollout.policy(group).primary());
        let primary_and_other = [sides.get(primary), sides.get(primary.other())];
        // The stores keep their limit by themselves; the outer one guards against one that does not.
        let asked = primary_and_other.map(|store| tokio::time::timeout(2 * WITHIN, store.backlog(group, WITHIN)));
        let [own, other] = asked;
        let (own, other, suspended) = tokio::join!(own, other, suspended(primary_and_other));
        let left_on_the_other = other.ok().and_then(Result::ok).map(|backlog| backlog.all());
        match own {
            Ok(Ok(backlog)) => {
                let left = left_on_the_other.map(|other| other + backlog.left_behind);
                let age = if backlog.writes == 0 { Some(Duration::ZERO) } else { backlog.oldest };
                let age = age.map(|age| age.as_secs_f64());
                json!({ "writes": backlog.writes, "oldestSeconds": age, "leftBehind": left, "suspended": suspended })
            }
            Ok(Err(_)) | Err(_) => Json::Null,
        }
    }
}

/// The sides that say they are suspended, the primary first: what their ledgers say proves nothing. `None` when the
/// primary does not tell; of the other side it is its writes that are not known then.
async fn suspended(sides: [&Arc<dyn Store>; 2]) -> Option<Vec<&'static str>> {
    let [primary, other] = sides.map(|store| tokio::time::timeout(2 * WITHIN, store.life(&[], WITHIN)));
    let (primary, other) = tokio::join!(primary, other);
    let looks = [Some(primary.ok()?.ok()?), other.ok().and_then(Result::ok)];
    let suspended =
        |(store, look): (&Arc<dyn Store>, Option<LifeLook>)| look?.life?.suspended.map(|_| store.side().as_str());
    Some(sides.into_iter().zip(looks).filter_map(suspended).collect())
}

fn verdicts(sums: &Sums, route: Option<&RouteName>) -> Json {
    let counts = Verdict::ALL.map(|verdict| (verdict.to_string(), Json::from(sums.count(route, verdict))));
    Json::Object(counts.into_iter().collect())
}
