//! Accepts connections on either port, with TLS if it is asked for, and drains them: hyper with limits
//! against slow and numerous clients.
//!
//! Connections beyond the limit wait to be accepted. One address may have a share of them: what it opens beyond is closed
//! at once, so that there is room for others. A connection without requests is closed after a time, and so is one whose
//! client takes nothing of its answers.
//!
//! On shutdown: no further connection is accepted, idle ones are closed, requests under way are
//! finished and answered with `Connection: close`, up to the drain limit.
//! Not here: what is served; certificates (`tls`).

pub mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::wire::{Counted, READ_AHEAD, Wire};
use net::budget::{Budget, Hold, Share};
use net::client::TrustedProxies;
use net::tls::Tls;

/// How long to wait after the system refused to give us a connection (out of file handles, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may take to agree on TLS.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 100;

/// Where connections come in.
pub struct Port {
    /// The address that is listened on.
    pub listener: TcpListener,
    /// The certificate; `None`: plain HTTP.
    pub tls: Option<Tls>,
}

impl Port {
    /// A port without TLS.
    pub fn plain(listener: TcpListener) -> Self {
        Self { listener, tls: None }
    }
}

/// What one port may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted.
    pub connections: NonZeroUsize,
    /// The part of them that one address may have; further ones are closed at once.
    pub address_share: Share,
    /// Addresses that have no share.
    pub trusted_proxies: TrustedProxies,
    /// What connections may hold of unfinished heads and messages, together and of one address.
    pub buffers: Arc<Budget>,
    /// How long a connection may take to send the head of its next request, idle time included; and to take something
    /// of an answer.
    pub header_timeout: Duration,
    /// How long requests under way may take after shutdown has begun.
    pub drain: Duration,
    /// The gauge of open connections.
    pub gauge: Option<&'static str>,
}

/// Who is at the other end of the connection: an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Serves `router` on `port` until `shutdown` completes, then drains. Returns when everything is
/// answered, or when the drain limit has passed.
pub async fn serve(port: Port, router: Router, limits: &Limits, shutdown: impl Future<Output = ()>) {
    let draining = CancellationToken::new();
    let connections = accept(port, router, limits, &draining, shutdown).await;
    draining.cancel();
    connections.close();
    if timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::warn!("the drain limit passed, {} connections are dropped", connections.len());
    }
}

/// Accepts until `shutdown` completes. Returns the connections that are open then; they end after
/// `draining` is cancelled.
pub async fn accept(
    port: Port,
    router: Router,
    limits: &Limits,
    draining: &CancellationToken,
    shutdown: impl Future<Output = ()>,
) -> TaskTracker {
    let Port { listener, tls } = port;
    let connections = TaskTracker::new();
    let limit = Arc::new(Semaphore::new(limits.connections.get()));
    let most = limits.connections.get() as u64;
    let shares = Budget::new(most, limits.address_share.of(most, 1), |_| {});
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
            Ok((stream, address)) => {
                let client = limits.trusted_proxies.connected(address.ip());
                let Ok(place) =
                    shares.hold(client, 1).inspect_err(|no_room| telemetry::no_room("connections", *no_room))
                else {
                    continue;
                };
                let connection = Connection {
                    peer: Peer(address),
                    wire: Wire::new(&limits.buffers, client),
                    router: router.clone(),
                    header_timeout: limits.header_timeout,
                    draining: draining.clone(),
                };
                let (tls, gauge) = (tls.clone(), limits.gauge);
                connections.spawn(async move {
                    let _held: (_, Hold) = (permit, place);
                    let _counted = gauge.map(Open::new);
                    connection.open(stream, tls).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted, trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections
}

/// Counts a connection as long as it lives, even if serving it panics.
struct Open(&'static str);

impl Open {
    fn new(gauge: &'static str) -> Self {
        metrics::gauge!(gauge).increment(1);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(self.0).decrement(1);
    }
}

/// One connection; its errors are the client's and only of interest when debugging.
struct Connection {
    peer: Peer,
    wire: Arc<Wire>,
    router: Router,
    header_timeout: Duration,
    draining: CancellationToken,
}

impl Connection {
    async fn open(self, stream: TcpStream, tls: Option<Tls>) {
        // Small answers must not wait for an acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone before it was served");
            return;
        }
        let Some(tls) = tls else { return self.serve(stream).await };
        let agreed = tokio::select! {
            () = self.draining.cancelled() => return,
            agreed = timeout(HANDSHAKE_WITHIN, tls.accept(stream)) => agreed,
        };
        match agreed {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a client and this port did not agree on TLS"),
            Err(_) => tracing::debug!("a client was too slow to agree on TLS"),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let mut builder = Builder::new(TokioExecutor::new());
        let limit = self.header_timeout;
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limit).max_buf_size(READ_AHEAD);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(limit).max_concurrent_streams(STREAMS);
        let begun = Arc::new(AtomicU64::new(0));
        let (peer, counted, wire) = (self.peer, Arc::clone(&begun), Arc::clone(&self.wire));
        let router = self.router;
        let service = tower::service_fn(move |mut request: Request<Incoming>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let asked = wire.asked();
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(Arc::clone(&wire));
            let answer = router.clone().oneshot(request);
            async move {
                let answer = answer.await;
                drop(asked);
                answer
            }
        });
        let mut stream = TimeoutStream::new(Counted::new(Box::pin(stream), self.wire));
        stream.set_write_timeout(Some(limit));
        let service = TowerToHyperService::new(service);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(Box::pin(stream)), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.draining.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            requests = idle(&begun, limit) => {
                // hyper's own limit begins with the first bytes, from which it tells HTTP/1 from HTTP/2.
                if requests == 0 {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                // What is under way is finished, but for a client that takes nothing of it.
                let Ok(ended) = timeout(limit, connection).await else { return };
                ended
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection ended early");
        }
    }
}

/// Returns when no request has begun for as long as `limit`: how many did.
async fn idle(begun: &AtomicU64, limit: Duration) -> u64 {
    let mut before = 0;
    loop {
        sleep(limit).await;
        let now = begun.load(Ordering::Relaxed);
        if now == before {
            return now;
        }
        before = now;
    }
}

#[cfg(test)]
mod tests;
