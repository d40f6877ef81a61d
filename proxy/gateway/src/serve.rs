//! Serves the GraphQL port, and drains it: connections, then WebSockets, then mutations under way.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::Gateway;
use server::{Limits, Port};

/// Serves `router` on `port` until `shutdown` completes, then drains. Returns when everything is
/// answered, or when the drain limit has passed.
pub async fn serve(port: Port, router: Router, gateway: Arc<Gateway>, shutdown: impl Future<Output = ()>) {
    let limits = Limits {
        connections: gateway.config.connections,
        address_share: gateway.config.address_share,
        trusted_proxies: gateway.config.trusted_proxies.clone(),
        buffers: Arc::clone(&gateway.buffers),
        header_timeout: gateway.config.header_timeout,
        drain: gateway.config.drain,
        gauge: Some(telemetry::HTTP_CONNECTIONS),
    };
    let connections = server::accept(port, router, &limits, &gateway.draining, shutdown).await;
    drain(&gateway, &connections).await;
}

async fn drain(gateway: &Gateway, connections: &TaskTracker) {
    gateway.draining.cancel();
    let trackers = [connections, &gateway.sockets, &gateway.mutations];
    for tracker in trackers {
        tracker.close();
    }
    // In this order: connections bring sockets, both bring mutations.
    let all = async {
        for tracker in trackers {
            tracker.wait().await;
        }
    };
    let limit = gateway.config.drain;
    if timeout(limit, all).await.is_err() {
        let left: usize = trackers.iter().map(|tracker| tracker.len()).sum();
        tracing::warn!(left, ?limit, "the drain limit passed, {left} connections or mutations are dropped");
    }
}
