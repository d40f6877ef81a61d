//! Accepts connections, and drains them: hyper with limits against slow and numerous clients.
//!
//! On shutdown: no further connection is accepted, idle ones are closed, requests under way are
//! finished and answered with `Connection: close`, up to the drain limit.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::Gateway;
use crate::telemetry;

/// How long to wait after the system refused to give us a connection (out of file handles, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `shutdown` completes, then drains. Returns when everything is
/// answered, or when the drain limit has passed.
pub async fn serve(listener: TcpListener, router: Router, gateway: Arc<Gateway>, shutdown: impl Future<Output = ()>) {
    let connections = TaskTracker::new();
    let limit = Arc::new(Semaphore::new(gateway.config.connections.get()));
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let permit = Arc::clone(&limit).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        match stream {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), Arc::clone(&gateway));
                connections.spawn(async move {
                    let _held = permit;
                    let _counted = Counted::new();
                    connection.await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted, trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drain(&gateway, &connections).await;
}

/// Counts a connection as long as it lives, even if serving it panics.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!(telemetry::HTTP_CONNECTIONS).increment(1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!(telemetry::HTTP_CONNECTIONS).decrement(1);
    }
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

/// Serves one connection; its errors are the client's and only of interest when debugging.
async fn connection(stream: TcpStream, router: Router, gateway: Arc<Gateway>) {
    // Small answers must not wait for an acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it was served");
        return;
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(gateway.config.header_timeout);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = gateway.draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended early");
    }
}
