//! Tells the metrics how the lanes of Oracle sides are doing.

use std::time::Duration;

use adapters::oracle::OracleStore;
use metrics::{counter, gauge};
use model::Store;
use tokio_util::sync::CancellationToken;

use telemetry::{LANE_ABANDONED, LANE_SHED_TOTAL, LANE_WAITING};

/// How often they are looked at.
const PACE: Duration = Duration::from_secs(1);

/// Looks at the lanes until `stop`.
pub(crate) async fn watch(stores: Vec<OracleStore>, stop: CancellationToken) {
    let mut pace = tokio::time::interval(PACE);
    while stop.run_until_cancelled(pace.tick()).await.is_some() {
        stores.iter().for_each(tell);
    }
}

fn tell(store: &OracleStore) {
    let side = store.side().as_str();
    for (track, figures) in store.figures() {
        let lane = track.as_str();
        let count = |number: usize| u32::try_from(number).map_or(f64::from(u32::MAX), f64::from);
        gauge!(LANE_WAITING, "side" => side, "lane" => lane).set(count(figures.waiting));
        gauge!(LANE_ABANDONED, "side" => side, "lane" => lane).set(count(figures.abandoned));
        counter!(LANE_SHED_TOTAL, "side" => side, "lane" => lane).absolute(figures.shed);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Arc;

    use adapters::oracle::Settings;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use model::{Contract, Scan as _, Side};

    use super::*;

    #[tokio::test]
    async fn a_full_lane_shows_in_the_metrics() {
        // Listens and says nothing: a session is waited for until the limit.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = format!("127.0.0.1:{}/nobody", silent.local_addr().unwrap().port());
        let settings = Settings {
            scan: NonZeroUsize::MIN,
            queue: NonZeroUsize::MIN,
            client_lib_dir: Some(testkit::oracle::client_lib_dir()),
            ..Settings::new(connect, "u", "p")
        };
        let store = OracleStore::connect(Side::Legacy, Arc::new(Contract::default()), &settings).unwrap();
        let scan = store.lane(adapters::Lane::Scan);
        let entity = testkit::contract::entity(&testkit::inventory::product_key("A"));
        let calls = (0..4).map(|_| scan.scan(&entity, None, 1, Duration::from_millis(200)));
        for result in futures::future::join_all(calls).await {
            assert!(result.is_err_and(|error| error.is_outage() && !error.may_have_applied()));
        }

        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || tell(&store));

        let shown = recorder.handle().render();
        let shed = shown.lines().find(|line| line.starts_with("strangler_lane_shed_total{") && line.contains("scan"));
        assert!(shed.is_some_and(|line| line.ends_with(" 2") || line.ends_with(" 3")), "{shown}");
        assert!(shown.contains("strangler_lane_abandoned_threads{side=\"legacy\",lane=\"read\"} 0"), "{shown}");
    }
}
