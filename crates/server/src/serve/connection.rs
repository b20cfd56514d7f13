//! Connections: accepted, limited in number and in time, served as HTTP/1 or HTTP/2, drained at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::router::Router;
use crate::metrics;

/// A client has this long to finish the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 1_000;
/// A silent HTTP/2 client is asked this often whether it is still there, and has [`PONG_TIMEOUT`] to answer: peers that
/// were frozen or cut off do not keep their connections.
const PING_EVERY: Duration = Duration::from_secs(60);
const PONG_TIMEOUT: Duration = Duration::from_secs(20);
/// What a client may send on one stream, and on all of a connection, before it is read. Fixed: to measure the path costs
/// a ping for each request.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Pause after the system refused to accept, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Everything that connections share.
#[derive(Clone)]
pub(super) struct Connections {
    router: Router,
    permits: Arc<Semaphore>,
    /// A client has this long to send the head of a request, also of the next one on the same connection.
    idle_max: Duration,
    /// Becomes true when the server stops; each connection holds a receiver for as long as it lives.
    stopping: Arc<watch::Sender<bool>>,
}

impl Connections {
    pub(super) fn new(router: Router, connections_max: usize, idle_max: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(connections_max.clamp(1, Semaphore::MAX_PERMITS)));
        Self { router, permits, idle_max, stopping: Arc::new(watch::channel(false).0) }
    }

    /// Accepts until the server stops. Above the limit, clients wait in the system's queue.
    pub(super) async fn accept(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        let mut stopping = self.stopping.subscribe();
        loop {
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = told(&mut stopping) => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (this, tls) = (self.clone(), tls.clone());
                    tokio::spawn(async move {
                        metrics::CONNECTIONS.inc();
                        this.serve(stream, tls).await;
                        metrics::CONNECTIONS.dec();
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "set TCP_NODELAY");
        }
        let Some(tls) = tls else { return self.serve_stream(stream).await };
        let mut stopping = self.stopping.subscribe();
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => handshake,
            () = told(&mut stopping) => return,
        };
        drop(stopping);
        match handshake {
            Ok(Ok(stream)) => self.serve_stream(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.idle_max);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
        builder.http2().initial_stream_window_size(STREAM_WINDOW_BYTES);
        builder.http2().initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        builder.http2().keep_alive_interval(PING_EVERY).keep_alive_timeout(PONG_TIMEOUT);
        let asked = Arc::new(AtomicBool::new(false));
        let (router, seen) = (self.router.clone(), asked.clone());
        let service = service_fn(move |request| {
            seen.store(true, Ordering::Relaxed);
            router.clone().answer(request)
        });
        let mut stopping = self.stopping.subscribe();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let silent = async {
            tokio::time::sleep(self.idle_max).await;
            if asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        // The limit of time inside HTTP/1 begins once the version of HTTP is known, which takes the client's first bytes.
        let silenced = tokio::select! {
            result = connection.as_mut() => return ended(result),
            () = silent => true,
            () = told(&mut stopping) => false,
        };
        connection.as_mut().graceful_shutdown();
        if !silenced {
            return ended(connection.await);
        }
        if let Ok(result) = tokio::time::timeout(self.idle_max, connection).await {
            ended(result);
        }
    }

    /// Stops accepting, lets requests end, and returns when all have or the time is over.
    pub(super) async fn drain(&self, limit: Duration) {
        self.stopping.send_replace(true);
        if tokio::time::timeout(limit, self.stopping.closed()).await.is_err() {
            tracing::warn!("some requests had not ended when their time was over");
        }
    }
}

fn ended<E: std::fmt::Display>(result: Result<(), E>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Returns once the server stops.
async fn told(stopping: &mut watch::Receiver<bool>) {
    // An error means that nobody can tell any more, which is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}
